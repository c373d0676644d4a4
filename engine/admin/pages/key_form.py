"""The form of a gateway key: what was typed, and what it stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.accounts.keys import GatewayKey
from engine.admin.formats import day
from engine.admin.request import PageError, Values

DAY = 86400
KEEP = "keep"
EXPIRIES = (("", "never"), ("7", "in 7 days"), ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"))  # fmt: skip
SCOPES: Mapping[str, Sequence[str]] = {
    "use": ("use",),
    "manage": ("manage",),
    "both": ("use", "manage"),
}
NOT_OFFERED = "The form has a value that its page does not offer."


@dataclass(frozen=True, slots=True)
class KeyForm:
    """What stands in the form of a key; `expires` is a number of days, "" or KEEP."""

    name: str = ""
    models: str = ""
    endpoints: Sequence[str] = ()
    scope: str = "use"
    expires: str = ""
    expiries: Sequence[tuple[str, str]] = EXPIRIES

    @property
    def is_open(self) -> bool:
        """Whether the folded part has something in it."""
        return bool(self.models or self.endpoints or self.scope != "use")

    @classmethod
    def read(cls, form: Values, expiries: Sequence[tuple[str, str]] = EXPIRIES) -> "KeyForm":
        """The form as it was sent.

        Raises:
            PageError: it is not one of this page.
        """
        scope, expires = form.text("scope", "use"), form.text("expires")
        if scope not in SCOPES or expires not in dict(expiries):
            raise PageError(400, NOT_OFFERED)
        return cls(
            form.text("name"), form.text("models"), form.all("endpoints"), scope, expires, expiries
        )

    @classmethod
    def of(cls, key: GatewayKey) -> "KeyForm":
        kept = "never" if key.expires_at is None else f"on {day(key.expires_at)}"
        expiries = [(KEEP, f"{kept} (as it is)"), *EXPIRIES[0 if key.expires_at else 1 :]]
        models = "\n".join(key.models or ())
        return cls(key.name, models, key.endpoints or (), "use", KEEP, expiries)

    def model_names(self) -> list[str] | None:
        return self.models.replace(",", "\n").split() or None

    def expires_at(self, now: float, kept: int | None = None) -> int | None:
        if self.expires == KEEP:
            return kept
        return int(now) + int(self.expires) * DAY if self.expires else None

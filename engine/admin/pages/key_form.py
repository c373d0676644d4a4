"""The form of a gateway key: what was typed, and what it stands for."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.accounts.errors import InvalidValueError
from engine.accounts.gateway_key import GatewayKey
from engine.accounts.key_limits import (
    LIMIT_NAMES,
    NO_LIMITS,
    USD,
    USD_PATTERN,
    USD_WANTED,
    KeyLimits,
    nano_usd,
)
from engine.admin.formats import day
from engine.admin.request import FormValues, PageError, PageRequest

DAY = 86400
MAX_DIGITS = 18
KEEP = "keep"
EXPIRIES = (("", "never"), ("7", "in 7 days"), ("30", "in 30 days"), ("90", "in 90 days"), ("365", "in a year"))  # fmt: skip
SCOPES: Mapping[str, Sequence[str]] = {
    "use": ("use",),
    "manage": ("manage",),
    "both": ("use", "manage"),
}
NEEDS_PRICES = "needs prices, and there is no prices.yaml: every request would be refused"
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
    numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_unfolded(self) -> bool:
        """Whether the folded part has something in it."""
        return bool(
            self.models or self.endpoints or self.scope != "use" or any(self.numbers.values())
        )

    @classmethod
    def read(cls, form: FormValues, expiries: Sequence[tuple[str, str]] = EXPIRIES) -> "KeyForm":
        """The form as it was sent.

        Raises:
            PageError: it is not one of this page.
        """
        scope, expires = form.text("scope", "use"), form.text("expires")
        if scope not in SCOPES or expires not in dict(expiries):
            raise PageError(400, NOT_OFFERED)
        numbers = limits_of(form)
        endpoints = form.all("endpoints")
        return cls(
            form.text("name"), form.text("models"), endpoints, scope, expires, expiries, numbers
        )

    @classmethod
    def of(cls, key: GatewayKey) -> "KeyForm":
        kept = "never" if key.expires_at is None else f"on {day(key.expires_at)}"
        expiries = [(KEEP, f"{kept} (as it is)"), *EXPIRIES[0 if key.expires_at else 1 :]]
        models = "\n".join(key.models or ())
        numbers = limit_texts(key.limits)
        return cls(key.name, models, key.endpoints or (), "use", KEEP, expiries, numbers)

    def model_names(self) -> list[str] | None:
        return self.models.replace(",", "\n").split() or None

    def expires_at(self, now: float, kept: int | None = None) -> int | None:
        if self.expires == KEEP:
            return kept
        return int(now) + int(self.expires) * DAY if self.expires else None


def limits_of(form: FormValues) -> dict[str, str]:
    """The limits of use in a form, as they were typed."""
    return {name: form.text(name).strip() for name in LIMIT_NAMES}


def limit_texts(limits: KeyLimits) -> dict[str, str]:
    """Limits of use as a form shows them; empty for none."""
    return {name: str(value or "") for name, value in limits.api_fields().items()}


def read_limits(
    request: PageRequest, texts: Mapping[str, str], before: KeyLimits = NO_LIMITS
) -> KeyLimits:
    """The limits of use that were typed, in place of those of `before`.

    Raises:
        InvalidValueError: one is no number; or a budget in US dollars is new where nothing has a
            price, so that every request would be refused.
    """
    limits = KeyLimits(**{USD.get(name, name): _number(name, text) for name, text in texts.items() if text})  # fmt: skip
    is_new = limits.monthly_nano_usd_budget not in {None, before.monthly_nano_usd_budget}
    if is_new and request.server.catalogue().loaded.config.prices is None:
        raise InvalidValueError("monthly_usd_budget", NEEDS_PRICES)
    return limits


def _number(name: str, text: str) -> int:
    if name in USD:
        if not re.search(USD_PATTERN, text):
            raise InvalidValueError(name, USD_WANTED)
        return nano_usd(text)
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise InvalidValueError(name, "must be a whole number")
    return int(text)

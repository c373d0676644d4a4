"""Under which names callers ask for a model, so that its limits hold under each of them."""

from collections.abc import Iterator

from engine.plan.plan import Plan
from engine.plan.rules import Rule
from engine.upstream.cache import BoundedCache

MAX_KNOWN = 1024 * 1024  # bytes of names
MAX_ENTRY = 16 * 1024

Names = tuple[str, ...]


class ModelNames:
    """The names of models by one Plan, in lower case, since some providers take any."""

    def __init__(self, plan: Plan | None = None) -> None:
        self._plan = plan
        self._known: BoundedCache[tuple[str, str], Names] = BoundedCache(MAX_KNOWN, MAX_ENTRY)
        self._aliases: dict[str, list[str]] = {}  # by what is sent
        self._stripped: list[Rule] = []
        for rule in () if plan is None else plan.rules:
            if rule.strip:
                self._stripped.append(rule)
            for sent in {rule.rename, *(target.rename for target in rule.targets)} - {None}:
                self._aliases.setdefault((sent or "").lower(), []).append(rule.pattern)

    def of(self, endpoint: str, model: str) -> Names:
        """`model`, what its targets get in its place, and the other names for just that.

        A name whose targets get different models is none of theirs.
        """
        found = self._known.get((endpoint, model))
        if found is None:
            found = tuple(dict.fromkeys(name.lower() for name in self._names(endpoint, model)))
            size = len(endpoint) + len(model) + sum(map(len, found))
            self._known.put((endpoint, model), found, size)
        return found

    def _names(self, endpoint: str, model: str) -> Iterator[str]:
        yield model
        for sent in self._sent(endpoint, model):
            yield sent
            stripped = (r.pattern + sent[len(r.stem) :] for r in self._stripped if sent.startswith(r.stem))  # fmt: skip
            for name in (*self._aliases.get(sent.lower(), ()), *stripped):
                if [each.lower() for each in self._sent(endpoint, name)] == [sent.lower()]:
                    yield name

    def _sent(self, endpoint: str, model: str) -> list[str]:
        """The models that the targets of `model` get."""
        if self._plan is None:
            return []
        return list(
            dict.fromkeys(d.sent_model for d in self._plan.possible_decisions(endpoint, model))
        )

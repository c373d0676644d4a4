"""Providers that extend another: the whole entry of each, in which every value keeps its line.

The entry is the one that it extends without what `drop` names, with mappings merged key by key and
every other value replaced. A credential, a variable and a JSON value of a body count as one value.

    acme:    {base_url: ..., headers: {...}, endpoints: {...}}
    acme_eu: {extends: acme, variables: {region: eu}}
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.config.diagnostics.diagnostic import Diagnostic, Fix, Related
from engine.config.source.document import MAX_EVENTS, Data, Document, Entry, Path
from engine.plan.pointers import steps
from engine.plan.suggest import nearest

_KEY, _SECTION = "extends", "providers"
_NEEDED = ("base_url", "endpoints")
# Mappings below a provider that are one value, None for any name: their keys belong together.
_WHOLE: tuple[tuple[str | None, ...], ...] = (
    ("credentials", None),
    ("variables", None),
    ("endpoints", None, "body", "default", None),
    ("endpoints", None, "body", "set", None),
    ("ping", "body"),
)


@dataclass(frozen=True, slots=True)
class Extended:
    """A document with whole entries, and the paths of those that cannot be made whole."""

    document: Document
    found: tuple[Diagnostic, ...] = ()
    broken: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What one entry says under `extends`."""

    provider: str
    at: Path  # of the name
    drops: Mapping[Path, Path]  # what is left out, below the provider, and where that is written


def extend(document: Document) -> Extended:
    """Make the entries whole that extend another, wherever in the file that one stands."""
    data = document.data if isinstance(document.data, dict) else {}
    entries = data.get(_SECTION)
    wishes = dict(_wishes(entries)) if isinstance(entries, dict) else {}
    if not isinstance(entries, dict) or not wishes:
        return Extended(document)
    merge = _Merge(document, dict(entries), dict(document.entries))
    order, circles = _in_order(wishes)
    for name in order:
        merge.extend(name, wishes[name])
    for circle in circles:
        merge.found.append(_circle(document, circle, wishes))
    merge.broken |= {(_SECTION, name) for name in wishes if name not in order}
    whole = replace(
        document,
        data={**data, _SECTION: merge.providers},
        entries=merge.entries,
        inherited=merge.inherited,
    )
    return Extended(whole, tuple(merge.found), frozenset(merge.broken))


def _wishes(entries: Mapping[str, Data]) -> Iterator[tuple[str, _Wish]]:
    """What each entry extends; one that is not written as it must be is left to the schema."""
    for name, entry in entries.items():
        at: Path = (_SECTION, name, _KEY)
        match entry:
            case {"extends": str(provider)}:
                yield name, _Wish(provider, at, {})
            case {"extends": {"provider": str(provider), **rest}}:
                drops = rest.get("drop", [])
                if isinstance(drops, list):
                    placed: dict[Path, Path] = {
                        steps(text): (*at, "drop", index)
                        for index, text in enumerate(drops)
                        if isinstance(text, str)
                    }
                    yield name, _Wish(provider, (*at, "provider"), placed)


def _in_order(wishes: Mapping[str, _Wish]) -> tuple[dict[str, None], list[list[str]]]:
    """Names, each after the one that it extends, and the circles; what leads into one has no order."""
    order: dict[str, None] = {}
    lost: set[str] = set()
    circles: list[list[str]] = []
    for first in wishes:
        name, chain = first, dict[str, None]()
        while name in wishes and name not in order and name not in lost and name not in chain:
            chain[name] = None
            name = wishes[name].provider
        if name in chain:
            names = list(chain)
            circles.append(names[names.index(name) :])
        if name in chain or name in lost:
            lost.update(chain)
        else:
            order.update(dict.fromkeys(reversed(chain)))
    return order, circles


def _circle(document: Document, names: Sequence[str], wishes: Mapping[str, _Wish]) -> Diagnostic:
    chain = " -> ".join(f"`{name}`" for name in (*names, names[0]))
    places = [document.entry(wishes[name].at).value for name in names]
    others = tuple(Related(place, "and it extends this one") for place in places[1:])
    return Diagnostic(
        "X282",
        f"provider `{names[0]}` extends itself: {chain}",
        places[0],
        help="write out the one that the others extend",
        path=wishes[names[0]].at,
        related=others,
    )


@dataclass(slots=True)
class _Merge:
    """The entries made so far. `inherited` has, for each path taken over, where its value is written."""

    document: Document
    providers: dict[str, Data]
    entries: dict[Path, Entry]
    inherited: dict[Path, Path] = field(default_factory=dict)
    found: list[Diagnostic] = field(default_factory=list)
    broken: set[Path] = field(default_factory=set)

    def extend(self, name: str, wish: _Wish) -> None:
        own, base = self.providers[name], self.providers.get(wish.provider)
        if wish.provider not in self.providers:
            self.found.append(self._unknown(name, wish))
        if not isinstance(own, dict) or not isinstance(base, dict) or self._is_broken(wish):
            self.broken.add((_SECTION, name))
            return
        if len(self.entries) > MAX_EVENTS:
            message = f"too many entries, with those that provider `{name}` takes over"
            self._report("Y006", message, wish.at, help="extend providers that have less")
            self.broken.add((_SECTION, name))
            return
        here: Path = (_SECTION, name)
        self._report_drops(name, wish, base)
        if own.keys() == {_KEY} and not wish.drops:
            self._report("X283", f"provider `{name}` is the same as `{wish.provider}`", wish.at)
        base = {key: value for key, value in base.items() if key != _KEY}
        merged = self._mapping(own, base, here, (_SECTION, wish.provider), wish.drops)
        self.providers[name] = merged
        self._report_missing(name, wish, merged, base)

    def _is_broken(self, wish: _Wish) -> bool:
        return (_SECTION, wish.provider) in self.broken

    def _mapping(
        self, own: Mapping[str, Data], base: Mapping[str, Data], at: Path, source: Path, drops: Any
    ) -> dict[str, Data]:
        """`base` with the keys of `own`; `at` and `source` are their paths."""
        merged: dict[str, Data] = {}
        for key, inherited in base.items():
            here, there = (*at, key), (*source, key)
            if here[2:] in drops:
                continue
            if key in own:
                merged[key] = self._value(own[key], inherited, here, there, drops)
            else:
                merged[key] = self._taken_over(inherited, here, there, drops)
        return merged | {key: value for key, value in own.items() if key not in merged}

    def _value(self, own: Data, base: Data, at: Path, source: Path, drops: Any) -> Data:
        if _is_endpoint(at) and isinstance(own, dict) != isinstance(base, dict):
            own, base = _with_path(own), _with_path(base)
        if isinstance(own, dict) and isinstance(base, dict) and not _is_whole(at):
            return self._mapping(own, base, at, source, drops)
        if own == base:
            words = f"`{at[-1]}` is the same in `{source[1]}`, which `{at[1]}` extends"
            self._report("X283", words, at, help="remove it")
        return own

    def _taken_over(self, value: Data, at: Path, source: Path, drops: Any) -> Data:
        """`value`, which is written at `source`, as a part of the entry that `at` is in."""
        while source not in self.entries:
            source = source[:-1]
        self.entries[at] = self.entries[source]
        self.inherited[at] = self.inherited.get(source, source)
        match value:
            case dict():
                return self._mapping({}, value, at, source, drops)
            case list():
                items = enumerate(value)
                return [self._taken_over(v, (*at, i), (*source, i), drops) for i, v in items]
        return value

    def _unknown(self, name: str, wish: _Wish) -> Diagnostic:
        hint = nearest(wish.provider, self.providers.keys() - {name})
        place = self.document.entry(wish.at).value
        return Diagnostic(
            "X281",
            f"provider `{name}` extends `{wish.provider}`, which providers.yaml does not define",
            place,
            label=f"did you mean `{hint}`?" if hint else "",
            path=wish.at,
            fix=Fix(place, hint) if hint else None,
        )

    def _report_drops(self, name: str, wish: _Wish, base: Data) -> None:
        for path, at in wish.drops.items():
            outer = next((path[:n] for n in range(1, len(path)) if path[:n] in wish.drops), None)
            place = _found(base, path)
            if outer is not None:
                self._report(
                    "X283", f"`/{'/'.join(map(str, outer))}` is dropped, and this with it", at
                )
            elif isinstance(place, list):
                words = f"this is inside a list of provider `{wish.provider}`; only a whole list can be dropped"
                self._report("X283", words, at, help="drop the list, or write another one")
            elif place is _ABSENT:
                words = f"provider `{wish.provider}` has nothing at this place for `{name}` to drop"
                self._report("X283", words, at)

    def _report_missing(self, name: str, wish: _Wish, merged: Any, base: Any) -> None:
        """Report required keys that the entry drops. If the base lacks one too, it is reported at the base."""
        for key in _NEEDED:
            if key not in merged:
                self.broken.add((_SECTION, name))
            if key in base and key not in merged:
                message, hint = f"provider `{name}` has no `{key}`", f"add `{key}:`"
                self._report("S101", message, wish.drops[key,], help=hint)

    def _report(self, code: str, message: str, at: Path, help: str = "") -> None:  # noqa: A002 the field's name
        place = self.document.entry(at).head
        self.found.append(Diagnostic(code, message, place, help=help, path=at))


_ABSENT = object()


def _found(base: Data, path: Path) -> Any:
    """What `base` has at `path`: None for a value, the list around it, or _ABSENT."""
    value: Any = base
    for step in path:
        if isinstance(value, list):
            return value
        value = value.get(step, _ABSENT) if isinstance(value, dict) else _ABSENT
    return _ABSENT if value is _ABSENT else None


def _is_endpoint(at: Path) -> bool:
    return len(at) == 4 and at[2] == "endpoints"


def _with_path(value: Data) -> Data:
    """The long form of an endpoint that is written as its path alone."""
    return {"path": value} if isinstance(value, str) else value


def _is_whole(at: Path) -> bool:
    below = at[2:]
    return any(
        len(whole) == len(below)
        and all(name in {None, step} for name, step in zip(whole, below, strict=True))
        for whole in _WHOLE
    )


def extended_by(document: Document, provider: str) -> Path | None:
    """The path of the entry that `provider` extends."""
    wish = dict(_wishes({provider: document.value((_SECTION, provider))})).get(provider)
    return (_SECTION, wish.provider) if wish else None


def without_repeats(
    found: Sequence[Diagnostic], documents: Mapping[str, Document]
) -> list[Diagnostic]:
    """Drop findings about inherited values that are already reported at the base.

    The others are kept without a fix, because the fix would edit the base.
    Findings about the environment name each provider that cannot be called.
    """
    known = {(d.code, d.span.file, d.path) for d in found if d.code[0] != "E"}
    kept = []
    for d in found:
        document = documents.get(d.span.file)
        source = document.source_of(d.path) if document else None
        if document is None or source is None:
            kept.append(d)
        elif (d.code, d.span.file, source) not in known:
            place = document.entry((*d.path[:2], _KEY)).head
            related = (*d.related, Related(place, f"`{d.path[1]}` takes it over here"))
            kept.append(replace(d, fix=None, related=related))
    return kept

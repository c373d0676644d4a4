"""Rules about meaning, across files: one small function a code, registered in a table.

Each check reads what the schema left intact and yields findings; none depends on another having
run, and an entry that is already reported is not part of what they see.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass

from engine.config.diagnostics.diagnostic import Diagnostic, Fix, Place, Related, Span
from engine.config.model import Config, ModelRule, RoutingTest, merge_timeouts
from engine.config.source.document import Document, Path
from engine.config.template import Template
from engine.plan.suggest import nearest

_TIMEOUTS = ("connect", "first_byte", "idle")
_ROUTES, _PROVIDERS, _KEYS = "routes.yaml", "providers.yaml", "keys.yaml"


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What checks look at. `now` is POSIX time."""

    config: Config
    documents: Mapping[str, Document]
    templates: Mapping[Path, Template]
    now: float

    def span(self, file: str, path: Path, place: Place = Place.KEY) -> Span:
        """Where the entry at `path` stands in `file`."""
        entry = self.documents[file].entry(path)
        return entry.head if place is Place.KEY else entry.value

    def at(  # noqa: PLR0913 the parts of a finding
        self,
        code: str,
        message: str,
        file: str,
        path: Path,
        place: Place = Place.KEY,
        *,
        hint: str | None = None,
        related: tuple[Related, ...] = (),
        help: str = "",  # noqa: A002 the field's name
    ) -> Diagnostic:
        """A finding at an entry; `hint` is a known word to offer instead."""
        span = self.span(file, path, place)
        return Diagnostic(
            code,
            message,
            span,
            label=f"did you mean `{hint}`?" if hint else "",
            help=help,
            path=path,
            related=related,
            fix=Fix(span, hint) if hint else None,
        )


Check = Callable[[CheckContext], Iterator[Diagnostic]]


def run_checks(context: CheckContext) -> Iterator[Diagnostic]:
    """The findings of every check."""
    return (found for check in CHECKS for found in check(context))


def _unknown_provider(context: CheckContext) -> Iterator[Diagnostic]:
    known = context.config.known_providers
    entries = [(r, *item) for r in context.config.rules for item in r.providers().items()]
    for rule, path, provider in entries:
        if known and provider not in known:
            hint = nearest(provider, known)
            if hint and not _is_name(hint):  # told already as a bad name
                continue
            related: tuple[Related, ...] = ()
            if hint:
                related = (Related(context.span(_PROVIDERS, ("providers", hint)), "defined here"),)
            yield context.at(
                "X201",
                f"{named(rule)} names provider `{provider}`, which {_PROVIDERS} does not define",
                _ROUTES,
                path,
                Place.VALUE,
                hint=hint,
                related=related,
            )


def _unknown_endpoint(context: CheckContext) -> Iterator[Diagnostic]:
    known = context.config.known_endpoints
    if not known:
        return
    for who, name, file, path, place in _endpoint_names(context):
        if name in known:
            continue
        hint = nearest(name, known)
        if hint is None or _is_name(hint):  # else told as a bad name
            message = f"{who} names endpoint `{name}`, which {_ROUTES} does not define"
            yield context.at("X202", message, file, path, place, hint=hint)


def _is_name(word: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", word) is not None


def _endpoint_names(context: CheckContext) -> Iterator[tuple[str, str, str, Path, Place]]:
    for rule in context.config.rules:
        for index, name in enumerate(rule.endpoints or ()):
            yield named(rule), name, _ROUTES, (*rule.at, "endpoint", index), Place.VALUE
    for test in context.config.tests:
        yield titled(test), test.endpoint, _ROUTES, (*test.at, "endpoint"), Place.VALUE
    for provider in context.config.providers:
        for served in (*provider.endpoints, *provider.not_enabled):
            yield f"provider `{provider.name}`", served.name, _PROVIDERS, served.at, Place.KEY
    for key in context.config.keys or ():
        for index, name in enumerate(key.endpoints or ()):
            yield f"key `{key.name}`", name, _KEYS, (*key.at, "endpoints", index), Place.VALUE


def _duplicate_route(context: CheckContext) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], Path] = {}
    names: dict[tuple[str, str], str] = {}
    for name, method, path, at in every_route(context.config):
        route = (method, path)
        if route in first:
            yield context.at(
                "X203",
                f"endpoints `{names[route]}` and `{name}` share a path and a method",
                _ROUTES,
                at,
                Place.VALUE,
                related=(Related(context.span(_ROUTES, first[route]), "the first of them"),),
            )
        first.setdefault(route, at)
        names.setdefault(route, name)


def every_route(config: Config) -> Iterator[tuple[str, str, str, Path]]:
    """Name, method, path and place of everything the gateway answers."""
    for e in config.endpoints:
        yield e.name, e.method, e.path, (*e.at, "path")
        yield from ((e.name, e.method, p, (*e.at, "also", i)) for i, p in enumerate(e.also))
    if listed := config.listing:
        places = [("path",), *(("also", index) for index in range(len(listed.paths) - 1))]
        for path, place in zip(listed.paths, places, strict=True):
            yield "listing", "GET", path, (*listed.at, *place)


def _unused_provider(context: CheckContext) -> Iterator[Diagnostic]:
    if "models" in context.config.incomplete or "routes.yaml" not in context.documents:
        return
    used = {name for rule in context.config.rules for name in rule.providers().values()}
    used |= _meant(used, context.config.known_providers)
    for provider in context.config.providers:
        if provider.name not in used:
            message = f"no model rule leads to provider `{provider.name}`"
            help_text = f"add a rule such as `{{prefix: {provider.name}/, provider: {provider.name}, strip: true}}`"
            yield context.at("X205", message, _PROVIDERS, provider.at, help=help_text)


def _endpoint_without_provider(context: CheckContext) -> Iterator[Diagnostic]:
    if not context.config.providers or "providers" in context.config.incomplete:
        return
    served = {served.name for provider in context.config.providers for served in provider.endpoints}
    served |= _meant(served, context.config.known_endpoints)
    for endpoint in context.config.endpoints:
        if endpoint.name not in served:
            message = f"no provider serves endpoint `{endpoint.name}`"
            yield context.at("X206", message, _ROUTES, endpoint.at)


def _meant(names: Set[str], known: Set[str]) -> set[str]:
    """The known names that misspelt ones stand for; the misspelling is told, and no more."""
    return {hint for name in names - known if (hint := nearest(name, known))}


def _exposed_and_refused(context: CheckContext) -> Iterator[Diagnostic]:
    exposed = {(path, method): name for name, method, path, _ in every_route(context.config)}
    places = {
        name: at[:-1] if at[-1] == "path" else at[:-2]
        for name, *_, at in every_route(context.config)
    }
    for entry in context.config.not_exposed:
        for index, path in enumerate(entry.paths):
            for (open_path, method), name in exposed.items():
                if path == open_path and (not entry.methods or method in entry.methods):
                    yield context.at(
                        "X208",
                        f"`{path}` is not exposed and is endpoint `{name}` as well",
                        _ROUTES,
                        (*entry.at, "paths", index),
                        Place.VALUE,
                        related=(Related(context.span(_ROUTES, places[name]), "the endpoint"),),
                    )


def _bad_keys(context: CheckContext) -> Iterator[Diagnostic]:
    names: set[str] = set()
    digests: set[str] = set()
    for key in context.config.keys or ():
        if key.name in names:
            yield context.at(
                "X211",
                f"the name `{key.name}` is given twice",
                _KEYS,
                (*key.at, "name"),
                Place.VALUE,
            )
        if key.sha256 in digests:
            yield context.at(
                "X211",
                f"key `{key.name}` repeats the digest of another key",
                _KEYS,
                (*key.at, "sha256"),
                Place.VALUE,
            )
        if key.expiry_text is not None and key.expires is None:
            message = f"`expires` of key `{key.name}` is not a date such as 2027-01-01"
            yield context.at("X211", message, _KEYS, (*key.at, "expires"), Place.VALUE)
        if key.expires is not None and key.expires <= context.now:
            yield context.at(
                "X212", f"key `{key.name}` has expired", _KEYS, (*key.at, "expires"), Place.VALUE
            )
        names.add(key.name)
        digests.add(key.sha256)


def _contradicting_timeouts(context: CheckContext) -> Iterator[Diagnostic]:
    places = [(_ROUTES, e.at, f"endpoint `{e.name}`", e.timeouts) for e in context.config.endpoints]
    places += [
        (_PROVIDERS, p.at, f"provider `{p.name}`", p.timeouts) for p in context.config.providers
    ]
    defaults = {
        str(path[2]): getattr(context.config.timeouts, str(path[2]))
        for path in (context.documents[_ROUTES].entries if _ROUTES in context.documents else ())
        if path[:2] == ("defaults", "timeouts") and len(path) == 3 and str(path[2]) in _TIMEOUTS
    }
    places.append((_ROUTES, ("defaults",), "`defaults`", defaults))
    for file, at, who, own in places:
        timeouts = merge_timeouts(context.config.timeouts, own)
        for name in _TIMEOUTS:
            if name in own and own[name] > timeouts.total:
                message = f"`{name}` of {who} is longer than `total`, which ends the exchange first"
                yield context.at("X217", message, file, (*at, "timeouts", name), Place.VALUE)


CHECKS: tuple[Check, ...] = (
    _unknown_provider,
    _unknown_endpoint,
    _duplicate_route,
    _unused_provider,
    _endpoint_without_provider,
    _exposed_and_refused,
    _bad_keys,
    _contradicting_timeouts,
)


def named(rule: ModelRule) -> str:
    return f"model rule `{rule.pattern}`"


def titled(test: RoutingTest) -> str:
    """How a message names an entry of `tests:`."""
    return f"test {int(test.at[1]) + 1}"

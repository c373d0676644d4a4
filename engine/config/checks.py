"""Rules about meaning, across files: one small function a code, registered in a table.

Each check reads what the schema left intact and yields findings; none depends on another having
run, and an entry that is already reported is not part of what they see.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import urlsplit

from engine.config.diagnostic import SECRET, Diagnostic, Fix, Place, Related, Span
from engine.config.document import Document, Path
from engine.config.model import Config, ModelRule, RoutingTest, merge_timeouts
from engine.config.template import Template, render_now
from engine.suggest import nearest

_GUID = re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")
_TIMEOUTS = ("connect", "first_byte", "idle")
_ROUTES, _PROVIDERS, _KEYS = "routes.yaml", "providers.yaml", "keys.yaml"


@dataclass(frozen=True, slots=True)
class Subject:
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


Check = Callable[[Subject], Iterator[Diagnostic]]


def run_checks(subject: Subject) -> list[Diagnostic]:
    """Every finding of every check."""
    return [found for check in CHECKS for found in check(subject)]


def _unknown_provider(subject: Subject) -> Iterator[Diagnostic]:
    known = subject.config.known_providers
    for rule in subject.config.rules:
        if known and rule.provider not in known:
            hint = nearest(rule.provider, known)
            if hint and not _is_name(hint):  # told already as a bad name
                continue
            related: tuple[Related, ...] = ()
            if hint:
                related = (Related(subject.span(_PROVIDERS, ("providers", hint)), "defined here"),)
            yield subject.at(
                "X201",
                f"{_named(rule)} names provider `{rule.provider}`, which {_PROVIDERS} does not define",
                _ROUTES,
                (*rule.at, "provider"),
                Place.VALUE,
                hint=hint,
                related=related,
            )


def _unknown_endpoint(subject: Subject) -> Iterator[Diagnostic]:
    known = subject.config.known_endpoints
    if not known:
        return
    for who, name, file, path, place in _endpoint_names(subject):
        if name in known:
            continue
        hint = nearest(name, known)
        if hint is None or _is_name(hint):  # else told as a bad name
            message = f"{who} names endpoint `{name}`, which {_ROUTES} does not define"
            yield subject.at("X202", message, file, path, place, hint=hint)


def _is_name(word: str) -> bool:
    return re.fullmatch(r"[a-z][a-z0-9_]*", word) is not None


def _endpoint_names(subject: Subject) -> Iterator[tuple[str, str, str, Path, Place]]:
    for rule in subject.config.rules:
        for index, name in enumerate(rule.endpoints or ()):
            yield _named(rule), name, _ROUTES, (*rule.at, "endpoint", index), Place.VALUE
    for test in subject.config.tests:
        yield titled(test), test.endpoint, _ROUTES, (*test.at, "endpoint"), Place.VALUE
    for provider in subject.config.providers:
        for served in (*provider.endpoints, *provider.not_enabled):
            yield f"provider `{provider.name}`", served.name, _PROVIDERS, served.at, Place.KEY
    for key in subject.config.keys or ():
        for index, name in enumerate(key.endpoints or ()):
            yield f"key `{key.name}`", name, _KEYS, (*key.at, "endpoints", index), Place.VALUE


def _duplicate_route(subject: Subject) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], Path] = {}
    names: dict[tuple[str, str], str] = {}
    for name, method, path, at in _routes(subject.config):
        route = (method, path)
        if route in first:
            yield subject.at(
                "X203",
                f"endpoints `{names[route]}` and `{name}` share a path and a method",
                _ROUTES,
                at,
                Place.VALUE,
                related=(Related(subject.span(_ROUTES, first[route]), "the first of them"),),
            )
        first.setdefault(route, at)
        names.setdefault(route, name)


def _routes(config: Config) -> Iterator[tuple[str, str, str, Path]]:
    """Name, method, path and place of everything the gateway answers."""
    for e in config.endpoints:
        yield e.name, e.method, e.path, (*e.at, "path")
        yield from ((e.name, e.method, p, (*e.at, "also", i)) for i, p in enumerate(e.also))
    if listed := config.listing:
        places = [("path",), *(("also", index) for index in range(len(listed.paths) - 1))]
        for path, place in zip(listed.paths, places, strict=True):
            yield "listing", "GET", path, (*listed.at, *place)


def _tied_rules(subject: Subject) -> Iterator[Diagnostic]:
    groups: dict[tuple[bool, str], list[ModelRule]] = {}
    for rule in subject.config.rules:
        groups.setdefault((rule.is_prefix, rule.pattern), []).append(rule)
    for group in groups.values():
        for first, second in combinations(group, 2):
            if _share_endpoints(first, second):
                yield subject.at(
                    "X204",
                    f"{_named(second)} ties with another rule for the same models",
                    _ROUTES,
                    second.at,
                    related=(Related(subject.span(_ROUTES, first.at), "the other rule"),),
                    help="remove one, or narrow one with `endpoint:`",
                )


def _share_endpoints(first: ModelRule, second: ModelRule) -> bool:
    if first.endpoints is None or second.endpoints is None:
        return first.endpoints is second.endpoints
    return bool(set(first.endpoints) & set(second.endpoints))


def _unused_provider(subject: Subject) -> Iterator[Diagnostic]:
    if "models" in subject.config.incomplete or "routes.yaml" not in subject.documents:
        return
    used = {rule.provider for rule in subject.config.rules}
    for provider in subject.config.providers:
        if provider.name not in used:
            message = f"no model rule leads to provider `{provider.name}`"
            help_text = f"add a rule such as `{{prefix: {provider.name}/, provider: {provider.name}, strip: true}}`"
            yield subject.at("X205", message, _PROVIDERS, provider.at, help=help_text)


def _endpoint_without_provider(subject: Subject) -> Iterator[Diagnostic]:
    served = {served.name for provider in subject.config.providers for served in provider.endpoints}
    for endpoint in subject.config.endpoints:
        complete = subject.config.providers and "providers" not in subject.config.incomplete
        if complete and endpoint.name not in served:
            message = f"no provider serves endpoint `{endpoint.name}`"
            yield subject.at("X206", message, _ROUTES, endpoint.at)


def _dead_rule(subject: Subject) -> Iterator[Diagnostic]:
    serves = {p.name: {served.name for served in p.endpoints} for p in subject.config.providers}
    for rule in subject.config.rules:
        if rule.provider not in serves or rule.endpoints is None:
            continue
        if not set(rule.endpoints) <= subject.config.known_endpoints:
            continue
        if not serves[rule.provider] & set(rule.endpoints):
            message = f"{_named(rule)} can never serve: `{rule.provider}` has none of its endpoints"
            yield subject.at("X207", message, _ROUTES, rule.at)


def _exposed_and_refused(subject: Subject) -> Iterator[Diagnostic]:
    exposed = {(path, method): name for name, method, path, _ in _routes(subject.config)}
    places = {
        name: at[:-1] if at[-1] == "path" else at[:-2] for name, *_, at in _routes(subject.config)
    }
    for entry in subject.config.not_exposed:
        for index, path in enumerate(entry.paths):
            for (open_path, method), name in exposed.items():
                if path == open_path and (not entry.methods or method in entry.methods):
                    yield subject.at(
                        "X208",
                        f"`{path}` is not exposed and is endpoint `{name}` as well",
                        _ROUTES,
                        (*entry.at, "paths", index),
                        Place.VALUE,
                        related=(Related(subject.span(_ROUTES, places[name]), "the endpoint"),),
                    )


def _bad_keys(subject: Subject) -> Iterator[Diagnostic]:
    names: set[str] = set()
    digests: set[str] = set()
    for key in subject.config.keys or ():
        if key.name in names:
            yield subject.at(
                "X211",
                f"the name `{key.name}` is given twice",
                _KEYS,
                (*key.at, "name"),
                Place.VALUE,
            )
        if key.sha256 in digests:
            yield subject.at(
                "X211",
                f"key `{key.name}` repeats the digest of another key",
                _KEYS,
                (*key.at, "sha256"),
                Place.VALUE,
            )
        if key.expiry_text is not None and key.expires is None:
            message = f"`expires` of key `{key.name}` is not a date such as 2027-01-01"
            yield subject.at("X211", message, _KEYS, (*key.at, "expires"), Place.VALUE)
        if key.expires is not None and key.expires <= subject.now:
            yield subject.at(
                "X212", f"key `{key.name}` has expired", _KEYS, (*key.at, "expires"), Place.VALUE
            )
        names.add(key.name)
        digests.add(key.sha256)


def _urls(subject: Subject) -> Iterator[Diagnostic]:
    for provider in subject.config.providers:
        paths: list[Path] = [(*provider.at, "base_url")]
        paths += [served.path_at for served in provider.endpoints]
        for path in paths:
            template = subject.templates.get(path)
            if template is None or template.source.startswith("/"):
                continue
            unset = {v.name for v in provider.variables if v.value is None}
            if template.source.startswith("{{") and unset & template.uses("variables"):
                continue  # only the environment knows; `load` looks then
            code = url_problem(template, provider.sample_variables())
            if code == "X214":
                message = f"the URL of provider `{provider.name}` must be http(s)://host/path and nothing more"
                yield subject.at(code, message, _PROVIDERS, path, Place.VALUE)
            elif code:
                message = f"provider `{provider.name}` is dialled without TLS"
                yield subject.at(
                    code, message, _PROVIDERS, path, Place.VALUE, help="write https://"
                )


def url_problem(template: Template, variables: Mapping[str, str]) -> str | None:
    """The code of what is wrong with the URL that `variables` make, if anything is."""
    try:
        parts = urlsplit(render_now(template, {"variables": variables, "model": "m"}) or "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return "X214"
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        return "X214"
    return "X213" if parts.scheme == "http" and not _is_near(parts.hostname or "") else None


def _is_near(host: str) -> bool:
    """Loopback, a private address, or a name without dots, as inside one cluster."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".svc"))
    return address.is_loopback or address.is_private


def _default_model_renamed(subject: Subject) -> Iterator[Diagnostic]:
    for endpoint in subject.config.endpoints:
        rules = [
            r for r in subject.config.rules if _matches(r, endpoint.name, endpoint.default_model)
        ]
        rule = max(
            rules, key=lambda r: (not r.is_prefix, len(r.pattern), bool(r.endpoints)), default=None
        )
        if rule is not None and (rule.strip or rule.rename is not None):
            yield subject.at(
                "X216",
                f"`default_model` of endpoint `{endpoint.name}` is renamed by {_named(rule)}",
                _ROUTES,
                (*endpoint.at, "default_model"),
                Place.VALUE,
                related=(Related(subject.span(_ROUTES, rule.at), "the rule"),),
                help="name a model that is sent as it is",
            )


def _matches(rule: ModelRule, endpoint: str, model: str | None) -> bool:
    if model is None or (rule.endpoints is not None and endpoint not in rule.endpoints):
        return False
    return model.startswith(rule.pattern) if rule.is_prefix else model == rule.pattern


def _contradicting_timeouts(subject: Subject) -> Iterator[Diagnostic]:
    places = [(_ROUTES, e.at, f"endpoint `{e.name}`", e.timeouts) for e in subject.config.endpoints]
    places += [
        (_PROVIDERS, p.at, f"provider `{p.name}`", p.timeouts) for p in subject.config.providers
    ]
    defaults = {
        str(path[2]): getattr(subject.config.timeouts, str(path[2]))
        for path in (subject.documents[_ROUTES].entries if _ROUTES in subject.documents else ())
        if path[:2] == ("defaults", "timeouts") and len(path) == 3 and str(path[2]) in _TIMEOUTS
    }
    places.append((_ROUTES, ("defaults",), "`defaults`", defaults))
    for file, at, who, own in places:
        timeouts = merge_timeouts(subject.config.timeouts, own)
        for name in _TIMEOUTS:
            if name in own and own[name] > timeouts.total:
                message = f"`{name}` of {who} is longer than `total`, which ends the exchange first"
                yield subject.at("X217", message, file, (*at, "timeouts", name), Place.VALUE)


def _literal_secret(subject: Subject) -> Iterator[Diagnostic]:
    """By shape alone, in the values that end up in headers and URLs."""
    for provider in subject.config.providers:
        values: dict[Path, str] = {
            (*provider.at, "headers", name): text for name, text in provider.headers.items()
        }
        values |= {v.at: v.value for v in provider.variables if v.value is not None and not v.env}
        values |= {(*s.at, "query", n): t for s in provider.endpoints for n, t in s.query.items()}
        for path, text in values.items():
            if SECRET.search(_GUID.sub("", text)):  # an account or tenant id is no secret
                yield subject.at(
                    "X218",
                    f"`{path[-1]}` of provider `{provider.name}` looks like a secret",
                    _PROVIDERS,
                    path,
                    Place.VALUE,
                    help="declare it under `credentials:` as {env: NAME} and use {{ credentials.… }}",
                )


CHECKS: tuple[Check, ...] = (
    _literal_secret,
    _unknown_provider,
    _unknown_endpoint,
    _duplicate_route,
    _tied_rules,
    _unused_provider,
    _endpoint_without_provider,
    _dead_rule,
    _exposed_and_refused,
    _bad_keys,
    _urls,
    _default_model_renamed,
    _contradicting_timeouts,
)


def _named(rule: ModelRule) -> str:
    return f"model rule `{rule.pattern}`"


def titled(test: RoutingTest) -> str:
    """How a message names an entry of `tests:`."""
    return f"test {int(test.at[1]) + 1}"

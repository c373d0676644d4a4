"""Paths of endpoints: which of them are the same, or could match one request."""

from collections.abc import Iterator

from engine.config.checks.registry import ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related
from engine.config.model import Config
from engine.config.source.document import Path

_MODEL = "{model}"
_Route = tuple[str, str, str, Path]


@check("X203")
def duplicate_route(context: CheckContext) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str], Path] = {}
    names: dict[tuple[str, str], str] = {}
    for name, method, path, at in every_route(context.config):
        route = (method, path)
        if route in first:
            yield context.at(
                "X203",
                f"endpoints `{names[route]}` and `{name}` share a path and a method",
                ROUTES,
                at,
                EntryPart.VALUE,
                related=(Related(context.span(ROUTES, first[route]), "the first of them"),),
            )
        first.setdefault(route, at)
        names.setdefault(route, name)


def every_route(config: Config) -> Iterator[tuple[str, str, str, Path]]:
    """Name, method, path and place of everything that the gateway serves."""
    for e in config.endpoints:
        yield e.name, e.method, e.path, (*e.at, "path")
        yield from ((e.name, e.method, p, (*e.at, "also", i)) for i, p in enumerate(e.also))
    if listed := config.listing:
        places = [("path",), *(("also", index) for index in range(len(listed.paths) - 1))]
        for path, place in zip(listed.paths, places, strict=True):
            yield "listing", "GET", path, (*listed.at, *place)


@check("X208")
def exposed_and_refused(context: CheckContext) -> Iterator[Diagnostic]:
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
                        ROUTES,
                        (*entry.at, "paths", index),
                        EntryPart.VALUE,
                        related=(Related(context.span(ROUTES, places[name]), "the endpoint"),),
                    )


@check("X260", "X261")
def ambiguous_paths(context: CheckContext) -> Iterator[Diagnostic]:
    """Two different paths that one request could match, whatever its method."""
    routes = sorted(every_route(context.config), key=lambda route: _MODEL not in route[2])
    patterns = [route for route in routes if _MODEL in route[2]]
    for index, pattern in enumerate(patterns):
        for other in routes[index + 1 :]:
            if pattern[2] != other[2] and _overlap(pattern[2], other[2]):
                code = "X260" if _MODEL in other[2] else "X261"
                message = f"`{pattern[2]}` and `{other[2]}` match the same path"
                yield _describe(context, code, message, other, pattern)


def _overlap(one: str, other: str) -> bool:
    left, right = one.split("/"), other.split("/")
    return len(left) == len(right) and all(
        a == b or (_MODEL in (a, b) and "" not in (a, b)) for a, b in zip(left, right, strict=True)
    )


@check("X261")
def below_listing(context: CheckContext) -> Iterator[Diagnostic]:
    """An endpoint for GET whose path the list of models takes first."""
    routes = list(every_route(context.config))
    listing = [route for route in routes if route[0] == "listing"]
    for route in routes:
        for listed in listing:
            if route[1] == "GET" and route[2].startswith(listed[2] + "/"):
                message = f"`{route[2]}` is below the list of models at `{listed[2]}`"
                yield _describe(context, "X261", message, route, listed)


def _describe(
    context: CheckContext, code: str, message: str, route: _Route, other: _Route
) -> Diagnostic:
    related = (Related(context.span(ROUTES, other[3]), "the other path"),)
    return context.at(code, message, ROUTES, route[3], EntryPart.VALUE, related=related)

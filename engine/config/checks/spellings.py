"""Fields of a body that the configuration names in two spellings, which readers of JSON may take for one field."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import TypeAlias

from engine.config.checks.bodies import BodyChanges, every_change
from engine.config.checks.registry import ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, Related
from engine.config.rules import steps
from engine.config.source.document import Path

_ROUTED_BY = ("stream",)  # X245 has what is said of `model`
Field: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Use:
    """A field, from the top level down, and the entry that names it, if one does."""

    field: Field
    file: str = ""
    at: Path = ()


@check("X246")
def two_spellings(context: CheckContext) -> Iterator[Diagnostic]:
    """Fields of one endpoint that differ in case alone."""
    known = _of_callers(context)
    for file, at, place, endpoints in _places(context):
        for part in (place[:end] for end in range(1, len(place) + 1)):
            key = tuple(name.lower() for name in part)
            use = _Use(part, file, at)
            uses = [known.setdefault((e, key), use) for e in sorted(endpoints)]
            first = next((other for other in uses if other.field != part), None)
            if first is not None:
                yield _finding(context, use, first)
                break


def _places(context: CheckContext) -> Iterator[tuple[str, Path, Field, Set[str]]]:
    """Every field that changes and conditions name: file, path, field, and the endpoints with such bodies."""
    for changes in every_change(context):
        for at, place in _named(changes):
            yield changes.file, at, place, changes.endpoints
    every = {endpoint.name for endpoint in context.config.endpoints}
    for rule in context.config.rules:
        for dimension in (each for each in rule.when if each.kind == "body"):
            endpoints = every if rule.endpoints is None else every & set(rule.endpoints)
            yield ROUTES, (*rule.at, "when", *dimension), steps(dimension.name), endpoints


@check("X246")
def renamed_to_itself(context: CheckContext) -> Iterator[Diagnostic]:
    for changes in every_change(context):
        for name in (old for old, new in changes.edits.rename.items() if old == new):
            message = f"`{name}` is renamed to itself, and a body that has it is refused"
            at = (*changes.at, "rename", name)
            yield context.at("X246", message, changes.file, at, help="remove the entry")


def _of_callers(context: CheckContext) -> dict[tuple[str, Field], _Use]:
    """The fields that are read of every request, by endpoint."""
    providers = context.config.providers
    own = {name for p in providers for name in (*p.caller_body, *p.caller_variable_body)}
    return {
        (endpoint.name, (name.lower(),)): _Use((name,))
        for endpoint in context.config.endpoints
        for name in (*_ROUTED_BY, *sorted(own))
    }


def _named(changes: BodyChanges) -> Iterator[tuple[Path, Field]]:
    """Every field that an entry of the changes names, and where."""
    edits = changes.edits
    yield from (((*changes.at, "drop", i), steps(name)) for i, name in enumerate(edits.drop))
    for name, new in edits.rename.items():
        yield (*changes.at, "rename", name), (name,)
        yield (*changes.at, "rename", name), (new,)
    for kind, values in (("default", edits.default), ("set", edits.set)):
        yield from (((*changes.at, kind, name), steps(name)) for name in values)


def _finding(context: CheckContext, use: _Use, first: _Use) -> Diagnostic:
    shown, other = "/".join(use.field), "/".join(first.field)
    related: tuple[Related, ...] = ()
    if first.file:
        related = (Related(context.span(first.file, first.at), "the other spelling"),)
    message = f"the field `{shown}` is also written `{other}`, and a body may have only one of them"
    help_text = "write it alike everywhere"
    return context.at("X246", message, use.file, use.at, related=related, help=help_text)

"""Changes to bodies: those that change the model, that a form cannot have, and that change nothing."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.model import ProviderEndpoint
from engine.config.rules import BodyEdits, ModelRule, steps
from engine.config.source.document import Path


@dataclass(frozen=True, slots=True)
class BodyChanges:
    """The changes at `at` in `file`, and the endpoints whose bodies they are made to."""

    file: str
    at: Path
    edits: BodyEdits
    endpoints: frozenset[str]


def every_change(context: CheckContext) -> Iterator[BodyChanges]:
    """All changes of bodies: those of providers, then those of rules and their targets."""
    for provider in context.config.providers:
        for served in provider.endpoints:
            yield from _of_provider(served)
    serves = {p.name: {served.name for served in p.endpoints} for p in context.config.providers}
    for rule in context.config.rules:
        yield from _of_rule(rule, serves)


def _of_provider(served: ProviderEndpoint) -> Iterator[BodyChanges]:
    if served.body is not None:
        yield BodyChanges(PROVIDERS, (*served.at, "body"), served.body, frozenset({served.name}))


def _of_rule(rule: ModelRule, serves: dict[str, set[str]]) -> Iterator[BodyChanges]:
    for at, edits in rule.bodies():
        named = {name for path, name in rule.providers().items() if path[: len(at) - 1] == at[:-1]}
        reached = frozenset[str]().union(*(serves.get(name, set()) for name in named))
        endpoints = reached if rule.endpoints is None else reached & set(rule.endpoints)
        yield BodyChanges(ROUTES, at, edits, endpoints)


def _providers(rule: ModelRule, at: Path) -> set[str]:
    """The providers that get the requests which the changes at `at` are made to."""
    return {name for path, name in rule.providers().items() if path[: len(at) - 1] == at[:-1]}


@check("X245")
def changed_model(context: CheckContext) -> Iterator[Diagnostic]:
    """Body edits that replace the model that was routed."""
    for changes in every_change(context):
        names = {"model", changes.edits.rename.get("model", "model")}
        for kind, name, field in _written(changes.edits, changes.file):
            if steps(field)[0].lower() in names:
                message = f"`{kind}` changes the model behind the rule that chose it"
                at: Path = (*changes.at, kind, name)
                yield context.at("X245", message, changes.file, at, EntryPart.KEY)


def _written(edits: BodyEdits, file: str) -> Iterator[tuple[str, str | int, str]]:
    """Every edit that writes a field: its kind, its key in the file, and that field.

    A provider may want the model under another name or not at all, which a rule cannot know.
    """
    yield from (("set", name, name) for name in edits.set)
    yield from (("default", name, name) for name in edits.default)
    is_rule = file == ROUTES
    yield from (("rename", n, new) for n, new in edits.rename.items() if is_rule or n != "model")
    if is_rule:
        yield from (("rename", name, name) for name in edits.rename)
        yield from (("drop", index, name) for index, name in enumerate(edits.drop))


@check("X276")
def inside_a_form(context: CheckContext) -> Iterator[Diagnostic]:
    """Fields below the top level, where a body may be a form, which has none."""
    forms = {e.name for e in context.config.endpoints if "form" in e.bodies}
    for changes in every_change(context):
        taken = sorted(changes.endpoints & forms)
        for kind, key, name in _inside(changes.edits) if taken else ():
            yield context.at(
                "X276",
                f"`{name}` is below the top level, and `{taken[0]}` takes forms, which have no such fields",
                changes.file,
                (*changes.at, kind, key),
                help="narrow the rule with `endpoint:` to endpoints that take JSON"
                if changes.file == ROUTES
                else "change a field at the top level",
            )


def _inside(edits: BodyEdits) -> Iterator[tuple[str, str | int, str]]:
    every: list[tuple[str, str | int, str]] = [
        *(("drop", index, name) for index, name in enumerate(edits.drop)),
        *(("default", name, name) for name in edits.default),
        *(("set", name, name) for name in edits.set),
    ]
    return (each for each in every if len(steps(each[2])) > 1)


@check("X277")
def nothing_to_drop(context: CheckContext) -> Iterator[Diagnostic]:
    """`drop_unknown` where no endpoint that it reaches says what it takes, and lists for forms alone."""
    config = context.config
    json = {e.name for e in config.endpoints if "json" in e.bodies}
    serves = {p.name: {s.name for s in p.endpoints} for p in config.providers}
    lists = {p.name: {s.name for s in p.endpoints if s.takes is not None} for p in config.providers}
    for rule in config.rules:
        asked = [changes for changes in _of_rule(rule, lists) if changes.edits.drops_unknown]
        for changes in asked:
            named = _providers(rule, changes.at)
            if not changes.endpoints & json and named <= serves.keys():
                message = f"`drop_unknown` of {rule.label} removes nothing: no endpoint that it reaches has `takes`"
                help_text = "list under `takes` of the provider's endpoint what it knows"
                at: Path = (*changes.at, "drop_unknown")
                yield context.at("X277", message, ROUTES, at, help=help_text)
    for served in (s for p in config.providers for s in p.endpoints if s.takes is not None):
        if served.name in config.known_endpoints - json:
            message = f"`takes` is for JSON bodies, and endpoint `{served.name}` accepts only forms"
            yield context.at("X277", message, PROVIDERS, (*served.at, "takes"))


@check("X277")
def written_and_removed(context: CheckContext) -> Iterator[Diagnostic]:
    """Fields that a rule writes and its `drop_unknown` removes again, at all endpoints that it reaches."""
    lists = {p.name: {s.name: s for s in p.endpoints} for p in context.config.providers}
    for rule in context.config.rules:
        for changes in _of_rule(rule, {name: set(served) for name, served in lists.items()}):
            names = _providers(rule, changes.at)
            every = [lists.get(p, {}).get(e) for p in names for e in changes.endpoints]
            reached = [served for served in every if served is not None]
            for kind in ("set", "default") if changes.edits.drops_unknown and reached else ():
                for name in getattr(changes.edits, kind):
                    field = steps(name)[0]
                    if all(_removes(s, field) for s in reached):
                        message = f"`drop_unknown` of {rule.label} removes `{field}` again, which `{kind}` writes"
                        help_text = (
                            f"add {field} to `takes` of the provider's endpoint, or remove it here"
                        )
                        at: Path = (*changes.at, kind, name)
                        yield context.at("X277", message, ROUTES, at, EntryPart.KEY, help=help_text)


def _removes(served: ProviderEndpoint, field: str) -> bool:
    """Whether `drop_unknown` removes `field` there: neither taken, nor written there, nor what routes."""
    body = served.body
    written = {steps(name)[0] for name in (*body.set, *body.default)} if body else set[str]()
    return served.takes is not None and field not in {*served.takes, *written, "model", "stream"}

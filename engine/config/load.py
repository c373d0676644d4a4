"""The only path from a folder to a Plan: read -> parse -> validate -> build -> check -> compile.

Each step is a function of the former's value. Everything that needs configuration (`serve`,
`check`, `route`, `routes`) calls `load`, so what one accepts is what the others run.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

from engine.config.checks.registry import (
    KEYS,
    PRICES,
    PROVIDERS,
    ROUTES,
    SERVER,
    CheckContext,
    PlanContext,
    Stage,
    check,
    run,
)
from engine.config.checks.templates import compile_templates
from engine.config.compile.compile import compile_plan, for_tests
from engine.config.compile.environment import Environment, declared_values, resolve
from engine.config.compile.server import resolve_server
from engine.config.diagnostics.diagnostic import Diagnostic, Severity, in_order
from engine.config.files import (
    FILES,
    OPTIONAL,
    ParsedFile,
    ValidFile,
    parse_file,
    validate_file,
)
from engine.config.model import Config, Key
from engine.config.schema.build import build_config
from engine.config.schema.extending import without_repeats
from engine.config.source.document import Document
from engine.config.source.document import Path as DataPath
from engine.config.source.folder import read_texts
from engine.config.source.secret_shapes import masked
from engine.config.source.suppressions import (
    Suppressed,
    Suppression,
    read_suppressions,
    suppress,
    unused,
)
from engine.plan.plan import Plan
from engine.plan.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration folder read once. `plan` is None when any finding is an error.

    `documents` has every file that could be read; one that is not YAML has lines and no data.
    `plan_before_tests` is there when failing routing tests are the only errors, and so is
    `declared`, against which tests run: it returns their Plan, by the files alone, whatever the environment holds.
    `files` are the certificate files that the configuration names, by the names it gives them.
    `server` are the settings of server.yaml, None without one and where something that it needs is missing.
    """

    plan: Plan | None
    config: Config
    diagnostics: tuple[Diagnostic, ...]
    documents: Mapping[str, Document]
    suppressed: tuple[Suppressed, ...] = ()
    plan_before_tests: Plan | None = None
    declared: Callable[[], Plan] | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    server: ServerSettings | None = None


def load(  # noqa: PLR0913 all that a Plan depends on
    directory: Path,
    environ: Mapping[str, str] | None,
    now: float,
    extra_keys: tuple[Key, ...] = (),
    overrides: Mapping[str, bytes | None] = MappingProxyType({}),
    *,
    audit: bool = False,
) -> Loaded:
    """Read, check and compile the folder `directory`.

    `environ` gives credentials and variables; with None, placeholders take their place. `now` (POSIX
    seconds) decides what has expired. `extra_keys` are callers that no file declares. `overrides` holds texts
    by file name, also of certificates, that replace what is on disk; None for a missing file. `audit` adds advice.
    """
    source = Source(directory, environ, now, extra_keys, overrides, audit)
    return compile_all(check_all(build(validate(parse(read(source))))))


def load_config(directory: Path, now: float, overrides: Mapping[str, bytes | None]) -> Config:
    """The configuration of a folder alone, neither checked nor compiled; see `load`."""
    source = Source(directory, None, now, (), overrides, audit=False)
    return build(validate(parse(read(source)))).config


def stops_serving(found: Diagnostic) -> bool:
    """Whether `serve` refuses to start: for an error, or what must be there: a file, a secret, a package."""
    is_needed = found.code in ("E405", "E406", "E408")
    is_needed |= found.code == "E404" and found.span.file in (SERVER, ROUTES)
    return found.severity is Severity.ERROR or is_needed


def startup_problems(loaded: Loaded) -> list[str]:
    """Why `serve` would not start in this environment, although the files are right."""
    reasons = [f"{d.span} {d.code}: {d.message}" for d in loaded.diagnostics if stops_serving(d)]
    if loaded.plan is not None and loaded.plan.callers is None:
        reasons.append("there is no keys.yaml (`engine keys new NAME --write` makes one)")
    return reasons


@dataclass(frozen=True, slots=True)
class Source:
    """What `load` was asked for."""

    directory: Path
    environ: Mapping[str, str] | None
    now: float
    extra_keys: tuple[Key, ...]
    overrides: Mapping[str, bytes | None]
    audit: bool


@dataclass(frozen=True, slots=True)
class FileTexts:
    """The bytes of each file that could be read, by its name."""

    source: Source
    texts: Mapping[str, bytes]
    found: Sequence[Diagnostic]


@dataclass(frozen=True, slots=True)
class Parsed:
    """Each file as YAML."""

    source: Source
    files: Sequence[ParsedFile]
    found: Sequence[Diagnostic]


@dataclass(frozen=True, slots=True)
class Validated:
    """Each file compared with its schema, by its name."""

    source: Source
    files: Mapping[str, ValidFile]
    found: Sequence[Diagnostic]


@dataclass(frozen=True, slots=True)
class Built:
    """The Config of all entries that passed their schema, and the documents they are in."""

    source: Source
    files: Mapping[str, ValidFile]
    documents: Mapping[str, Document]
    config: Config
    found: Sequence[Diagnostic]


@dataclass(frozen=True, slots=True)
class Checked:
    """All that a Plan is made of. `found` are the findings that no comment suppresses."""

    source: Source
    files: Mapping[str, ValidFile]
    context: CheckContext
    environment: Environment
    comments: Sequence[Suppression]
    found: Sequence[Diagnostic]
    suppressed: Sequence[Suppressed]
    server: ServerSettings | None


@check("F001", stage=Stage.STEP)
def read(source: Source) -> FileTexts:
    """The files of the folder."""
    needed = {file: file not in OPTIONAL for file in FILES}
    return FileTexts(source, *read_texts(source.directory, needed, source.overrides))


def parse(texts: FileTexts) -> Parsed:
    files = [parse_file(name, text) for name, text in texts.texts.items()]
    return Parsed(texts.source, files, texts.found)


def validate(parsed: Parsed) -> Validated:
    files = {file.name: validate_file(file) for file in parsed.files}
    found = [d for file in files.values() for d in file.found]
    return Validated(parsed.source, files, [*parsed.found, *found])


def build(validated: Validated) -> Built:
    source, files = validated.source, validated.files
    documents = {name: file.document for name, file in files.items() if file.document}
    routes, providers, keys = (documents.get(name) for name in (ROUTES, PROVIDERS, KEYS))
    broken = {name: file.broken for name, file in files.items()}
    others = documents.get(SERVER), documents.get(PRICES)
    config = build_config(routes, providers, keys, broken, *others)
    if source.extra_keys:
        config = replace(config, keys=(config.keys or ()) + source.extra_keys)
    return Built(source, files, documents, config, validated.found)


@check("X291", stage=Stage.STEP)
def check_all(built: Built) -> Checked:
    """Run the checks, and look up what the environment gives."""
    source, documents = built.source, built.documents
    templates, problems = compile_templates(built.config, documents)
    context = CheckContext(built.config, documents, templates, source.now)
    found = [*built.found, *problems, *run(Stage.CONFIG, context)]
    found += run(Stage.AUDIT, context) if source.audit else []
    environment = resolve(context, source.directory, source.environ, source.overrides)
    server, server_found = resolve_server(context, source.directory, source.environ)
    comments, bad_comments = read_suppressions(documents)
    found += [*environment.found, *server_found, *bad_comments]
    kept, suppressed = suppress(in_order(without_repeats(found, documents)), comments)
    return Checked(source, built.files, context, environment, comments, kept, suppressed, server)


@check("X292", stage=Stage.STEP)
def compile_all(checked: Checked) -> Loaded:
    """Compile the Plan, unless there is an error, and run the checks that need it."""
    if has_errors(checked.found):
        return _loaded(checked, checked.found, checked.suppressed)
    context = _plans(checked)
    found = without_repeats(run(Stage.PLAN, context), context.documents)
    found, more = suppress(found, checked.comments)
    found, suppressed = [*checked.found, *found], [*checked.suppressed, *more]
    if has_errors(found):
        return _loaded(checked, found, suppressed, context)
    undecided = "E" if checked.source.audit else "EA"
    found += unused(checked.comments, suppressed, undecided)
    return replace(_loaded(checked, found, suppressed, context), plan=context.plan)


def has_errors(found: Iterable[Diagnostic]) -> bool:
    return any(d.severity is Severity.ERROR for d in found)


def _plans(checked: Checked) -> PlanContext:
    """The Plan of the configuration in its environment, and that of its tests, by the files alone."""
    context = checked.context
    config, templates, values = context.config, context.templates, checked.environment.values
    lines = {at: _where(context, file, at) for file, at in _placed(config)}
    plan = compile_plan(config, templates, values, lines, _fingerprint(checked))
    declared = cache(lambda: for_tests(plan, config, templates, values, declared_values(context)))
    return PlanContext(config, context.documents, templates, context.now, plan, declared)


def _fingerprint(checked: Checked) -> str:
    """16 hex digits that change with any byte of the files and certificates."""
    texts = (file.text for file in checked.files.values())
    files = (raw for _, raw in sorted(checked.environment.files.items()))
    return hashlib.sha256(b"\0".join((*texts, *files))).hexdigest()[:16]


def _loaded(
    checked: Checked,
    found: Iterable[Diagnostic],
    suppressed: Iterable[Suppressed],
    compiled: PlanContext | None = None,
) -> Loaded:
    context = checked.context
    unread = {name: file.unread for name, file in checked.files.items() if file.unread}
    return Loaded(
        None,
        context.config,
        in_order(masked(found)),
        {**context.documents, **unread},
        tuple(suppressed),
        compiled.plan if compiled else None,
        compiled.declared if compiled else None,
        checked.environment.files,
        checked.server,
    )


def _placed(config: Config) -> Iterator[tuple[str, DataPath]]:
    """The entries whose line the Plan knows, with their files."""
    for rule in config.rules:
        yield from ((ROUTES, at) for at in (rule.at, *(target.at for target in rule.targets)))
    for provider in config.providers:
        accounts = (account.at for account in provider.accounts)
        yield from ((PROVIDERS, at) for at in (provider.at, *accounts))
    yield from ((PRICES, entry.at) for entry in (config.prices.entries if config.prices else ()))


def _where(context: CheckContext, file: str, at: DataPath) -> str:
    span = context.span(file, at)
    return f"{span.file}:{span.start.line}"

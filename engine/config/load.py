"""The only road from a folder to a Plan: document -> schema -> model -> checks -> plan.

Everything that needs configuration (`serve`, `check`, `route`, `routes`) calls `load`, so what one
accepts is what the others run.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from engine.config.checks import registry
from engine.config.checks.advice import run_advice
from engine.config.checks.certificates import check_without_tls
from engine.config.checks.cors import check_cors
from engine.config.checks.known_keys import check_known_keys
from engine.config.checks.names import check_names
from engine.config.checks.paths import check_paths
from engine.config.checks.providers import check_providers
from engine.config.checks.rules import check_rules
from engine.config.checks.secrets import check_secrets
from engine.config.checks.sent import check_sent
from engine.config.checks.templates import check_templates
from engine.config.checks.tests import check_listed_models, check_routing_tests
from engine.config.checks.urls import check_urls
from engine.config.compile.compile import compile_plan
from engine.config.compile.environment import certificate_files, declared_values, resolve
from engine.config.diagnostics.diagnostic import (
    MAX_FOUND,
    Applicability,
    Diagnostic,
    Fix,
    Position,
    Severity,
    Span,
    in_order,
)
from engine.config.model import Config, Key
from engine.config.schema.build import build_config
from engine.config.schema.validation import check_schema
from engine.config.source.document import Document, parse_document, unread_document
from engine.config.source.document import Path as DataPath
from engine.config.source.folder import read_texts
from engine.config.source.foreign import foreign_file
from engine.config.source.suppressions import Suppressed, read_suppressions, suppress, unused
from engine.config.source.unreadable import last_line
from engine.plan.plan import Plan

CHECKS = (
    registry.run_checks, check_rules, check_providers, check_urls, check_without_tls, check_secrets,
    check_sent, check_names,
    check_paths, check_cors, check_known_keys,
)  # fmt: skip
FILES = {"routes.yaml": "routes", "providers.yaml": "providers", "keys.yaml": "keys"}
OPTIONAL = {"keys.yaml"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration folder read once. `plan` is None when any finding is an error.

    `documents` has every file that could be read; one that is not YAML has lines and no data.
    `plan_before_tests` is the Plan before its tests were run: there when they are all that fails, and so is
    `declared`, which tests ask: what the files say, whatever this machine's environment holds.
    `files` are the certificates that it names, by the names it gives them.
    """

    plan: Plan | None
    config: Config
    diagnostics: tuple[Diagnostic, ...]
    documents: Mapping[str, Document]
    suppressed: tuple[Suppressed, ...] = ()
    plan_before_tests: Plan | None = None
    declared: Plan | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def stops_serving(found: Diagnostic) -> bool:
    """Whether `serve` refuses to start for this: an error, or a file or secret that must be there."""
    return found.severity is Severity.ERROR or found.code in ("E405", "E406")


def obstacles(loaded: Loaded) -> list[str]:
    """Why `serve` would not start on this machine, although the files are right."""
    words = [f"{d.span} {d.code}: {d.message}" for d in loaded.diagnostics if stops_serving(d)]
    if loaded.plan is not None and loaded.config.keys is None:
        words.append("there is no keys.yaml: `engine keys new NAME --write` makes one")
    return words


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

    `environ` provides credentials and variables, with None stand-ins take their place; `now` (POSIX seconds) decides what has expired,
    `extra_keys` are callers that no file declares, such as the one-off key of a mock run.
    `overrides` holds, by file name, texts that count instead of what is on disk: an editor's, or
    those a running server has read; None stands for a file that is not there. A file of
    certificates may be among them.
    `audit` adds advice to the findings.
    """
    needed = {file: file not in OPTIONAL for file in FILES}
    texts, found = read_texts(directory, needed, overrides)
    reads = {file: _read(file, text) for file, text in texts.items()}
    found += [d for read in reads.values() for d in read.found]
    documents = {file: read.document for file, read in reads.items() if read.document}
    unread = {file: read.unread for file, read in reads.items() if read.unread}
    config = build_config(
        documents.get("routes.yaml"),
        documents.get("providers.yaml"),
        documents.get("keys.yaml"),
        {file: read.broken for file, read in reads.items()},
    )
    config = _with_keys(config, extra_keys)
    templates, problems = check_templates(config, documents)
    context = registry.CheckContext(config, documents, templates, now)
    found += problems + [f for check in CHECKS for f in islice(check(context), MAX_FOUND)]
    found += run_advice(context) if audit else []
    files = certificate_files(config, directory, overrides)
    values, notes = resolve(context, directory, environ, files)
    read = {name: raw for name, raw in files.items() if isinstance(raw, bytes)}
    comments, problems = read_suppressions(documents)
    found, suppressed = suppress(in_order(found + notes + problems), comments)
    plan = plan_before_tests = declared = None
    if not any(d.severity is Severity.ERROR for d in found):
        lines = {at: _where(context, at) for at in _describe(config)}
        parts = (*texts.values(), *(raw for _, raw in sorted(read.items())))
        fingerprint = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
        plan_before_tests = compile_plan(config, templates, values, lines, fingerprint)
        declared = compile_plan(config, templates, declared_values(context), lines, fingerprint)
        failing = list(check_routing_tests(declared, context))
        unlisted, silenced = suppress(
            list(check_listed_models(plan_before_tests, context)), comments
        )
        found += failing + unlisted
        suppressed += silenced
        plan = None if failing else plan_before_tests
    if plan is not None:
        found += unused(comments, suppressed, undecided="E" if audit else "EA")
    return Loaded(
        plan,
        config,
        in_order(found),
        documents | unread,
        tuple(suppressed),
        plan_before_tests,
        declared,
        read,
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """One file by itself. `unread` is what can be shown of it when it is no document.

    `broken` are the paths of values that failed the schema.
    """

    document: Document | None
    unread: Document | None
    found: tuple[Diagnostic, ...]
    broken: frozenset[DataPath]


@lru_cache(maxsize=8)  # an editor asks again at every key, a server at every change of one file
def _read(file: str, text: bytes) -> _Read:
    document, found = parse_document(file, text)
    violations, broken = check_schema(document, FILES[file]) if document else ([], set())
    if any(d.severity is Severity.ERROR for d in (*found, *violations)):
        foreign = foreign_file(file, text.decode("utf-8", "replace"))
        if foreign is not None:
            return _Read(None, unread_document(file, text), (foreign,), frozenset())
    if document is None:
        return _Read(None, unread_document(file, text), tuple(found), frozenset())
    blamed = {d.span for d in violations}
    found = [d for d in found if d.code != "Y004" or d.span not in blamed]
    found += violations + _unfinished(document)
    if len(found) >= MAX_FOUND:
        return _Read(None, document, (*found[:MAX_FOUND], _too_many(file)), frozenset())
    return _Read(document, None, tuple(found), frozenset(broken))


def _too_many(file: str) -> Diagnostic:
    start = Position(1, 1)
    message = f"only the first {MAX_FOUND} findings in `{file}` are told"
    return Diagnostic("F005", message, Span(file, start, start), help="mend these first")


def _unfinished(document: Document) -> list[Diagnostic]:
    """A file whose last line is not ended may have been cut short, valid as it is."""
    if not document.lines[-1]:
        return []
    last = last_line(document.file, document.lines)
    return [
        Diagnostic(
            "F004",
            f"the last line of `{document.file}` is not ended; the file may be cut short",
            last,
            help="end the line, if nothing is missing behind it",
            fix=Fix(Span(last.file, last.end, last.end), "\n", Applicability.SAFE),
        )
    ]


def _with_keys(config: Config, extra: tuple[Key, ...]) -> Config:
    if not extra:
        return config
    return replace(config, keys=(config.keys or ()) + extra)


def _describe(config: Config) -> Iterator[DataPath]:
    """What the Plan knows the line of."""
    for rule in config.rules:
        yield from (rule.at, *(target.at for target in rule.targets))
    for provider in config.providers:
        yield from (provider.at, *(credential_set.at for credential_set in provider.accounts))


def _where(context: registry.CheckContext, at: DataPath) -> str:
    span = context.span("routes.yaml" if at[0] == "models" else "providers.yaml", at)
    return f"{span.file}:{span.start.line}"

"""The only road from a folder to a Plan: document -> schema -> model -> checks -> plan.

Everything that needs configuration (`serve`, `check`, `route`, `routes`) calls `load`, so what one
accepts is what the others run.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import MappingProxyType

from engine.compile import compile_plan
from engine.compile_provider import Values
from engine.config import checks
from engine.config.advice import run_advice
from engine.config.authority_checks import check_authorities, check_without_tls
from engine.config.build import build_config
from engine.config.diagnostic import (
    MAX_FOUND,
    Applicability,
    Diagnostic,
    Fix,
    Place,
    Position,
    Severity,
    Span,
    in_order,
)
from engine.config.document import Document, last_line, parse_document, unread_document
from engine.config.document import Path as DataPath
from engine.config.model import Config, Credential, Key, Provider
from engine.config.provider_checks import check_providers
from engine.config.routing_checks import check_listed_models, check_routing_tests
from engine.config.rule_checks import check_rules
from engine.config.schema import check_schema
from engine.config.secret_checks import check_secrets
from engine.config.suppressions import Suppressed, read_suppressions, suppress, unused
from engine.config.template import Template, checked_output, render_now
from engine.config.template_checks import check_templates
from engine.config.url_checks import check_urls, url_problem
from engine.plan import Plan, UnusableValueError
from engine.signers import SIGNERS

CHECKS = (
    checks.run_checks, check_rules, check_providers, check_urls, check_without_tls, check_secrets,
)  # fmt: skip
FILES = {"routes.yaml": "routes", "providers.yaml": "providers", "keys.yaml": "keys"}
OPTIONAL = {"keys.yaml"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration folder read once. `plan` is None when any finding is an error.

    `documents` has every file that could be read; one that is not YAML has lines and no data.
    `untested` is the Plan before its tests were run: there when they are all that fails.
    `files` are the certificates that it names, by the names it gives them.
    """

    plan: Plan | None
    config: Config
    diagnostics: tuple[Diagnostic, ...]
    documents: Mapping[str, Document]
    suppressed: tuple[Suppressed, ...] = ()
    untested: Plan | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def stops_serving(found: Diagnostic) -> bool:
    """Whether `serve` refuses to start for this: an error, or a file or secret that must be there."""
    return found.severity is Severity.ERROR or found.code in ("E405", "E406")


def load(  # noqa: PLR0913 all that a Plan depends on
    directory: Path,
    environ: Mapping[str, str],
    now: float,
    extra_keys: tuple[Key, ...] = (),
    unsaved: Mapping[str, bytes | None] = MappingProxyType({}),
    *,
    audit: bool = False,
) -> Loaded:
    """Read, check and compile the folder `directory`.

    `environ` provides credentials and variables, `now` (POSIX seconds) decides what has expired,
    `extra_keys` are callers that no file declares, such as the one-off key of a mock run.
    `unsaved` holds, by file name, texts that count instead of what is on disk: an editor's, or
    those a running server has read; None stands for a file that is not there. A file of
    certificates may be among them.
    `audit` adds advice to the findings.
    """
    texts, found = _texts(directory, unsaved)
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
    subject = checks.Subject(config, documents, templates, now)
    found += problems + [f for check in CHECKS for f in islice(check(subject), MAX_FOUND)]
    found += run_advice(subject) if audit else []
    files = _certificates(config, directory, unsaved)
    values, notes = _resolve(subject, directory, environ, files)
    read = {name: raw for name, raw in files.items() if isinstance(raw, bytes)}
    comments, problems = read_suppressions(documents)
    found, suppressed = suppress(in_order(found + notes + problems), comments)
    plan = untested = None
    if not any(d.severity is Severity.ERROR for d in found):
        lines = {rule.at: _where(subject, rule.at) for rule in config.rules}
        parts = (*texts.values(), *(raw for _, raw in sorted(read.items())))
        fingerprint = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
        untested = compile_plan(config, templates, values, lines, fingerprint)
        failing = list(check_routing_tests(untested, subject))
        unlisted, silenced = suppress(list(check_listed_models(untested, subject)), comments)
        found += failing + unlisted
        suppressed += silenced
        plan = None if failing else untested
    if plan is not None:
        found += unused(comments, suppressed, undecided="E" if audit else "EA")
    return Loaded(
        plan, config, in_order(found), documents | unread, tuple(suppressed), untested, read
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
    if document is None:
        return _Read(None, unread_document(file, text), tuple(found), frozenset())
    violations, broken = check_schema(document, FILES[file])
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


def _texts(
    directory: Path, unsaved: Mapping[str, bytes | None]
) -> tuple[dict[str, bytes], list[Diagnostic]]:
    texts: dict[str, bytes] = {}
    found: list[Diagnostic] = []
    for file in FILES:
        try:
            raw = unsaved[file] if file in unsaved else (directory / file).read_bytes()
        except FileNotFoundError:
            raw = None
        except OSError as error:
            found.append(_missing(file, f"`{file}` cannot be read: {error.strerror}"))
            continue
        if raw is not None:
            texts[file] = raw
        elif file not in OPTIONAL:
            found.append(_missing(file, f"there is no `{file}` in this folder"))
    return texts, found


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


def _missing(file: str, message: str) -> Diagnostic:
    remedy = "`engine init DIR` writes a working configuration to start from"
    return Diagnostic("F001", message, Span(file, Position(1, 1), Position(1, 1)), help=remedy)


def _with_keys(config: Config, extra: tuple[Key, ...]) -> Config:
    if not extra:
        return config
    return replace(config, keys=(config.keys or ()) + extra)


def _where(subject: checks.Subject, at: DataPath) -> str:
    span = subject.span("routes.yaml", at, Place.VALUE)
    return f"{span.file}:{span.start.line}"


def _certificates(
    config: Config, directory: Path, unsaved: Mapping[str, bytes | None]
) -> dict[str, bytes | str]:
    """Every file of certificates that a provider names, or the words for why it cannot be read."""
    files: dict[str, bytes | str] = {}
    for name in {provider.ca for provider in config.providers if provider.ca is not None}:
        path = directory / name
        try:
            raw = unsaved[name] if name in unsaved else path.is_file() and path.read_bytes()
            files[name] = raw or ("is empty" if raw == b"" else "is not there")
        except OSError as error:
            files[name] = f"cannot be read: {error.strerror}"
    return files


def _resolve(
    subject: checks.Subject,
    directory: Path,
    environ: Mapping[str, str],
    files: Mapping[str, bytes | str],
) -> tuple[dict[str, Values], list[Diagnostic]]:
    """What every provider gets of this machine, and a finding for each thing that is not there."""
    values: dict[str, Values] = {}
    authorities, notes = check_authorities(subject, files)
    for provider in subject.config.providers:
        forms = [provider, *(provider.with_account(account) for account in provider.accounts)]
        resolvers = [_Resolver(subject, directory, environ, form) for form in forms]
        ca = authorities.get(provider.name)
        own, *others = [replace(resolver.values(), ca=ca) for resolver in resolvers]
        values[provider.name] = replace(own, accounts=tuple(others))
        notes += [note for resolver in resolvers for note in resolver.notes]
    return values, list({(note.code, note.span): note for note in notes}.values())


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


class _Resolver:
    def __init__(
        self,
        subject: checks.Subject,
        directory: Path,
        environ: Mapping[str, str],
        provider: Provider,
    ) -> None:
        self._subject = subject
        self._directory = directory
        self._environ = environ
        self._provider = provider
        self._missing: list[str] = []
        self.notes: list[Diagnostic] = []

    def values(self) -> Values:
        credentials: dict[str, str] = {}
        for credential in self._provider.credentials:
            if credential.file is not None:
                secret = self._file(credential)
            else:
                secret = self._first_set(credential.env)
                if secret is None and not credential.optional:
                    self._unset(credential.env[0], (*credential.at, "env"))
            if secret is None and credential.required:
                message = f"provider `{self._provider.name}` has no `{credential.name}`, without which the gateway must not start"
                self._note("E405", message, (*credential.at, "required"))
            if secret is not None and self._usable(secret, credential.at):
                credentials[credential.name] = secret
        variables: dict[str, str] = {}
        for variable in self._provider.variables:
            value = self._first_set(variable.env) or variable.value
            if value is None:
                self._unset(variable.env[0], (*variable.at, "env"))
            elif variable.choices and value not in variable.choices:
                self._missing.append(next(iter(variable.env), variable.name))
                message = (
                    f"`{variable.name}` of provider `{self._provider.name}` is none of its choices"
                )
                self._note("E403", message, variable.at)
            elif self._usable(value, variable.at):
                variables[variable.name] = value
        self._check_signer(credentials)
        self._drop_bad_urls(variables)
        self._tell_unrenderable(credentials, variables)
        return Values(credentials, variables, tuple(self._missing))

    def _first_set(self, names: tuple[str, ...]) -> str | None:
        return next((value for name in names if (value := self._environ.get(name))), None)

    def _check_signer(self, credentials: Mapping[str, str]) -> None:
        """What the signer lacks, where no header signs in instead."""
        sign = self._provider.sign
        header = self._subject.templates.get((*self._provider.at, "headers", "authorization"))
        signs_in = header is not None and header.uses("credentials") <= credentials.keys()
        if sign is None or signs_in:
            return
        kind = SIGNERS[sign.signer]
        for credential in self._provider.credentials:
            if credential.name in kind.needs and credential.name not in credentials:
                name, at = next(iter(credential.env), credential.name), (*credential.at, "env")
                self._unset(name, at if credential.env else credential.at)
        if not _is_installed(kind.package):
            self._missing.append(f"pip install orqen[{kind.extra}]")
            message = f"signer `{sign.signer}` needs `pip install orqen[{kind.extra}]`, so provider `{self._provider.name}` cannot be called"
            self._note("E404", message, (*sign.at, "with"))

    def _templates(self) -> Iterator[tuple[DataPath, Template]]:
        for path, template in self._subject.templates.items():
            if path[:2] == self._provider.at:
                yield path, template

    def _drop_bad_urls(self, variables: dict[str, str]) -> None:
        """Forget what the environment gives for a URL that cannot be dialled."""
        from_environ = {v.name: v for v in self._provider.variables if v.env}
        for path, template in self._templates():
            is_url = path[2] == "base_url" or (path[2] == "endpoints" and "query" not in path)
            used = template.uses("variables") & from_environ.keys() & variables.keys()
            if not is_url or not used or template.source.startswith("/"):
                continue
            if template.uses("variables") <= variables.keys() and url_problem(template, variables):
                for name in sorted(used):
                    del variables[name]
                    self._missing.append(from_environ[name].env[0])
                    message = f"`{from_environ[name].env[0]}` makes no URL that provider `{self._provider.name}` can be called at"
                    at = (*from_environ[name].at, "env")
                    self.notes.append(
                        self._subject.at("E403", message, "providers.yaml", at, Place.VALUE)
                    )

    def _tell_unrenderable(self, credentials: dict[str, str], variables: dict[str, str]) -> None:
        context = {"credentials": credentials, "variables": variables, "model": "m"}
        for path, template in self._templates():
            try:
                render_now(template, {**context, "endpoint": "e", "request": {"headers": {}}})
            except UnusableValueError:
                self._missing.append(str(path[-1]))
                message = f"`{path[-1]}` of provider `{self._provider.name}` renders to text that no header or URL can hold"
                self.notes.append(self._subject.at("E403", message, "providers.yaml", path))

    def _usable(self, value: str, at: DataPath) -> bool:
        """Whether a header or URL can hold `value`; a stray line end is the usual reason not."""
        try:
            checked_output(value)
        except UnusableValueError:
            self._missing.append(str(at[-1]))
            message = f"`{at[-1]}` of provider `{self._provider.name}` is not visible ASCII"
            self.notes.append(self._subject.at("E403", message, "providers.yaml", at))
            return False
        return True

    def _note(self, code: str, message: str, at: DataPath) -> None:
        self.notes.append(self._subject.at(code, message, "providers.yaml", at, Place.VALUE))

    def _unset(self, env: str, at: DataPath) -> None:
        self._missing.append(env)
        message = f"`{env}` is not set, so provider `{self._provider.name}` cannot be called"
        self.notes.append(self._subject.at("E401", message, "providers.yaml", at, Place.VALUE))

    def _file(self, credential: Credential) -> str | None:
        name = credential.file or ""
        problem = "is empty"
        try:
            secret = (self._directory / name).read_text("utf-8").rstrip("\r\n")
        except FileNotFoundError:
            secret, problem = "", "is not there"
        except (OSError, ValueError):
            secret, problem = "", "cannot be read"
        if not secret and not (credential.optional and problem == "is not there"):
            self._missing.append(name)
            message = f"the credential file of provider `{self._provider.name}` {problem}"
            place = (*credential.at, "file")
            self.notes.append(
                self._subject.at("E402", message, "providers.yaml", place, Place.VALUE)
            )
        return secret or None

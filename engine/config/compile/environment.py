"""What this machine gives a configuration: secrets, variables, certificates; a part of `load`.

Nothing of it is an error to `check`, which may run on another machine than `serve`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from engine.config.checks import registry
from engine.config.checks.certificates import check_authorities, unexpanded
from engine.config.checks.urls import is_url, url_problem
from engine.config.checks.values import (
    WANTED,
    endpoint_twice,
    is_unfilled,
    part_of,
    part_problem,
    secret_problem,
    written_badly,
)
from engine.config.compile.provider import Values
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.extras import installing
from engine.config.model import Config, Credential, Provider, Variable
from engine.config.source.document import Path as DataPath
from engine.config.source.files import MAX_READ, read_file, why_not
from engine.config.source.masking import is_path
from engine.config.template import Template, checked_output, render_now
from engine.plan.plan import UnusableValueError
from engine.plan.signers import SIGNERS

MAX_SECRET = 64 * 1024

_BAD_URL = {
    "X213": ("makes a URL that is dialled over a network without TLS", "write https://"),
    "X214": ("makes no URL that can be dialled", "the URL must be https://host/path"),
}
STAND_IN = "mock-credential"


def certificate_files(
    config: Config, directory: Path, overrides: Mapping[str, bytes | None]
) -> dict[str, bytes | str]:
    """Every file of certificates that a provider names, or the words for why it cannot be read."""
    files: dict[str, bytes | str] = {}
    for name in {provider.ca for provider in config.providers if provider.ca is not None}:
        path = directory / name
        try:
            raw = overrides[name] if name in overrides else read_file(path)
        except OSError as error:
            files[name] = f"{_unread(path, error)}{_place(directory, name)}"
        else:
            files[name] = raw or ("is not there" if raw is None else "is empty")
            if len(raw or b"") > MAX_READ:
                files[name] = f"is larger than {MAX_READ >> 20} MiB"
    return files


def _unread(path: Path, error: OSError) -> str:
    """What to say of a file that could not be read, after its name."""
    is_absent = isinstance(error, FileNotFoundError) and not path.is_symlink()
    return "is not there" if is_absent else f"cannot be read: {why_not(path, error)}"


def _place(directory: Path, name: str) -> str:
    """Where a file of this name is looked for, unless the name may be a secret itself."""
    if is_path(name):
        return f", at {os.path.abspath(directory / name)}"
    return f", in {os.path.abspath(directory)}"


def resolve(
    context: registry.CheckContext,
    directory: Path,
    environ: Mapping[str, str] | None,
    files: Mapping[str, bytes | str],
) -> tuple[dict[str, Values], list[Diagnostic]]:
    """What every provider gets of this machine, and a finding for each thing that is not there.

    Without an `environ` there are stand-ins, and neither a variable nor a secret file is read.
    """
    values: dict[str, Values] = {}
    authorities, notes = check_authorities(context, files)
    for provider in context.config.providers:
        variants = [
            provider,
            *(provider.with_credential_set(credential_set) for credential_set in provider.accounts),
        ]
        resolvers = [_Resolver(context, directory, environ, variant) for variant in variants]
        ca = authorities.get(provider.name)
        own, *others = [replace(resolver.values(), ca=ca) for resolver in resolvers]
        values[provider.name] = replace(own, accounts=tuple(others))
        notes += [note for resolver in resolvers for note in resolver.notes]
    return values, list({(note.code, note.span): note for note in notes}.values())


def declared_values(context: registry.CheckContext) -> dict[str, Values]:
    """What every provider gets by the files alone: a `placeholder` for what only a machine knows.

    Tests of routing run with it, so that they hold on every machine or on none.
    """
    return {
        provider.name: replace(
            _declared(context, provider),
            accounts=tuple(
                _declared(context, provider.with_credential_set(a)) for a in provider.accounts
            ),
        )
        for provider in context.config.providers
    }


def _declared(context: registry.CheckContext, provider: Provider) -> Values:
    variables = provider.sample_variables()
    for path, template in context.templates.items():
        is_open = path[:2] == provider.at and is_url(path) and template.source.startswith("{{")
        if is_open and url_problem(template, variables):  # the machine gives all of this URL
            variables = {n: v for n, v in variables.items() if n not in template.uses("variables")}
    secrets = {credential.name: "placeholder" for credential in provider.credentials}
    return Values(secrets, variables, ())


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


class _Resolver:
    def __init__(
        self,
        context: registry.CheckContext,
        directory: Path,
        environ: Mapping[str, str] | None,
        provider: Provider,
    ) -> None:
        self._subject = context
        self._directory = directory
        self._environ = environ
        self._provider = provider
        self._missing: list[str] = []
        self.notes: list[Diagnostic] = []

    def values(self) -> Values:
        credentials: dict[str, str] = {}
        for credential in self._provider.credentials:
            secret = self._secret(credential)
            if secret is None and credential.required:
                message = f"provider `{self._provider.name}` has no `{credential.name}`, without which the gateway must not start"
                self._note("E405", message, (*credential.at, "required"))
            if secret is not None and self._usable(secret, credential.at, self._source(credential)):
                credentials[credential.name] = secret
                if self._environ is not None:
                    self._report_doubtful(credential, secret)
        variables: dict[str, str] = {}
        for variable in self._provider.variables:
            value = self._first_set(variable.env) or variable.value
            if self._environ is None:
                value = value or next(iter(variable.choices), STAND_IN)
            if value is None:
                self._unset(variable.env[0], (*variable.at, "env"))
            elif self._environ is None:
                variables[variable.name] = value
            elif self._fits(variable, value) and self._usable(value, variable.at):
                variables[variable.name] = self._trimmed(variable.name, value)
        self._check_signer(credentials)
        self._drop_bad_urls(variables)
        self._report_repeated(variables)
        self._report_unrenderable(credentials, variables)
        return Values(credentials, variables, tuple(self._missing))

    def _secret(self, credential: Credential) -> str | None:
        if self._environ is None:
            return STAND_IN if self._provider.sign or not credential.optional else None
        if credential.file is not None:
            return self._file(credential)
        secret = self._first_set(credential.env)
        if secret is None and not credential.optional:
            self._unset(credential.env[0], (*credential.at, "env"))
        return secret

    def _source(self, made: Credential | Variable) -> str:
        """What to call the place that a value comes from."""
        names = [name for name in made.env if (self._environ or {}).get(name)]
        file = made.file if isinstance(made, Credential) else None
        if file is not None:
            return f"the file of `{made.name}`"
        return f"`{next(iter(names), next(iter(made.env), made.name))}`"

    def _report_doubtful(self, credential: Credential, secret: str) -> None:
        headers = {
            path[-1]: template.source.casefold()
            for path, template in self._templates()
            if path[2] == "headers" and ("credentials", credential.name) in template.names
        }
        adds_scheme = any(n != "authorization" or "bearer" in s for n, s in headers.items())
        sign = self._provider.sign
        kind = SIGNERS[sign.signer] if sign else None
        is_file = kind is not None and not kind.from_callers and credential.name in kind.needs
        problem = secret_problem(secret, adds_scheme=adds_scheme, is_file=is_file)
        if problem:
            message = f"{self._source(credential)} {problem}; provider `{self._provider.name}` is sent it as it is"
            at = (*credential.at, "env" if credential.env else "file")
            self._note("X272", message, at, "give the key alone, as the provider shows it")

    def _fits(self, variable: Variable, value: str) -> bool:
        """Whether a value of the environment is what its place in a URL takes."""
        problem, fix_hint = "", ""
        for kind, follows in self._parts(variable.name) if value != variable.value else ():
            problem = part_problem(kind, value.rstrip("/") or value, follows)
            wanted = f"{WANTED[kind]}, in front of `{follows}`" if follows else WANTED[kind]
            fix_hint = f"provider `{self._provider.name}` wants {wanted}"
            if problem:
                break
        if (
            not problem
            and variable.choices
            and self._trimmed(variable.name, value) not in variable.choices
        ):
            problem = written_badly(value) or "is none of the choices in the file"
            fix_hint = f"it is one of {', '.join(variable.choices)}"
        if problem:
            source = self._source(variable)
            self._missing.append(source.strip("`"))
            message = f"{source} {problem}; provider `{self._provider.name}` cannot be called"
            at = (*variable.at, "env") if variable.env else variable.at
            self._note("E403", message, at, fix_hint)
        elif value != variable.value and self._parts(variable.name) and is_unfilled(value):
            message = f"{self._source(variable)} is a placeholder; provider `{self._provider.name}` is called at it as it is"
            at = (*variable.at, "env") if variable.env else variable.at
            self._note("X272", message, at, "give the name that your account has at the provider")
        return not problem

    def _parts(self, name: str) -> list[tuple[str, str]]:
        """What a variable stands for in the URLs of the provider, and the text behind it."""
        urls = (template.source for path, template in self._templates() if is_url(path))
        return [part for source in urls if (part := part_of(source, name))[0]]

    def _trimmed(self, name: str, value: str) -> str:
        """Without slashes at its end, where it is a part of a URL."""
        return (value.rstrip("/") or value) if self._parts(name) else value

    def _report_repeated(self, variables: Mapping[str, str]) -> None:
        """A base URL of the environment whose end the path of an endpoint begins with."""
        base = self._provider.base_url
        for variable in self._provider.variables:
            kind, follows = part_of(base, variable.name)
            value = variables.get(variable.name)
            if kind != "URL" or value is None:
                continue
            paths = ["", *(s.path for s in self._provider.endpoints if s.path[:1] == "/")]
            found = (endpoint_twice(value, follows, path) for path in paths)
            twice = max(found, key=len)
            if twice and (variable.env or value != variable.value):
                message = f"{self._source(variable)} ends in `{twice}`, which the URLs of provider `{self._provider.name}` add again"
                at = (*variable.at, "env") if variable.env else variable.at
                self._note("X223", message, at, f"leave `{twice}` out of the value")

    def _first_set(self, names: tuple[str, ...]) -> str | None:
        given = self._environ or {}
        return next((value for name in names if (value := given.get(name))), None)

    def _check_signer(self, credentials: Mapping[str, str]) -> None:
        """What the signer lacks, where no header signs in instead."""
        sign = self._provider.sign
        header = self._subject.templates.get((*self._provider.at, "headers", "authorization"))
        signs_in = header is not None and header.uses("credentials") <= credentials.keys()
        if sign is None or signs_in:
            return
        kind = SIGNERS[sign.signer]
        for credential in () if sign.by_workload_identity else self._provider.credentials:
            if credential.name in kind.needs and credential.name not in credentials:
                name, at = next(iter(credential.env), credential.name), (*credential.at, "env")
                self._unset(name, at if credential.env else credential.at)
        if not _is_installed(kind.package):
            self._missing.append(installing(kind.extra))
            message = f"signer `{sign.signer}` needs `{installing(kind.extra)}`, so provider `{self._provider.name}` cannot be called"
            self._note("E404", message, (*sign.at, "with"))

    def _templates(self) -> Iterator[tuple[DataPath, Template]]:
        for path, template in self._subject.templates.items():
            if path[:2] == self._provider.at:
                yield path, template

    def _drop_bad_urls(self, variables: dict[str, str]) -> None:
        """Forget what the environment gives for a URL that cannot be dialled."""
        from_environ = {v.name: v for v in self._provider.variables if v.env}
        for path, template in self._templates():
            used = template.uses("variables") & from_environ.keys() & variables.keys()
            if not is_url(path) or not used or template.source.startswith("/"):
                continue
            if not template.uses("variables") <= variables.keys():
                continue
            if code := url_problem(template, variables):
                for name in sorted(used):
                    del variables[name]
                    self._missing.append(from_environ[name].env[0])
                    source = self._source(from_environ[name])
                    why, fix_hint = _BAD_URL[code]
                    message = f"{source} {why}; provider `{self._provider.name}` cannot be called"
                    self._note("E403", message, (*from_environ[name].at, "env"), fix_hint)

    def _report_unrenderable(self, credentials: dict[str, str], variables: dict[str, str]) -> None:
        context = {"credentials": credentials, "variables": variables, "model": "m"}
        for path, template in self._templates():
            try:
                render_now(template, {**context, "endpoint": "e", "request": {"headers": {}}})
            except UnusableValueError:
                self._missing.append(str(path[-1]))
                message = f"`{path[-1]}` of provider `{self._provider.name}` renders to text that no header or URL can hold"
                self.notes.append(self._subject.at("E403", message, "providers.yaml", path))

    def _usable(self, value: str, at: DataPath, source: str = "") -> bool:
        """Whether a header or URL can hold `value`; a stray line end is the usual reason not."""
        try:
            checked_output(value)
        except UnusableValueError:
            self._missing.append(str(at[-1]))
            problem = written_badly(value) or "is longer than 8 KiB"
            message = f"{source or f'`{at[-1]}`'} {problem}; provider `{self._provider.name}` cannot be called"
            self.notes.append(self._subject.at("E403", message, "providers.yaml", at))
            return False
        return True

    def _note(self, code: str, message: str, at: DataPath, fix_hint: str = "") -> None:
        self.notes.append(
            self._subject.at(code, message, "providers.yaml", at, Place.VALUE, help=fix_hint)
        )

    def _unset(self, env: str, at: DataPath) -> None:
        self._missing.append(env)
        message = f"`{env}` is not set, so provider `{self._provider.name}` cannot be called"
        self.notes.append(self._subject.at("E401", message, "providers.yaml", at, Place.VALUE))

    def _file(self, credential: Credential) -> str | None:
        name = credential.file or ""
        secret, problem = self._secret_in(self._directory / name)
        is_absent = problem == "is not there" and not unexpanded(name)
        if problem and not (credential.optional and is_absent):
            self._missing.append(name)
            message = f"the credential file of provider `{self._provider.name}` {problem}{_place(self._directory, name)}"
            self._note("E402", message, (*credential.at, "file"), unexpanded(name))
        return secret or None

    def _secret_in(self, path: Path) -> tuple[str, str]:
        """The secret in a file without its line end, and what is wrong with the file."""
        try:
            secret = read_file(path, MAX_SECRET).decode("utf-8").rstrip("\r\n")
        except OSError as error:
            return "", _unread(path, error)
        except UnicodeDecodeError:
            return "", "is not UTF-8 text"
        return secret, "" if secret else "is empty"

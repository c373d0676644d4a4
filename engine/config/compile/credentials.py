"""The operator's secrets of a provider, from the environment or from files."""

from pathlib import Path

from engine.config.checks.registry import Stage, check
from engine.config.checks.values import secret_problem
from engine.config.compile.files import ABSENT, describe_unreadable, expected_path, path_hint
from engine.config.compile.values import Resolving
from engine.config.model import Credential
from engine.config.source.files import read_file
from engine.plan.signers import SIGNERS

MAX_SECRET = 64 * 1024
PLACEHOLDER = "mock-credential"


@check("E401", "E402", "E403", "E405", "X272", stage=Stage.STEP)
def read_credentials(resolving: Resolving, directory: Path) -> dict[str, str]:
    """The secret of every credential that has one and that a request can hold, by name."""
    credentials: dict[str, str] = {}
    for credential in resolving.provider.credentials:
        secret = _secret(resolving, credential, directory)
        if secret is None and credential.required:
            message = f"provider `{resolving.provider.name}` has no `{credential.name}`, without which the gateway must not start"
            resolving.report("E405", message, (*credential.at, "required"))
        source = resolving.source(credential)
        if secret is not None and resolving.can_send(secret, credential.at, source):
            credentials[credential.name] = secret
            if resolving.environ is not None:
                _report_doubtful(resolving, credential, secret)
    return credentials


def _secret(resolving: Resolving, credential: Credential, directory: Path) -> str | None:
    if resolving.environ is None:
        return PLACEHOLDER if resolving.provider.sign or not credential.optional else None
    if credential.file is not None:
        return _secret_in_file(resolving, credential, directory)
    secret = resolving.first_defined(credential.env)
    if secret is None and not credential.optional:
        resolving.report_unset(credential.env[0], (*credential.at, "env"))
    return secret


def _secret_in_file(resolving: Resolving, credential: Credential, directory: Path) -> str | None:
    name = credential.file or ""
    secret, problem = _read(directory / name)
    is_absent = problem == ABSENT and not path_hint(name)
    if problem and not (credential.optional and is_absent):
        resolving.missing.append(name)
        message = f"the credential file of provider `{resolving.provider.name}` {problem}{expected_path(directory, name)}"
        resolving.report("E402", message, (*credential.at, "file"), path_hint(name))
    return secret or None


def _read(path: Path) -> tuple[str, str]:
    """The secret in a file without its line end, and what is wrong with the file."""
    try:
        secret = read_file(path, MAX_SECRET).decode("utf-8").rstrip("\r\n")
    except OSError as error:
        return "", describe_unreadable(path, error)
    except UnicodeDecodeError:
        return "", "is not UTF-8 text"
    return secret, "" if secret else "is empty"


def _report_doubtful(resolving: Resolving, credential: Credential, secret: str) -> None:
    """Report a secret that looks like something else: a placeholder, a path, a header value."""
    headers = {
        path[-1]: template.source.casefold()
        for path, template in resolving.templates.items()
        if path[2] == "headers" and ("credentials", credential.name) in template.names
    }
    adds_scheme = any(n != "authorization" or "bearer" in s for n, s in headers.items())
    sign = resolving.provider.sign
    kind = SIGNERS[sign.signer] if sign else None
    is_file = kind is not None and not kind.from_callers and credential.name in kind.needs
    problem = secret_problem(secret, adds_scheme=adds_scheme, is_file=is_file)
    if problem:
        message = f"{resolving.source(credential)} {problem}; provider `{resolving.provider.name}` gets it as it is"
        at = (*credential.at, "env" if credential.env else "file")
        resolving.report("X272", message, at, "set only the key, as the provider shows it")

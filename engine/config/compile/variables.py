"""The variables of a provider from files and environment; most are parts of its URLs."""

from collections.abc import Mapping

from engine.config.checks.registry import Stage, check
from engine.config.checks.urls import UrlProblem, is_url, url_problem
from engine.config.checks.values import (
    WANTED,
    endpoint_twice,
    is_unfilled,
    part_of,
    part_problem,
    written_badly,
)
from engine.config.compile.credentials import PLACEHOLDER
from engine.config.compile.values import Resolving
from engine.config.model import Variable
from engine.config.source.document import Path

_BAD_URL = {
    UrlProblem.PLAIN: ("makes a URL that is called over a network without TLS", "write https://"),
    UrlProblem.UNUSABLE: (
        "makes a URL that the gateway cannot connect to",
        "the URL must be https://host/path",
    ),
}


@check("E401", "E403", "X272", stage=Stage.STEP)
def read_variables(resolving: Resolving) -> dict[str, str]:
    """The value of every variable that has a usable one, by name."""
    variables: dict[str, str] = {}
    for variable in resolving.provider.variables:
        value = resolving.first_defined(variable.env) or variable.value
        if resolving.environ is None:
            value = value or next(iter(variable.choices), PLACEHOLDER)
            variables[variable.name] = value
        elif value is None:
            resolving.report_unset(variable.env[0], (*variable.at, "env"))
        elif _fits(resolving, variable, value) and resolving.can_send(
            value, variable.at, f"`{variable.name}`"
        ):
            variables[variable.name] = _trimmed(resolving, variable.name, value)
    return variables


def _place(variable: Variable) -> Path:
    return (*variable.at, "env") if variable.env else variable.at


def _fits(resolving: Resolving, variable: Variable, value: str) -> bool:
    """Whether a value of the environment can be what it is used for; a problem is reported."""
    problem, fix_hint = _problem(resolving, variable, value)
    source, provider = resolving.source(variable), resolving.provider.name
    if problem:
        resolving.missing.append(source.strip("`"))
        message = f"{source} {problem}; provider `{provider}` cannot be called"
        resolving.report("E403", message, _place(variable), fix_hint)
    elif value != variable.value and _parts(resolving, variable.name) and is_unfilled(value):
        message = f"{source} is a placeholder; provider `{provider}` is called with it as it is"
        fix_hint = "use the name that your account has at the provider"
        resolving.report("X272", message, _place(variable), fix_hint)
    return not problem


def _problem(resolving: Resolving, variable: Variable, value: str) -> tuple[str, str]:
    """What is wrong with a value as a part of a URL, or as one of the choices; and what to write."""
    for kind, follows in _parts(resolving, variable.name) if value != variable.value else ():
        if problem := part_problem(kind, value.rstrip("/") or value, follows):
            wanted = f"{WANTED[kind]}, before `{follows}`" if follows else WANTED[kind]
            return problem, f"provider `{resolving.provider.name}` needs {wanted}"
    if variable.choices and _trimmed(resolving, variable.name, value) not in variable.choices:
        problem = written_badly(value) or "is not one of the choices in the file"
        return problem, f"it is one of {', '.join(variable.choices)}"
    return "", ""


def _parts(resolving: Resolving, name: str) -> list[tuple[str, str]]:
    """What a variable is in each URL of the provider, such as `host`, and the text after it."""
    urls = (template.source for path, template in resolving.templates.items() if is_url(path))
    return [part for source in urls if (part := part_of(source, name))[0]]


def _trimmed(resolving: Resolving, name: str, value: str) -> str:
    """Without slashes at its end, where it is a part of a URL."""
    return (value.rstrip("/") or value) if _parts(resolving, name) else value


@check("E403", stage=Stage.STEP)
def drop_bad_urls(resolving: Resolving, variables: dict[str, str]) -> None:
    """Remove from `variables` what the environment gives for a URL that is not usable."""
    from_environ = {v.name: v for v in resolving.provider.variables if v.env}
    for path, template in resolving.templates.items():
        used = template.uses("variables") & from_environ.keys() & variables.keys()
        if not is_url(path) or not used or template.source.startswith("/"):
            continue
        if not template.uses("variables") <= variables.keys():
            continue
        problem = url_problem(template, variables)
        if problem is None:
            continue
        why, fix_hint = _BAD_URL[problem]
        for name in sorted(used):
            del variables[name]
            resolving.missing.append(from_environ[name].env[0])
            message = f"{resolving.source(from_environ[name])} {why}; provider `{resolving.provider.name}` cannot be called"
            resolving.report("E403", message, (*from_environ[name].at, "env"), fix_hint)


@check("X223", stage=Stage.STEP)
def report_repeated(resolving: Resolving, variables: Mapping[str, str]) -> None:
    """A base URL of the environment whose end is also the start of the path of an endpoint."""
    provider = resolving.provider
    for variable in provider.variables:
        kind, follows = part_of(provider.base_url, variable.name)
        value = variables.get(variable.name)
        if kind != "URL" or value is None:
            continue
        paths = ["", *(s.path for s in provider.endpoints if s.path[:1] == "/")]
        twice = max((endpoint_twice(value, follows, path) for path in paths), key=len)
        if twice and (variable.env or value != variable.value):
            message = f"{resolving.source(variable)} ends in `{twice}`, which the URLs of provider `{provider.name}` add again"
            resolving.report("X223", message, _place(variable), f"leave `{twice}` out of the value")

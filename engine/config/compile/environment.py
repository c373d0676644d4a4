"""What the environment gives a configuration: secrets, variables, CA certificates.

Nothing that is missing is an error to `check`, which may run on another machine than `serve`.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from engine.config.checks.registry import ROUTES, SERVER, CheckContext, Stage, check
from engine.config.checks.urls import is_url, url_problem
from engine.config.compile.binding import Templates
from engine.config.compile.certificates import ca_certificates, certificate_files
from engine.config.compile.credentials import read_credentials
from engine.config.compile.values import ProviderValues, Resolving
from engine.config.compile.variables import drop_bad_urls, read_variables, report_repeated
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.extras import installing
from engine.config.model import Provider
from engine.config.source.document import Path as DataPath
from engine.config.template import Template, render_now
from engine.plan.otlp_headers import HEADERS, unusable_headers
from engine.plan.plan import UnusableValueError
from engine.plan.signers import SIGNERS


@dataclass(frozen=True, slots=True, repr=False)
class Environment:
    """The values of each provider, by its name, and the certificate files by the names they are given."""

    values: Mapping[str, ProviderValues]
    files: Mapping[str, bytes]
    found: tuple[Diagnostic, ...]


def resolve(
    context: CheckContext,
    directory: Path,
    environ: Mapping[str, str] | None,
    overrides: Mapping[str, bytes | None],
) -> Environment:
    """Look up what every provider needs, with a finding for each thing that is missing.

    Without an `environ` there are placeholders, and neither a variable nor a secret file is read.
    """
    files = certificate_files(context.config, directory, overrides)
    pems, found = ca_certificates(context, files)
    values: dict[str, ProviderValues] = {}
    templates = by_provider(context.templates)
    for provider in context.config.providers:
        variants = [provider, *(provider.with_credential_set(s) for s in provider.accounts)]
        every = [
            Resolving(context, variant, environ, templates[provider.at]) for variant in variants
        ]
        ca = pems.get(provider.name)
        own, *others = [replace(_values(resolving, directory), ca=ca) for resolving in every]
        values[provider.name] = replace(own, accounts=tuple(others))
        found += [found for resolving in every for found in resolving.found]
    found += check_tracing(context)
    found += check_otlp_headers(context, environ or {})
    once = {(found.code, found.span, found.path[:2]): found for found in found}
    read = {name: raw for name, raw in files.items() if isinstance(raw, bytes)}
    return Environment(values, read, tuple(once.values()))


def declared_values(context: CheckContext) -> dict[str, ProviderValues]:
    """What the files alone give every provider: `placeholder` for what only the environment knows.

    Tests of routing run with these, so that their outcome does not depend on the environment.
    """
    templates = by_provider(context.templates)
    return {p.name: _declared(templates[p.at], p) for p in context.config.providers}


def by_provider(templates: Templates) -> Mapping[DataPath, Templates]:
    """The templates of each provider, by the path of the provider."""
    grouped: defaultdict[DataPath, dict[DataPath, Template]] = defaultdict(dict)
    for path, template in templates.items():
        grouped[path[:2]][path] = template
    return grouped


def _declared(templates: Templates, provider: Provider) -> ProviderValues:
    variables = provider.sample_variables()
    for path, template in templates.items():
        is_open = is_url(path) and template.source.startswith("{{")
        if is_open and url_problem(template, variables):  # all of this URL is in the environment
            variables = {n: v for n, v in variables.items() if n not in template.uses("variables")}
    secrets = {credential.name: "placeholder" for credential in provider.credentials}
    return ProviderValues(secrets, variables, ())


def _values(resolving: Resolving, directory: Path) -> ProviderValues:
    credentials = read_credentials(resolving, directory)
    variables = read_variables(resolving)
    check_signer(resolving, credentials)
    drop_bad_urls(resolving, variables)
    report_repeated(resolving, variables)
    report_unrenderable(resolving, credentials, variables)
    return ProviderValues(credentials, variables, tuple(resolving.missing))


@check("E401", "E404", stage=Stage.STEP)
def check_signer(resolving: Resolving, credentials: Mapping[str, str]) -> None:
    """Report what the signer lacks, unless a header carries a credential instead."""
    provider = resolving.provider
    sign = provider.sign
    header = resolving.context.templates.get((*provider.at, "headers", "authorization"))
    is_authorized = header is not None and header.uses("credentials") <= credentials.keys()
    if sign is None or is_authorized:
        return
    kind = SIGNERS[sign.signer]
    for credential in () if sign.by_workload_identity else provider.credentials:
        if credential.name in kind.needs and credential.name not in credentials:
            name, at = next(iter(credential.env), credential.name), credential.at
            resolving.report_unset(name, (*at, "env") if credential.env else at)
    if not _is_installed(kind.package):
        resolving.missing.append(installing(kind.extra))
        message = f"signer `{sign.signer}` needs `{installing(kind.extra)}`, so provider `{provider.name}` cannot be called"
        resolving.report("E404", message, (*sign.at, "with"))


_WHERE = "in a clone of this project, with the pip of the environment that has `engine`; then start again"


def _exports(context: CheckContext) -> dict[str, tuple[str, ...]]:
    """By file, the keys that export to a collector."""
    server = context.config.server
    metrics = server.metrics if server else None
    places: dict[str, tuple[str, ...]] = {}
    if context.config.tracing is not None:
        places[ROUTES] = ("tracing",)
    if metrics is not None and metrics.otlp is not None:
        places[SERVER] = ("metrics", "otlp")
    return places


@check("E403", stage=Stage.STEP)
def check_otlp_headers(context: CheckContext, environ: Mapping[str, str]) -> list[Diagnostic]:
    """Report headers for the collector that cannot be sent: by name, since the values are secrets."""
    bad = ", ".join(unusable_headers(environ))
    message = f"{bad} of `{HEADERS}` cannot be sent as a header, and is left out"
    return [
        context.at("E403", message, file, at, EntryPart.KEY)
        for file, at in (_exports(context) if bad else {}).items()
    ]


@check("E404", stage=Stage.STEP)
def check_tracing(context: CheckContext) -> list[Diagnostic]:
    """Report that traces, and metrics by OTLP, need a package."""
    places = _exports(context)
    if not places or _is_installed("opentelemetry.proto"):
        return []
    message = f"`{{}}` needs `{installing('otel')}`"
    return [
        context.at("E404", message.format(at[-1]), file, at, EntryPart.KEY, help=_WHERE)
        for file, at in places.items()
    ]


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of the package around it
        return False


@check("E403", stage=Stage.STEP)
def report_unrenderable(
    resolving: Resolving, credentials: Mapping[str, str], variables: Mapping[str, str]
) -> None:
    """Report templates that these values render to text which no header or URL can hold."""
    sample = {"credentials": credentials, "variables": variables, "model": "m", "endpoint": "e"}
    for path, template in resolving.templates.items():
        if template.is_constant:  # and so right since it was compiled
            continue
        try:
            render_now(template, {**sample, "request": {"headers": {}}})
        except UnusableValueError:
            resolving.missing.append(str(path[-1]))
            message = f"`{path[-1]}` of provider `{resolving.provider.name}` renders to text that no header or URL can hold"
            resolving.report("E403", message, path, place=EntryPart.KEY)

"""URLs of providers: whether the gateway can connect to them, and by what."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from urllib.parse import urlsplit

from engine.config.checks.registry import PROVIDERS, CheckContext, check
from engine.config.checks.values import repeated
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart, Related
from engine.config.model import Provider
from engine.config.source.document import Path
from engine.config.source.url_text import url_advice, url_text_problem
from engine.config.template import Template, render_now


class UrlProblem(Enum):
    """What is wrong with a URL of a provider."""

    UNUSABLE = "the gateway cannot connect to it"
    PLAIN = "it is reached over a network without TLS"


@check("X213", "X214")
def unusable_url(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        variables = provider.sample_variables()
        for path, template in _urls_in_file(context, provider):
            problem = url_problem(template, variables)
            if problem is UrlProblem.UNUSABLE:
                url = render_now(template, {"variables": variables, "model": "m"})
                why = url_text_problem(url or "")
                message, fix_hint = f"the URL of provider `{provider.name}` {why}", url_advice(why)
                yield context.at("X214", message, PROVIDERS, path, EntryPart.VALUE, help=fix_hint)
            elif problem is UrlProblem.PLAIN:
                message = f"provider `{provider.name}` is called without TLS"
                fix_hint = "write https://"
                yield context.at("X213", message, PROVIDERS, path, EntryPart.VALUE, help=fix_hint)


def _urls_in_file(context: CheckContext, provider: Provider) -> Iterator[tuple[Path, Template]]:
    """The absolute URLs of a provider, but for those that the environment gives from their start."""
    unset = {variable.name for variable in provider.variables if variable.value is None}
    for path in ((*provider.at, "base_url"), *(served.path_at for served in provider.endpoints)):
        template = context.templates.get(path)
        if template is None or template.source.startswith("/"):
            continue
        if not (template.source.startswith("{{") and unset & template.uses("variables")):
            yield path, template


@check("X214")
def unusable_proxy(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        if provider.proxy is not None and not _is_address(provider.proxy):
            message = (
                f"the proxy of provider `{provider.name}` has a host or a port that is not valid"
            )
            yield context.at("X214", message, PROVIDERS, (*provider.at, "proxy"), EntryPart.VALUE)


@check("X235")
def proxy_without_httpx(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        if provider.proxy is not None and provider.client != "httpx":
            message = (
                f"provider `{provider.name}` names a proxy, and its client does not support one"
            )
            fix_hint = "write `client: httpx` beside it"
            yield context.at("X235", message, PROVIDERS, (*provider.at, "proxy"), help=fix_hint)


@check("X234")
def ca_without_tls(context: CheckContext) -> Iterator[Diagnostic]:
    """CA certificates for a provider none of whose URLs is https."""
    for provider in context.config.providers:
        urls = (provider.base_url, *(s.path for s in provider.endpoints if s.path[:1] != "/"))
        if provider.ca is not None and not any(url.startswith(("https://", "{{")) for url in urls):
            message = (
                f"provider `{provider.name}` names CA certificates and is never called with TLS"
            )
            yield context.at("X234", message, PROVIDERS, (*provider.at, "tls"))


def _is_address(url: str) -> bool:
    """Whether the port is possible, and a host that looks like an IP address is one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host or host.rpartition(".")[2].isdigit():
            ipaddress.ip_address(host)
        return parts.port != 0
    except ValueError:
        return False


# RFC 1918 and RFC 4193. Not link-local: metadata services of clouds are there.
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
_NUMBER = re.compile(r"(?i)(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+))*")


def is_url(path: Path) -> bool:
    """Whether the template at `path` of a provider is a URL or the path of one."""
    return path[2] == "base_url" or (path[2] == "endpoints" and "query" not in path)


def url_problem(template: Template, variables: Mapping[str, str]) -> UrlProblem | None:
    """What is wrong with a URL template filled in with `variables`; None if nothing is."""
    try:
        parts = urlsplit(render_now(template, {"variables": variables, "model": "m"}) or "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return UrlProblem.UNUSABLE
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        return UrlProblem.UNUSABLE
    is_plain = parts.scheme == "http" and not is_near(parts.hostname or "")
    return UrlProblem.PLAIN if is_plain else None


def is_near(host: str) -> bool:
    """Loopback, a private address, or a name without dots, as inside one cluster.

    A host that is a number, such as 134744072 or 0x8080808, is an address in another spelling.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _NUMBER.fullmatch(host):
            return False
        return "." not in host or host.endswith((".localhost", ".local", ".internal", ".svc"))
    return address.is_loopback or any(address in network for network in _PRIVATE)


@check("X223")
def doubled_path(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        for served in provider.endpoints:
            is_below = served.path.startswith("/")
            if is_below and (twice := repeated(provider.base_url, served.path)):
                yield context.at(
                    "X223",
                    f"the URL of `{served.name}` at provider `{provider.name}` has `{twice}` twice",
                    PROVIDERS,
                    served.path_at,
                    EntryPart.VALUE,
                    related=_base(context, provider),
                    help=f"leave `{twice}` out of the path, or out of `base_url`",
                )


def _base(context: CheckContext, provider: Provider) -> tuple[Related, ...]:
    span = context.span(PROVIDERS, (*provider.at, "base_url"), EntryPart.VALUE)
    return (Related(span, "the path is added to this"),)

"""Rules about what is dialled: where a URL leads, and who may say so."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from engine.config.checks.registry import CheckContext
from engine.config.diagnostics.diagnostic import Diagnostic, Place, Related
from engine.config.model import Provider
from engine.config.source.document import Path
from engine.config.template import Template, render_now

_PROVIDERS = "providers.yaml"


def check_urls(context: CheckContext) -> Iterator[Diagnostic]:
    """The findings about the URLs of providers."""
    return (found for check in (_urls, _proxies, _doubled_path) for found in check(context))


def _urls(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        paths: list[Path] = [(*provider.at, "base_url")]
        paths += [served.path_at for served in provider.endpoints]
        for path in paths:
            template = context.templates.get(path)
            if template is None or template.source.startswith("/"):
                continue
            unset = {v.name for v in provider.variables if v.value is None}
            if template.source.startswith("{{") and unset & template.uses("variables"):
                continue  # only the environment knows; `load` looks then
            code = url_problem(template, provider.sample_variables())
            if code == "X214":
                url = render_now(template, {"variables": provider.sample_variables(), "model": "m"})
                message = f"the URL of provider `{provider.name}` {_why(url or '')}"
                words = "write it as https://host/path, with a port from 1 to 65535 if any"
                yield context.at(code, message, _PROVIDERS, path, Place.VALUE, help=words)
            elif code:
                message = f"provider `{provider.name}` is dialled without TLS"
                yield context.at(
                    code, message, _PROVIDERS, path, Place.VALUE, help="write https://"
                )


def _proxies(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        if provider.proxy is None:
            continue
        who, at = f"provider `{provider.name}`", (*provider.at, "proxy")
        if not _is_address(provider.proxy):
            message = f"the proxy of {who} has a host or a port that cannot be dialled"
            yield context.at("X214", message, _PROVIDERS, at, Place.VALUE)
        if provider.client != "httpx":
            message = f"{who} names a proxy, and its client does not go through one"
            words = "write `client: httpx` beside it"
            yield context.at("X235", message, _PROVIDERS, at, help=words)


def _is_address(url: str) -> bool:
    """Whether the port can be one, and what looks like an IP address is one."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if ":" in host or host.rpartition(".")[2].isdigit():
            ipaddress.ip_address(host)
        return parts.port != 0
    except ValueError:
        return False


# RFC 1918 and RFC 4193. Not link-local: cloud machines have their metadata there.
_PRIVATE = [
    ipaddress.ip_network(network)
    for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
_NUMBER = re.compile(r"(?i)(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+))*")


def _why(url: str) -> str:  # noqa: PLR0911 one line a cause
    """Why `url` cannot be dialled as written, without telling any of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "has brackets that are not those of an IPv6 address"
    try:
        if parts.port == 0:
            return "has the port 0"
    except ValueError:
        return "has a port that is no number up to 65535"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not parts.hostname:
        return "has no host"
    if "@" in parts.netloc:
        return "holds a user or a password"
    return "holds a query or a fragment, which belongs under `query:`"


def is_url(path: Path) -> bool:
    """Whether the template at `path` of a provider is a URL or the path of one."""
    return path[2] == "base_url" or (path[2] == "endpoints" and "query" not in path)


def url_problem(template: Template, variables: Mapping[str, str]) -> str | None:
    """The code of what is wrong with the URL that `variables` make, if anything is."""
    try:
        parts = urlsplit(render_now(template, {"variables": variables, "model": "m"}) or "")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return "X214"
    if not usable or "@" in parts.netloc or parts.query or parts.fragment:
        return "X214"
    return "X213" if parts.scheme == "http" and not _is_near(parts.hostname or "") else None


def _is_near(host: str) -> bool:
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


def _doubled_path(context: CheckContext) -> Iterator[Diagnostic]:
    for provider in context.config.providers:
        try:
            base = _segments(urlsplit(provider.base_url).path)
        except ValueError:
            continue  # told as a URL that cannot be dialled
        for served in provider.endpoints:
            own = _segments(served.path) if served.path.startswith("/") else []
            twice = _overlap(base, own)
            if twice:
                yield context.at(
                    "X223",
                    f"the URL of `{served.name}` at provider `{provider.name}` holds `{twice}` twice",
                    _PROVIDERS,
                    served.path_at,
                    Place.VALUE,
                    related=_base(context, provider),
                    help=f"leave `{twice}` out of the path, or out of `base_url`",
                )


def _base(context: CheckContext, provider: Provider) -> tuple[Related, ...]:
    span = context.span(_PROVIDERS, (*provider.at, "base_url"), Place.VALUE)
    return (Related(span, "the path is added to this"),)


def _segments(path: str) -> list[str]:
    return [segment for segment in path.split("/") if segment]


def _overlap(base: list[str], own: list[str]) -> str:
    """The end of `base` that is also the start of `own`, as a path."""
    for length in range(min(len(base), len(own)), 0, -1):
        if base[-length:] == own[:length]:
            return "/" + "/".join(own[:length])
    return ""

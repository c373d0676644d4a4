"""Rules about `tls`: the certificates a provider is checked against, in place of the system's."""

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from engine.config.checks.registry import CheckContext
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.model import Provider

_PROVIDERS = "providers.yaml"
_DER = b"\x30\x82"


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of a file as PEM. `end` is when the last of them expires, None if unknown."""

    pem: str
    end: float | None


@lru_cache(maxsize=64)  # a check after every key in an editor, and after every change of a file
def read_certificates(raw: bytes) -> Certificates | None:
    """The certificates in `raw`; None when there is none, or one that cannot be read."""
    pem = raw.decode("ascii", "ignore")  # the text between them may be anything
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return None
    ends = [ssl.cert_time_to_seconds(str(c["notAfter"])) for c in context.get_ca_certs()]
    is_known = len(ends) == context.cert_store_stats()["x509"]  # it tells of authorities alone
    return Certificates(pem, max(ends) if is_known else None)


def check_without_tls(context: CheckContext) -> Iterator[Diagnostic]:
    """An authority for a provider none of whose URLs is https."""
    for provider in context.config.providers:
        if provider.ca is not None and not any(map(_may_be_tls, _roots(provider))):
            message = f"provider `{provider.name}` names an authority and is never dialled by TLS"
            yield context.at("X234", message, _PROVIDERS, (*provider.at, "tls"))


def _roots(provider: Provider) -> Iterator[str]:
    """What the URLs of the provider begin with."""
    yield provider.base_url
    yield from (served.path for served in provider.endpoints if served.path[:1] != "/")


def _may_be_tls(url: str) -> bool:
    return url.startswith(("https://", "{{"))


def check_authorities(
    context: CheckContext, files: Mapping[str, bytes | str]
) -> tuple[dict[str, str], list[Diagnostic]]:
    """The PEM of every provider that names a file, and what is wrong with those files.

    `files` has the bytes of each file by the name it is given, or why there are none. The PEM of
    one that cannot be used is empty, so that nobody is trusted in its place.
    """
    authorities: dict[str, str] = {}
    notes: list[Diagnostic] = []
    for provider in context.config.providers:
        if provider.ca is not None:
            certificates, found = _check(context, provider, files[provider.ca])
            authorities[provider.name] = certificates
            notes += found
    return authorities, notes


def unexpanded(name: str) -> str:
    """What to do about a path that a shell would read otherwise; "" when there is nothing in it."""
    if name.startswith("~"):
        return "`~` stands for no home here: write the whole path"
    if re.search(r"\$\w|\$\{|%\w+%", name):
        return "no variable is filled in here: write the whole path"
    return ""


def _check(
    context: CheckContext, provider: Provider, raw: bytes | str
) -> tuple[str, list[Diagnostic]]:
    read = read_certificates(raw) if isinstance(raw, bytes) else None
    who = f"the `ca` of provider `{provider.name}`"
    at = (*provider.at, "tls", "ca")
    if read is None:
        problem = raw if isinstance(raw, str) else "holds no certificate in PEM, or a broken one"
        is_der = isinstance(raw, bytes) and raw.startswith(_DER)
        fix_hint = unexpanded(provider.ca or "")
        if is_der:
            fix_hint = "it looks like DER: `openssl x509 -inform der` makes PEM of it"
        message = f"{who} {problem}"
        return "", [context.at("E406", message, _PROVIDERS, at, Place.VALUE, help=fix_hint)]
    if read.end is not None and read.end <= context.now:
        message = f"every certificate in {who} has expired"
        return read.pem, [context.at("E407", message, _PROVIDERS, at, Place.VALUE)]
    return read.pem, []

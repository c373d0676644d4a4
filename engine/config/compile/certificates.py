"""CA certificates that providers name as files: read here, with the findings about them."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.config.checks.registry import PROVIDERS, CheckContext, Stage, check
from engine.config.compile.files import ABSENT, describe_unreadable, expected_path, path_hint
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.model import Config, Provider
from engine.config.source.files import MAX_READ, read_file

_DER = b"\x30\x82"  # how a certificate in DER begins: an ASN.1 sequence with a length of two bytes


@dataclass(frozen=True, slots=True)
class Certificates:
    """The certificates of a file as PEM.

    `end` is the POSIX time when the last of them expires, None when that is not known.
    """

    pem: str
    end: float | None


@lru_cache(maxsize=64)  # an editor checks after every key, a server after every change of a file
def read_certificates(raw: bytes) -> Certificates | None:
    """The certificates in `raw`; None when there is none, or one that cannot be read."""
    pem = raw.decode("ascii", "ignore")  # the text between certificates may be anything
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError):
        return None
    ends = [ssl.cert_time_to_seconds(str(c["notAfter"])) for c in context.get_ca_certs()]
    is_known = len(ends) == context.cert_store_stats()["x509"]  # get_ca_certs leaves others out
    return Certificates(pem, max(ends) if is_known else None)


def certificate_files(
    config: Config, directory: Path, overrides: Mapping[str, bytes | None]
) -> dict[str, bytes | str]:
    """The bytes of every certificate file that a provider names, or why it cannot be read."""
    names = {provider.ca for provider in config.providers if provider.ca is not None}
    return {name: _read(directory, name, overrides) for name in names}


def _read(directory: Path, name: str, overrides: Mapping[str, bytes | None]) -> bytes | str:
    path = directory / name
    try:
        raw = overrides[name] if name in overrides else read_file(path)
    except OSError as error:
        return f"{describe_unreadable(path, error)}{expected_path(directory, name)}"
    if len(raw or b"") > MAX_READ:
        return f"is larger than {MAX_READ >> 20} MiB"
    return raw or (ABSENT if raw is None else "is empty")


@check("E406", "E407", stage=Stage.STEP)
def ca_certificates(
    context: CheckContext, files: Mapping[str, bytes | str]
) -> tuple[dict[str, str], list[Diagnostic]]:
    """The PEM of every provider that names a file, by its name, and findings about those files.

    The PEM of a file that cannot be used is empty, so that no certificate is trusted in its place.
    """
    pems: dict[str, str] = {}
    found: list[Diagnostic] = []
    for provider in context.config.providers:
        if provider.ca is not None:
            pems[provider.name], problem = _ca_of(context, provider, files[provider.ca])
            found += [problem] if problem else []
    return pems, found


def _ca_of(
    context: CheckContext, provider: Provider, raw: bytes | str
) -> tuple[str, Diagnostic | None]:
    read = read_certificates(raw) if isinstance(raw, bytes) else None
    who, at = f"the `ca` of provider `{provider.name}`", (*provider.at, "tls", "ca")
    if read is None:
        problem = raw if isinstance(raw, str) else "has no certificate in PEM, or a broken one"
        fix_hint = path_hint(provider.ca or "")
        if isinstance(raw, bytes) and raw.startswith(_DER):
            fix_hint = "it looks like DER: `openssl x509 -inform der` makes PEM of it"
        message = f"{who} {problem}"
        return "", context.at("E406", message, PROVIDERS, at, EntryPart.VALUE, help=fix_hint)
    if read.end is not None and read.end <= context.now:
        message = f"every certificate in {who} has expired"
        return read.pem, context.at("E407", message, PROVIDERS, at, EntryPart.VALUE)
    return read.pem, None

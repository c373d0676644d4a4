"""The other listeners of server.yaml: what must not cross a network in the clear, or be read by anybody."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from engine.config.checks.registry import SERVER, CheckContext, check
from engine.config.checks.values import is_loopback
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart


@check("X293")
def admin_without_tls(context: CheckContext) -> Iterator[Diagnostic]:
    admin = context.config.server.admin if context.config.server else None
    if admin is None:
        return
    help_text = "let a reverse proxy add TLS, and give its origin: `public_url: https://...`"
    if admin.public_url is None:
        if not is_loopback(admin.host):
            message = "the dashboard would be reached over a network without TLS"
            at = ("admin", "host")
            yield context.at("X293", message, SERVER, at, EntryPart.VALUE, help=help_text)
        return
    url = urlsplit(admin.public_url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        message = "`public_url` is reached over a network without TLS"
        at = ("admin", "public_url")
        yield context.at("X293", message, SERVER, at, EntryPart.VALUE, help=help_text)


@check("X299")
def metrics_without_token(context: CheckContext) -> Iterator[Diagnostic]:
    metrics = context.config.server.metrics if context.config.server else None
    if metrics is not None and metrics.token is None and not is_loopback(metrics.host):
        message = "anybody who reaches the port of the metrics could read them"
        help_text = "set `token`, or listen on a loopback address"
        at = ("metrics", "host")
        yield context.at("X299", message, SERVER, at, EntryPart.VALUE, help=help_text)

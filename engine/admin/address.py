"""By which hosts and origins browsers may reach the listener."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.plan.accounts import Admin

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_WIDE = frozenset({"0.0.0.0", "::", "[::]"})  # noqa: S104 compared with, not bound to


@dataclass(frozen=True, slots=True)
class Address:
    """`hosts` are the values of Host that are served, `origins` the pages that may post here.

    `url` is what links to the dashboard begin with.
    """

    url: str
    hosts: frozenset[str]
    origins: frozenset[str]

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by https, so that a cookie may be `__Host-` and Secure."""
        return self.url.startswith("https://")


def address_of(admin: Admin) -> Address:
    """The address of the listener: its public URL, and its own host and loopback names."""
    local = {_with_port(host, admin.port) for host in _own_names(admin.host)}
    url = admin.public_url or f"http://{_with_port(_first_name(admin.host), admin.port)}"
    parts = urlsplit(url)
    public = parts.netloc.lower()
    plain = {public.removesuffix(":443" if parts.scheme == "https" else ":80"), public}
    origins = {f"{parts.scheme}://{host}" for host in plain} | {f"http://{h}" for h in local}
    return Address(url.rstrip("/"), frozenset(plain | local), frozenset(origins))


def _own_names(host: str) -> tuple[str, ...]:
    if host in _WIDE or _bracketed(host) in LOOPBACK:
        return LOOPBACK
    return (*LOOPBACK, _bracketed(host))


def _first_name(host: str) -> str:
    return LOOPBACK[0] if host in _WIDE else _bracketed(host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host.lower()


def _with_port(host: str, port: int) -> str:
    return f"{host}:{port}"

"""What a gateway without keys asks of a request instead: that no other site is behind it.

A page that somebody looks at can make their browser call a loopback address, and so can a name that
suddenly leads there (DNS rebinding).
"""

import re
from ipaddress import ip_address

from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs

_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]{0,5})?")
_SAME = {b"same-origin", b"none"}  # values of sec-fetch-site; `none` is an address somebody typed


def refuse_foreign(headers: Pairs) -> None:
    """Refuse what does not call a loopback name, or comes from a page that is not from here.

    Raises:
        GatewayError: `not_local`.
    """
    host = next((value for name, value in headers if name == b"host"), b"")
    if host and not _is_loopback(host):  # what sends none is no browser
        raise GatewayError(
            "not_local",
            "this gateway asks for no key, so it answers under localhost, 127.0.0.1 and [::1] alone; "
            "use one of them, or give it keys",
        )
    for name, value in headers:
        is_foreign = (name == b"sec-fetch-site" and value not in _SAME) or (
            name == b"origin" and value.lower() != b"http://" + host.lower()
        )
        if is_foreign:
            raise GatewayError(
                "not_local",
                "this gateway asks for no key, so it takes no requests from pages of other sites",
            )


def _is_loopback(host: bytes) -> bool:
    found = _HOST.fullmatch(host.decode("latin-1"))
    if found is None:
        return False
    name = found[1].strip("[]").lower()
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False

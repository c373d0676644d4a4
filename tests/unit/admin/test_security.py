"""The guard: bodies that come badly, and the addresses by which browsers come."""

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from engine.admin.address import Address, address_of
from engine.admin.security import MAX_BODY, Guard
from engine.plan.accounts import Admin
from tests.tables import each

SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/v1/keys", "raw_path": b"/v1/keys", "query_string": b"",
    "headers": [(b"host", b"127.0.0.1:8081")],
}  # fmt: skip


async def statuses(receive: Receive, *headers: tuple[bytes, bytes]) -> list[int]:
    """The responses to a body that comes by `receive`, at most 50 ms long; what is not read ends the connection."""
    sent: list[Message] = []

    async def keep(message: Message) -> None:
        sent.append(message)

    async def unreached(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("the application got the request")

    guard = Guard(unreached, address_of(Admin()), 0.05)
    await guard({**SCOPE, "headers": [*SCOPE["headers"], *headers]}, receive, keep)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    for start in starts:
        assert ((b"connection", b"close") in start["headers"]) is (start["status"] in (408, 413))
    return [start["status"] for start in starts]


def test_a_body_that_takes_too_long_is_not_waited_for() -> None:
    async def drop() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    assert asyncio.run(statuses(drop)) == [408]


def test_a_body_without_end_is_not_kept() -> None:
    read = 0

    async def pour() -> Message:
        nonlocal read
        read += 4096
        return {"type": "http.request", "body": b"x" * 4096, "more_body": True}

    assert asyncio.run(statuses(pour)) == [413]
    assert read <= MAX_BODY + 4096


@each("declared", [b"%d" % (MAX_BODY + 1), b"9" * 5000, b"-1", b"1_0", b"\xb2"])
def test_a_declared_length_is_refused_before_any_of_the_body_is_read(declared: bytes) -> None:
    async def unread() -> Message:
        raise AssertionError("the body was read")

    assert asyncio.run(statuses(unread, (b"content-length", declared))) == [413]


def test_a_body_that_ends_early_is_refused() -> None:
    async def leave() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(statuses(leave)) == [400]


@each(
    ("admin", "url", "host", "secure"),
    [
        (Admin(), "http://127.0.0.1:8081", "localhost:8081", False),
        (Admin(host="::1", port=9000), "http://[::1]:9000", "[::1]:9000", False),
        (Admin(host="10.0.0.7"), "http://10.0.0.7:8081", "10.0.0.7:8081", False),
        (Admin(host="::"), "http://127.0.0.1:8081", "[::1]:8081", False),
        (Admin(public_url="https://Gateway.example"), "https://Gateway.example", "gateway.example", True),
        (Admin(public_url="https://gateway.example:443"), "https://gateway.example:443", "gateway.example", True),
        (Admin(public_url="https://gateway.example:8443"), "https://gateway.example:8443", "gateway.example:8443", True),
    ],
)  # fmt: skip
def test_the_address_by_which_browsers_come(
    admin: Admin, url: str, host: str, secure: bool
) -> None:
    address: Address = address_of(admin)
    assert (address.url, address.is_secure) == (url, secure)
    assert host in address.hosts
    assert f"{url.partition(':')[0]}://{host}" in address.origins
    assert "evil.example" not in address.hosts

"""How the head of a provider's response is framed anew, by its status and its length."""

from engine.gateway.headers import RelayedNames
from engine.gateway.response.head import response_head
from engine.upstream import Pairs
from tests.tables import each


def framing(status: int, received: Pairs, length: int | None) -> tuple[Pairs, int | None, bool]:
    headers, size, is_stream = response_head(
        status, received, dict(received), length, "1", RelayedNames()
    )
    ours = ("x-engine-request-id", "x-request-id")
    return [pair for pair in headers if pair[0].decode() not in ours], size, is_stream


CHUNKED = (b"transfer-encoding", b"chunked")


@each(
    ("status", "length", "framed"),
    [
        (200, 2, [(b"content-length", b"2")]),
        (200, None, [CHUNKED]),
        (203, None, [CHUNKED]),
        (204, None, []),
        (205, None, [CHUNKED]),
        (303, None, [CHUNKED]),
        (304, None, []),
        (305, None, [CHUNKED]),
    ],
)
def test_a_status_without_a_body_declares_none(
    status: int, length: int | None, framed: Pairs
) -> None:
    assert framing(status, [], length) == (framed, length, False)


@each(("status", "is_kept"), [(299, True), (300, False), (399, False), (400, True)])
def test_only_a_redirect_loses_a_location_elsewhere(status: int, *, is_kept: bool) -> None:
    headers, _, _ = framing(status, [(b"location", b"https://elsewhere.example/")], 2)
    assert ((b"location", b"https://elsewhere.example/") in headers) == is_kept

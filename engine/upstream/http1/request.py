"""The head of a request as it stands on the wire (RFC 9112)."""

from engine.upstream import Attempt, RequestHead


def request_head(attempt: Attempt, *, is_last: bool = False) -> bytes:
    """The whole head of a request; all but its framing is written once for a RequestHead.

    `is_last`: the upstream is to close the connection after it (RFC 9112, 9.6).
    """
    head = attempt.head
    text = head.text
    if not text:
        text = head.text = _text(head)
    if is_last:
        text += b"connection: close\r\n"
    if attempt.length is None:
        return text + b"transfer-encoding: chunked\r\n\r\n"
    return b"%bcontent-length: %d\r\n\r\n" % (text, attempt.length)


def _text(head: RequestHead) -> bytes:
    """The lines of `head`. Every value has been checked by now, so a line break is a bug."""
    lines = [
        b"%b %b HTTP/1.1" % (head.method.encode("ascii"), head.target),
        b"host: " + head.origin.authority,
        *[b"%b: %b" % pair for pair in head.headers],
        b"",
    ]
    text = b"\r\n".join(lines)
    if not text.count(b"\n") == text.count(b"\r") == len(lines) - 1 or b"\0" in text:
        raise ValueError("a line break in a request head")
    return text

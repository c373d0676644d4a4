"""A caller who sends requests that were written for HTTP/1.1 in the frames of HTTP/2."""

from tests.http2 import Http2, ResetError, from_http1
from tests.integration.gateway.wire import SILENCE, Answer, Caller


class Http2Caller(Caller):
    """One request on a connection of its own. It leaves with a reset of its stream."""

    def __init__(self, port: int, timeout: float = 20) -> None:
        self._http2 = Http2(port, timeout=timeout)
        self.socket = self._http2.socket
        self._stream = self._length = self._sent = 0

    def send(self, data: bytes) -> None:
        if self._stream:
            self._send_body([data])
            return
        headers, chunks = from_http1(data)
        size = sum(map(len, chunks))
        is_open = len(chunks) > 1 and not chunks[-1]
        length = dict(headers).get(b"content-length", b"")
        self._length = int(length) if length.isdigit() else size + is_open
        self._stream = self._http2.ask(headers, b"", end=not self._length)
        self._send_body([chunk for chunk in chunks if chunk])

    def _send_body(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._sent += len(chunk)
            self._http2.send(self._stream, chunk, end=self._sent >= self._length)

    def wait_for(self, part: bytes) -> None:
        if not part:
            return
        status, _ = self._http2.head(self._stream)
        received = b"%d OK" % status
        for chunk in self._http2.chunks(self._stream) if part not in received else ():
            received += chunk
            if part in received:
                return

    def answer(self) -> Answer:
        try:
            status, headers = self._http2.head(self._stream)
            return Answer(status, headers, self._http2.body(self._stream))
        except ResetError:
            return SILENCE

    def leave(self) -> None:
        if self._stream:
            self._http2.leave(self._stream)
        self._http2.close()

"""An upstream in this process that keeps what it gets, byte for byte, and answers as it is told."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Arrival:
    """A request as it stood on the wire; header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        (value,) = self.values(name)
        return value


@dataclass(frozen=True)
class Reply:
    """What goes back for a request; its length is declared."""

    content: bytes = b"{}"
    status: tuple[int, str] = (200, "OK")
    headers: tuple[tuple[str, str], ...] = (("content-type", "application/json"),)


def as_json(value: Any) -> Reply:
    return Reply(json.dumps(value).encode())


@dataclass
class Recorder:
    """`answer` gives the reply to a request."""

    port: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    answer: Callable[[Arrival], Reply] = lambda _: Reply()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> Arrival:
        """The one request that has arrived since the last call."""
        arrivals, self.arrivals = self.arrivals, []
        assert len(arrivals) == 1, [(a.method, a.target) for a in arrivals]
        return arrivals[0]


@contextmanager
def recording(answer: Reply | None = None) -> Iterator[Recorder]:
    """A recorder at work, which answers every request with `answer` unless it is told otherwise."""
    recorder = Recorder(answer=lambda _: answer or Reply())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment

        def do_POST(self) -> None:
            body = self._chunks() if "transfer-encoding" in self.headers else self._counted()
            if len(body) < int(self.headers.get("content-length", 0)):
                raise ConnectionError("the upload was broken off")
            headers = [(name.lower(), value) for name, value in self.headers.items()]
            arrival = Arrival(self.command, self.path, headers, body)
            recorder.arrivals.append(arrival)
            reply = recorder.answer(arrival)
            self.send_response(*reply.status)
            for name, value in (*reply.headers, ("content-length", str(len(reply.content)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.content)

        def do_GET(self) -> None:
            self.do_POST()

        def _counted(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the base class's name
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of a gateway that broke off."""

    server = Server(("127.0.0.1", 0), Handler)
    recorder.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

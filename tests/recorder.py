"""An upstream in this process that keeps what it gets, byte for byte, and answers `{}`."""

import json
import threading
from collections.abc import Iterator
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


@dataclass
class Recorder:
    """`answer` gives the JSON to send back for a request; status 200."""

    port: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    answer: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self) -> Arrival:
        """The one request that has arrived since the last call."""
        arrivals, self.arrivals = self.arrivals, []
        assert len(arrivals) == 1, [(a.method, a.target) for a in arrivals]
        return arrivals[0]


@contextmanager
def recording() -> Iterator[Recorder]:
    recorder = Recorder()

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
            content = json.dumps(recorder.answer(arrival) if recorder.answer else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

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

"""Plays an answer from a file, byte for byte: for what the built-in upstream does not do.

    HTTP/1.1 200 OK
    content-type: text/event-stream

    data: {"id": "1", "choi
    ---- 0.1
    ces": []}
    ---- cut

A line of dashes ends a chunk: a number is a pause in seconds, `whole`, `cut` and `hang` say how the
body ends. The line end before the dashes belongs to them.
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer

_DASHES = re.compile(rb"\n---- (whole|cut|hang|[0-9.]+)(?:\n|$)")
HANG_SECONDS = 60


def parse_answer(raw: bytes) -> tuple[bytes, list[tuple[bytes, str]]]:
    """The head as it goes out, and each chunk with what comes after it."""
    head, _, body = raw.partition(b"\n\n")
    parts = _DASHES.split(body)
    chunks = [(parts[at], parts[at + 1].decode()) for at in range(0, len(parts) - 1, 2)]
    if parts[-1] or not chunks or chunks[-1][1] not in ("whole", "cut", "hang"):
        raise ValueError("the last line must be `---- whole`, `---- cut` or `---- hang`")
    lines = [*head.split(b"\n"), b"transfer-encoding: chunked", b"", b""]
    return b"\r\n".join(lines), chunks


@contextmanager
def playing(file: Path) -> Iterator[int]:
    """An upstream that answers every request with what is in `file`; yields its port."""
    head, chunks = parse_answer(file.read_bytes())

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self._read():
                    self._play()

        def _read(self) -> bool:
            length = 0
            while line := self.rfile.readline().strip():
                name, _, value = line.lower().partition(b":")
                length = int(value) if name == b"content-length" else length
            return bool(self.rfile.read(length))

        def _play(self) -> None:
            self.wfile.write(head)
            for data, then in chunks:
                if data:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                if then == "cut":
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif then == "whole":
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    time.sleep(HANG_SECONDS if then == "hang" else float(then))

    class Server(ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()

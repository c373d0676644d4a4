"""`engine top` in a terminal, while the metrics are away."""

import socket
import threading

from engine.cli.top import _read_again

METRICS = b'orqen_build_info{version="1"} 1\n'


def test_a_failed_reading_ends_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            listener.accept()[0].close()
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
                connection.sendall(head % len(METRICS) + METRICS)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        now = _read_again(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.01)
        thread.join(5)
    assert now.series["orqen_build_info"] == [({"version": "1"}, 1.0)]

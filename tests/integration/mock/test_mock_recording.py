"""What the mock says it received is what was sent."""

import hashlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.servers import WAIT

FORM = "/v1/audio/transcriptions?x=%2e"
HEAD = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
TAIL = b'\r\n--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nlate\r\n--xyz--\r\n'
TYPE = {"content-type": "multipart/form-data; boundary=xyz"}


def test_headers_tell_what_arrived(mock_http: httpx2.Client) -> None:
    body = b'{"model": "m", "input":  "spaced"}'
    answer = mock_http.post("/v1/embeddings?a=1&b=%2F", content=body)
    assert answer.headers["x-mock-sha256"] == hashlib.sha256(body).hexdigest()
    assert answer.headers["x-mock-bytes"] == str(len(body))
    assert answer.headers["x-mock-target"] == "/v1/embeddings?a=1&b=%2F"
    assert answer.headers["x-mock-unheard-of"] == "1"
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-ratelimit-limit-requests"]


def test_record(mock_http: httpx2.Client) -> None:
    headers = [("x-twice", "1"), ("x-twice", "2")]
    answer = mock_http.post("/v1/rerank", json={"model": "m"}, headers=headers)
    number = answer.headers["x-mock-id"]
    record = mock_http.get(f"/__mock/requests/{number}").json()
    assert record["method"] == "POST"
    assert record["target"] == "/v1/rerank"
    assert record["model"] == "m"
    assert record["body"] == '{"model":"m"}'
    assert record["finished"] is True
    assert record["disconnected_at"] is None
    assert [value for name, value in record["headers"] if name == "x-twice"] == ["1", "2"]
    assert abs(record["time"] - time.time()) < 5
    assert mock_http.get("/__mock/requests").json() == {"requests": [record]}


def test_clearing(mock_http: httpx2.Client) -> None:
    mock_http.post("/v1/rerank", json={})
    assert mock_http.delete("/__mock/requests").json() == {"requests": []}
    assert mock_http.get("/__mock/requests").json() == {"requests": []}
    assert mock_http.get("/__mock/requests/1").status_code == 404


def test_model_after_a_large_file(mock_http: httpx2.Client) -> None:
    block = bytes(range(256)) * 256
    chunks = [HEAD, *[block] * 400, TAIL]

    def body() -> Iterator[bytes]:
        yield from chunks

    answer = mock_http.post(FORM, content=body(), headers=TYPE)
    record = mock_http.get(f"/__mock/requests/{answer.headers['x-mock-id']}").json()
    whole = b"".join(chunks)
    assert record["model"] == "late"
    assert record["body_bytes"] == len(whole)
    assert record["body_sha256"] == hashlib.sha256(whole).hexdigest()
    assert record["body"] == whole[:2048].decode("latin-1")


def test_form_split_at_every_byte(mock_http: httpx2.Client) -> None:
    whole = HEAD + b"a\r\n--xy\r\n\r\n--xyz".rstrip(b"z") + TAIL

    def body() -> Iterator[bytes]:
        for at in range(len(whole)):
            yield whole[at : at + 1]

    answer = mock_http.post(FORM, content=body(), headers=TYPE)
    assert mock_http.get("/__mock/requests").json()["requests"][0]["model"] == "late"
    assert answer.headers["x-mock-sha256"] == hashlib.sha256(whole).hexdigest()


def test_client_that_leaves_in_its_upload(mock_url: str, mock_http: httpx2.Client) -> None:
    address = urlsplit(mock_url)
    with socket.create_connection((address.hostname, address.port)) as line:
        line.sendall(b"POST /v1/ocr HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        recorded(mock_http, lambda record: record["body_bytes"] == 1)
    record = recorded(mock_http, lambda record: record["disconnected_at"] is not None)
    assert (record["body_bytes"], record["status"]) == (1, None)
    assert mock_http.get("/__mock/status").json() == {"open": 0}


def recorded(mock_http: httpx2.Client, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The record of the only request, once that is so."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        requests = mock_http.get("/__mock/requests").json()["requests"]
        if requests and holds(requests[0]):
            (record,) = requests
            return dict(record)
        time.sleep(0.005)
    raise AssertionError(f"it did not become so: {requests}")

"""What arrived upstream, compared with what an SDK says it sent."""

import hashlib
from typing import Any

from tests.servers import KEY, Server, received


def values(record: dict[str, Any], name: str) -> list[str]:
    """Every value of a header in a record of the mock upstream."""
    return [value for key, value in record["headers"] if key == name]


def assert_no_key(record: dict[str, Any]) -> None:
    """The gateway key never reaches an upstream, in whatever header the caller sent it."""
    assert record["headers"]
    assert not [pair for pair in record["headers"] if KEY in pair[1]]
    assert KEY not in record["target"] + record["body"]


def assert_arrived(mock: Server, response: Any, target: str, body: bytes) -> dict[str, Any]:
    """The request behind `response` reached `target` with exactly `body`; gives its record."""
    assert response.headers["x-engine-request-id"]
    record = received(mock, response.headers["x-mock-id"])
    assert_no_key(record)
    assert record["target"] == target
    assert record["body_bytes"] == len(body)
    assert record["body_sha256"] == hashlib.sha256(body).hexdigest()
    return record

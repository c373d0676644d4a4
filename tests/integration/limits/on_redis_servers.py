"""Several processes and gateways count limits in one Redis; `make test-redis`."""

import asyncio
import os
import time
from pathlib import Path

from bench.limits import cancelled, race
from tests import loopback
from tests.e2e.server.test_limits import key_of, write
from tests.leaving import STAGES, play
from tests.ports import free_port
from tests.recorder import recording
from tests.redis_server import VARIABLE, redis
from tests.servers import Server, gateway

URL = os.environ.get(VARIABLE, "")


def test_of_six_workers_on_three_hosts_exactly_as_many_are_admitted_as_there_is_room_for() -> None:
    found = race(URL, workers=6, attempts=6000, keys=10)
    assert found.attempts == 6000
    assert found.admitted == found.allowed
    assert found.is_exact


def test_requests_of_three_hosts_that_are_given_up_at_any_moment_hold_nothing() -> None:
    found = cancelled(URL, workers=3, attempts=1500)
    assert found.is_exact


def test_callers_that_leave_at_any_stage_hold_nothing_in_the_store(tmp_path: Path) -> None:
    """Also while their admission waits for the reply."""
    found = asyncio.run(play(URL, 30 * len(STAGES), tmp_path))
    assert found.is_exact, found


def call(server: Server) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {key_of('rate')}"}
    made = loopback.post(f"{server.url}/v1/talk", json={"model": "m-1"}, headers=headers)
    return made.status_code, made.headers.get("x-ratelimit-remaining-requests", "")


def test_two_gateways_share_the_limits_of_a_key_and_go_on_alone_without_the_store(
    tmp_path: Path,
) -> None:
    (tmp_path / "server.yaml").write_text("version: 1\nlimits: {store: {env: LIMITS_URL}}\n")
    port = free_port()
    environ = {"LIMITS_URL": f"redis://127.0.0.1:{port}"}
    with recording() as upstream:
        write(tmp_path, upstream.port)
        with (
            gateway(tmp_path, tmp_path / "a.log", "--workers", "2", environ=environ) as one,
            gateway(tmp_path, tmp_path / "b.log", environ=environ) as other,
        ):
            assert loopback.get(f"{one.url}/readyz").json()["limits"] == "local"
            with redis(tmp_path, port):
                for server in (one, other):
                    wait_for(server, "ok")
                statuses = [call(server)[0] for _ in range(13) for server in (one, other)]
                assert statuses == [200] * 20 + [429] * 6
            for server in (one, other):
                wait_for(server, "local")
                assert call(server) == (200, "19")
    log = (tmp_path / "b.log").read_text()
    assert log.count("the store of limits works again") == 1


def wait_for(server: Server, status: str) -> None:
    """Wait until each worker has said so several times."""
    seen = 0
    while seen < 8:
        seen = seen + 1 if loopback.get(f"{server.url}/readyz").json()["limits"] == status else 0
        time.sleep(0.05)

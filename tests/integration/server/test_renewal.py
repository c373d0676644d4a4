"""The TLS files that workers get."""

import os
import sys
from pathlib import Path
from time import time

import pytest

from engine.plan.tls import ListenerTls
from engine.server.renewal import TlsRenewal
from engine.telemetry.families import SERVER
from engine.telemetry.memory import CounterMemory, ProcessCounters
from engine.telemetry.server_counts import ServerCounts
from engine.telemetry.totals import TotalsReader
from tests.certificates import issue

DAY = 24 * 3600.0
NOW = time()
COUNTED = "renewals_total", "refused", "certificate_expiry_timestamp_seconds"


def settle(renewal: TlsRenewal, now: float) -> bool:
    """Whether anything came of files that have changed, and then no longer."""
    return [renewal.tick(now) for _ in range(2)][1]


def test_a_certificate_that_is_not_valid_now_does_not_take_the_place_of_one_that_is(
    tmp_path: Path,
) -> None:
    tls = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    issue().write(tls.certificate, tls.key)
    renewal = TlsRenewal(tls, ServerCounts())
    before = renewal.accepted
    for days in ((-2, -1), (1, 2)):
        issue(days=days).write(tls.certificate, tls.key)
        assert settle(renewal, NOW)
        assert (renewal.count, renewal.accepted) == (0, before)
        assert renewal.refused is not None
        assert renewal.refused.reasons == ("server.yaml tls.certificate",)
    assert not renewal.tick(NOW)
    assert renewal.tick(NOW + 1.5 * DAY)  # the files are the same, and its time has come
    assert (renewal.count, renewal.refused) == (1, None)
    assert not renewal.tick(NOW + 1.6 * DAY)


def test_what_becomes_of_renewed_files_is_counted(tmp_path: Path) -> None:
    tls = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem")
    issue(days=(-3, -2)).write(tls.certificate, tls.key)  # it expired, and there is no other
    memory = CounterMemory(1)
    renewal = TlsRenewal(tls, ServerCounts(ProcessCounters(memory, 0)))
    found = []
    for issued in (None, issue(days=(-2, -1)), issue(days=(-2, 9))):
        if issued is not None:
            issued.write(tls.certificate, tls.key)
            assert settle(renewal, NOW)
        words = TotalsReader(memory).read()[-1][()]
        found.append([words[SERVER.places[f"orqen_tls_{name}"]] for name in COUNTED])
    assert [renewals for renewals, *_ in found] == [0, 0, 1]
    assert [is_refused for _, is_refused, _ in found] == [0, 1, 0]
    assert [round((end - NOW) / DAY) for *_, end in found] == [-2, -2, 9]


@pytest.mark.skipif(sys.platform != "linux", reason="the files are held in memory on Linux alone")
def test_what_was_accepted_stays_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    issued, trusted = issue(), issue(2)
    tls = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    issued.write(tls.certificate, tls.key)
    (tmp_path / "ca.pem").write_bytes(trusted.certificate)
    renewal = TlsRenewal(tls, ServerCounts())
    for path in tls.files():
        path.write_bytes(b"a part")
    assert settle(renewal, NOW)
    assert renewal.accepted is not None
    held = [path.resolve().read_bytes() for path in renewal.accepted.files()]
    assert (held, renewal.count) == ([issued.certificate, issued.key, trusted.certificate], 0)
    before = held_files()
    (tmp_path / "ca.pem").write_bytes(trusted.certificate)
    for number in (3, 4):
        issue(number).write(tls.certificate, tls.key)
        assert settle(renewal, NOW)
    assert (renewal.count, held_files()) == (2, before), "those of before are given back"


def held_files() -> int:
    """How many files in memory this process has open."""
    return sum(
        "memfd:" in os.readlink(link)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink()
    )

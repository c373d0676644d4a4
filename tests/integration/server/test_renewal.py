"""The TLS files that workers get."""

import sys
from pathlib import Path

import pytest

from engine.plan.tls import ListenerTls
from engine.server.renewal import TlsRenewal
from tests.certificates import issue


@pytest.mark.skipif(sys.platform != "linux", reason="the files are held in memory on Linux alone")
def test_what_was_accepted_stays_whatever_becomes_of_the_files(tmp_path: Path) -> None:
    issued, trusted = issue(), issue(2)
    tls = ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")
    issued.write(tls.certificate, tls.key)
    (tmp_path / "ca.pem").write_bytes(trusted.certificate)
    renewal = TlsRenewal(tls)
    for path in tls.files():
        path.write_bytes(b"a part")
    for _ in range(2):  # changed, and then no longer
        renewal.tick()
    assert renewal.accepted is not None
    held = [path.resolve().read_bytes() for path in renewal.accepted.files()]
    assert (held, renewal.count) == ([issued.certificate, issued.key, trusted.certificate], 0)

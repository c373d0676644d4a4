"""The unit of systemd that is shipped: what it starts exists, and it may do little."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.processes import run_engine
from tests.servers import ROOT

UNIT = ROOT / "deploy/systemd/orqen.service"


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


def test_its_command_has_known_options_and_it_waits_longer_than_a_drain() -> None:
    usage = run_engine("serve", "--help").stdout
    options = re.findall(r"--[a-z-]+", values("ExecStart")[0])
    assert options
    assert [option for option in options if option not in usage] == []
    delays = [float(found) for found in re.findall(r"drain-[\s\S]+?default: ([\d.]+)", usage)]
    assert len(delays) == 2
    assert (values("DynamicUser"), values("User"), values("KillMode")) == (["yes"], [], ["mixed"])
    assert float(values("TimeoutStopSec")[0]) > sum(delays)


@pytest.mark.needs("systemd-analyze")
def test_systemd_accepts_it_and_finds_it_well_protected(tmp_path: Path) -> None:
    program = tmp_path / "orqen.service"
    program.write_text(UNIT.read_text("utf-8").replace("/opt/orqen/bin/engine", "/bin/true"))
    checked = subprocess.run(
        ("systemd-analyze", "verify", program), capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    rated = subprocess.run(
        ("systemd-analyze", "security", "--offline=true", UNIT),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert float(re.findall(r"exposure level for \S+: ([\d.]+)", rated.stdout)[0]) < 2

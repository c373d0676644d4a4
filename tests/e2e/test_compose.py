"""The compose file, as far as it can be read without Docker; `make test-compose` starts what it starts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from engine import __version__
from engine.config.load import load
from tests.processes import run_engine
from tests.servers import ROOT

FOLDER = ROOT / "deploy/compose"
FILE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
GATEWAY = FILE["services"]["gateway"]


def prepared(folder: Path) -> Path:
    """A copy of the configuration with the secrets that the script writes, which it names here."""
    (folder / "make_secrets.py").write_bytes((FOLDER / "make_secrets.py").read_bytes())
    subprocess.run((sys.executable, folder / "make_secrets.py"), check=True)
    config = folder / "config"
    config.mkdir(exist_ok=True)
    for path in (FOLDER / "config").iterdir():
        text = path.read_text("utf-8")
        (config / path.name).write_text(text.replace("/run/secrets", str(folder / "secrets")))
    return config


def test_its_configuration_has_no_finding(tmp_path: Path) -> None:
    loaded = load(prepared(tmp_path), {"OPENAI_API_KEY": "a-key"}, 0)
    assert loaded.diagnostics == ()


def test_each_secret_is_written_once_and_read_where_it_is_given(tmp_path: Path) -> None:
    prepared(tmp_path)
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name: f"secrets/{name}" for name in first} == {
        name: secret["file"] for name, secret in FILE["secrets"].items()
    }
    prepared(tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    postgres = FILE["services"]["postgres"]
    user, name = (postgres["environment"][f"POSTGRES_{what}"] for what in ("USER", "DB"))
    password = first["postgres-password"]
    assert first["database-url"] == f"postgresql://{user}:{password}@postgres/{name}"
    assert not re.search(r"password|secret|key", os.linesep.join(map(str, postgres["volumes"])))
    server = (FOLDER / "config/server.yaml").read_text("utf-8")
    assert sorted(re.findall(r"/run/secrets/([\w-]+)", server)) == sorted(GATEWAY["secrets"])


def test_the_gateway_is_started_as_its_image_expects_and_may_do_little() -> None:
    usage = run_engine("serve", "--help").stdout
    assert [word for word in GATEWAY["command"] if word[:2] == "--" and word not in usage] == []
    assert GATEWAY["image"] == f"orqen:{__version__}"
    assert (ROOT / "deploy" / "compose" / GATEWAY["build"]["context"]).resolve() == ROOT
    assert (ROOT / GATEWAY["build"]["dockerfile"]).is_file()
    delays = [float(found) for found in re.findall(r"drain-[\s\S]+?default: ([\d.]+)", usage)]
    assert float(GATEWAY["stop_grace_period"].removesuffix("s")) > sum(delays)
    assert GATEWAY["read_only"] is True
    assert GATEWAY["cap_drop"] == ["ALL"]
    assert all(mount.endswith(":ro") for mount in GATEWAY["volumes"])


def test_the_stores_are_reached_from_inside_alone() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    for name, service in FILE["services"].items():
        assert (service["networks"] == ["inside"] and "ports" not in service) == (name != "gateway")
    assert all(port.startswith("127.0.0.1:") for port in GATEWAY["ports"])
    assert GATEWAY["depends_on"].keys() == FILE["services"].keys() - {"gateway"}

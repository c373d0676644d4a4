"""The wheel that `make wheel` has built, installed and served as the README says."""

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

from engine.server.ports import wait_until_ready
from tests.e2e.docs.examples import examples
from tests.ports import free_port
from tests.servers import ROOT, WAIT

# `python3 -m venv` and `pip` as the README calls them, without an index and without a second pip.
OFFLINE = """
python3() {
    "$PYTHON" "$@" --without-pip
    for site in env/lib/python*/site-packages; do echo "$LIBRARIES" > "$site/dependencies.pth"; done
}
pip() { "$PYTHON" -m pip --python env/bin/python "$@" --quiet --no-deps --no-index --no-compile; }
"""


def test_it_serves_as_the_readme_says(tmp_path: Path) -> None:
    """The commands of the README after `make wheel`; the dependencies are those of this run."""
    (example,) = [e for e in examples(ROOT / "README.md") if e.mark == "wheel"]
    build, *commands, serve = example.text.splitlines()
    assert build == "make wheel"
    assert any("-m venv " in command for command in commands)  # PEP 668: others are refused
    (tmp_path / "dist").symlink_to(ROOT / "dist")
    env = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "LIBRARIES": sysconfig.get_path("purelib"),
    }
    script = "\n".join([OFFLINE, *commands])
    subprocess.run(["sh", "-euc", script], check=True, cwd=tmp_path, env=env)
    env["PATH"] = f"{tmp_path / 'env/bin'}:{env['PATH']}"
    port = free_port()
    with subprocess.Popen(
        [*serve.split(), "--port", str(port)], cwd=tmp_path, env=env, stdout=subprocess.PIPE
    ) as process:
        assert wait_until_ready(process, port, "/readyz")
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT) == 0

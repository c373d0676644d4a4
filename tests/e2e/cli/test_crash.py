"""A reader of the output that leaves."""

import os
import subprocess
import sys
from subprocess import PIPE

from tests.servers import ROOT


def test_a_reader_that_leaves_is_no_bug() -> None:
    command = [sys.executable, "-m", "engine", "explain", "--list", "--format", "json"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as out:
        done = subprocess.run(command, stdout=out, stderr=PIPE, cwd=ROOT, env={}, check=False)
    assert done.stderr == b""

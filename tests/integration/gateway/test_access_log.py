"""The records of a process that ends."""

import json
import subprocess
import sys
import time
from subprocess import PIPE

from tests.servers import ROOT


def test_the_last_records_are_out_before_the_process_ends() -> None:
    """More than a pipe takes at once, to a reader who comes late: the thread that writes is waited for."""
    program = (
        "import asyncio, os, sys\n"
        "from engine.gateway.access_log import AccessLog\n"
        "from engine.gateway.record import Record\n"
        "async def main():\n"
        "    log = AccessLog(sys.stderr)\n"
        "    log.write([Record(request_id=f'req_{number}') for number in range(800)])\n"
        "    print('closing', flush=True)\n"
        "    log.close()\n"
        "    os._exit(0)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=PIPE, stderr=PIPE) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"closing\n"
        time.sleep(0.2)
        lines = process.stderr.read().splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == [f"req_{n}" for n in range(800)]

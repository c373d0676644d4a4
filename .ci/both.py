"""The two commands of the README, as a machine sees them that has never run them.

`make serve` has to answer a call, in the words it prints, and to end well; then `make test` runs.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

WAIT = 1500  # for .venv and all that is installed into it
CALL = b'{"model": "text-embedding-3-small", "input": "hello"}'


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def served() -> None:
    """Start the server, call it with the key that it prints, and stop it."""
    port = free_port()
    command = ["make", "serve", f"PORT={port}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as make:
        try:
            call(port, printed_key(make))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(make.pid, signal.SIGTERM)
            end = make.wait(60)
    assert end in (0, -signal.SIGTERM), f"make serve ended with {end}"
    print("make serve: answered a call")


def printed_key(make: "subprocess.Popen[str]") -> str:
    """The key in the output of the server, once it is ready."""
    assert make.stdout
    end = time.monotonic() + WAIT
    seen = ""
    for line in make.stdout:
        print(line, end="")
        seen += line
        if key := re.search(r"sk-orq-\w+", seen):
            return key[0]
        assert time.monotonic() < end, "make serve took too long"
    raise AssertionError("make serve ended before it printed a key")


def call(port: int, key: str) -> None:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{port}/v1/embeddings"
    with urllib.request.urlopen(urllib.request.Request(url, CALL, headers), timeout=60) as answer:
        assert b'"embedding"' in answer.read()


served()
sys.stdout.flush()
os.execvp("make", ["make", "test", *sys.argv[1:]])

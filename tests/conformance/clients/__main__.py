"""Runs every case: real clients against the gateway. Prints a table; exits with 1 on a failure.

    python -m tests.conformance.clients FOLDER [WORD ...]

FOLDER keeps what is installed. With WORDs, only cases whose file or client has one of them.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from engine.config.new_key import digest
from tests.conformance.clients.case import CASES, Case, CaseError, read_case
from tests.conformance.clients.runtimes import RUNTIMES, Runtime, environment
from tests.conformance.clients.upstream import playing
from tests.servers import KEY, gateway, mock_upstream, ship, write_keys

# Further keys by the variables in which scripts find them.
KEYS = {
    "NARROW_KEY": (KEY[:-4] + "f00d", "models: [claude-*]"),
    "RATE_KEY": (KEY[:-4] + "1111", "limits: {requests: 1/s, tokens: 100k/h}"),
    "BUDGET_KEY": (KEY[:-4] + "2222", "limits: {budgets: [{tokens: 1, per: month}]}"),
}
SAID = 1500  # characters of what a failed script printed


def main() -> int:
    """Run the cases that were asked for, two at a time."""
    root, *words = Path(sys.argv[1]).resolve(), *sys.argv[2:]
    cases = [case for case in read_cases() if not words or _is_asked(case, words)]
    failed = skipped = 0
    folders, lacking = prepare(root, {case.path.suffix for case in cases})
    with ThreadPoolExecutor(2) as pool:
        started = [(case, pool.submit(run, case, folders.get(case.path.suffix))) for case in cases]
        for case, running in started:
            if reason := lacking.get(case.path.suffix):
                skipped += 1
                print(f"skipped  {case.client:24} {case.what}: {reason}")
                continue
            seconds, faults = running.result()
            failed += bool(faults)
            word = "FAILED " if faults else "ok     "
            print(f"{word}  {case.client:24} {case.what}  [{case.name}, {seconds:.1f} s]")
            print("".join(f"         {line}\n" for fault in faults for line in fault.splitlines()), end="", flush=True)  # fmt: skip
    print(f"{len(cases) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not cases else 0


def read_cases() -> list[Case]:
    """Every case, by client."""
    paths = [path for path in sorted(CASES.iterdir()) if path.suffix in RUNTIMES]
    return sorted(map(read_case, paths), key=lambda case: (case.client, case.name))


def prepare(root: Path, suffixes: set[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The folder for each kind of script, or why it cannot run here."""
    runtimes = {RUNTIMES[suffix].name: RUNTIMES[suffix] for suffix in suffixes}
    with ThreadPoolExecutor() as pool:
        results = pool.map(partial(_prepared, root), runtimes.values())
        prepared = dict(zip(runtimes, results, strict=True))
    found = {suffix: prepared[RUNTIMES[suffix].name] for suffix in suffixes}
    folders = {suffix: one for suffix, one in found.items() if isinstance(one, Path)}
    return folders, {suffix: one for suffix, one in found.items() if isinstance(one, str)}


def _prepared(root: Path, runtime: Runtime) -> Path | str:
    """Its folder, or what is missing. A registry may be slow, or away for a moment."""
    if tool := runtime.lacks():
        return f"this machine has no {tool}"
    for pause in (5, 20, 0):
        try:
            return runtime.prepare(root)
        except subprocess.SubprocessError as error:
            print(f"{runtime.name}: {error}", flush=True)
            time.sleep(pause)
    return f"the packages for {runtime.name} could not be downloaded"


def run(case: Case, folder: Path | None) -> tuple[float, list[str]]:
    """One case with a gateway of its own: how long it took and what was wrong."""
    if folder is None:
        return 0.0, []
    try:
        return _run(case, folder)
    except AssertionError as error:  # a server that did not start or end
        return 0.0, [str(error)[-SAID:]]


def _run(case: Case, folder: Path) -> tuple[float, list[str]]:
    with ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp())
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        port = stack.enter_context(upstream(case, scratch))
        options = ("--mock-port", str(port), *case.options)
        log = scratch / "log"
        ship(scratch)
        write_keys(
            scratch, *(f"{{name: {n}, sha256: {digest(k)}, {w}}}" for n, (k, w) in KEYS.items())
        )
        with gateway(scratch, log, *options) as server:
            start = time.monotonic()
            printed = _script(case, folder, scratch, server.url, log)
            seconds = time.monotonic() - start
            ended = server.process.poll()
        faults = list(case.faults(printed, len(server.records)))  # all are written by now
        if ended is not None:
            faults.append(f"the gateway ended with {ended} meanwhile: {server.text[-SAID:]}")
        return seconds, [*faults, *([printed[-SAID:]] if faults else [])]


@contextmanager
def upstream(case: Case, scratch: Path) -> Iterator[int]:
    """What stands in for every provider; its port."""
    kind, _, name = case.upstream.partition(" ")
    if kind == "raw":
        with playing(CASES / name) as port:
            yield port
    elif kind == "mock":
        fault = ("--fault", name) if name else ()
        with mock_upstream(scratch / "mock.log", *fault) as server:
            yield server.port
    else:
        raise CaseError(f"{case.name}: there is no upstream `{kind}`")


def _script(case: Case, folder: Path, scratch: Path, base: str, log: Path) -> str:
    """What the script printed; how it ended is a line of that."""
    home = scratch / "home"
    home.mkdir()
    words = RUNTIMES[case.path.suffix].words(folder, case.path)
    keys = {name: key for name, (key, _) in KEYS.items()}
    env = {**environment(folder, home, base, KEY, log), **keys}
    where = folder if case.path.suffix in (".go", ".java") else home
    with (home / "printed").open("w+b") as out:
        process = subprocess.Popen(words, cwd=where, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # fmt: skip
        try:
            code = process.wait(case.seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        out.seek(0)
        printed = out.read().decode(errors="replace")
    return printed + (f"\nexit {code}" if code is not None else f"\nkilled after {case.seconds} s")


def _is_asked(case: Case, words: list[str]) -> bool:
    return any(word.lower() in f"{case.name} {case.client}".lower() for word in words)


if __name__ == "__main__":
    sys.exit(main())

"""The targets of `tests.fuzz`, led by which code each input reaches (atheris, libFuzzer).

    make guided                   each target for 20 seconds
    make guided SECONDS=600

A seed would be blind here: every choice that a target makes is read from the fuzzer's bytes.
"""

import asyncio
import random
import subprocess
import sys
from typing import Any


class Fed(random.Random):
    """Chance that reads its bits from the fuzzer's data, and zeros once that has ended."""

    def __init__(self, data: Any) -> None:
        super().__init__(0)
        self._data = data

    def getrandbits(self, k: int, /) -> int:
        """The next `k` bits."""
        drawn: bytes = self._data.ConsumeBytes((k + 7) // 8)
        return int.from_bytes(drawn) & ((1 << k) - 1)

    def random(self) -> float:
        """The next number below 1."""
        return float(self.getrandbits(53)) / (1 << 53)


def lead(name: str, seconds: int) -> None:
    """Fuzz one target; the process ends with what libFuzzer says."""
    import atheris  # type: ignore[import-untyped] # noqa: PLC0415 only `make guided` installs it

    with atheris.instrument_imports(include=["engine"]):
        from tests.fuzz import TARGETS  # noqa: PLC0415 what is imported here is instrumented

    target = TARGETS[name][0]

    async def case(data: bytes) -> None:
        await target(Fed(atheris.FuzzedDataProvider(data)))

    with asyncio.Runner() as runner:
        options = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=512", "-verbosity=0", "-print_final_stats=1"]  # fmt: skip
        atheris.Setup(options, lambda data: runner.run(case(data)))
        atheris.Fuzz()


def main(seconds: int) -> int:
    """Each target in a process of its own; 0 when none broke."""
    from tests.fuzz import TARGETS  # noqa: PLC0415 as above, and here it is not

    broken = []
    for name in TARGETS:
        done = subprocess.run(
            [sys.executable, "-m", "tests.guided", str(seconds), name], capture_output=True, text=True, check=False
        )  # fmt: skip
        counts = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        sys.stdout.write(f"{name:<14} {counts[0].split()[-1] if counts else '?':>9} cases\n")
        if done.returncode:
            broken.append(name)
            sys.stdout.write(done.stdout[-2000:] + done.stderr[-2000:] + "\n")
    sys.stdout.write(f"broke: {', '.join(broken)}\n" if broken else "nothing broke\n")
    return 1 if broken else 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        lead(sys.argv[2], int(sys.argv[1]))
    else:
        sys.exit(main(int(sys.argv[1])))

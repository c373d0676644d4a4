r"""A case: a script of one client, with what it wants of the gateway in the comments at its top.

# client: openai for Python
# what: a forced tool comes back with arguments that fit its schema
# wants: ^get_weather \{"city": "\w+"
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CASES = Path(__file__).parent / "cases"
_LINE = re.compile(r"(?:#|//) (\w+): (.*)")


class CaseError(Exception):
    """A case whose comments cannot be read; the text says which and why."""


@dataclass(frozen=True)
class Case:
    """`wants` and `never` are patterns for a line of what the script prints.

    `upstream` is `mock`, `mock FAULT` or `raw FILE`; `options` go to `engine serve`. `requests` is
    how many requests the gateway may see at most.
    """

    path: Path
    client: str
    what: str
    wants: tuple[str, ...]
    never: tuple[str, ...] = ()
    upstream: str = "mock"
    options: tuple[str, ...] = ()
    requests: int | None = None
    seconds: float = 90.0

    @property
    def name(self) -> str:
        return self.path.name

    def faults(self, printed: str, seen: int) -> Iterator[str]:
        """What is not as it should be when the script has printed this."""
        for pattern in self.wants:
            if not re.search(pattern, printed, re.MULTILINE):
                yield f"wants {pattern}"
        for pattern in self.never:
            if found := re.search(pattern, printed, re.MULTILINE):
                yield f"must not print {found[0]!r}"
        if self.requests is not None and seen > self.requests:
            yield f"{seen} requests, and {self.requests} are enough"


def read_case(path: Path) -> Case:
    """The case that `path` is.

    Raises:
        CaseError: a key is unknown, or one that every case has is missing.
    """
    found: dict[str, list[str]] = {}
    for line in _top(path.read_text("utf-8")):
        if match := _LINE.fullmatch(line):
            found.setdefault(match[1], []).append(match[2].strip())
    unknown = found.keys() - Case.__dataclass_fields__.keys() - {"path"}
    missing = {"client", "what", "wants"} - found.keys()
    if unknown or missing:
        raise CaseError(f"{path.name}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    one = {name: values[-1] for name, values in found.items()}
    return Case(
        path=path,
        client=one["client"],
        what=one["what"],
        wants=tuple(found["wants"]),
        never=tuple(found.get("never", ())),
        upstream=one.get("upstream", Case.upstream),
        options=tuple(one.get("options", "").split()),
        requests=int(one["requests"]) if "requests" in one else None,
        seconds=float(one.get("seconds", Case.seconds)),
    )


def _top(text: str) -> Iterator[str]:
    """The comments before the first line of code."""
    for line in text.splitlines():
        if not line.startswith(("#", "//")):
            return
        yield line

"""The files of `make clients` can be read, and a case that is not met fails."""

from pathlib import Path

import pytest

from tests.conformance.clients.__main__ import read_cases
from tests.conformance.clients.case import CASES, CaseError, read_case
from tests.conformance.clients.upstream import parse_answer

RAW = b"""HTTP/1.1 200 OK
content-type: text/event-stream

data: 1

---- 0.5
data: {"a"
---- cut
"""


def case(folder: Path, *lines: str) -> Path:
    path = folder / "a.py"
    path.write_text("\n".join((*lines, "", "# what: not in the comments at the top")))
    return path


def test_every_case_can_be_read() -> None:
    assert read_cases() != []
    for name in (c.upstream.removeprefix("raw ") for c in read_cases() if c.upstream != "mock"):
        assert name.startswith("mock ") or parse_answer((CASES / name).read_bytes())


def test_a_case_says_what_is_wrong(tmp_path: Path) -> None:
    found = read_case(
        case(
            tmp_path,
            "# client: c",
            "# what: w",
            "# wants: ^a$",
            "# wants: b",
            "# never: c+",
            "# requests: 1",
        )
    )
    assert list(found.faults("a\nxb", 1)) == []
    assert list(found.faults("ab\ncc", 2)) == [
        "wants ^a$",
        "must not print 'cc'",
        "2 requests, and 1 are enough",
    ]


@pytest.mark.parametrize("line", ["# wants: a", "# wish: a\n# client: c\n# wants: a\n# what: w"])
def test_a_case_without_what_it_needs_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(CaseError, match=r"a\.py: unknown"):
        read_case(case(tmp_path, line))


def test_an_answer_is_played_byte_for_byte() -> None:
    head, chunks = parse_answer(RAW)
    assert head.endswith(b"event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    assert chunks == [(b"data: 1\n", "0.5"), (b'data: {"a"', "cut")]
    with pytest.raises(ValueError, match="the last line must be"):
        parse_answer(RAW + b"data: 2\n")

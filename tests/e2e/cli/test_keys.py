"""`engine status` where nothing answers."""

from pathlib import Path

import pytest

from tests.unit.cli.running import engine
from tests.unit.config.folders import write


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:1", "no gateway responds at 127.0.0.1:1: Connection refused"),
        ("http://127.0.0.1:1", "no gateway responds at http://127.0.0.1:1: Connection refused"),
        ("ftp://127.0.0.1", "must be an address such as"),
        ("http://127.0.0.1:70000", "must be an address such as"),
        ("http://", "must be an address such as"),
    ],
)
def test_status_tells_why_nothing_answers(url: str, words: str, tmp_path: Path) -> None:
    result = engine("status", write(tmp_path), "--url", url)
    assert result.exit_code == 2
    assert words in result.stderr

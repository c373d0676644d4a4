"""A table of cases as one test runs every case, and says which ones failed."""

from pathlib import Path

import pytest

from tests.tables import each


def failure(*numbers: int) -> Exception:
    @each("number", numbers)
    def test(number: int) -> None:
        assert number < 2

    with pytest.raises(Exception, match=r"assert|cases") as failed:
        test()
    return failed.value


def test_every_case_is_run_in_a_folder_of_its_own(tmp_path: Path) -> None:
    seen = []

    @each(("number", "word"), [(1, "a"), (2, "b")])
    @each("other", (10, 20))
    def test(number: int, word: str, other: int, tmp_path: Path) -> None:
        (tmp_path / "file").touch(exist_ok=False)
        seen.append((number + other, word))

    test(tmp_path=tmp_path)
    assert seen == [(11, "a"), (21, "a"), (12, "b"), (22, "b")]


def test_a_failure_says_which_case_it_was() -> None:
    assert failure(1, 5).__notes__ == ["case 1: {'number': 5}"]


def test_no_failure_hides_another() -> None:
    failures = failure(5, 1, 7)
    assert isinstance(failures, ExceptionGroup)
    assert [e.__notes__[0] for e in failures.exceptions] == ["case 0: {'number': 5}", "case 2: {'number': 7}"]  # fmt: skip


def test_a_table_has_cases_and_they_are_arguments() -> None:
    with pytest.raises(AssertionError, match="without cases"):
        each("number", [])
    with pytest.raises(AssertionError, match="absent"):
        each("absent", [1])(lambda: None)

"""Tests over a table of cases: one test for pytest, which costs more than a small case does."""

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Test = Callable[..., None]


def each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Like `pytest.mark.parametrize`, but as one test that runs every case and names those that fail.

    The cases share the fixtures of the test, apart from `tmp_path`, of which each has a folder.
    """
    arguments = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
    table = [dict(zip(arguments, case if len(arguments) > 1 else (case,), strict=True)) for case in cases]  # fmt: skip
    assert table, "a test without cases proves nothing"

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def run(**fixtures: Any) -> None:
            failures = list(_failures(test, table, fixtures))
            if failures:
                raise failures[0] if len(failures) == 1 else ExceptionGroup("cases", failures)

        # Of which pytest makes the fixtures.
        run.__signature__ = _without(test, arguments)  # type: ignore[attr-defined]
        return run

    return decorate


def _failures(
    test: Test, table: list[dict[str, Any]], fixtures: dict[str, Any]
) -> Iterator[Exception]:
    for number, case in enumerate(table):
        given = dict(fixtures)
        if isinstance(folder := given.get("tmp_path"), Path):
            given["tmp_path"] = folder / str(number)
            given["tmp_path"].mkdir()
        try:
            test(**given, **case)
        except Exception as error:  # noqa: BLE001 the other cases are run as well
            error.add_note(f"case {number}: {case!r:.500}")
            yield error


def _without(test: Test, arguments: list[str]) -> inspect.Signature:
    signature = inspect.signature(test)
    left = [p for name, p in signature.parameters.items() if name not in arguments]
    assert len(left) + len(arguments) == len(signature.parameters), f"{arguments} of {test}"
    return signature.replace(parameters=left)

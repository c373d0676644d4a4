"""What makes these tests unit tests: no process, no connection, no port and no name to resolve."""

from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

import pytest

from engine.config import load
from engine.config.checks import secrets
from engine.report import excerpt
from tests.imported import nothing_asked


# A hook, since a fixture of thousands of tests takes seconds.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    del item
    with nothing_asked("in a unit test"):
        return (yield)


def remember_more(module: ModuleType, name: str) -> None:
    """Let a cache of parsed files hold more than the eight that a folder needs.

    Else tests of small files push out the shipped ones, and to read those again takes a tenth of a second.
    """
    setattr(module, name, lru_cache(maxsize=512)(getattr(module, name).__wrapped__))


remember_more(load, "parse_file")
remember_more(load, "validate_file")
remember_more(secrets, "secret_paths")
remember_more(excerpt, "secret_paths")

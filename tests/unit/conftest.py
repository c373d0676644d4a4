"""What makes these tests unit tests: no process, no connection, no port and no name to resolve."""

from collections.abc import Iterator

import pytest

from tests.imported import nothing_asked


# A hook, since a fixture of thousands of tests takes seconds.
@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    del item
    with nothing_asked("in a unit test"):
        return (yield)

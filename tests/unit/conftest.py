"""What makes these tests unit tests: no process, no connection, no port and no name to resolve."""

from collections.abc import Iterator

import pytest

from tests.imported import nothing_asked


@pytest.fixture(autouse=True)
def needs_nothing_of_the_machine() -> Iterator[None]:
    with nothing_asked("in a unit test"):
        yield

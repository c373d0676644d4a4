"""The shipped configuration, whose providers the pages show."""

import pytest

from engine.config.load import Loaded, load
from tests.servers import ROOT


@pytest.fixture(scope="session")
def shipped_configuration() -> Loaded:
    return load(ROOT, {}, 0)

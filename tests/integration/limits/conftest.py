"""The shipped configuration in front of the mock, loaded once."""

import pytest

from engine.plan.plan import Plan
from tests.integration.limits.stand import shipped
from tests.servers import Server


@pytest.fixture(scope="session")
def plan(mock: Server) -> Plan:
    return shipped(mock.port)

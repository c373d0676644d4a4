"""The store of the tests in process."""

from tests.integration.admin.in_process.conftest import furnished, shipped_configuration

__all__ = ["furnished", "shipped_configuration"]

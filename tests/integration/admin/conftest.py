"""The store of the tests in process."""

from tests.unit.admin.conftest import furnished, shipped_configuration

__all__ = ["furnished", "shipped_configuration"]

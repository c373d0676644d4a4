"""The store of the tests in process."""

from tests.unit.accounts.conftest import database, quick_passwords, upgraded, url, vault

__all__ = ["database", "quick_passwords", "upgraded", "url", "vault"]

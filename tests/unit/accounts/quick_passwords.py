"""Argon2id with its least parameters, since with those of today each password takes a tenth of a second."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from engine.accounts import passwords

OF_TODAY = passwords._HASHER
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    _use(QUICK)
    yield
    _use(OF_TODAY)


def _use(hasher: PasswordHasher) -> None:
    passwords._HASHER = hasher
    passwords._dummy.cache_clear()

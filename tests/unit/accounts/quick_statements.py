"""Statements compiled once for all databases of SQLite, of which each test has one.

SQLAlchemy keeps what it has compiled with an engine, so most of a test of the store was to compile.
"""

from typing import Any

from sqlalchemy import Engine, create_engine

from engine.accounts import database

_FIRST = create_engine("sqlite://")
with _FIRST.connect():  # which tells the dialect its version
    pass
_FIRST.dispose()


def _create_engine(url: Any, **options: Any) -> Engine:
    made = create_engine(url, **options)
    if made.dialect.name == _FIRST.dialect.name:
        made.dialect, made._compiled_cache = _FIRST.dialect, _FIRST._compiled_cache
    return made


database.create_engine = _create_engine  # type: ignore[attr-defined]

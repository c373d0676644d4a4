"""The sums of usage by the day, filled from those by the hour."""

from alembic import op
from sqlalchemy import BigInteger, Column, String, text

revision, down_revision = "0002", "0001"

_LATENCIES = tuple(f"latency_{number}" for number in range(12))
_COUNTS = ("requests", "errors", "input_tokens", "output_tokens", "ms_total", *_LATENCIES)
_UNKNOWN = frozenset({"input_tokens", "output_tokens"})
_LABELS = {"all": "''", "key": "key_id", "model": "model", "provider": "provider"}


def upgrade() -> None:
    op.create_table(
        "usage_daily",
        Column("account_id", String(36), primary_key=True),
        Column("dimension", String(8), primary_key=True),
        Column("label", String(200), primary_key=True),
        Column("day", BigInteger, primary_key=True, autoincrement=False),
        *(Column(name, BigInteger, nullable=name in _UNKNOWN) for name in _COUNTS),
        sqlite_with_rowid=False,
    )
    sums = ", ".join(f"SUM({name})" for name in _COUNTS)
    for dimension, label in _LABELS.items():
        op.execute(
            text(
                f"INSERT INTO usage_daily SELECT account_id, '{dimension}', {label}, "  # noqa: S608 no value of anybody
                f"hour - hour % 86400, {sums} FROM usage_hourly GROUP BY 1, 3, 4"
            )
        )

"""What requests cost, by the version of the prices, and how many of them have no known cost."""

from alembic import op
from sqlalchemy import BigInteger, Column, String, text

revision, down_revision = "0004", "0003"

_KEY = ("account_id", "hour", "key_id", "model", "provider")
_LENGTHS = {"account_id": 36, "key_id": 36, "model": 200, "provider": 100}
_LATENCIES = tuple(f"latency_{number}" for number in range(12))
_COUNTS = ("requests", "errors", "input_tokens", "output_tokens", "ms_total", *_LATENCIES)
_UNKNOWN = frozenset({"input_tokens", "output_tokens"})


def upgrade() -> None:
    """A column of the key is added by a new table: SQLite cannot change the key of one that is there."""
    op.create_table(
        "usage_hourly_priced",
        *(
            Column(name, String(_LENGTHS[name]) if name in _LENGTHS else BigInteger, primary_key=True, autoincrement=False)
            for name in _KEY
        ),
        Column("price_version", String(40), primary_key=True),
        *(Column(name, BigInteger, nullable=name in _UNKNOWN) for name in _COUNTS),
        Column("cost_nano_usd", BigInteger),
        Column("unpriced", BigInteger, nullable=False),
    )  # fmt: skip
    names = ", ".join((*_KEY, *_COUNTS))
    op.execute(
        text(
            f"INSERT INTO usage_hourly_priced ({names}, price_version, unpriced) "  # noqa: S608 no value of anybody
            f"SELECT {names}, '', 0 FROM usage_hourly"
        )
    )
    op.drop_table("usage_hourly")
    op.rename_table("usage_hourly_priced", "usage_hourly")
    op.add_column("usage_daily", Column("cost_nano_usd", BigInteger))
    op.add_column("usage_daily", Column("unpriced", BigInteger, nullable=False, server_default="0"))

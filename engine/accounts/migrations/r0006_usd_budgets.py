"""What gateway keys and accounts may cost in a month, in billionths of a US dollar."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    for table in ("gateway_keys", "accounts"):
        op.add_column(table, Column("monthly_nano_usd_budget", BigInteger))

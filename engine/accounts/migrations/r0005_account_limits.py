"""What accounts may use, all of their keys together."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    for name in ("rate_limit_rpm", "daily_token_budget", "weekly_token_budget"):
        op.add_column("accounts", Column(name, BigInteger))

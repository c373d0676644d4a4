"""What gateway keys may use: requests in a minute, tokens in a day and in a week."""

from alembic import op
from sqlalchemy import BigInteger, Column

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    for name in ("rate_limit_rpm", "daily_token_budget", "weekly_token_budget"):
        op.add_column("gateway_keys", Column(name, BigInteger))

"""The tables of the store. Ids are UUIDs as text, times are seconds since 1970, lists are JSON as text.

`migrations/` creates and changes them; a test compares both.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

LATENCY_BOUNDS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000, 120_000)  # ms
LATENCY_COLUMNS = tuple(f"latency_{n}" for n in range(len(LATENCY_BOUNDS) + 1))

metadata = MetaData()
_ID = String(36)

accounts = Table(
    "accounts",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("rate_limit_rpm", BigInteger),
    Column("daily_token_budget", BigInteger),
    Column("weekly_token_budget", BigInteger),
    Column("monthly_nano_usd_budget", BigInteger),
)

gateway_keys = Table(
    "gateway_keys",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("account_id", _ID, ForeignKey("accounts.id"), nullable=False),
    Column("name", String(100), nullable=False),
    Column("digest", LargeBinary(32), nullable=False, unique=True),
    Column("preview", String(4), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("endpoints", Text),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    Column("replaced_by", _ID),
    Column("rate_limit_rpm", BigInteger),
    Column("daily_token_budget", BigInteger),
    Column("weekly_token_budget", BigInteger),
    Column("monthly_nano_usd_budget", BigInteger),
    Index("gateway_keys_of_account", "account_id", "id"),
)

provider_keys = Table(
    "provider_keys",
    metadata,
    Column("account_id", _ID, ForeignKey("accounts.id"), primary_key=True),
    Column("provider", String(100), primary_key=True),
    Column("field", String(100), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("vault_key_id", String(16), nullable=False, index=True),
    Column("wrap_nonce", LargeBinary(12), nullable=False),
    Column("wrapped_key", LargeBinary(48), nullable=False),
    Column("nonce", LargeBinary(12), nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("preview", String(4), nullable=False),
    Column("fingerprint", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)

people = Table(
    "people",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("email", String(254), unique=True),
    Column("password_hash", Text),
    Column("is_operator", Boolean, nullable=False),
    Column("is_disabled", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("signed_in_at", BigInteger),
)

identities = Table(
    "identities",
    metadata,
    Column("issuer", String(500), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("person_id", _ID, ForeignKey("people.id"), nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
)

members = Table(
    "members",
    metadata,
    Column("account_id", _ID, ForeignKey("accounts.id"), primary_key=True),
    Column("person_id", _ID, ForeignKey("people.id"), primary_key=True, index=True),
    Column("role", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

invites = Table(
    "invites",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("account_id", _ID, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("email", String(254), nullable=False),
    Column("role", String(10), nullable=False),
    Column("token_digest", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("token_digest", LargeBinary(32), primary_key=True),
    Column("person_id", _ID, ForeignKey("people.id"), nullable=False, index=True),
    Column("expires_at", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("token_digest", LargeBinary(32), nullable=False, unique=True),
    Column("person_id", _ID, ForeignKey("people.id"), nullable=False, index=True),
    Column("account_id", _ID),
    Column("user_agent", String(200), nullable=False),
    Column("address", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("account_id", _ID),
    Column("actor_kind", String(10), nullable=False),
    Column("actor_id", _ID),
    Column("actor_name", String(100), nullable=False),
    Column("action", String(50), nullable=False),
    Column("target", String(200), nullable=False),
    Column("detail", Text, nullable=False),
    Index("audit_of_account", "account_id", "id"),
)

change_counter = Table(
    "change_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("mark", BigInteger, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("mark", BigInteger, nullable=False),
    Column("account_id", _ID),
    Column("key_digest", LargeBinary(32)),
)

# `unpriced` are requests of which no cost is known, among those of the prices of `price_version`; that is "" without.
usage_hourly = Table(
    "usage_hourly",
    metadata,
    Column("account_id", _ID, primary_key=True),
    Column("hour", BigInteger, primary_key=True, autoincrement=False),
    Column("key_id", _ID, primary_key=True),
    Column("model", String(200), primary_key=True),
    Column("provider", String(100), primary_key=True),
    Column("price_version", String(40), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("ms_total", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in LATENCY_COLUMNS),
    Column("cost_nano_usd", BigInteger),
    Column("unpriced", BigInteger, nullable=False),
)

# Sums of `usage_hourly` over a day: of the whole account (dimension `all`, label ""), and of each key, model and
# provider. Clustered, so that the days of a label lie together.
usage_daily = Table(
    "usage_daily",
    metadata,
    Column("account_id", _ID, primary_key=True),
    Column("dimension", String(8), primary_key=True),
    Column("label", String(200), primary_key=True),
    Column("day", BigInteger, primary_key=True, autoincrement=False),
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("ms_total", BigInteger, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in LATENCY_COLUMNS),
    Column("cost_nano_usd", BigInteger),
    Column("unpriced", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

"""Where limits are counted that several machines share, as server.yaml says."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from engine.plan.limits import StorePolicy

DEFAULT_PORT = 6379
STORE_TIMEOUT = 0.03  # seconds
SECURE = frozenset({"rediss", "valkeys"})


@dataclass(frozen=True, slots=True)
class StoreServer:
    """Where a server is, and as whom to log in."""

    host: str
    port: int
    is_secure: bool
    username: str | None
    password: str | None = field(repr=False)
    database: int = 0

    @classmethod
    def of(cls, url: str) -> "StoreServer":
        """The server of a URL such as `rediss://user:password@host:6379/0`.

        Raises:
            ValueError: it is none.
        """
        parts = urlsplit(url)
        path = parts.path.strip("/")
        if (
            parts.scheme not in SECURE | {"redis", "valkey"}
            or not parts.hostname
            or parts.port == 0
        ):
            raise ValueError("no URL of a Redis server")
        return cls(
            parts.hostname,
            parts.port or DEFAULT_PORT,
            parts.scheme in SECURE,
            unquote(parts.username) if parts.username else None,
            unquote(parts.password) if parts.password else None,
            int(path) if path else 0,
        )


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """The section `limits:`; without `store` each host counts alone. `store_timeout` is in seconds."""

    store: StoreServer | None = None
    on_store_error: StorePolicy = StorePolicy.LOCAL
    file: Path | None = None
    store_timeout: float = STORE_TIMEOUT


NO_STORE = LimitSettings()

"""Access tokens for Google accounts, by google-auth: fetched when needed, kept until they expire."""

import asyncio
from typing import Any

from google.auth import load_credentials_from_file
from google.auth.transport.urllib3 import Request
from urllib3 import PoolManager, Timeout

from engine.plan import Sign
from engine.upstream import Attempt, Pairs
from engine.upstream.signing import Signer

TOKEN_SECONDS = 10


def make_signer() -> Signer:
    """A signer that keeps one token for each account and scope."""
    return _Tokens().sign


class _Tokens:
    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}
        self._refreshing = asyncio.Lock()
        self._pool = PoolManager(timeout=Timeout(TOKEN_SECONDS), retries=1)

    async def sign(self, sign: Sign, attempt: Attempt) -> Pairs:  # noqa: ARG002 a token fits every request
        """The header with a token that is still good."""
        key = (sign.credentials["credentials_file"], sign.settings["scope"])
        account: Any = self._known.get(key)
        if account is None or not account.valid:
            async with self._refreshing:
                account = await asyncio.to_thread(self._fresh, *key)
        return [(b"authorization", f"Bearer {account.token}".encode("ascii"))]

    def _fresh(self, file: str, scope: str) -> Any:
        """The account in `file` with a good token; blocks while it is fetched."""
        account = self._known.get((file, scope))
        if account is None:
            account, _ = load_credentials_from_file(file, scopes=[scope])  # type: ignore[no-untyped-call]
        if not account.valid:
            account.refresh(Request(self._pool))  # type: ignore[no-untyped-call]
        self._known[file, scope] = account
        return account

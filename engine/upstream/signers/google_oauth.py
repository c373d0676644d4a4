"""Access tokens for Google accounts, by google-auth: fetched when needed, kept until they expire.

The workload identity is found by google-auth as every Google tool finds it: the file that a variable names,
gcloud's own, or the metadata server (Application Default Credentials).
"""

import asyncio
import json
import logging
from hashlib import sha256
from time import monotonic
from typing import Any

from google.auth import default, load_credentials_from_file
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from engine.plan.plan import Sign
from engine.upstream import Attempt, Pairs
from engine.upstream.cache import BoundedCache
from engine.upstream.signers.signing import PAUSE_SECONDS, Signer

TOKEN_SECONDS = 10
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
MAX_ACCOUNTS_BYTES = 4 * 1024 * 1024
ACCOUNT_BYTES = 16 * 1024  # about what an account takes: its private key, and a token

logging.getLogger("google.auth").addHandler(logging.NullHandler())  # it warns on stderr otherwise


def make_signer() -> Signer:
    """A signer that keeps one token for each account and scope."""
    return _Tokens().sign


class _Request(Request):
    def __call__(
        self,
        url: Any,
        method: Any = "GET",
        body: Any = None,
        headers: Any = None,
        timeout: Any = TOKEN_SECONDS,
        **more: Any,
    ) -> Any:
        """Ask for a token, but not for as long as google-auth would wait."""
        return super().__call__(url, method, body, headers, timeout, **more)  # type: ignore[no-untyped-call]


class _Tokens:
    def __init__(self) -> None:
        self._known: dict[tuple[str | None, str], Any] = {}
        self._failed_at: dict[tuple[str | None, str], float] = {}
        self._refreshing = asyncio.Lock()
        self._request = _Request()
        self._request.session.trust_env = False
        self._accounts = _AccountTokens(self._request)

    async def sign(self, sign: Sign, attempt: Attempt) -> Pairs:  # noqa: ARG002 a token fits every request
        """The header with a token that is still good."""
        if sign.is_of_account:
            return [await self._accounts.header(sign)]
        key = (sign.credentials.get("credentials_file"), sign.settings["scope"])
        account: Any = self._known.get(key)
        if account is None or not account.valid:
            async with self._refreshing:
                account = await self._refreshed(key)
        return [(b"authorization", f"Bearer {account.token}".encode("ascii"))]

    async def _refreshed(self, key: tuple[str | None, str]) -> Any:
        """The account with a good token; requests do not queue up behind one failure after another."""
        if monotonic() - self._failed_at.get(key, -PAUSE_SECONDS) < PAUSE_SECONDS:
            raise RuntimeError("there was no token a moment ago")
        try:
            return await asyncio.to_thread(self._fresh, *key)
        except Exception:
            self._failed_at[key] = monotonic()
            raise

    def _fresh(self, file: str | None, scope: str) -> Any:
        """The account in `file`, or the workload's own, with a valid token; blocks meanwhile."""
        account = self._known.get((file, scope))
        if account is None and file is None:
            account, _ = default(scopes=[scope], request=self._request)
        elif account is None:
            account, _ = load_credentials_from_file(file, scopes=[scope])  # type: ignore[no-untyped-call]
        if not account.valid:
            account.refresh(self._request)
        self._known[file, scope] = account
        return account


class _AccountTokens:
    """Tokens for service accounts whose keys belong to accounts of the gateway: texts, never files."""

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._known = BoundedCache[tuple[bytes, str], Any](MAX_ACCOUNTS_BYTES, ACCOUNT_BYTES)
        self._refreshing: dict[tuple[bytes, str], asyncio.Lock] = {}

    async def header(self, sign: Sign) -> tuple[bytes, bytes]:
        """The header with a token that is still good; one fetch at a time for each account.

        Raises:
            ValueError: the text is no key of a service account.
        """
        text = sign.credentials["credentials_file"]
        key = sha256(text.encode()).digest(), sign.settings["scope"]
        account = self._known.get(key)
        if account is None or not account.valid:
            lock = self._refreshing.setdefault(key, asyncio.Lock())
            try:
                async with lock:
                    account = self._known.get(key) or _service_account(text, key[1])
                    if not account.valid:
                        await asyncio.to_thread(account.refresh, self._request)
                    self._known.put(key, account, ACCOUNT_BYTES)
            finally:
                if not lock.locked():
                    self._refreshing.pop(key, None)
        return b"authorization", f"Bearer {account.token}".encode("ascii")


def _service_account(text: str, scope: str) -> Any:
    """The service account of a key file. Its token is fetched from Google, whatever the text says.

    Other kinds of files make google-auth read files, run programs and call addresses.
    """
    info = json.loads(text)
    if info.get("type") != "service_account":
        raise ValueError("not a key of a service account")
    return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
        {**info, "token_uri": TOKEN_URI, "universe_domain": "googleapis.com"}, scopes=[scope]
    )

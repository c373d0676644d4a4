"""Tokens of sessions, invites and sign-in links: 256 random bits, of which the store has the SHA-256."""

import hashlib
import secrets


def new_token() -> str:
    """43 characters that are safe in URLs and cookies."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

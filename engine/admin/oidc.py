"""OpenID Connect, the authorization code flow with PKCE (OpenID Connect Core 1.0; RFC 7636, RFC 9700).

Only signed ID tokens of asymmetric algorithms are believed. Nothing that a provider says is shown.
"""

import hmac
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from engine.plan.accounts import Oidc

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA", "Ed25519", "RS384", "RS512", "ES384", "ES512"]
CALLBACK = "/signin/oidc/callback"
SCOPE = "openid email profile"
TIMEOUT = 5.0
FRESH_SECONDS = 600.0  # how long the metadata of the provider is kept
LEEWAY = 60  # seconds that its clock may be wrong
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class OidcError(Exception):
    """Signing in failed; the text says why, to the operator's log."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What one sign-in has to bring back; kept in a cookie of the browser until then."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the provider says that it is. `email` only if the provider has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str


@dataclass(slots=True)
class OidcClient:
    """The gateway as a client of one provider, for any number of threads."""

    settings: Oidc
    redirect_uri: str
    _metadata: Mapping[str, Any] = field(default_factory=dict)
    _read_at: float = float("-inf")

    def authorization_url(self, flow: Flow) -> str:
        """Where the browser is sent.

        Raises:
            OidcError: the provider cannot be reached, or its metadata are not usable.
        """
        with _translated(), self._client() as client:
            metadata = self._discovered(client)
            url, _ = client.create_authorization_url(
                metadata["authorization_endpoint"],
                state=flow.state,
                code_verifier=flow.verifier,
                nonce=flow.nonce,
            )
        return cast("str", url)

    def identity(self, flow: Flow, query: Mapping[str, str]) -> Identity:
        """Who came back with `query`, the parameters of the redirect.

        Raises:
            OidcError: not the browser of `flow`, or the provider or its token is not right.
        """
        if not hmac.compare_digest(flow.state.encode(), query.get("state", "").encode()):
            raise OidcError("the state is not that of this browser")
        if "error" in query or not query.get("code"):
            raise OidcError("the provider refused")
        if query.get("iss", self.settings.issuer) != self.settings.issuer:  # RFC 9207
            raise OidcError("the response is of another provider")
        with _translated(), self._client() as client:
            metadata = self._discovered(client)
            token = client.fetch_token(
                metadata["token_endpoint"], code=query["code"], code_verifier=flow.verifier
            )
            keys = _json(client, metadata["jwks_uri"])
            return self._believed(token, keys, flow)

    def _believed(self, token: Mapping[str, Any], keys: Any, flow: Flow) -> Identity:
        """The identity in an ID token whose signature and claims are right."""
        if not isinstance(token.get("id_token"), str) or not isinstance(keys.get("keys"), list):
            raise OidcError("there is no ID token, or no keys")
        decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "sub": {"essential": True},
        }
        params = {
            "nonce": flow.nonce,
            "client_id": self.settings.client_id,
            "access_token": token.get("access_token"),
        }
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(int(time.time()), LEEWAY)
        subject, email = claims["sub"], claims.get("email")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise OidcError("the subject is not usable")
        is_verified = isinstance(email, str) and claims.get("email_verified") is True
        name = claims.get("name")
        return Identity(
            self.settings.issuer,
            subject,
            email if is_verified else None,
            name if isinstance(name, str) else "",
        )

    def _client(self) -> Any:
        return OAuth2Client(
            self.settings.client_id,
            self.settings.client_secret,
            scope=SCOPE,
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            timeout=TIMEOUT,
            follow_redirects=False,
            verify=_ca_certificates(),
        )

    def _discovered(self, client: Any) -> Mapping[str, Any]:
        """The provider's metadata (OpenID Connect Discovery 1.0, 4)."""
        if time.monotonic() - self._read_at > FRESH_SECONDS:
            url = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            metadata = _json(client, url)
            if metadata.get("issuer") != self.settings.issuer:
                raise OidcError("the metadata are of another issuer")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                _check_endpoint(name, metadata.get(name))
            self._metadata, self._read_at = metadata, time.monotonic()
        return self._metadata


@cache
def _ca_certificates() -> ssl.SSLContext:
    """Read once: that takes 40 ms of CPU, twice a sign-in. Changed CA certificates need a restart."""
    return httpx2.create_ssl_context()


def _check_endpoint(name: str, url: object) -> None:
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    ):
        raise OidcError(f"its {name} is no https URL")


def _json(client: Any, url: str) -> dict[str, Any]:
    response = client.request("GET", url, withhold_token=True)
    if response.status_code != 200:
        raise OidcError(f"{urlsplit(url).path} has status {response.status_code}")
    found = response.json()
    if not isinstance(found, dict):
        raise OidcError(f"{urlsplit(url).path} is no JSON object")
    return found


class _translated:  # noqa: N801 used as a statement
    """Turns what the libraries raise into OidcError, by class: their texts may hold a token."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        known = (AuthlibBaseError, JoseError, httpx2.HTTPError, httpx2.InvalidURL, ValueError)  # fmt: skip
        if isinstance(error, known):
            raise OidcError(f"{type(error).__name__}") from None

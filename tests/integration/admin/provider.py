"""An OpenID Connect provider in a process of its own: `python -m tests.integration.admin.provider PORT`.

Its issuer is `http://127.0.0.1:PORT/FAULT`; FAULT `good` does all as the specifications say, each other one a single
thing wrong. Whoever comes is signed in as `SUBJECT` with the address that the query `login` of the issuer's
authorization endpoint gives, and nobody is asked.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

CLIENT_ID, CLIENT_SECRET = "orqen", "a-secret-of-this-test-of-more-than-32-bytes"
SUBJECT, EMAIL = "subject-1", "ours-member@example.com"
KEY, STRANGER = (ECKey.generate_key("P-256", {"kid": "1"}) for _ in range(2))
PUBLIC = KeySet([KEY]).as_dict(private=False)

# Claims that a fault changes; None leaves the claim out.
CLAIMS: dict[str, dict[str, Any]] = {
    "another-issuer": {"iss": "https://evil.example"},
    "another-audience": {"aud": "somebody-else"},
    "for-somebody-else": {"aud": "somebody-else", "azp": CLIENT_ID},
    "several-audiences": {"aud": [CLIENT_ID, "somebody-else"]},
    "another-party": {"azp": "somebody-else"},
    "expired": {"exp": 1},
    "an-end-as-text": {"exp": "soon"},
    "a-number-as-audience": {"aud": 7},
    "a-list-as-nonce": {"nonce": []},
    "no-end": {"exp": None},
    "not-yet": {"nbf": 9_999_999_999},
    "another-nonce": {"nonce": "x"},
    "no-nonce": {"nonce": None},
    "no-subject": {"sub": None},
    "a-number-as-subject": {"sub": 7},
    "another-access-token": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    "unverified": {"email_verified": False},
    "verified-as-text": {"email_verified": "true"},
    "no-address": {"email": None},
    "unknown-address": {"email": "nobody@example.com"},
    "disabled": {"email": "disabled@example.com"},
}
CODES: dict[str, dict[str, str]] = {}


class Provider(BaseHTTPRequestHandler):
    """The four endpoints, below the name of a fault."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, fault, path = urlsplit(self.path).path.split("/", 2)
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        if path == ".well-known/openid-configuration":
            self._reply(200, self._metadata(fault))
        elif path == "authorize":
            self._authorize(query)
        elif path == "keys":
            self._reply(200, {"keys": "none"} if fault == "broken-keys" else PUBLIC)

    def do_POST(self) -> None:
        fault = urlsplit(self.path).path.split("/", 2)[1]
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        sent = {name: values[0] for name, values in parse_qs(body).items()}
        granted = CODES.pop(sent.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        challenge = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        is_right = (
            granted is not None
            and self.headers["authorization"] == f"Basic {basic}"
            and sent["redirect_uri"] == granted["redirect_uri"]
            and granted["code_challenge_method"] == "S256"
            and base64.urlsafe_b64encode(challenge).rstrip(b"=").decode()
            == granted["code_challenge"]
        )
        if fault == "token-error" or not is_right or granted is None:
            self._reply(400, {"error": "invalid_grant", "error_description": "canary-description"})
        else:
            self._reply(200, self._token(fault, granted))

    def _metadata(self, fault: str) -> Any:
        if fault == "no-metadata":
            return []
        issuer = f"http://{self.headers['host']}/{fault}"
        wrong = {"foreign-metadata": "https://evil.example"}.get(fault, issuer)
        scheme = "ftp" if fault == "odd-endpoint" else "http"
        keys = f"{issuer.replace('http', scheme, 1)}/keys"
        return {"issuer": wrong, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token", "jwks_uri": keys}  # fmt: skip

    def _authorize(self, query: dict[str, str]) -> None:
        code = secrets.token_urlsafe(16)
        CODES[code] = query
        back = urlencode({"code": code, "state": query["state"]})
        self.send_response(302)
        self.send_header("location", f"{query['redirect_uri']}?{back}")
        self.send_header("content-length", "0")
        self.end_headers()

    def _token(self, fault: str, granted: dict[str, str]) -> dict[str, Any]:
        access, now = secrets.token_urlsafe(16), int(time.time())
        claims = {
            "iss": f"http://{self.headers['host']}/{fault}",
            "aud": CLIENT_ID,
            "sub": SUBJECT,
            "iat": now,
            "exp": now + 60,
            "nonce": granted["nonce"],
            "email": granted.get("login", EMAIL),
            "email_verified": True,
            "name": "{{7*7}}",
        }
        changed = {**claims, **CLAIMS.get(fault, {})}
        token = _signed(fault, {name: v for name, v in changed.items() if v is not None})
        if fault == "no-token":
            return {"access_token": access, "token_type": "Bearer"}
        return {"access_token": access, "token_type": "Bearer", "expires_in": 60, "id_token": token}

    def _reply(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


def _signed(fault: str, claims: dict[str, Any]) -> str:
    """The ID token; faults sign with another key or algorithm, or not at all."""
    if fault == "unsigned":
        parts = ({"alg": "none", "kid": "1"}, claims)
        encoded = (
            base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts
        )
        return b".".join(encoded).decode() + "."
    if fault == "signed-with-the-secret":
        return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET))
    if fault == "signed-with-the-public-key":
        public = OctKey.import_key(KEY.as_pem(private=False))
        return jwt.encode({"alg": "HS256", "kid": "1"}, claims, public)
    if fault == "signed-by-a-stranger":
        return jwt.encode({"alg": "ES256", "kid": "1"}, claims, STRANGER)
    token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, KEY)
    return token[:-8] + "AAAAAAAA" if fault == "cut-signature" else token


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Provider).serve_forever()

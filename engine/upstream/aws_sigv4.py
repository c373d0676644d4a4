"""AWS Signature Version 4, by botocore: signs method, URL, host and the whole body."""

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from engine.plan import Sign
from engine.upstream import Attempt, Pairs
from engine.upstream.signing import Signer

_ADDED = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")


def make_signer() -> Signer:
    """A signer; it keeps nothing."""
    return _sign


async def _sign(sign: Sign, attempt: Attempt) -> Pairs:
    """The headers of a signature over `attempt` as it will stand on the wire."""
    brought = sign.credentials
    credentials = Credentials(
        brought["access_key_id"], brought["secret_access_key"], brought.get("session_token")
    )
    url = f"{attempt.origin}{attempt.target.decode('ascii')}"
    request = AWSRequest(method=attempt.method, url=url, data=attempt.body)
    SigV4Auth(credentials, sign.settings["service"], sign.settings["region"]).add_auth(request)
    return [
        (name.lower().encode("ascii"), request.headers[name].encode("ascii"))
        for name in _ADDED
        if name in request.headers
    ]

"""AWS Signature Version 4, by botocore: signs method, URL, host and the whole body.

The workload identity is found by botocore as every AWS tool finds it: variables, a profile, the token of a
web identity, the container's or the instance's role.
"""

import asyncio
import contextlib
from time import monotonic
from typing import Any

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.session import Session  # type: ignore[import-untyped]

from engine.plan.plan import Sign
from engine.upstream import Attempt, Pairs
from engine.upstream.signers.signing import PAUSE_SECONDS, Signer

_ADDED = ("Authorization", "X-Amz-Date", "X-Amz-Security-Token")


ENDING_SECONDS = 10


def make_signer(pause: float = PAUSE_SECONDS) -> Signer:
    """A signer that keeps the workload identity; after a failure to get it, it waits for `pause` seconds."""
    return _Signatures(pause).sign


class _Signatures:
    def __init__(self, pause: float) -> None:
        self._workload = _WorkloadIdentity(pause)

    async def sign(self, sign: Sign, attempt: Attempt) -> Pairs:
        """The headers of a signature over `attempt` as it will stand on the wire."""
        if sign.by_workload_identity:
            credentials = await self._workload.credentials()
        else:
            own = sign.credentials
            names = own["access_key_id"], own["secret_access_key"], own.get("session_token")
            credentials = Credentials(*names)
        head = attempt.head
        url = f"{head.origin}{head.target.decode('ascii')}"
        request = AWSRequest(method=head.method, url=url, data=attempt.body)
        SigV4Auth(credentials, sign.settings["service"], sign.settings["region"]).add_auth(request)
        return [
            (name.lower().encode("ascii"), request.headers[name].encode("ascii"))
            for name in _ADDED
            if name in request.headers
        ]


class _WorkloadIdentity:
    """The workload's own credentials. Fetching them blocks, so it runs in a thread, once for all.

    They are renewed a quarter of an hour before they expire; a failure then harms nobody, and none
    lets requests queue up behind one try after the other.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._source: Any = None
        self._known: Any = None
        self._tried_at = -pause
        self._fetching = asyncio.Lock()

    async def credentials(self) -> Any:
        """Credentials that are good now.

        Raises:
            RuntimeError: there are none.
        """
        if self._expires_within(None):
            async with self._fetching:
                if self._expires_within(None) and monotonic() - self._tried_at >= self._pause:
                    with contextlib.suppress(Exception):  # what is left decides
                        self._known = await asyncio.to_thread(self._fetch)
                    self._tried_at = monotonic()
        if self._expires_within(ENDING_SECONDS):
            raise RuntimeError("there is no workload identity")
        return self._known

    def _fetch(self) -> Any:
        """Blocks, for as long as finding out or renewing takes."""
        if self._source is None:
            self._source = Session().get_credentials()
        return self._source.get_frozen_credentials()

    def _expires_within(self, seconds: int | None) -> bool:
        """Whether there are none, or none for so long; None is when botocore would renew them."""
        if self._known is None:
            return True
        needed = getattr(self._source, "refresh_needed", None)  # keys of a file never expire
        return needed is not None and bool(needed(seconds))

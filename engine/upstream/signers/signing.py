"""Signs attempts by the signer that a provider names; one Signers for each worker.

A signer is a module that is imported when it is first used, since its package is an extra.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module

from engine.plan.plan import Sign
from engine.upstream import Attempt, Failure, Pairs, RequestHead, UpstreamError

# From one failure to get the workload identity to the next try, in seconds.
PAUSE_SECONDS = 5.0
# Gives the headers to add. Anything it raises means that the provider cannot be signed in to.
Signer = Callable[[Sign, Attempt], Awaitable[Pairs]]


class Signers:
    """The signers in use, by name; each keeps what it needs between requests."""

    def __init__(self) -> None:
        self._signers: dict[str, Signer] = {}

    async def sign(self, sign: Sign, attempt: Attempt) -> Attempt:
        """`attempt` with the headers that sign it in.

        Raises:
            UpstreamError: it could not be signed; nothing was sent to the provider.
        """
        try:
            added = await self._signer(sign.signer)(sign, attempt)
        except Exception:  # noqa: BLE001 a library's, which may hold a secret in its text
            raise UpstreamError(Failure.SIGN_IN_FAILED) from None
        head, names = attempt.head, dict(added)
        kept = [pair for pair in head.headers if pair[0] not in names]
        signed = RequestHead(head.method, head.origin, head.target, [*kept, *added])
        return attempt.with_head(signed)

    def _signer(self, name: str) -> Signer:
        if name not in self._signers:
            self._signers[name] = import_module(f"engine.upstream.signers.{name}").make_signer()
        return self._signers[name]

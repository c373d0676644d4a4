"""The holders of gateway keys: those of keys.yaml, and those of a KeySource."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from engine.gateway.errors import GatewayError
from engine.gateway.hooks import KeySource
from engine.gateway.inbound.auth import Headers, presented_digests
from engine.plan.plan import Caller

CallerTable: TypeAlias = (
    Mapping[bytes, Caller] | None
)  # by digest of the key; None: anybody may call


class Callers(Mapping[bytes, Caller]):
    """By the SHA-256 digest of a key: the callers of keys.yaml, then those that `source` knows."""

    def __init__(self, declared: Mapping[bytes, Caller], source: KeySource) -> None:
        self._declared = declared
        self._source = source

    def __getitem__(self, digest: bytes) -> Caller:
        caller = self._declared.get(digest) or self._source.known(digest)
        if caller is None:
            raise KeyError
        return caller

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._declared)

    def __len__(self) -> int:
        return len(self._declared)

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        """All callers, with those of these keys as the store has them now.

        Raises:
            GatewayError: as `search` of the source.
        """
        return ChainMap(dict(await self._source.search(digests)), self)  # type: ignore[arg-type] # read only


async def search_key(
    stored: Callers | None, headers: Headers, refused: GatewayError
) -> Mapping[bytes, Caller]:
    """The callers to authenticate `headers` with once more, after a search of the store.

    There is none for a request in which one key is known: clients may send a credential of their
    own beside the gateway key.

    Raises:
        GatewayError: `refused`, when no search can help; as `search` of the source.
    """
    digests = presented_digests(headers)
    is_unknown = refused.code == "invalid_api_key" and not any(d in (stored or ()) for d in digests)
    if stored is None or not digests or not is_unknown:
        raise refused
    return await stored.search(digests)

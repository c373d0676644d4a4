"""The holders of gateway keys: those of keys.yaml, and those of a KeySource."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

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
    stored: Callers | None, headers: Headers, code: str
) -> Mapping[bytes, Caller] | None:
    """The callers to authenticate `headers` with once more, after a search of the store.

    None when no search can help a request that was refused by `code`: nor can one if a key is known,
    since clients may send a credential of their own beside the gateway key.

    Raises:
        GatewayError: as `search` of the source.
    """
    digests = presented_digests(headers)
    is_unknown = code == "invalid_api_key" and not any(d in (stored or ()) for d in digests)
    return await stored.search(digests) if stored is not None and digests and is_unknown else None

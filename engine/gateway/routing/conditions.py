"""What a request has of that which conditions of model rules ask for."""

from collections.abc import Mapping, Sequence

from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_text import string
from engine.gateway.inbound.payload import RequestBody, json_request_body
from engine.plan.conditions import Dimension
from engine.plan.plan import Caller, Endpoint
from engine.plan.pointers import steps


class Facts:
    """Reads dimensions of a request, each once; `were_read`: some condition was looked at.

    A header that was sent twice has no value, nor has a field that is no string.
    """

    __slots__ = ("_body", "_caller", "_fields", "_headers", "_known")

    def __init__(
        self,
        caller: Caller,
        headers: Sequence[tuple[bytes, bytes]],
        body: RequestBody | None,
        fields: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """`fields` are the headers by name, if the caller of this has them."""
        self._caller, self._headers, self._body = caller, headers, body
        self._fields = dict(headers) if fields is None else fields
        self._known: dict[Dimension, str | None] = {}

    @property
    def were_read(self) -> bool:
        return bool(self._known)

    def read(self, dimension: Dimension) -> str | None:
        """The value of `dimension`; None where the request has none.

        Raises:
            GatewayError: `duplicate_field` where a field on its path is there twice, or in another spelling.
        """
        known = self._known
        if dimension not in known:
            known[dimension] = self._find(dimension)
        return known[dimension]

    def _find(self, dimension: Dimension) -> str | None:
        match dimension.kind:
            case "key":
                return self._caller.name
            case "account":
                return self._caller.account.id if self._caller.account else None
            case "header":
                return self._header(dimension.name.encode("ascii"))
        return self._field(steps(dimension.name))

    def _header(self, name: bytes) -> str | None:
        value = self._fields.get(name)
        if value is None or (
            len(self._fields) < len(self._headers) and sum(n == name for n, _ in self._headers) > 1
        ):
            return None
        return value.strip(b" \t").decode("latin-1")

    def _field(self, path: tuple[str, ...]) -> str | None:
        value = self._body.raw_value(path[0]) if self._body is not None else None
        for name in path[1:]:
            if value is None or value[:1] != b"{":
                return None
            value = JsonBody(value).raw_value(name)
        return None if value is None else string(value)


def facts_of(
    endpoint: Endpoint, caller: Caller, headers: Sequence[tuple[bytes, bytes]], raw: bytes | None
) -> Facts:
    """The facts of a request that is described, for commands; `raw` is its JSON.

    Raises:
        GatewayError: `invalid_json` or `duplicate_field`.
    """
    return Facts(caller, headers, None if raw is None else json_request_body(raw, endpoint))

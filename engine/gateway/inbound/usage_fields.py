"""What a request says of the usage of its response: how much output it allows, and to report it."""

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_text import number
from engine.gateway.inbound.payload import RequestBody
from engine.plan.usage import OutputLimit, Pointer, TierPlaces

_NOT_SET = None, b"null", b"false"
MAX_OUTPUT = 1 << 40  # tokens that a request can ask for


def output_limit(body: RequestBody, limit: OutputLimit) -> int:
    """The output tokens that a request allows; `limit.default` where it sets no limit.

    Raises:
        GatewayError: `duplicate_field`.
    """
    most = max((_count(body, pointer) for pointer in limit.at), default=0)
    return min((most or limit.default) * responses(body, limit), MAX_OUTPUT)


def responses(body: RequestBody, limit: OutputLimit) -> int:
    """How many responses a request asks for, such as images; 1 where it does not say.

    Raises:
        GatewayError: `duplicate_field`.
    """
    return max((1, *(_count(body, pointer) for pointer in limit.times)))


def can_set(body: RequestBody, pointer: Pointer) -> bool:
    """Whether a field can be set to true: it is not, and stands in objects or where none are yet.

    Raises:
        GatewayError: `duplicate_field`.
    """
    value = body.raw_value(pointer[0])
    for name in pointer[1:]:
        if value is None or value == b"null":
            return True
        if value[:1] != b"{":
            return False
        value = JsonBody(value).raw_value(name)
    return value != b"true"


def asks_for_tier(body: RequestBody, tier: TierPlaces) -> bool:
    """Whether a request asks for a service tier whose prices are not the ordinary ones.

    Raises:
        GatewayError: `duplicate_field`.
    """
    values = (body.raw_value(name) for name in tier.names)
    named = (v[1:-1] for v in values if v is not None and v not in _NOT_SET)
    return any(value.decode("utf-8", "replace") not in tier.standard for value in named)


def refuse_unmetered(body: RequestBody, fields: tuple[Pointer, ...]) -> None:
    """Refuse a request that sets one of `fields`.

    Raises:
        GatewayError: `not_allowed`, or `duplicate_field`.
    """
    for pointer in fields:
        if _raw(body, pointer) not in _NOT_SET:
            name = ".".join(pointer)
            message = f"`{name}` may not be set where tokens or costs are limited: the response does not say what is used"
            raise GatewayError("not_allowed", message, param=name)


def _raw(body: RequestBody, pointer: Pointer) -> bytes | None:
    """The text of a field; None where it is not, or below what is no object."""
    value = body.raw_value(pointer[0])
    for name in pointer[1:]:
        if value is None or value[:1] != b"{":
            return None
        value = JsonBody(value).raw_value(name)
    return value


def _count(body: RequestBody, pointer: Pointer) -> int:
    """A number of the body; 0 for none, for a negative one and for anything else."""
    value = _raw(body, pointer)
    found = None if value is None else number(value)
    return 0 if found is None else int(min(max(found, 0), MAX_OUTPUT))

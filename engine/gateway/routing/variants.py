"""Which variant of a provider serves a request: whose credentials, and which of its choices."""

from collections.abc import Iterable

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.routing.match import Target
from engine.plan.plan import Choices, CredentialSet, Provider
from engine.upstream import Pairs
from engine.upstream.cache import BoundedCache

MAX_POSITIONS_BYTES = 256 * 1024


class ProviderVariants:
    """Chooses the variant of a provider; a set of several credentials is used in turn."""

    def __init__(self) -> None:
        # By the identity of a set, which a later one may get: it then starts elsewhere in its turn.
        self._positions = BoundedCache[int, int](MAX_POSITIONS_BYTES, 0)

    def choose(
        self, target: Target, head: CallerHead, body: RequestBody, found: CredentialSet | None
    ) -> Provider:
        """The variant of the target's provider for this caller, model and the caller's choices.

        `found` are the caller's credentials of a CredentialSource, which go before the operator's.

        Raises:
            GatewayError: `invalid_request` when a value is none of the choices.
        """
        provider = target.provider
        sets = provider.accounts if found is None else (found,)
        for credentials in sets:
            if credentials.fits(head.caller.name, target.sent_model):
                provider = self._next(credentials)
                break
        if provider.choices is None:
            return provider
        picked = dict(_picks(provider.choices, body, head.headers))
        return provider.choices.pick(picked) if picked else provider

    def _next(self, credentials: CredentialSet) -> Provider:
        count = len(credentials.providers)
        if count == 1:
            return credentials.providers[0]
        turn = self._positions.get(id(credentials), 0) % count
        self._positions.keep(id(credentials), turn + 1, 0)
        return credentials.providers[turn]


def _picks(choices: Choices, body: RequestBody, headers: Pairs) -> Iterable[tuple[str, str]]:
    for field, variable in choices.body.items():
        value = body.text(field)
        if value is not None:
            yield variable, _allowed(choices, field, variable, value)
    for name, sent in headers:
        if name in choices.headers:
            variable = choices.headers[name]
            yield variable, _allowed(choices, name.decode(), variable, sent.decode("latin-1"))


def _allowed(choices: Choices, field: str, variable: str, value: str) -> str:
    if value not in choices.allowed[variable]:
        known = ", ".join(choices.allowed[variable])
        message = f"`{field}` is none of the values that this gateway offers: {known}"
        raise GatewayError("invalid_request", message, param=field)
    return value

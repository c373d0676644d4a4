"""Which form of a provider serves a request: an account by caller and model, a caller's picks."""

from collections import Counter
from collections.abc import Iterable

from engine.gateway.errors import GatewayError
from engine.gateway.headers import Pairs
from engine.gateway.inbound.head import CallerHead
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.routing.match import Target
from engine.plan.plan import Choices, CredentialSet, Provider


class ProviderVariants:
    """Chooses the form of a provider; remembers, for each worker, whose turn it is."""

    def __init__(self) -> None:
        self._taken: Counter[int] = Counter()

    def choose(self, target: Target, head: CallerHead, body: RequestBody) -> Provider:
        """The form of the target's provider for this caller, model and what the caller picks.

        Raises:
            GatewayError: `invalid_request` when a pick is none of the choices.
        """
        provider = target.provider
        for account in provider.accounts:
            if account.fits(head.caller.name, target.sent_model):
                provider = self._next(account)
                break
        if provider.choices is None:
            return provider
        picked = dict(_picks(provider.choices, body, head.headers))
        return provider.choices.pick(picked) if picked else provider

    def _next(self, account: CredentialSet) -> Provider:
        if len(account.providers) == 1:
            return account.providers[0]
        turn = self._taken[id(account)]
        self._taken[id(account)] = (turn + 1) % len(account.providers)
        return account.providers[turn]


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
        words = f"`{field}` picks none of the values that this gateway offers: {known}"
        raise GatewayError("invalid_request", words, param=field)
    return value

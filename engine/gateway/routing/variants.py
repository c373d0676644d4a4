"""Which variant of a provider serves a request: whose credentials, and which of its choices."""

from collections.abc import Iterable, Iterator
from contextlib import suppress

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
        # By the identity of a tuple, which a later one may get: it then starts elsewhere in its turn.
        self._positions = BoundedCache[int, int](MAX_POSITIONS_BYTES, 0)

    def choose(
        self,
        target: Target,
        head: CallerHead,
        body: RequestBody,
        account_credentials: CredentialSet | None,
    ) -> Provider:
        """The variant of the target's provider for this caller, model and the caller's choices.

        `account_credentials` are the caller's credentials of a CredentialSource, which go before the operator's.

        Raises:
            GatewayError: `invalid_request` when a value is none of the choices.
        """
        credentials = matching_set(target, head.caller.name, account_credentials)
        provider = target.provider if credentials is None else self._next(credentials)
        return provider if provider.choices is None else _pick(provider, head, body)

    def others(
        self, chosen: Provider, target: Target, head: CallerHead, body: RequestBody
    ) -> Iterator[Provider]:
        """The variants that `choose` would return in the turns after the operator's `chosen`."""
        every = matching_variants(target, head.caller.name)
        picked = [each if each.choices is None else _pick(each, head, body) for each in every]
        at = next((n for n, each in enumerate(picked) if each is chosen), 0)
        yield from (*picked[at + 1 :], *picked[:at])

    def _next(self, credentials: CredentialSet) -> Provider:
        variants = credentials.providers
        if len(variants) == 1:
            return variants[0]
        turns = credentials.rotation or range(len(variants))
        turn = self._positions.get(id(variants), 0) % len(turns)
        self._positions.put(id(variants), turn + 1, 0)
        return variants[turns[turn]]


def matching_variants(
    target: Target, caller: str, account_credentials: CredentialSet | None = None
) -> tuple[Provider, ...]:
    """The variants that serve `caller` in turn, before its choices; not empty.

    They are those of the first credential set that fits, or the provider itself. Either all of them
    have their credentials and variables, or there is only one.
    """
    credentials = matching_set(target, caller, account_credentials)
    return (target.provider,) if credentials is None else credentials.providers


def matching_set(
    target: Target, caller: str, account_credentials: CredentialSet | None = None
) -> CredentialSet | None:
    """The first credential set that fits; None where the provider itself serves `caller`."""
    if (
        account_credentials is not None
        and account_credentials.callers is account_credentials.models is None
    ):
        return account_credentials
    sets = target.provider.accounts if account_credentials is None else (account_credentials,)
    for credentials in sets:
        if credentials.matches(caller, target.sent_model):
            return credentials
    return None


def sample_variant(
    target: Target, head: CallerHead, body: RequestBody, account_credentials: CredentialSet | None
) -> Provider:
    """A variant like the one that `choose` will return, without taking its turn.

    A choice that is none is left to `choose`, which refuses it.
    """
    provider = matching_variants(target, head.caller.name, account_credentials)[0]
    with suppress(GatewayError):
        return _pick(provider, head, body)
    return provider


def _pick(provider: Provider, head: CallerHead, body: RequestBody) -> Provider:
    if provider.choices is None:
        return provider
    picked = dict(_picks(provider.choices, body, head.headers))
    return provider.choices.choose(picked) if picked else provider


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
        message = f"`{field}` is not one of the values that this gateway offers: {known}"
        raise GatewayError("invalid_request", message, param=field)
    return value

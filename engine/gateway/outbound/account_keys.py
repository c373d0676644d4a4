"""A provider with the credentials of an account in place of the operator's: a pure function of both."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.plan.plan import Context, Header, Provider, Sign, UnusableValueError
from engine.plan.signers import SIGNERS

Values = Mapping[str, str]  # by name of the credential
WITHOUT = "a provider key of the account"  # what is missing, in Provider.missing


def with_credentials(provider: Provider, values: Values) -> Provider:
    """`provider`, and all of its choices, with `values` as its credentials and none of the operator's.

    It counts as incomplete when a required one is not among them, or one of them cannot be in a header.
    A value by the name of a variable is the account's own choice, if it is one of those allowed.
    """
    choices = provider.choices
    if choices is None:
        return _bound(provider, values)
    picked = {n: v for n, v in values.items() if v in choices.allowed.get(n, ())}
    variants = {pick: _bound(variant, values) for pick, variant in choices.providers.items()}
    own = {**choices.own, **picked}
    chosen = _bound(choices.choose(picked) if picked else provider, values)
    return replace(chosen, choices=replace(choices, own=own, providers=variants))


def _bound(provider: Provider, values: Values) -> Provider:
    try:
        headers = tuple(_headers(provider, values))
    except UnusableValueError:
        headers, values = (), {}
    sign = _sign(provider, headers, values)
    needs = set(provider.required)
    if sign is not None:
        needs |= set(SIGNERS[sign.signer].needs)
    return replace(
        provider,
        headers=headers,
        sign=sign,
        missing=() if needs <= values.keys() else (WITHOUT,),
        accounts=(),
        is_of_account=True,
        credential_limits=None,
    )


def _headers(provider: Provider, values: Values) -> Iterator[Header]:
    """The headers with `values` in them: bytes, unless a request decides something more."""
    for header in provider.caller_headers:
        if header.credentials <= values.keys():
            yield _header(header, values)


def _header(header: Header, values: Values) -> Header:
    render = header.value
    if isinstance(render, bytes):
        return header

    def bound(context: Context) -> str | None:
        return render({**context, "credentials": values})

    text = None if header.needs_request else bound({})
    return replace(header, value=bound if text is None else text.encode("ascii"))


def _sign(provider: Provider, headers: tuple[Header, ...], values: Values) -> Sign | None:
    """How requests are signed with `values`, unless a header carries a credential already."""
    sign = provider.account_sign
    if sign is None or any(header.name == b"authorization" for header in headers):
        return None
    kind = SIGNERS[sign.signer]
    named = {n: v for n, v in values.items() if n in {*kind.needs, *kind.may}}
    return replace(sign, credentials=named, by_workload_identity=False, is_of_account=True)

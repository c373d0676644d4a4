"""Which attempts one request makes, as a conversation without any I/O.

`attempts` yields a target, is sent what came of it (None for an answer, else the Failure), and
stops when there is nothing left that may be tried. The money rule lives here: once a request may
have been processed, it is never sent again.
"""

from collections.abc import Generator, Sequence

from engine.gateway.errors import GatewayError
from engine.gateway.match import Target
from engine.upstream import Failure

# What each Failure tells the caller; never the words of an exception.
_WORDS = {
    Failure.CONNECT_FAILED: "provider `{}` cannot be reached",
    Failure.CONNECT_TIMEOUT: "provider `{}` did not accept a connection in time",
    Failure.DNS_FAILED: "the host of provider `{}` cannot be resolved",
    Failure.TLS_FAILED: "the TLS handshake with provider `{}` failed",
    Failure.SIGN_IN_FAILED: "the request to provider `{}` could not be signed",
    Failure.OVERLOADED: "too many requests to provider `{}` are under way",
    Failure.CLOSED: "provider `{}` closed the connection without an answer",
    Failure.BAD_RESPONSE: "provider `{}` sent an answer that is not valid HTTP",
    Failure.TRUNCATED: "provider `{}` broke off its answer",
    Failure.FIRST_BYTE_TIMEOUT: "provider `{}` did not begin to answer in time",
    Failure.IDLE_TIMEOUT: "provider `{}` stopped in the middle of its answer",
    Failure.TOTAL_TIMEOUT: "the exchange with provider `{}` took longer than `total` allows",
}

Conversation = Generator[Target, Failure | None, None]


def attempts(targets: Sequence[Target]) -> Conversation:
    """Try each target in turn until one answers or one may have been reached."""
    for target in targets:
        failure = yield target
        if failure is None or failure.sent:
            return


def failure_error(failure: Failure, provider: str) -> GatewayError:
    """What a caller is told when an attempt at `provider` came to nothing."""
    return GatewayError(failure.code, _WORDS[failure].format(provider))

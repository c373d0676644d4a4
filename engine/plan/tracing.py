"""How requests are traced; a part of `plan`."""

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_RATIO = 0.01


class Trust(StrEnum):
    """What is taken from the `traceparent` of a caller (W3C Trace Context).

    NONE: a new trace begins, with a link to the caller's span. IDS: the caller's trace goes on, and
    the gateway decides whether it is sampled. SAMPLED: the caller decides that as well.
    """

    NONE = "none"
    IDS = "ids"
    SAMPLED = "sampled"


@dataclass(frozen=True, slots=True)
class Tracing:
    """Traces of requests, exported by OTLP/HTTP.

    `endpoint` is the base URL of a collector; None: as the environment says. `ratio` is the share
    of requests that are sampled, from 0 to 1.
    """

    endpoint: str | None
    ratio: float = DEFAULT_RATIO
    trust: Trust = Trust.NONE

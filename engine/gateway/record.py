"""The access record: what is known of one request, built while it runs and handed out frozen.

No bodies, no secrets, no raw paths.
"""

import os
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from time import monotonic, time
from typing import cast

import msgspec
from msgspec import UNSET, UnsetType

from engine.gateway.routing.match import Target
from engine.gateway.tracing import Trace
from engine.plan.plan import Caller
from engine.plan.prices import NANO, Price

_encoder = msgspec.json.Encoder()
_IDS_AT_ONCE = 256
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
MAX_DROPPED = 16


class _Fields(msgspec.Struct, gc=False):
    """What is known of a request; these are the fields of the log line, in this order.

    Times are milliseconds. What is not known is null; a field that begins UNSET is left out instead. `usage`
    says where the counts come from: `reported` by the provider, `partial` of a response that broke
    off, or `estimated` by the gateway. `input_tokens` include `cached_tokens` and
    `cache_write_tokens`. `cost_usd` is there with prices.yaml only, whose version is `price_version`.
    `ttft_ms` is the time until the first event of a stream with data was whole.
    """

    time: str = ""
    request_id: str = ""
    key: str | None = None
    endpoint: str | None = None
    model: str | None = None
    sent_model: str | None = None
    provider: str | None = None
    rule: str | None = None
    status: int | None = None
    outcome: str = "refused"
    error: str | None = None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    ms_first_byte: float | None = None
    ms_total: float | None = None
    ms_engine: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    usage: str | None = None
    account: str | None = None
    ttft_ms: float | None = None
    trace_id: str | None = None
    tried: Sequence[str] | UnsetType = UNSET
    credential: str | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    units: Mapping[str, int] | UnsetType = UNSET
    cost_usd: float | UnsetType | None = UNSET
    price_version: str | UnsetType = UNSET
    exception: str | UnsetType = UNSET
    dropped: Sequence[str] | UnsetType = UNSET
    may_be_paid_twice: bool | UnsetType = UNSET
    service_tier: str | UnsetType = UNSET
    ms_silent: float | UnsetType = UNSET


class Record(_Fields, frozen=True):  # type: ignore[misc] # a struct may, other than a dataclass
    """One finished request. `state` is never set; a RecordBuilder has it there."""

    state: UnsetType = UNSET

    @property
    def cost_nano_usd(self) -> int | None:
        """The cost in billionths of a dollar: exact up to some million dollars, as it was made of that."""
        return round(self.cost_usd * NANO) if isinstance(self.cost_usd, float) else None


def lines(records: Sequence[Record]) -> bytes:
    """Each record as one line of JSON."""
    return _encoder.encode_lines(records)


class RequestUsage(msgspec.Struct, frozen=True, gc=False):
    """The usage of one request: its counts by their names, and `usage` as above.

    `units` are those of the counts that are no tokens, None if there are none. `tier` is the service
    tier, None for an ordinary one.
    """

    counts: Mapping[str, int]
    usage: str | None = None
    units: Mapping[str, int] | None = None
    tier: str | None = None

    def in_tier(self, tier: str | None) -> "RequestUsage":
        """The same in a service tier."""
        return self if tier is None else msgspec.structs.replace(self, tier=tier)


class RequestState(msgspec.Struct, gc=False):
    """What is known of a request in flight alone.

    `started_at`, `called_at` (the first attempt), `head_at` (of the response that is relayed) and `ended_at` are monotonic
    seconds; `waited` are the seconds between the first two that went to the caller's upload and to the queue of a provider.
    """

    started_at: float = 0.0
    called_at: float | None = None
    head_at: float | None = None
    ended_at: float = 0.0
    waited: float = 0.0
    metered: RequestUsage | None = None
    price: Price | None = None
    trace: Trace | None = None


class RecordBuilder(_Fields, kw_only=True):
    """The record of a request in flight; only the request has it."""

    state: RequestState = msgspec.field(default_factory=RequestState)

    def set_caller(self, caller: Caller, endpoint: str | None) -> None:
        """Set who calls which endpoint."""
        self.key, self.endpoint = caller.name, endpoint
        if caller.account is not None:
            self.account = caller.account.id

    def set_first_event(self, at: float) -> None:
        """Set when the first event of a stream was whole, monotonic seconds."""
        self.ttft_ms = milliseconds(at - self.state.started_at)

    def set_target(self, target: Target) -> None:
        """Set where the request goes, and the rule that sends it there."""
        self.sent_model = target.sent_model
        self.provider = target.provider.name
        self.rule = target.rule.where
        self.state.price = target.price

    def add_attempt(self, credential: str | None, dropped: Sequence[str] = ()) -> None:
        """Count one more attempt; set whose credential it uses (`caller`, `account`, or None), and what it drops."""
        self.attempts += 1
        if dropped or self.dropped is not UNSET:
            self.set_dropped(dropped)
        if credential is not None:
            self.credential = credential

    def total_end(self, total: float | None) -> float:
        """When `total` seconds for all attempts pass, monotonic; inf before the first of them, and for None."""
        called_at = self.state.called_at
        return inf if called_at is None or total is None else called_at + total

    def set_silence(self, seconds: float) -> None:
        """Set how long no event has come of a stream that broke off."""
        if seconds > 0 and self.outcome != "ok":
            self.ms_silent = milliseconds(seconds)

    def set_dropped(self, names: Sequence[str]) -> None:
        """Set which fields of the body the latest attempt leaves out, if any.

        Names are the caller's, so an odd one becomes `?`, and of many only the first ones are kept.
        """
        shown = [name if _FIELD.fullmatch(name) else "?" for name in names[:MAX_DROPPED]]
        self.dropped = tuple(shown) or UNSET

    def add_tried(self, result: str) -> None:
        """Add how the latest attempt ended, as another one follows."""
        self.tried = (*(self.tried or ()), f"{self.provider} {result}")
        if self.state.trace is not None:
            self.state.trace.end_attempt()

    def set_bug(self) -> None:
        """Set where a bug is, without the exception's text, which may quote a secret."""
        self.exception = location_of(sys.exc_info()[1] or Exception())

    def freeze(self, timestamps: "Timestamps") -> Record:
        """The record of a request that has ended.

        It is this object, which nobody can change from then on: a copy takes 0.7 us.
        """
        state, self.state = self.state, UNSET  # type: ignore[assignment] # as in a Record
        # Nearly always without a call: three of `milliseconds` alone would be a third of this.
        started, ended = state.started_at, state.ended_at
        if not timestamps.start <= ended < timestamps.end:
            timestamps.advance_to(ended)
        self.time = timestamps.text
        self.ms_total = int((ended - started) * 100_000 + 0.5) / 100
        if state.head_at is not None:
            self.ms_first_byte = int((state.head_at - started) * 100_000 + 0.5) / 100
        if state.called_at is not None:
            engine = state.called_at - started - state.waited
            self.ms_engine = int(engine * 100_000 + 0.5) / 100
        if state.metered is not None:
            self._note_metered(state.metered)
        self.__class__ = Record  # type: ignore[assignment] # its fields are the same
        return cast("Record", self)

    def _note_metered(self, metered: RequestUsage) -> None:
        self.usage = metered.usage
        for name, count in metered.counts.items():
            if name in _TOKENS:
                setattr(self, name, count)
        if metered.units:
            self.units = metered.units
        if metered.tier is not None:
            self.service_tier = metered.tier


_TOKENS = frozenset({"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens"})


class RequestIds:
    """Ids of requests that nobody can guess; randomness is fetched for many of them at a time."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def next(self) -> str:
        """A new id."""
        if not self._ids:
            block = os.urandom(12 * _IDS_AT_ONCE).hex()
            self._ids = [f"req_{block[at : at + 24]}" for at in range(0, len(block), 24)]
        return self._ids.pop()


class Timestamps:
    """The time of day as text (RFC 3339, milliseconds, UTC), formatted once for all that end in one.

    `text` is that of every moment from `start` until before `end`, monotonic seconds of just now: the
    time of day is compared with them when this is made. The text of a second is formatted once, too.
    """

    def __init__(self) -> None:
        self._offset = time() - monotonic()
        self.start = self.end = 0.0
        self.text = ""
        self._second, self._second_text = -1, ""

    def advance_to(self, moment: float) -> None:
        """Take the millisecond of `moment`."""
        millisecond = int((moment + self._offset) * 1000)
        self.start = millisecond / 1000 - self._offset
        self.end = self.start + 0.001
        second, rest = divmod(millisecond, 1000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        self.text = f"{self._second_text}.{rest:03}+00:00"


def milliseconds(seconds: float) -> float:
    """As milliseconds with two places, in a tenth of the time that `round` takes."""
    return int(seconds * 100_000 + 0.5) / 100


def location_of(error: BaseException) -> str:
    """The kind of an exception and where it was raised; its text may quote a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in reversed(frames))
    return f"{type(error).__name__} at {places}"

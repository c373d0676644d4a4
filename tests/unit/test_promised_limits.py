"""The limits that the pages of `docs/` promise are those of the code."""

import re

from engine.config.model import DEFAULT_LIMITS, DEFAULT_RETRY, DEFAULT_TIMEOUTS
from engine.config.source.document import MAX_BYTES
from engine.gateway.inbound.body import MIN_RATE
from engine.gateway.inbound.form_body import SPOOL_MEMORY
from engine.gateway.inbound.form_parser import MAX_PARTS
from engine.gateway.inbound.json_depth import MAX_DEPTH
from engine.gateway.inbound.json_text import LONG, MAX_FIELDS
from engine.gateway.inbound.lingering import Bounds
from engine.gateway.response.event_stream import MAX_HELD
from engine.gateway.response.event_text import MAX_EVENT, MAX_LEADING
from engine.gateway.response.relay import END_SECONDS
from engine.upstream import CHUNK_BYTES
from engine.upstream.http1 import response
from tests.servers import ROOT
from tests.tables import each

WORDS = {2.0: "two"}
BOUNDS = Bounds()


def size(count: int) -> str:
    """A number of bytes as the pages write it."""
    unit, power = ("MiB", 1 << 20) if count >= 1 << 20 else ("KiB", 1 << 10)
    return f"{count / power:g} {unit}"


@each(
    ("page", "promise"),
    [
        ("reliability", f"| parts of a form | {MAX_PARTS} | fixed |"),
        ("reliability", f"| a configuration file | {size(MAX_BYTES)} | fixed |"),
        ("reliability", f"up to {size(BOUNDS.size)}, for at most {BOUNDS.seconds:g} s, or until {BOUNDS.idle:g} s of silence"),
        ("reliability", f"for {BOUNDS.places} connections at a time"),
        ("reliability", f"kept in memory up to {size(SPOOL_MEMORY)}, then in an"),
        ("reliability", f"the next chunk ({size(CHUNK_BYTES)} at most) of a request body"),
        ("errors", f"more than {MAX_FIELDS:,} fields at its top level, more than {MAX_DEPTH} levels"),
        ("errors", f"a control character inside a string of over {size(LONG)}"),
        ("errors", f"arrived slower than {size(MIN_RATE)} a second"),
        ("errors", f"within the first {size(MAX_EVENT)}"),
        ("errors", f"first array or object are read, up to {size(MAX_LEADING)}"),
        ("errors", f"it waits for its end, up to {size(MAX_HELD)}"),
        ("errors", f"sends nothing for {WORDS[END_SECONDS]} seconds"),
        ("faults", f"up to {response.MAX_FIELDS:,} fields are passed on"),
        ("faults", f"a head of more than {size(response.MAX_HEAD)}, or interim heads of more than {size(response.MAX_HEADS)}"),
    ],
)  # fmt: skip
def test_a_page_states_the_limit_of_the_code(page: str, promise: str) -> None:
    text = " ".join((ROOT / "docs" / f"{page}.md").read_text("utf-8").split())
    assert promise in text


@each(
    ("option", "default"),
    [
        ("NAME.limits.in_flight", f"{DEFAULT_LIMITS.in_flight}"),
        ("NAME.limits.queue", f"{DEFAULT_LIMITS.queue}"),
        ("NAME.limits.wait", f"{DEFAULT_LIMITS.wait:g}s"),
        ("NAME.retry.attempts", f"{DEFAULT_RETRY.attempts}"),
        ("NAME.retry.statuses", "{}, {} and {}".format(*sorted(DEFAULT_RETRY.statuses))),
        ("NAME.retry.max_wait", f"{DEFAULT_RETRY.max_wait:g}s"),
        ("NAME.retry.budget", f"{DEFAULT_RETRY.budget:.0%}"),
        ("connect", f"{DEFAULT_TIMEOUTS.connect:g}s"),
        ("first_byte", f"{DEFAULT_TIMEOUTS.first_byte / 60:g}m"),
        ("idle", f"{DEFAULT_TIMEOUTS.idle / 60:g}m"),
        ("total", f"{DEFAULT_TIMEOUTS.total / 60:g}m"),
        ("caller_idle", f"{DEFAULT_TIMEOUTS.caller_idle:g}s"),
    ],
)  # fmt: skip
def test_the_reference_states_the_default_of_the_code(option: str, default: str) -> None:
    rows = (ROOT / "docs" / "configuration.md").read_text("utf-8").splitlines()
    (row,) = [row for row in rows if row.startswith(f"| `{option}` |") and "Default" in row]
    assert re.search(rf"Default {re.escape(default)}(?![\w%])", row)

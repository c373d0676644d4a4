"""A response of another service tier costs what that costs, or nobody knows; never as the ordinary one."""

import json
from typing import Any

import pytest

from engine.gateway.record import RecordBuilder, Timestamps, lines
from engine.gateway.response.cost import record_cost
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.usage import MAX_WHOLE, UsageMeter
from engine.gateway.response.usage_reader import usage_readers
from engine.plan.prices import ModelPrices, Price, Prices, PriceTable
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

READERS = usage_readers(shipped_plan().every_endpoint())
CHAT, RESPONSES, MESSAGES = "chat_completions", "responses", "messages"
COUNTED = {"prompt_tokens": 10, "completion_tokens": 5}
IN_OUT = {"input_tokens": 10, "output_tokens": 5}
FAKE = {"service_tier": "flex"}  # where a caller, or the model, may write it
WHOLE: list[tuple[str, dict[str, Any], str | None]] = [
    (CHAT, {"usage": COUNTED}, None),
    (CHAT, {"service_tier": "default", "usage": COUNTED}, None),
    (CHAT, {"service_tier": None, "usage": COUNTED}, None),
    (CHAT, {"usage": COUNTED, "service_tier": "flex"}, "flex"),
    (CHAT, {"usage": COUNTED, "service_tier": "defaults"}, "defaults"),
    (CHAT, {"service_tier": "on_demand", "usage": COUNTED, "x": FAKE}, None),
    (CHAT, {"usage": COUNTED | {"service_tier": "standard"}}, None),
    (CHAT, {"choices": [{"message": {"content": json.dumps(FAKE)}}], "usage": COUNTED}, None),
    (RESPONSES, {"tools": [{"example": FAKE}], "service_tier": "priority", "usage": IN_OUT}, "priority"),
    (RESPONSES, {"tools": [{"example": FAKE}], "service_tier": "default", "usage": IN_OUT}, None),
    (MESSAGES, {"usage": IN_OUT | {"service_tier": "standard", "speed": "standard"}}, None),
    (MESSAGES, {"content": [{"input": FAKE}], "usage": IN_OUT | {"service_tier": "batch"}}, "batch"),
    (MESSAGES, {"usage": IN_OUT | {"service_tier": "priority", "speed": "fast"}}, "priority+fast"),
]  # fmt: skip
STREAMS: list[tuple[str, list[dict[str, Any]], str | None]] = [
    (CHAT, [{"service_tier": "flex", "choices": []}, {"service_tier": "flex", "usage": COUNTED}], "flex"),
    (CHAT, [{"service_tier": "flex", "choices": []}], "flex"),  # broken off
    (CHAT, [{"choices": [{"delta": FAKE}]}, {"service_tier": "default", "usage": COUNTED}], None),
    (RESPONSES, [{"response": {"service_tier": "auto", "usage": None}}, {"response": {"service_tier": "priority", "usage": IN_OUT}}], "priority"),
    (RESPONSES, [{"response": {"service_tier": "flex", "usage": None}}, {"response": {"service_tier": "default", "usage": IN_OUT}}], None),
    (MESSAGES, [{"message": {"usage": IN_OUT | {"service_tier": "priority"}}}, {"usage": {"output_tokens": 9}}], "priority"),
]  # fmt: skip


def metered(endpoint: str, texts: list[bytes], kind: bytes, *, is_priced: bool = True) -> Any:
    meter, record = UsageMeter(READERS[endpoint]), RecordBuilder(request_id="req_1")
    assert meter.start(200, {b"content-type": kind})
    stream = EventStream((), None, meter)
    for text in texts:
        stream.feed(text) if meter.is_events else meter.add(text)
    meter.finish(record, is_priced=is_priced)
    return json.loads(lines([record.freeze(Timestamps())]))


@each(("endpoint", "body", "tier"), WHOLE)
def test_a_json_response_names_its_tier(endpoint: str, body: Any, tier: str | None) -> None:
    line = metered(endpoint, [json.dumps(body).encode()], b"application/json")
    assert line.get("service_tier") == tier


@each(("endpoint", "events", "tier"), STREAMS)
def test_the_last_event_with_a_tier_names_that_of_a_stream(
    endpoint: str, events: Any, tier: str | None
) -> None:
    texts = [b"data: %b\n\n" % json.dumps(event).encode() for event in events]
    line = metered(endpoint, texts, b"text/event-stream")
    assert line.get("service_tier") == tier


def test_of_a_response_that_is_not_decoded_it_is_not_known() -> None:
    body = {"text": "x" * MAX_WHOLE, "usage": COUNTED, "service_tier": "flex"}
    texts = [json.dumps(body)[at : at + 60_000].encode() for at in range(0, MAX_WHOLE + 99, 60_000)]
    assert metered(CHAT, texts, b"application/json")["service_tier"] == "?"


def test_it_is_not_looked_for_without_prices() -> None:
    text = json.dumps({"usage": COUNTED, "service_tier": "flex"}).encode()
    line = metered(CHAT, [text], b"application/json", is_priced=False)
    assert "service_tier" not in line


def table(nano_usd: int) -> PriceTable:
    price = Price({"input_tokens": nano_usd, "output_tokens": nano_usd})
    return PriceTable(ModelPrices({"m": price}), {})


@pytest.mark.parametrize(("tier", "cost"), [("default", 1.5e-05), ("flex", 8e-09), ("fast", None)])
def test_a_tier_costs_its_own_price_or_is_unpriced(tier: str, cost: float | None) -> None:
    prices = Prices("2026-11-20-0123abcd", "a list", table(10**9), {"flex": table(500_000)})
    record = RecordBuilder(request_id="req_1", attempts=1, status=200, outcome="ok")
    record.provider, record.sent_model, record.state.price = "p", "m", prices.find("p", "m")
    meter = UsageMeter(READERS[CHAT])
    assert meter.start(200, {b"content-type": b"application/json"})
    meter.add(json.dumps({"usage": COUNTED, "service_tier": tier}).encode())
    meter.finish(record, is_priced=True)
    record_cost(record, prices)
    assert record.cost_usd == cost

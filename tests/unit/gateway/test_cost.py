"""What the record of a request says of its cost: a number, 0 for what cost nothing, null for the unknown."""

import json
from typing import Any

from engine.gateway.record import RecordBuilder, RequestState, RequestUsage, Timestamps, lines
from engine.gateway.response.cost import record_cost
from engine.plan.prices import ModelPrices, Price, Prices, PriceTable
from tests.tables import each

PRICES = Prices("2026-11-20-0123abcd", "a list", PriceTable(ModelPrices({}), {}))
PRICE = Price({"input_tokens": 150_000_000, "output_tokens": 600_000_000})
COUNTS = {"input_tokens": 1200, "output_tokens": 300}
SENT: dict[str, Any] = {"attempts": 1, "status": 200, "outcome": "ok"}
CASES: dict[str, tuple[dict[str, Any], Price | None, dict[str, int], float | None]] = {
    "counted": (SENT, PRICE, COUNTS, 0.00036),
    "of no known price": (SENT, None, COUNTS, None),
    "of which nothing is counted": (SENT, PRICE, {}, None),
    "for a fee": (SENT, Price({}, 5_000_000), {}, 0.005),
    "that was refused": ({"error": "rate_limited"}, None, {}, 0),
    "that the provider refused": ({**SENT, "status": 400}, PRICE, {}, 0),
    "that was not sent": ({**SENT, "error": "upstream_connect_failed"}, PRICE, {}, 0),
    "that may have been processed": ({**SENT, "error": "upstream_timeout"}, PRICE, {}, None),
    "that broke off": ({**SENT, "outcome": "truncated"}, PRICE, {"input_tokens": 10}, 0.0000015),
    "whose caller left": ({"attempts": 1, "outcome": "client_cancelled"}, PRICE, {}, None),
}


@each("name", CASES)
def test_a_request(name: str) -> None:
    fields, price, counts, cost = CASES[name]
    record = RecordBuilder(request_id="req_1", state=RequestState(price=price), **fields)
    record.state.metered = RequestUsage(counts)
    record_cost(record, PRICES)
    made = record.freeze(Timestamps())
    line = json.loads(lines([made]))
    assert "exception" not in line
    assert (line["cost_usd"], line["price_version"]) == (cost, PRICES.version)
    assert made.cost_nano_usd == (None if cost is None else round(cost * 10**9))


def test_without_prices_there_is_no_cost() -> None:
    line = json.loads(lines([RecordBuilder(request_id="req_1").freeze(Timestamps())]))
    assert not {"cost_usd", "price_version"} & line.keys()


@each("nano_usd", [0, 1, 123_456_789, 2**50 + 1])
def test_the_integer_comes_back_exactly(nano_usd: int) -> None:
    record = RecordBuilder(
        request_id="req_1", state=RequestState(price=Price({}, nano_usd)), attempts=1, status=200
    )
    record_cost(record, PRICES)
    assert record.freeze(Timestamps()).cost_nano_usd == nano_usd

"""What a request costs: exact integers, the most specific price, and None for what is not known."""

from fractions import Fraction
from types import MappingProxyType

from engine.plan.prices import MILLION, NANO, ModelPrices, Price, Prices, PriceTable
from tests.tables import each

# 0.15 USD for a million input tokens, half of it from the cache, 0.60 for output.
CHAT = Price({"input_tokens": 150_000_000, "cached_tokens": -75_000_000, "output_tokens": 600_000_000})  # fmt: skip
EMBED = Price({"input_tokens": 20_000_000})
RERANK = Price({"search_units": 2_000_000 * MILLION})
FREE = Price({}, 0)
LONG = Price(EMBED.nano_usd, above=((500, Price({"input_tokens": 90_000_000})), (100, Price({"input_tokens": 40_000_000, "output_tokens": 1_000_000}))))  # fmt: skip
COSTS: tuple[tuple[Price, dict[str, int], int | None], ...] = (
    (CHAT, {"input_tokens": 1200, "output_tokens": 300}, 360_000),
    (CHAT, {"input_tokens": 1200, "cached_tokens": 1000, "output_tokens": 300}, 285_000),
    (CHAT, {"input_tokens": 0, "output_tokens": 0}, 0),
    (CHAT, {"input_tokens": 10, "cached_tokens": 1000}, 75_000),  # the input is at least that
    (CHAT, {"cached_tokens": 1000, "output_tokens": 300}, 255_000),
    (CHAT, {}, None),
    (CHAT, {"images": 1}, None),
    (EMBED, {"input_tokens": 8}, 160),
    (EMBED, {"input_tokens": 8, "output_tokens": 0}, 160),
    (EMBED, {"input_tokens": 0, "output_tokens": 0}, 0),
    (EMBED, {"input_tokens": 8, "output_tokens": 1}, None),
    (EMBED, {"input_tokens": 8, "cached_tokens": 7, "cache_write_tokens": 1}, 160),
    (RERANK, {"input_tokens": 500, "search_units": 2}, 4_000_000),
    (RERANK, {"input_tokens": 500}, None),
    (LONG, {"input_tokens": 100}, 2000),
    (LONG, {"input_tokens": 101, "output_tokens": 7}, 4047),  # all of it, by the price of so much input
    (LONG, {"input_tokens": 1, "cached_tokens": 101}, 4040),  # the input is at least that
    (LONG, {"input_tokens": 501}, 45_090),
    (LONG, {"input_tokens": 501, "output_tokens": 1}, None),
    (LONG, {"images": 1}, None),
    (FREE, {}, 0),
    (FREE, {"input_tokens": 500, "output_tokens": 9}, 0),
    (Price({}, 5_000_000), {"pages": 3}, 5_000_000),
    (Price({"input_tokens": 1_000_000}, 5), {"input_tokens": 2}, 7),
)  # fmt: skip


@each(("price", "counts", "cost"), COSTS)
def test_a_cost_is_the_sum_of_its_counts(
    price: Price, counts: dict[str, int], cost: int | None
) -> None:
    assert price.cost(counts) == cost


def test_the_known_part_of_a_long_context_is_by_its_price() -> None:
    assert LONG.known_part({"input_tokens": 100, "output_tokens": 1}) == (2000, True)
    assert LONG.known_part({"input_tokens": 101, "output_tokens": 7}) == (4047, False)
    assert LONG.known_part({"input_tokens": 501, "output_tokens": 7}) == (45_090, True)


def test_it_is_rounded_to_the_nearest_and_never_a_float() -> None:
    price = Price({"input_tokens": 123_456_789})
    for tokens in (0, 1, 3, 4_500, 10**15 + 1):
        whole = Fraction(tokens * 123_456_789, MILLION)
        cost = price.cost({"input_tokens": tokens})
        assert type(cost) is int
        assert abs(whole - cost) <= Fraction(1, 2)
    assert Price({"input_tokens": 500_000}).cost({"input_tokens": 1}) == 1, "half of one goes up"
    assert Price({"input_tokens": 499_999}).cost({"input_tokens": 1}) == 0
    assert CHAT.cost({"input_tokens": 10**15}) == 150_000 * 1000 * NANO


def test_the_most_specific_price_wins_whatever_the_order() -> None:
    price = {name: Price({"input_tokens": number}) for number, name in enumerate("abcdef")}
    anywhere = ModelPrices(
        MappingProxyType({"gpt-4o-mini": price["a"]}),
        (("gpt-4o", price["b"]), ("gpt-", price["c"])),
    )
    own = ModelPrices(MappingProxyType({"gpt-4o": price["d"]}), (("gpt-4", price["e"]),))
    prices = Prices("v", "s", PriceTable(anywhere, {"ours": own}))
    found = {
        (provider, model): next((n for n, p in price.items() if p is prices.find(provider, model)), None)
        for provider in ("ours", "other")
        for model in ("gpt-4o-mini", "gpt-4o", "gpt-4o-2", "gpt-5", "o3")
    }  # fmt: skip
    assert found == {
        ("ours", "gpt-4o-mini"): "e", ("ours", "gpt-4o"): "d", ("ours", "gpt-4o-2"): "e",
        ("ours", "gpt-5"): "c", ("ours", "o3"): None,
        ("other", "gpt-4o-mini"): "a", ("other", "gpt-4o"): "b", ("other", "gpt-4o-2"): "b",
        ("other", "gpt-5"): "c", ("other", "o3"): None,
    }  # fmt: skip

"""Public price lists become entries of prices.yaml: exactly, and with a reason for each that does not."""

from decimal import Decimal
from pathlib import Path

import pytest

from engine.config.listed_prices import Cost, PriceListError, read_price_list
from engine.config.price_lists import (
    ALL_ZERO,
    DIFFERENT,
    NO_NUMBER,
    NO_PRICE,
    NO_PROVIDER,
    NOT_SENT,
    Imported,
    known_names,
    select_prices,
)
from engine.config.prices import UNITS, plain, usd_of
from engine.report.prices import render_imported, render_prices
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import codes, read, write

LISTS = Path(__file__).parent / "price_lists"
ROUTES = """version: 1
endpoints: {chat_completions: {path: /v1/chat/completions}, embeddings: {path: /v1/embeddings}}
models:
  - {prefix: gpt-, provider: openai}
  - {prefix: text-embedding-, provider: openai}
  - {prefix: acme/, provider: acme, strip: true}
"""
PROVIDERS = "version: 1\nproviders:\n" + "".join(
    f"""  {name}:
    base_url: https://api.{name}.com/v1
    credentials: {{}}
    endpoints: {{chat_completions: /chat/completions, embeddings: /embeddings}}
"""
    for name in ("openai", "acme")
)


def imported(folder: Path, name: str, *, every: bool = False) -> Imported:
    config = read(write(folder, routes=ROUTES, providers=PROVIDERS)).config
    listed = read_price_list((LISTS / f"{name}.json").read_bytes())
    return select_prices(listed, config, {"acme": ["acme-ai"]}, every=every)


def texts(prices: Imported) -> dict[str, dict[str, dict[str, str]]]:
    return {
        provider: {m: {k: plain(n) for k, n in cost.usd.items()} for m, cost in models.items()}
        for provider, models in prices.prices.items()
    }


def briefly(cost: Cost) -> list[str]:
    """Input, cached input, writes to the cache and output, for each amount of input."""
    return [
        " ".join(plain(usd[key]) if key in usd else "-" for key in [*UNITS][:4])
        for usd in cost.every
    ]


def test_a_list_of_models_is_read_exactly(tmp_path: Path) -> None:
    found = imported(tmp_path, "by_model")
    assert texts(found) == {
        "openai": {
            "gpt-4o-mini": {"input_usd_per_million": "0.15", "cached_input_usd_per_million": "0.075", "output_usd_per_million": "0.6"},
            "gpt-noise": {"input_usd_per_million": "0.05", "output_usd_per_million": "0.4"},
            "gpt-long": {"input_usd_per_million": "1.25", "output_usd_per_million": "10"},
            "gpt-5.4": {"input_usd_per_million": "2.5", "cached_input_usd_per_million": "0.25", "output_usd_per_million": "15"},
            "gpt-ranges": {"input_usd_per_million": "0.4", "output_usd_per_million": "1.2"},
            "gpt-twice": {"input_usd_per_million": "1", "output_usd_per_million": "1"},
        },
        "acme": {
            "claude-opus-4-6": {"input_usd_per_million": "5", "cached_input_usd_per_million": "0.5", "cache_write_usd_per_million": "6.25", "output_usd_per_million": "25"},
            "big-1": {"input_usd_per_million": "3", "cache_write_usd_per_million": "3.75", "output_usd_per_million": "15"},
            "rerank:free": {"input_usd_per_million": "0", "output_usd_per_million": "0", "usd_per_search_unit": "0.002"},
            "whisper": {"usd_per_second": "0.000011"},
            "ocr": {"usd_per_page": "0.001"},
            "speech": {"usd_per_million_characters": "15"},
        },
    }  # fmt: skip


def test_long_contexts_and_service_tiers_are_read_and_none_is_taken_for_a_cheaper_one(
    tmp_path: Path,
) -> None:
    """What a list does not say of a tier costs as the ordinary one, of a long context in a tier the dearer of both."""
    found = imported(tmp_path, "by_model")
    costs = {"": found.prices, **found.tiers}
    gpt = {t: briefly(c["openai"]["gpt-5.4"]) for t, c in costs.items() if "openai" in c}
    assert gpt == {
        "": ["2.5 0.25 - 15", "5 0.5 - 22.5"],
        "batch": ["1.25 0.25 - 7.5", "5 0.5 - 22.5"],
        "flex": ["1.25 0.13 - 7.5", "5 0.5 - 22.5"],
        "priority": ["5 0.5 - 30", "5 0.5 - 30"],
    }
    claude = {t: briefly(c["acme"]["claude-opus-4-6"]) for t, c in costs.items() if "acme" in c}
    assert claude == {
        "": ["5 0.5 6.25 25", "10 0.5 6.25 37.5"],
        "fast": ["30 3 37.5 150", "60 3 37.5 225"],
        "ultrafast": ["5 0.5 6.25 25", "10 0.5 6.25 99"],
    }
    openai = found.prices["openai"]
    assert briefly(openai["gpt-long"]) == ["1.25 - - 10", "2.5 - - 10"]
    assert briefly(openai["gpt-ranges"]) == ["0.4 - - 1.2", "1.2 - - 3.6"]
    assert {m: list(c.above) for m, c in openai.items() if c.above} == {
        "gpt-long": [200_000], "gpt-5.4": [272_000], "gpt-ranges": [256_000],
    }  # fmt: skip
    assert found.left_out == {
        "regions": ["openai gpt-5.4", "acme claude-opus-4-6"],
        "searches": ["openai gpt-5.4"],
        "images": ["openai gpt-noise"],
        "caches that are kept for an hour or longer": ["acme claude-opus-4-6"],
        "audio": ["acme claude-opus-4-6"],
    }


def test_the_same_of_a_list_of_providers(tmp_path: Path) -> None:
    found = imported(tmp_path, "by_provider")
    ordinary = found.prices["openai"]
    assert {m: (briefly(c), list(c.above)) for m, c in ordinary.items() if c.above} == {
        "gpt-long": (["1.25 - - 10", "2.5 - - 15"], [200_000]),
        "gpt-5.5": (["5 0.5 - 30", "10 1 - 45"], [272_000]),
    }
    (tier,) = found.tiers
    assert (tier, briefly(found.tiers[tier]["openai"]["gpt-5.5"])) == (
        "priority", ["12.5 1.25 - 75", "12.5 1.25 - 75"],
    )  # fmt: skip
    assert found.left_out == {"reasoning that costs more than other output": ["openai gpt-5.5"]}


def test_what_is_skipped_has_a_reason(tmp_path: Path) -> None:
    assert imported(tmp_path, "by_model").skipped == {
        NO_PROVIDER: ["elsewhere"],
        ALL_ZERO: ["openai gpt-free"],
        NO_PRICE: ["openai gpt-without"],
        NO_NUMBER: ["openai gpt-text"],
        NOT_SENT: ["openai dall-e-3"],
        DIFFERENT: ["openai gpt-twice"],
        "a price is negative or absurd": ["openai gpt-absurd", "openai gpt-negative"],
        "a price looks as if it were for another unit": ["openai gpt-per-million-mistaken"],
    }
    assert imported(tmp_path, "by_model", every=True).prices["openai"]["dall-e-3"] == Cost(
        {"usd_per_image": Decimal("0.04")}
    )


def test_a_list_of_providers_is_read(tmp_path: Path) -> None:
    found = imported(tmp_path, "by_provider")
    assert texts(found)["openai"]["gpt-4o-mini"] == texts(imported(tmp_path, "by_model"))["openai"]["gpt-4o-mini"]  # fmt: skip
    assert texts(found)["acme"] == {"big-1": {"input_usd_per_million": "3", "cache_write_usd_per_million": "3.75", "output_usd_per_million": "15"}}  # fmt: skip
    assert found.skipped == {NO_PROVIDER: ["unknown"], NO_PRICE: ["openai gpt-open"]}


@each("name", ["by_model", "by_provider"])
def test_what_is_written_is_a_right_prices_yaml(tmp_path: Path, name: str) -> None:
    found = imported(tmp_path, name)
    text = render_prices(found, 'a "list"', "2026-11-20")
    loaded = read(write(tmp_path, prices=text))
    assert set(codes(loaded)) <= {"X287", "X298"}  # of endpoints without `usage`
    assert loaded.plan is not None
    assert loaded.plan.prices is not None
    for tier, providers in [(None, found.prices), *found.tiers.items()]:
        for provider, models in providers.items():
            for model, cost in models.items():
                price = loaded.plan.prices.find(provider, model, tier)
                assert price is not None
                assert [usd_of(p) for p in (price, *(p for _, p in price.above[::-1]))] == [
                    *cost.every
                ]
    lines = list(render_imported(found))
    tiers = (
        "service tiers batch, fast, flex, priority, ultrafast"
        if name == "by_model"
        else "service tier priority"
    )
    assert (
        lines[0]
        == f"{sum(map(len, found.prices.values()))} prices of 2 providers, and those of {tiers}"
    )
    assert lines[-1].startswith("left out of 1 model: prices of ")


@each("text", [b"", b"{", b"[]", b"{}", b'{"a": 1}', b'{"a": {"models": 1}}', b"[" * 100_000])
def test_what_is_no_list_is_refused(text: bytes) -> None:
    with pytest.raises(PriceListError):
        read_price_list(text)


@each(
    "text",
    [
        b'{"p": {"models": {"m": 1, "n": {"cost": 1}, "o": {"cost": {"input": NaN}}, "q": {"cost": {"input": 1e99}}}}}',
        b'{"m": {"litellm_provider": "openai", "input_cost_per_token": -Infinity}, "n": 5}',
    ],
)
def test_odd_values_are_no_prices(tmp_path: Path, text: bytes) -> None:
    config = read(write(tmp_path, routes=ROUTES, providers=PROVIDERS)).config
    assert select_prices(read_price_list(text), config, {"openai": ["p"]}, every=True).prices == {}


def test_the_names_of_lists_are_for_providers_that_are_shipped() -> None:
    text = (ROOT / "providers.yaml").read_text("utf-8")
    assert [name for name in known_names() if f"\n  {name}:\n" not in text] == []


@pytest.mark.parametrize("value", ['"0.000001"', "null", "NaN", "true"])
def test_a_model_with_a_price_that_is_no_number_is_skipped_and_not_half_priced(
    tmp_path: Path, value: str
) -> None:
    config = read(write(tmp_path, routes=ROUTES, providers=PROVIDERS)).config
    for text in (
        f'{{"gpt-x": {{"litellm_provider": "openai", "input_cost_per_token": {value}, "output_cost_per_token": 0.000001}}}}',
        f'{{"openai": {{"models": {{"gpt-x": {{"cost": {{"input": {value}, "output": 1}}}}}}}}}}',
    ):  # fmt: skip
        found = select_prices(read_price_list(text.encode()), config, {})
        assert (found.prices, found.skipped) == ({}, {NO_NUMBER: ["openai gpt-x"]})

"""prices.yaml as the Plan has it: exact integers, and a version that changes with the prices alone."""

from decimal import Decimal
from pathlib import Path

from engine.config.prices import UNITS
from engine.plan.plan import Plan
from engine.plan.prices import MILLION
from tests.tables import each
from tests.unit.config.folders import codes, read, write

HEAD = "version: 1\nsource: a list\ndate: 2026-11-20\n"
EMBEDDINGS = "  text-embedding-*: {usd_per_request: 0}\n"


def plan_with(folder: Path, models: str, head: str = HEAD) -> Plan:
    loaded = read(write(folder, prices=f"{head}models:\n{EMBEDDINGS}{models}"))
    assert loaded.plan is not None, codes(loaded)
    return loaded.plan


def price_of(plan: Plan, model: str) -> dict[str, int]:
    assert plan.prices is not None
    price = plan.prices.find("openai", model)
    assert price is not None
    return {**price.nano_usd, "requests": price.request}


@each("text", ["0.1", "0.15", "2.5", "0.000000001e9", "10000", "123.456789123", "7e-1", "0"])  # fmt: skip
@each("key", UNITS)
def test_a_number_is_kept_exactly(tmp_path: Path, key: str, text: str) -> None:
    count, per = UNITS[key]
    if Decimal(text) > 1000 and per == 1:
        return
    found = price_of(plan_with(tmp_path, f"  gpt-*: {{{key}: {text}}}\n"), "gpt-4o")
    nano = Decimal(text) * 10**9 * (1 if per == MILLION or count == "requests" else MILLION)
    assert Decimal(found[count]) == nano


def test_tokens_of_the_cache_are_the_difference_from_other_input(tmp_path: Path) -> None:
    keys = "input_usd_per_million: 3, cached_input_usd_per_million: 0.3, cache_write_usd_per_million: 3.75"  # fmt: skip
    plan = plan_with(tmp_path, f"  gpt-*: {{{keys}, output_usd_per_million: 15}}\n")
    price = plan.prices.find("openai", "gpt-9") if plan.prices else None
    assert price is not None
    counts = {"input_tokens": 10_000, "cached_tokens": 6000, "cache_write_tokens": 3000, "output_tokens": 100}  # fmt: skip
    assert price.cost(counts) == 1000 * 3000 + 6000 * 300 + 3000 * 3750 + 100 * 15_000
    assert price.where == "prices.yaml:6"


def test_the_version_names_the_prices_and_not_their_comments(tmp_path: Path) -> None:
    versions = {
        plan.prices.version
        for models in ("  gpt-*: {input_usd_per_million: 1}\n", "  # a\n  gpt-*: {input_usd_per_million: 1}\n")
        if (plan := plan_with(tmp_path, models)).prices
    }  # fmt: skip
    assert len(versions) == 1
    (version,) = versions
    assert version.startswith("2026-11-20-")
    changed = plan_with(tmp_path, "  gpt-*: {input_usd_per_million: 2}\n").prices
    assert changed is not None
    assert changed.version not in versions


@each(
    ("price", "code"),
    [
        ("{input_usd_per_million: -1}", "S104"),
        ("{input_usd_per_million: 10001}", "S104"),
        ("{usd_per_image: 40000}", "S104"),
        ("{input_usd_per_milion: 1}", "S102"),
        ("{input_usd_per_million: free}", "S103"),
        ("{input_usd_per_million: '1'}", "S103"),
        ("{input_usd_per_million: .nan}", "S103"),
        ("{}", "S104"),
    ],
)
def test_what_is_no_price_stops_serving(tmp_path: Path, price: str, code: str) -> None:
    loaded = read(write(tmp_path, prices=f"{HEAD}models:\n{EMBEDDINGS}  gpt-*: {price}\n"))
    assert (loaded.plan, codes(loaded)) == (None, [code])


def test_tiers_have_prices_of_their_own_that_are_checked_as_all_others(tmp_path: Path) -> None:
    tiers = "service_tiers: {flex: {models: {gpt-*: {input_usd_per_million: NUMBER}}}, x: {providers: {openai: {gpt-*: {usd_per_request: 1}}}}}\n"  # fmt: skip
    ordinary = "  gpt-*: {input_usd_per_million: 2}\n"
    plan = plan_with(tmp_path, ordinary + tiers.replace("NUMBER", "1"))
    assert plan.prices is not None
    found = {tier: plan.prices.find("openai", "gpt-4o", tier) for tier in (None, "flex", "x", "y")}
    shown = {t: (None if p is None else (dict(p.nano_usd), p.request)) for t, p in found.items()}
    assert shown == {
        None: ({"input_tokens": 2 * 10**9}, 0), "flex": ({"input_tokens": 10**9}, 0), "x": ({}, 10**9), "y": None,
    }  # fmt: skip
    dearer = plan_with(tmp_path, ordinary + tiers.replace("NUMBER", "3")).prices
    assert dearer is not None
    assert dearer.version != plan.prices.version
    text = HEAD + "models:\n" + EMBEDDINGS + ordinary + tiers.replace("NUMBER", "0.000001")
    assert codes(read(write(tmp_path, prices=text))) == ["X296"]
    alone = HEAD + "models:\n" + EMBEDDINGS + tiers.replace("NUMBER", "1")
    assert codes(read(write(tmp_path, prices=alone))) == ["X298"]


def test_above_so_much_input_what_is_left_out_costs_as_before(tmp_path: Path) -> None:
    base = "input_usd_per_million: 1, cached_input_usd_per_million: 0.1, output_usd_per_million: 4, usd_per_request: 0.5"
    above = "500k: {output_usd_per_million: 9}, 200k: {input_usd_per_million: 2}"
    plan = plan_with(tmp_path, f"  gpt-*: {{{base}, above_input_tokens: {{{above}}}}}\n")
    price = plan.prices.find("openai", "gpt-9") if plan.prices else None
    assert price is not None
    nano, request = 10**9, 10**9 // 2
    counts = [
        {"input_tokens": n, "cached_tokens": 1000, "output_tokens": 0} for n in (200_000, 200_001)
    ]
    assert [price.cost(c) for c in counts] == [
        199_000 * 1000 + 1000 * 100 + request, 199_001 * 2000 + 1000 * 100 + request,
    ]  # fmt: skip
    assert [(n, p.nano_usd["output_tokens"], p.request, p.where) for n, p in price.above] == [
        (500_000, 9 * nano, request, "prices.yaml:6"), (200_000, 4 * nano, request, "prices.yaml:6"),
    ]  # fmt: skip
    cheaper = plan_with(tmp_path, f"  gpt-*: {{{base}}}\n")
    assert cheaper.prices != plan.prices
    assert cheaper.prices is not None
    assert plan.prices is not None
    assert cheaper.prices.version != plan.prices.version


@each(
    ("above", "code"),
    [
        ("{200k: {input_usd_per_million: 0.0000025}}", "X296"),
        ("{'200000': {input_usd_per_million: 1}}", "S105"),
        ("{0k: {input_usd_per_million: 1}}", "S105"),
        ("{200k: {}}", "S104"),
        ("{200k: {usd_per_image: 1}}", "S102"),
        ("{}", "S104"),
    ],
)
def test_what_is_no_price_of_so_much_input_is_reported(
    tmp_path: Path, above: str, code: str
) -> None:
    price = f"{{input_usd_per_million: 1, above_input_tokens: {above}}}"
    loaded = read(write(tmp_path, prices=f"{HEAD}models:\n{EMBEDDINGS}  gpt-*: {price}\n"))
    assert codes(loaded) == [code]


def test_a_broken_price_hides_nothing_of_the_other_files(tmp_path: Path) -> None:
    routes = (
        "version: 1\nendpoints: {embeddings: {path: /v1/embeddings}}\nmodels:\n"
        "  - {prefix: gpt-, provider: opnai}\n"
    )
    text = f"{HEAD}models:\n  gpt-*: {{}}\n"
    assert "X201" in codes(read(write(tmp_path, prices=text, routes=routes)))


def test_a_price_said_twice_is_refused(tmp_path: Path) -> None:
    text = f"{HEAD}models:\n{EMBEDDINGS}  gpt-*: {{usd_per_request: 1}}\n  gpt-*: {{usd_per_request: 2}}\n"  # fmt: skip
    assert codes(read(write(tmp_path, prices=text))) == ["Y002"]


@each(
    ("budget", "messages"),
    [
        ("{usd: 1, per: day}", []),
        ("{usd: 0.5, per: day, unpriced: {usd: 0.01}}", []),
        ("{usd: 1, per: day, warn_at: 80%}", []),
        ("{tokens: 5M, per: month, warn_at: 80%}", []),
        ("{tokens: 5M, per: month, warn_at: 0.8}", ["must be text, not a number"]),
        ("{usd: 1, tokens: 1, per: day}", ["must be of `tokens` or of `usd`, not of both"]),
        ("{per: day}", ["has no `tokens`"]),
        ("{tokens: 1, per: day, unpriced: refuse}", ["must be without `unpriced`, which is for `usd`"]),
        ("{usd: 0, per: day}", ["must be at least 1e-06"]),
    ],
)  # fmt: skip
def test_a_budget_is_of_tokens_or_of_dollars(
    tmp_path: Path, budget: str, messages: list[str]
) -> None:
    keys = f"version: 1\nkeys:\n  - name: a\n    sha256: {'ab' * 32}\n    limits: {{budgets: [{budget}]}}\n"
    prices = f"{HEAD}models:\n{EMBEDDINGS}  gpt-*: {{usd_per_request: 1}}\n"
    found = read(write(tmp_path, keys=keys, prices=prices)).diagnostics
    assert len(found) == len(messages), found
    assert all(m in d.message for d, m in zip(found, messages, strict=True)), found

"""`engine diff`: it tells every effect, each once, and nothing that has none."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from engine.config.load import Loaded, load
from engine.plan.plan import Plan, UnusableValueError
from engine.report.diff import render_text, view_diff
from engine.report.effects import effects, probes
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import NOW, SECRET, TextSnapshot

__all__ = ["plain"]

Config = dict[str, Any]
KEYS = """version: 1
keys:
  - {name: gone, sha256: "%s"}
  - {name: kept, sha256: "%s", models: [gpt-*]}
"""


def small(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """ROUTES and PROVIDERS with (file, old, new) replaced; each must be there."""
    folder.mkdir()
    texts = {"routes": ROUTES, "providers": PROVIDERS}
    for name, old, new in edits:
        assert old in texts[name], old
        texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


# -- what it says --------------------------------------------------------------------------------


ROUTES = """version: 1
endpoints:
  chat: {path: /v1/chat}
  read: {path: /v1/ocr}
  rank: {path: /v1/rank, max_body: 1MiB}
not_exposed:
  - {paths: [/v1/skills, /v1/files], reason: not here}
models:
  - {prefix: a/, provider: one, strip: true}
  - {prefix: gpt-, provider: one}
  - {prefix: gpt-oss-, provider: two}
  - {model: fast, provider: two, as: gpt-oss-1}
"""
PROVIDERS = """version: 1
providers:
  one:
    base_url: https://one.example/v1
    credentials: {api_key: {env: ONE_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {chat: /chat, read: /read, rank: /rank}
  two:
    base_url: https://two.example
    endpoints: {chat: /chat, rank: /rank}
"""
CHANGES = (
    ("routes", "path: /v1/ocr", "path: /v1/read"),
    ("routes", "endpoints:", "defaults: {timeouts: {first_byte: 9m}}\nendpoints:"),
    ("routes", "{prefix: gpt-oss-, provider: two}", "{prefix: gpt-oss-, provider: one}"),
    ("routes", "/v1/skills", "/v1/tricks"),
    ("providers", "env: ONE_KEY", "env: OTHER_KEY"),
    ("providers", "https://one.example/v1", '"https://{{ variables.host }}/v2"'),
    ("providers", "  one:", "  one:\n    variables: {host: m.example}"),
    ("providers", "  two:", "  two:\n    limits: {in_flight: 5}"),
    ("keys", "gone", "added"),
    ("keys", "gpt-*", "gpt-*, o1"),
    ("keys", "b" * 64, "c" * 64),
)


def test_text(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    texts = {"routes": ROUTES, "providers": PROVIDERS, "keys": KEYS % ("a" * 64, "b" * 64)}
    for side in ("old", "new"):
        (tmp_path / side).mkdir()
        for name, text in texts.items():
            (tmp_path / side / f"{name}.yaml").write_text(text)
        for name, before, after in CHANGES if side == "old" else ():
            assert before in texts[name]
            texts[name] = texts[name].replace(before, after)
    old, new = tmp_path / "old", tmp_path / "new"
    result = engine("diff", old, new)
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert "b" * 64 not in result.stdout
    as_json = engine("diff", old, new, "--format", "json")
    view_of("diff", as_json)
    assert "b" * 64 not in as_json.stdout


def test_the_timeout_of_one_provider_is_one_line(tmp_path: Path) -> None:
    old = small(tmp_path / "old")
    new = small(tmp_path / "new", ("providers", "  one:", "  one:\n    timeouts: {idle: 30s}"))
    assert engine("diff", old, new).stdout.count("idle") == 1
    view = view_of("diff", engine("diff", old, new, "--format", "json"))
    assert view["upstreams"] == [
        {"providers": ["one"], "every_provider": False, "endpoints": None,
         "what": "timeouts.idle", "old": "10m", "new": "30s"}
    ]  # fmt: skip


def test_what_a_rule_says_of_a_request_is_told(tmp_path: Path) -> None:
    asked = "as: gpt-oss-1, body: {set: {temperature: 0}, drop: [user]}}"
    old = small(tmp_path / "old")
    new = small(tmp_path / "new", ("routes", "as: gpt-oss-1}", asked))
    said = "two as gpt-oss-1 -> two as gpt-oss-1 with body.set.temperature 0, body.drop user"
    assert said in engine("diff", old, new).stdout
    (moved,) = view_of("diff", engine("diff", old, new, "--format", "json"))["routing"]
    assert moved["new"]["targets"][0]["settings"] == ["body.set.temperature 0", "body.drop user"]


def test_conditions_are_compared_by_what_requests_meet(tmp_path: Path) -> None:
    rule = "  - {prefix: gpt-, provider: one}"
    team = rule + "\n  - {prefix: gpt-, provider: two, when: {header: {x-team: %s}}}"
    old = small(tmp_path / "old", ("routes", rule, team % "[a, b]"))
    apart = team % "[a]" + "\n  - {prefix: gpt-, provider: two, when: {header: {x-team: [b]}}}"
    same = small(tmp_path / "same", ("routes", rule, apart))
    new = small(tmp_path / "new", ("routes", rule, team % "[a]"))
    assert engine("diff", old, same).stdout == "no effect\n"
    moved = view_of("diff", engine("diff", old, new, "--format", "json"))["routing"]
    assert all("when header x-team = b" in model for move in moved for model in move["models"])
    assert "when header x-team = b" in engine("diff", old, new).stdout


def test_pages_that_may_call_are_compared(tmp_path: Path) -> None:
    cors = "\ncors: {origins: [%s], max_age: %s}\n"
    folders = []
    for name, text in (
        ("none", ""),
        ("two", cors % ("https://a.example, https://b.example", "10m")),
        ("same", cors % ("https://b.example, https://a.example", "600s")),
        ("every", cors % ('"*"', "10m")),
    ):
        folder = small(tmp_path / name)
        with (folder / "routes.yaml").open("a") as routes:
            routes.write(text)
        folders.append(folder)
    none, two, same, every = folders
    assert engine("diff", two, same).stdout == "no effect\n"
    view = view_of("diff", engine("diff", none, two, "--format", "json"))
    assert [(c["names"], c["what"], c["new"]) for c in view["endpoints"]["changed"]] == [
        (["cors"], "origins", "https://a.example, https://b.example"),
        (["cors"], "max_age", "10m"),
    ]
    view = view_of("diff", engine("diff", two, every, "--format", "json"))
    assert [(c["what"], c["new"]) for c in view["endpoints"]["changed"]] == [("origins", "*")]


def test_keys_are_asked_for_or_not(tmp_path: Path) -> None:
    open_to_all, with_keys = small(tmp_path / "open"), small(tmp_path / "keys")
    (with_keys / "keys.yaml").write_text(KEYS % ("a" * 64, "b" * 64))
    assert "callers need a key" in engine("diff", open_to_all, with_keys).stdout
    assert "callers need no key" in engine("diff", with_keys, open_to_all).stdout


def test_the_only_provider_is_named(tmp_path: Path) -> None:
    """`every provider` is said of several."""
    folders = []
    for side, limit in (("old", 5), ("new", 6)):
        (tmp_path / side).mkdir()
        limits = f"{{limits: {{in_flight: {limit}}}, base_url: https://one.example, endpoints: {{chat: /chat}}}}"
        (tmp_path / side / "routes.yaml").write_text(
            "version: 1\nendpoints: {chat: {path: /v1/chat}}\nmodels: [{prefix: a, provider: one}]\n"
        )
        (tmp_path / side / "providers.yaml").write_text(
            f"version: 1\nproviders: {{one: {limits}}}\n"
        )
        folders.append(tmp_path / side)
    assert engine("diff", *folders).stdout == "providers\n  one: limits.in_flight  5 -> 6\n"


def test_of_many_names_the_first_are_told_and_how_many_more(tmp_path: Path) -> None:
    for count, more in ((8, ": "), (9, " and 1 more: ")):
        folders = [small(tmp_path / f"{side}{count}") for side in ("old", "new")]
        for folder, model in zip(folders, ("a", "b"), strict=True):
            entries = "".join(
                f'  - {{name: k{n}, sha256: "{n:064}", models: [{model}]}}\n' for n in range(count)
            )
            (folder / "keys.yaml").write_text("version: 1\nkeys:\n" + entries)
        assert f"k6, k7{more}models" in engine("diff", *folders).stdout


def test_no_secret_is_shown(tmp_path: Path) -> None:
    literal = "sk-" + "a1b2c3d4" * 4
    header = 'authorization: "Bearer {{ credentials.api_key }}"}'
    old = small(tmp_path / "old")
    new = small(
        tmp_path / "new",
        ("providers", header, f"authorization: {literal}}}  # engine: ignore[X218] a test"),
        ("providers", "{env: ONE_KEY}", "{file: s.txt}"),
    )
    (new / "s.txt").write_text(SECRET)
    for words in ((old, new), (new, old), (old, new, "--format", "json")):
        result = engine("diff", *words)
        assert result.exit_code == 0, result.output
        assert "headers.authorization" in result.stdout
        assert literal not in result.output
        assert SECRET not in result.output


def test_targets_are_compared_in_their_turn(tmp_path: Path) -> None:
    rule = "{prefix: gpt-, provider: one}"
    several = (
        "{prefix: gpt-, targets: [{provider: one, weight: 2}, {provider: two, as: c, weight: 1}]}"
    )
    old = small(tmp_path / "old")
    chosen = small(tmp_path / "several", ("routes", rule, several))
    alone = small(tmp_path / "one", ("routes", rule, "{prefix: gpt-, targets: [{provider: one}]}"))
    assert (
        "    ~ one: weight not set -> 2\n    + two as c weight 1\n"
        in engine("diff", old, chosen).stdout
    )
    assert engine("diff", old, alone).stdout == "no effect\n"
    view_of("diff", engine("diff", old, chosen, "--format", "json"))


def lines_at_chat(old: Path, new: Path) -> str:
    return engine("diff", old, new).stdout.partition("at chat, rank\n")[2].partition("  gpt-")[0]


def test_each_target_of_a_rule_is_a_line_that_says_what_differs_of_it(tmp_path: Path) -> None:
    rule = "{prefix: gpt-, provider: one}"
    before = """
    prefix: gpt-
    targets:
      - {provider: one, as: a, weight: 2, body: {set: {temperature: 0, top_p: 1}}}
      - {provider: two, as: b, weight: 1}
      - {provider: two, as: c, weight: 1}"""
    after = """
    prefix: gpt-
    sticky: key
    targets:
      - {provider: one, as: a, weight: 3, body: {set: {temperature: 1, top_p: 1}}}
      - {provider: two, as: c, weight: 1}
      - {provider: one, as: d, weight: 1}"""
    old = small(tmp_path / "old", ("routes", rule, before.lstrip()))
    new = small(tmp_path / "new", ("routes", rule, after.lstrip()))
    assert (
        lines_at_chat(old, new)
        == """\
    sticky  no -> by key
    ~ one as a: weight 2 -> 3, body.set.temperature 0 -> body.set.temperature 1
    - two as b weight 1
      two as c weight 1
    + one as d weight 1
"""
    )
    gone = small(tmp_path / "gone", ("routes", f"  - {rule}\n", ""))
    assert (
        lines_at_chat(old, gone)
        == """\
    - one as a weight 2 with body.set.temperature 0, body.set.top_p 1
    - two as b weight 1
    - two as c weight 1
    + refused with model_not_found
"""
    )


# -- git -----------------------------------------------------------------------------------------


# -- against every model there is ----------------------------------------------------------------

MODELS = ["".join(letters) for n in range(1, 5) for letters in product("ab", repeat=n)]
MODELS.append("zz-other")
ENVIRON = {"A_KEY": "secret-a", "B_KEY": "secret-b"}
PROVIDER: dict[str, st.SearchStrategy[Any]] = {
    "base": st.sampled_from(["https://one.example/v1", "https://two.example", "https://{{ variables.host }}/v1"]),
    "path": st.sampled_from(["/c", "/{{ model | segment }}", "/{{model|segment}}"]),
    "first_byte": st.sampled_from([None, "10m", "600s", "5m"]),
    "in_flight": st.sampled_from([None, 1024, 7]),
    "key": st.sampled_from(["A_KEY", "B_KEY"]),
    "serves": st.sampled_from([("c",), ("c", "e"), ("e",)]),
}  # fmt: skip
RULES = st.lists(
    st.tuples(
        st.sampled_from(["prefix", "model"]), st.text("ab", min_size=1, max_size=3),
        st.sampled_from(["p", "q"]), st.sampled_from(["", "strip", "as"]), st.sampled_from([None, "c"]),
    ),
    max_size=4, unique_by=lambda rule: rule[:2],
)  # fmt: skip
SIDE: st.SearchStrategy[Config] = st.fixed_dictionaries(
    {"rules": RULES, "p": st.fixed_dictionaries(PROVIDER), "q": st.fixed_dictionaries(PROVIDER)}
)


def written(folder: Path, side: Config) -> Loaded:
    rules: list[Config] = [{"prefix": "zz", "provider": "q"}]
    for kind, pattern, provider, form, endpoint in side["rules"]:
        more: Config = {"strip": True} if form == "strip" and kind == "prefix" else {}
        more |= {"as": "ab"} if form == "as" and kind == "model" else {}
        more |= {"endpoint": endpoint} if endpoint else {}
        rules.append({kind: pattern, "provider": provider, **more})
    routes = {
        "version": 1,
        "endpoints": {"c": {"path": "/v1/c"}, "e": {"path": "/v1/e"}},
        "models": rules,
    }
    providers = {}
    for name in "pq":
        drawn = side[name]
        providers[name] = {
            "base_url": drawn["base"], "variables": {"host": "one.example"},
            "credentials": {"api_key": {"env": drawn["key"]}},
            "headers": {"authorization": "Bearer {{ credentials.api_key }}"},
            "endpoints": dict.fromkeys(drawn["serves"], drawn["path"]),
            **({"timeouts": {"first_byte": drawn["first_byte"]}} if drawn["first_byte"] else {}),
            **({"limits": {"in_flight": drawn["in_flight"]}} if drawn["in_flight"] else {}),
        }  # fmt: skip
    (folder / "routes.yaml").write_text(json.dumps(routes))
    (folder / "providers.yaml").write_text(json.dumps({"version": 1, "providers": providers}))
    loaded = load(folder, ENVIRON, NOW)
    assert loaded.plan is not None, loaded.diagnostics
    return loaded


def everything(plan: Plan) -> dict[tuple[str, str], Any]:
    """What happens to every short model at every endpoint."""
    outcome: dict[tuple[str, str], Any] = {}
    for endpoint, model in product("ce", MODELS):
        decision = plan.decide(endpoint, model)
        provider, upstream = decision.provider, decision.upstream
        if decision.refusal or provider is None or upstream is None:
            outcome[endpoint, model] = decision.refusal
            continue
        try:
            url = upstream.url(decision.sent_model)
        except UnusableValueError:
            url = "invalid_model"
        headers = [header.value for header in provider.headers]
        outcome[endpoint, model] = (provider.name, decision.sent_model, url, headers, provider.limits, upstream.timeouts)  # fmt: skip
    return outcome


EDITS = st.one_of(
    st.just(lambda side: {**side, "rules": side["rules"][::-1]}),
    RULES.map(lambda rules: lambda side: {**side, "rules": rules}),
    RULES.map(lambda rules: lambda side: {**side, "rules": [*side["rules"], *(r for r in rules[:1] if r[:2] not in {s[:2] for s in side["rules"]})]}),
    st.tuples(st.sampled_from("pq"), st.sampled_from(list(PROVIDER)).flatmap(lambda key: st.tuples(st.just(key), PROVIDER[key]))).map(
        lambda pair: lambda side: {**side, pair[0]: {**side[pair[0]], pair[1][0]: pair[1][1]}}
    ),
)  # fmt: skip


@settings(
    deadline=None, max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(SIDE, st.lists(EDITS, max_size=2))
def test_it_tells_something_exactly_when_some_request_is_treated_otherwise(
    tmp_path: Path, side: Config, edits: list[Callable[[Config], Config]]
) -> None:
    old = written(tmp_path, side)
    for edit in edits:
        side = edit(side)
    new = written(tmp_path, side)
    models = probes(old.config, new.config)
    view = view_diff(effects(old, models), effects(new, models))
    assert old.plan is not None
    assert new.plan is not None
    assert view["same"] is (everything(old.plan) == everything(new.plan)), render_text(view)

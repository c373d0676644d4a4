"""`engine route` and `engine routes` beyond their text: keys, origins, filters, and their JSON."""

from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from engine.config.effective import fill_in, timeouts_of
from engine.config.load import load
from engine.config.units import parse_duration
from engine.gateway.routing.match import find_target, find_targets
from engine.report.route import ExplainedRequest, view_route
from tests.servers import ROOT
from tests.tables import each
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import NOW, SECRET, TextSnapshot, provider, write

__all__ = ["plain"]

RULES = """version: 1
defaults: {timeouts: {idle: 3m}}
endpoints:
  chat_completions: {path: /v1/chat/completions, max_body: 1MiB}
  embeddings: {path: /v1/embeddings, timeouts: {total: 1h, connect: 2s}}
models:
  - prefix: gpt-
    provider: openai
    # a comment inside sk-aaaaaaaaaaaaaaaaaaaaaaaa
    endpoint: [chat_completions, embeddings]
  - {prefix: gpt-4, provider: openai}
"""
KEYS = f"""version: 1
keys:
  - {{name: all, sha256: "{"a" * 64}"}}
  - {{name: narrow, sha256: "{"b" * 64}", endpoints: [embeddings], models: [gpt-4o]}}
  - {{name: old, sha256: "{"c" * 64}", expires: 2020-01-01}}
"""
CHAT = ("route", "POST", "/v1/chat/completions")
EMBED = ("route", "POST", "/v1/embeddings")


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    text = provider(
        credentials={"api_key": {"env": "OPENAI_API_KEY"}},
        headers={"authorization": "Bearer {{ credentials.api_key }}", "x-model": "{{ model }}"},
        timeouts={"connect": "1s"},
        limits={"in_flight": 7},
    )
    return write(tmp_path, routes=RULES, providers=text, keys=KEYS)


def test_the_lines_of_the_winner_and_every_origin(
    routed: Path, snapshot: SnapshotAssertion
) -> None:
    result = engine(*EMBED, "--model", "gpt-3", "-C", routed, "--key", "all")
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert "sk-aaaa" not in result.stdout


@pytest.mark.parametrize(
    ("key", "words", "model", "code"),
    [
        ("all", CHAT, "gpt-4o", None),
        ("narrow", EMBED, "gpt-4o", None),
        ("narrow", CHAT, "gpt-4o", "not_allowed"),
        ("narrow", EMBED, "gpt-4", "not_allowed"),
        ("old", EMBED, "gpt-4o", "expired_api_key"),
        ("all", EMBED, "claude", "model_not_found"),
    ],
)  # fmt: skip
def test_a_key_is_asked_for(
    key: str, words: tuple[str, ...], model: str, code: str | None, routed: Path
) -> None:
    result = engine(*words, "--model", model, "--key", key, "-C", routed, "--format", "json")
    view = view_of("route", result)
    assert (view["error"] or {}).get("code") == code
    assert result.exit_code == (1 if code else 0)
    assert view["ok"] is (code is None)
    assert view["key"]["allowed"] is (code in {None, "model_not_found"})


def test_a_key_that_is_not_there_is_told_with_the_nearest(routed: Path) -> None:
    result = engine(*CHAT, "--model", "gpt-4o", "--key", "narow", "-C", routed)
    assert result.exit_code == 2
    assert "did you mean `narrow`?" in result.stderr


def test_json_tells_what_is_in_force_and_where_it_was_set(routed: Path) -> None:
    view = view_of("route", engine(*EMBED, "--model", "gpt-4o", "-C", routed, "--format", "json"))
    timeouts = {t["name"]: (t["value"], t["where"]) for t in view["target"]["timeouts"]}
    line = (routed / "providers.yaml").read_text().splitlines().index("      connect: 1s") + 1
    assert timeouts == {
        "connect": ("1s", f"providers.yaml:{line}"),
        "total": ("1h", "routes.yaml:5"),
        "idle": ("3m", "routes.yaml:2"),
        "first_byte": ("10m", "default"),
        "caller_idle": ("30s", "default"),
    }
    limits = {t["name"]: t["value"] for t in view["target"]["limits"]}
    assert limits == {"max_body": "32MiB", "in_flight": 7, "queue": 1024, "wait": "10s"}
    assert SECRET not in str(view)
    secret, made = view["target"]["headers"]
    assert (secret["value"], secret["secret"], made["value"], made["secret"]) == (None, True, None, False)  # fmt: skip


@pytest.mark.parametrize("words", [("GET", "/v1/embeddings"), ("POST", "/v1/embedding")])
def test_json_of_a_refusal_fits_its_schema(words: tuple[str, ...], routed: Path) -> None:
    result = engine("route", *words, "--model", "m", "-C", routed, "--format", "json")
    view = view_of("route", result)
    assert (view["target"], view["endpoint"], view["ok"]) == (None, None, False)


def test_the_timeouts_it_shows_are_those_of_the_plan() -> None:
    """For every endpoint and provider of the shipped files."""
    loaded = load(ROOT, {}, NOW)
    assert loaded.plan is not None
    routes = fill_in(loaded.documents["routes.yaml"], "routes")
    providers = fill_in(loaded.documents["providers.yaml"], "providers")
    compared = 0
    for name, made in loaded.plan.providers.items():
        for endpoint, upstream in made.upstreams.items():
            if upstream is not None:
                for setting in timeouts_of(routes, providers, endpoint, name):
                    assert parse_duration(setting.value) == getattr(upstream.timeouts, setting.name)
                    compared += 1
    assert compared > 100


def test_routes_narrowed(routed: Path) -> None:
    view = view_of(
        "routes", engine("routes", routed, "--endpoint", "embeddings", "--format", "json")
    )
    assert [e["name"] for e in view["endpoints"]] == ["embeddings"]
    (reported,) = view["providers"]
    assert (reported["name"], reported["endpoints"], reported["unset"]) == (
        "openai",
        ["embeddings"],
        [],
    )
    assert len(view["rules"]) == 2


def test_the_shipped_table_fits_a_terminal() -> None:
    text = engine("routes", ROOT).stdout
    matrix = text.split("\n\n")[1]
    assert max(len(line) for line in matrix.splitlines()) <= 80
    assert "azure_deployments  ?" in matrix
    view = view_of("routes", engine("routes", ROOT, "--provider", "groq", "--format", "json"))
    assert {rule["targets"][0]["provider"] for rule in view["rules"]} == {"groq"}


TARGETS = """version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
  embeddings: {path: /v1/embeddings}
models:
  - prefix: m-
    targets:
      - {provider: bare}
      - {provider: full, strip: true}
      - {provider: last, as: fallback}
  - prefix: w-
    targets:
      - {provider: full, weight: 1}
      - {provider: last, weight: 3}
      - {provider: last, as: fallback}
  - prefix: s-
    sticky: key
    targets:
      - {provider: full}
      - {provider: last}
  - {prefix: f-, provider: full, strip: true}
"""
PROVIDED = """version: 1
providers:
  bare:
    base_url: https://bare.example.com
    credentials: {api_key: {env: NOT_SET}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {chat_completions: /chat, embeddings: /embed}
  full:
    base_url: "https://{{ variables.region }}.example.com"
    variables: {region: {env: NOT_SET, default: eu, choices: [eu, us]}}
    credentials: {api_key: {env: OPENAI_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    caller_credentials: {headers: {x-provider-api-key: api_key}}
    caller_variables: {body: {region: region}}
    accounts:
      - {callers: [narrow], credentials: {api_key: {env: OTHER_API_KEY}}}
      - {models: [x-*], credentials: {api_key: {env: OPENAI_API_KEY}}}
      - {credentials: {api_key: {env: OTHER_API_KEY}}}
    retry: {attempts: 3, statuses: [429, 503]}
    breaker: {failures: 5, open: 30s}
    tls: {ca: ca.pem}
    endpoints:
      chat_completions:
        path: /chat
        body: {drop: [user], set: {store: false, api_token: not-shown}}
      embeddings: /embed
  last:
    base_url: https://last.example.com
    endpoints: {chat_completions: /chat, embeddings: /embed}
"""
AUTHORITY = ROOT / "tests/integration/upstream/tls/other-ca.pem"


@pytest.fixture
def decided(tmp_path: Path) -> Path:
    """Everything at once that may decide about a request."""
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.read_bytes())
    return write(tmp_path, routes=TARGETS, providers=PROVIDED, keys=KEYS)


def target_of(folder: Path, model: str, *words: str) -> dict[str, Any]:
    result = engine(*CHAT, "--model", model, "-C", folder, "--format", "json", *words)
    target: dict[str, Any] = view_of("route", result)["target"]
    return target


def test_all_that_decides_is_told_with_its_line(
    decided: Path, plain: None, snapshot: SnapshotAssertion
) -> None:
    text = engine(*CHAT, "--model", "m-x-1", "-C", decided).stdout
    assert text == snapshot(extension_class=TextSnapshot)
    assert "not-shown" not in text
    shown = engine("routes", decided).stdout
    assert shown == snapshot(name="routes", extension_class=TextSnapshot)
    assert "not-shown" not in shown


def test_every_line_it_names_is_the_one(decided: Path) -> None:
    lines = {f.name: f.read_text().splitlines() for f in decided.glob("*.yaml")}

    def line(where: str) -> str:
        file, _, number = where.rpartition(":")
        return lines[file][int(number) - 1]

    target = target_of(decided, "m-x-1")
    for section, word in (
        ("retry", "attempts: 3"), ("breaker", "failures: 5"), ("tls", "ca: ca.pem"), ("body", "drop"),
        ("caller_credentials", "x-provider-api-key"), ("choices", "region: region"),
    ):  # fmt: skip
        assert word in line(target[section][0]["where"]), section
    assert [line(t["where"]).strip()[13:17] for t in target["targets"]] == ["full", "last", "bare"]
    assert line(target["where"]) == "  full:"
    assert line(target["url_where"]) == "      chat_completions:"
    assert [line(w) for a in target["accounts"] for w in a["where"][:1]] == [
        "      - {callers: [narrow], credentials: {api_key: {env: OTHER_API_KEY}}}",
        "      - {models: [x-*], credentials: {api_key: {env: OPENAI_API_KEY}}}",
        "  full:",
    ]


def test_a_path_that_is_taken_over_is_where_it_was_written(tmp_path: Path) -> None:
    extending = """version: 1
providers:
  base:
    base_url: https://base.example
    endpoints: {chat_completions: {path: /chat}}
  eu:
    extends: base
    endpoints: {chat_completions: {grade: sdk}}
"""
    rule = "models: [{prefix: e-, provider: eu}, {prefix: b-, provider: base}]"
    write(tmp_path, routes=TARGETS.partition("models:")[0] + rule, providers=extending)
    assert target_of(tmp_path, "e-1")["url_where"] == "providers.yaml:5"


def test_a_target_without_its_credential_is_passed_over(decided: Path) -> None:
    turns = target_of(decided, "m-1")["targets"]
    assert [(t["provider"], t["missing"]) for t in turns] == [
        ("full", []), ("last", []), ("bare", ["NOT_SET"]),
    ]  # fmt: skip


def test_the_heaviest_target_is_told_first_where_a_draw_decides(decided: Path) -> None:
    target = target_of(decided, "w-1")
    reported = [(t["provider"], t["sent_model"], t["weight"]) for t in target["targets"]]
    assert reported == [("last", "w-1", 3), ("full", "w-1", 1), ("last", "fallback", None)]
    assert (target["order"], target["provider"]) == ("weight", "last")
    assert [t["weight"] for t in target["then"]] == [1, None]


def test_a_key_keeps_to_one_target_of_a_sticky_rule(decided: Path) -> None:
    """The one that the gateway sends it to, which is not the same for all keys."""
    plan = load(decided, {"OPENAI_API_KEY": SECRET}, NOW).plan
    assert plan is not None
    endpoint = plan.endpoint("chat_completions")
    assert endpoint is not None
    first = find_target(plan, endpoint, "s-1")
    found = set()
    for key in ("all", "narrow", "old"):
        sent = find_targets(plan, endpoint, first, key, lambda: 0.0)
        found.add(sent[0].provider.name)
        reported = target_of(decided, "s-1", "--key", key)["targets"]
        assert [t["provider"] for t in reported] == [t.provider.name for t in sent]
    assert found == {"full", "last"}
    assert "--key NAME shows" in engine(*CHAT, "--model", "s-1", "-C", decided).stdout
    assert [t["provider"] for t in target_of(decided, "s-1")["targets"]] == ["full", "last"]


def test_of_targets_that_all_lack_a_credential_the_first_of_the_file_is_told(decided: Path) -> None:
    """A request is refused for that one, whatever the weights are."""
    rule = "  - {prefix: n-, targets: [{provider: bare, weight: 1}, {provider: bare, as: heavy, weight: 9}]}\n"
    write(decided, routes=TARGETS + rule)
    assert [t["sent_model"] for t in target_of(decided, "n-1")["targets"]] == ["n-1", "heavy"]


def test_a_key_ends_at_the_second_at_which_the_gateway_refuses_it(routed: Path) -> None:
    loaded = load(routed, {}, NOW)
    assert loaded.plan is not None and loaded.plan.callers is not None
    old = next(c for c in loaded.plan.callers.values() if c.name == "old")
    assert old.expires is not None
    words = "POST", "/v1/embeddings", "gpt-4o", old
    asked = [ExplainedRequest(*words, old.expires + more) for more in (-1, 0)]
    views = [view_route(loaded.plan, loaded.documents, each) for each in asked]
    assert [(view["error"] or {}).get("code") for view in views] == [None, "expired_api_key"]


@pytest.mark.parametrize(
    ("key", "model", "serves"),
    [
        (None, "f-1", [None, False, True]),
        (None, "f-x-1", [None, True, False]),
        ("narrow", "f-x-1", [True, False, False]),
        ("all", "f-x-1", [False, True, False]),
        ("all", "f-1", [False, False, True]),
    ],
)
def test_the_account_that_serves_a_request(
    key: str | None, model: str, serves: list[bool | None], decided: Path
) -> None:
    keyed = ("--key", key) if key else ()
    target = target_of(decided, model, *keyed)
    assert target["provider"] == "full"
    assert [account["serves"] for account in target["accounts"]] == serves
    assert [account["missing"] for account in target["accounts"]] == [["OTHER_API_KEY"], [], []]


def test_routes_tell_every_target_and_what_is_set(decided: Path) -> None:
    view = view_of("routes", engine("routes", decided, "--format", "json"))
    assert [t["as"] for t in view["rules"][0]["targets"]] == [None, None, "fallback"]
    assert [t["where"] for t in view["rules"][0]["targets"]] == [
        f"routes.yaml:{n}" for n in (8, 9, 10)
    ]
    full = next(p for p in view["providers"] if p["name"] == "full")
    assert [s["section"] for s in full["settings"]] == [
        "retry", "breaker", "tls", "chat_completions.body", *["accounts"] * 3, "caller_variables",
    ]  # fmt: skip


BODIES = """version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
models:
  - model: fast
    body: {set: {temperature: 0.2}}
    targets:
      - provider: openai
        body: {default: {/reasoning/effort: low}, drop: [user]}
"""


def test_changes_to_a_body_are_shown_with_their_lines_in_their_order(tmp_path: Path) -> None:
    served = {"path": "/chat/completions", "body": {"drop": ["store"]}}
    write(tmp_path, routes=BODIES, providers=provider(endpoints={"chat_completions": served}))
    view = view_of("route", engine(*CHAT, "--model", "fast", "-C", tmp_path, "--format", "json"))
    found = [(each["name"], each["value"], each["where"]) for each in view["target"]["body"]]
    assert found[:-1] == [
        ("set.temperature", 0.2, "routes.yaml:6"),
        ("default./reasoning/effort", "low", "routes.yaml:9"),
        ("drop", "user", "routes.yaml:9"),
    ]
    assert found[-1][:2] == ("drop", "store")


def test_the_new_name_of_a_field_is_shown_whatever_the_field_is_called(tmp_path: Path) -> None:
    renamed = BODIES.replace("drop: [user]", "rename: {max_tokens: max_output_tokens}")
    served = {"chat_completions": "/chat/completions"}
    write(tmp_path, routes=renamed, providers=provider(endpoints=served))
    view = view_of("route", engine(*CHAT, "--model", "fast", "-C", tmp_path, "--format", "json"))
    found = {each["name"]: each["value"] for each in view["target"]["body"]}
    assert found["rename.max_tokens"] == "max_output_tokens"


def test_a_target_after_which_it_may_be_paid_twice_is_told(tmp_path: Path) -> None:
    targets = (
        "fallback_on: [timeout, 5xx], targets: [{provider: openai}, {provider: openai, as: b}]"
    )
    head = BODIES.partition("models:")[0]
    write(tmp_path, routes=f"{head}models:\n  - {{model: fast, {targets}}}\n")
    served = {"chat_completions": "/chat/completions"}
    (tmp_path / "providers.yaml").write_text(provider(endpoints=served))
    result = engine(*CHAT, "--model", "fast", "-C", tmp_path)
    assert result.stdout.count("after 5xx, timeout too: may be paid twice") == 1
    view = view_of("route", engine(*CHAT, "--model", "fast", "-C", tmp_path, "--format", "json"))
    assert view["target"]["targets"][0]["fallback_on"] == ["5xx", "timeout"]


CONDITIONS = """version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
  embeddings: {path: /v1/embeddings}
models:
  - {model: fast, provider: openai, as: small}
  - {model: fast, provider: openai, as: large, when: {key: [all], header: {x-team: [ads]}}}
  - {model: fast, provider: openai, as: account, when: {account: [a], body: {/a/b: [c]}, header: {x-team: [search]}}}
"""


@each(
    ("words", "sent"),
    [
        ((), "small"),
        (("--header", "X-Team: ads"), "small"),
        (("--header", "X-Team: ads", "--key", "all"), "large"),
        (("--header", "x-team:ads", "--header", "x-team:ads", "--key", "all"), "small"),
        (("--header", "x-team:search", "--account", "a", "--body", '{"a": {"b": "c"}}'), "account"),
    ],
)
def test_conditions_are_read_from_options(
    words: tuple[str, ...], sent: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, routes=CONDITIONS, providers=provider(), keys=KEYS)
    asked = engine(*CHAT, "--model", "fast", *words, "-C", folder, "--format", "json")
    view = view_of("route", asked)
    assert view["target"]["sent_model"] == sent
    assert [rule["won"] for rule in view["rules"]] == [True, False, False]


def test_losers_of_one_pattern_have_their_reasons_and_lines(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=CONDITIONS, providers=provider(), keys=KEYS)
    words = (*CHAT, "--model", "fast", "--key", "all", "-C", folder)
    lines = engine(*words, "--header", "x-team:ads").stdout.splitlines()
    rules = [line.split("  ", 1)[1].strip() for line in lines if line.startswith("rule ")]
    assert [rule for rule in rules if "lost" in rule] == [
        "routes.yaml:6  model `fast` -> openai  lost: it has fewer conditions than the rule that won",
        "routes.yaml:8  model `fast` when account = a, body /a/b = c, header x-team = search -> openai"
        "  lost: it asks for account = a, body /a/b = c, header x-team = search",
    ]


@each(
    ("words", "status", "said"),
    [
        (("--body", '{"a": {"b": "c", "b": "d"}}'), 1, "duplicate_field"),
        (("--body", "{"), 1, "invalid_json"),
        (("--header", "x-team"), 2, "is not NAME:VALUE"),
    ],
)
def test_what_a_caller_could_not_send_is_refused(
    words: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, routes=CONDITIONS, providers=provider())
    common = ("--account", "a", "--header", "x-team:search", "--model", "fast", "-C", folder)
    result = engine(*CHAT, *common, *words)
    assert (result.exit_code, said in result.output) == (status, True)

"""`extends`: what a provider takes over, where each value of it is written, and what is reported once."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.effective import fill_in
from engine.config.model import Provider
from engine.config.schema import extending
from engine.config.schema.extending import extend
from engine.config.source.document import MAX_EVENTS, Document, parse_document
from tests.servers import dump_yaml
from tests.tables import each
from tests.unit.cli.running import engine
from tests.unit.config.folders import codes, only, read, underlined, write

BASE = """version: 1
providers:
  openai:
    base_url: https://api.openai.com/v1
    credentials: {api_key: {env: [OPENAI_API_KEY, OTHER_API_KEY], optional: true}}
    headers: {authorization: "Bearer {{ credentials.api_key }}", x-a: "1"}
    accounts: [{credentials: {api_key: {env: OTHER_API_KEY}}}]
    endpoints:
      chat_completions: /chat/completions
      embeddings:
        path: /embeddings
        body: {drop: [user], set: {format: {type: json, strict: true}}, rename: {a: b}}
"""
ROUTES = """version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
  embeddings: {path: /v1/embeddings}
models:
  - {prefix: gpt-, provider: openai}
  - {prefix: eu-, provider: eu, strip: true}
"""


def document(text: str) -> Document:
    parsed, found = parse_document("providers.yaml", text.encode())
    assert parsed is not None
    assert found == []
    return parsed


def entry(text: str, name: str = "eu") -> Any:
    """The whole entry of a provider, as data."""
    extended = extend(document(text))
    assert not extended.broken
    data: Any = extended.document.data
    return data["providers"][name]


def eu(tmp_path: Path, text: str) -> Provider:
    loaded = read(write(tmp_path, routes=ROUTES, providers=BASE + text))
    assert codes(loaded) == []
    return next(p for p in loaded.config.providers if p.name == "eu")


def test_mappings_are_merged_and_other_values_replaced(tmp_path: Path) -> None:
    made = eu(
        tmp_path,
        """  eu:
    extends: openai
    base_url: https://eu.api.openai.com/v1
    headers: {x-a: "2", x-b: "3"}
    accounts: [{models: [gpt-5], credentials: {api_key: {env: EU_KEY}}}]
    endpoints: {embeddings: {body: {drop: [store], rename: {c: d}}}}
""".replace("EU_KEY", "OTHER_API_KEY"),
    )
    assert made.base_url == "https://eu.api.openai.com/v1"
    assert made.headers == {
        "authorization": "Bearer {{ credentials.api_key }}",
        "x-a": "2",
        "x-b": "3",
    }
    assert [c.models for c in made.accounts] == [("gpt-5",)]
    body = next(e for e in made.endpoints if e.name == "embeddings").body
    assert body is not None
    assert (body.drop, body.rename) == (("store",), {"a": "b", "c": "d"})


def test_a_credential_and_a_json_value_are_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("a-key", "ascii")
    made = eu(
        tmp_path,
        """  eu:
    extends: openai
    credentials: {api_key: {file: key.txt}}
    endpoints: {embeddings: {body: {set: {format: {type: text}}}}}
""",
    )
    assert [(c.env, c.file, c.optional) for c in made.credentials] == [((), "key.txt", False)]
    body = next(e for e in made.endpoints if e.name == "embeddings").body
    assert body is not None
    assert body.set == {"format": {"type": "text"}}


def test_a_variable_is_replaced_whole() -> None:
    """The default of another variable of the environment belongs to that one."""
    text = """providers:
  base: {base_url: https://a.example, endpoints: {a: /a}, variables: {v: {env: A, default: x}, w: y}}
  eu: {extends: base, variables: {v: {env: B}}}
"""
    assert entry(text)["variables"] == {"v": {"env": "B"}, "w": "y"}


def test_a_path_alone_is_the_path_of_the_endpoint() -> None:
    text = (
        BASE
        + "  eu: {extends: openai, endpoints: {chat_completions: {grade: sdk}, embeddings: /e}}\n"
    )
    endpoints = entry(text)["endpoints"]
    assert endpoints["chat_completions"] == {"path": "/chat/completions", "grade": "sdk"}
    assert endpoints["embeddings"]["path"] == "/e"
    assert endpoints["embeddings"]["body"]["drop"] == ["user"]


def test_what_is_dropped_can_be_written_anew() -> None:
    drop = "[/endpoints/embeddings/body, /accounts, /headers/x-a]"
    text = f"""{BASE}  eu:
    extends: {{provider: openai, drop: {drop}}}
    endpoints: {{embeddings: {{body: {{drop: [store]}}}}}}
"""
    whole = entry(text)
    assert whole["endpoints"]["embeddings"] == {"path": "/embeddings", "body": {"drop": ["store"]}}
    assert "accounts" not in whole
    assert list(whole["headers"]) == ["authorization"]


def test_a_name_with_a_slash_is_dropped_by_its_escape() -> None:
    text = """providers:
  base: {endpoints: {a: {path: /a, body: {set: {/x/y: 1, "~z": 2}}}}, base_url: https://a.example}
  eu: {extends: {provider: base, drop: [/endpoints/a/body/set/~1x~1y]}}
"""
    assert entry(text)["endpoints"]["a"]["body"]["set"] == {"~z": 2}


@each("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_chain_is_followed_in_any_order(order: tuple[int, ...]) -> None:
    written = [
        "  a: {base_url: https://a.example, endpoints: {x: /x}, headers: {h: a, i: a}}\n",
        "  b: {extends: a, headers: {i: b}}\n",
        "  eu: {extends: b, endpoints: {y: /y}}\n",
    ]
    text = "providers:\n" + "".join(written[i] for i in order)
    extended = extend(document(text))
    whole: Any = extended.document.data
    assert whole["providers"]["eu"]["headers"] == {"h": "a", "i": "b"}
    origins = fill_in(extended.document, "providers").origins
    line = {name: order.index(i) + 2 for i, name in enumerate("abc")}
    assert origins["providers", "eu", "headers", "h"] == f"providers.yaml:{line['a']} (a)"
    assert origins["providers", "eu", "headers", "i"] == f"providers.yaml:{line['b']} (b)"
    assert origins["providers", "eu", "endpoints", "y"] == f"providers.yaml:{line['c']}"


_NAME = st.sampled_from(["a", "b", "c"])
_LEAF = st.one_of(st.integers(0, 2), st.lists(st.integers(0, 1), max_size=2))
_TREE: Any = st.recursive(
    _LEAF, lambda inner: st.dictionaries(_NAME, inner, min_size=1, max_size=3), max_leaves=8
)
_ENTRY = st.dictionaries(st.sampled_from(["timeouts", "retry", "limits"]), _TREE, max_size=3)


def leaves(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if not isinstance(value, dict):
        return {path: value}
    return {p: v for key, inner in value.items() for p, v in leaves(inner, (*path, key)).items()}


def overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


@given(base=_ENTRY, own=_ENTRY, dropped=st.lists(st.tuples(st.just("timeouts"), _NAME), max_size=2))
def test_every_value_is_the_one_written_nearest(
    base: dict[str, Any], own: dict[str, Any], dropped: list[tuple[str, ...]]
) -> None:
    """Compared with the values by their paths: those of the entry, and of the other one what these leave."""
    least = {"base_url": "https://a.example", "endpoints": {"x": "/x"}}
    pointers = sorted({"/" + "/".join(path) for path in dropped})
    wish = {"provider": "base", "drop": pointers} if pointers else "base"
    text = dump_yaml({"providers": {"eu": {**own, "extends": wish}, "base": {**base, **least}}})
    extended = extend(document(text))
    written = leaves(own)
    kept = {
        path: value
        for path, value in leaves({**base, **least}).items()
        if not any(overlap(path, p) for p in written)
        and not any(path[: len(drop)] == drop for drop in dropped)
    }
    whole: Any = extended.document.data
    got = leaves({k: v for k, v in whole["providers"]["eu"].items() if k != "extends"})
    assert {p: v for p, v in got.items() if v != {}} == written | kept
    for path in got:
        at = ("providers", "eu", *path)
        source = extended.document.source_of(at)
        assert source == (None if path in written else ("providers", "base", *path))
        place = document(text).entries[source or at]
        assert extended.document.entries[at] == place


def test_a_mistake_taken_over_is_reported_once_where_it_is_written(tmp_path: Path) -> None:
    text = (
        BASE.replace("drop: [user]", "dropp: [user]")
        + "  eu: {extends: openai, timeouts: {total: 1h}}\n"
    )
    assert underlined(text, read(write(tmp_path, routes=ROUTES, providers=text))) == "dropp"
    text = (
        BASE.replace("credentials.api_key", "credentials.key")
        + "  eu: {extends: openai, timeouts: {total: 1h}}\n"
    )
    found = only(read(write(tmp_path, routes=ROUTES, providers=text)))
    assert (found.code, found.path[1]) == ("T302", "openai")


def test_what_is_wrong_in_one_entry_alone_names_it_and_offers_no_fix(tmp_path: Path) -> None:
    """A fix would change the line of the other provider, which is right."""
    drop = "{provider: openai, drop: [/credentials/api_key, /accounts]}"
    text = (
        f"{BASE}  eu:\n    extends: {drop}\n    credentials: {{api_kye: {{env: OTHER_API_KEY}}}}\n"
    )
    loaded = read(write(tmp_path, routes=ROUTES, providers=text))
    found = next(d for d in loaded.diagnostics if d.code == "T302")
    assert (found.path[1], found.fix, found.span.start.line) == ("eu", None, 6)
    assert [related.label for related in found.related] == ["`eu` takes it over here"]


def test_each_provider_without_its_secret_is_named(tmp_path: Path) -> None:
    text = BASE.replace(", optional: true", "") + "  eu: {extends: openai, timeouts: {total: 1h}}\n"
    loaded = read(write(tmp_path, routes=ROUTES, providers=text), {})
    assert {d.path[1] for d in loaded.diagnostics if d.code == "E401"} == {"openai", "eu"}


@each(
    ("text", "found"),
    [
        ("  eu: {extends: 5}\n", ["S103"]),
        ("  eu: {extends: [openai]}\n", ["S103"]),
        ("  eu: {extends: {provider: openai, drop: accounts}}\n", ["S103"]),
        ("  eu: {extends: {provider: openai, drop: [accounts]}}\n", ["S104"]),
        ("  eu: {extends: {provider: openai, drop: [/a~2]}}\n", ["S104"]),
        ("  eu: {extends: {drop: [/accounts]}}\n", ["S101"]),
        ("  eu: {extends: {provider: openai, drop: [/base_url]}}\n", ["S101"]),
        ("  eu: {extends: {provider: openai, drop: [/endpoints]}, timeouts: {total: 1h}}\n", ["S101"]),
        ("  eu: {extends: openai, timeouts: {total: 1}}\n", ["S103"]),
        ("  eu: {extends: bad, limits: {queue: 3}}\n  bad: {base_url: https://a.example}\n", ["S101"]),
        ("  eu: {extends: bad}\n  bad: 5\n", ["S103"]),
        ("  eu: {extends: more, limits: {queue: 3}}\n  more: {extends: nobody}\n", ["X281"]),
    ],
)  # fmt: skip
def test_wrong_entries(tmp_path: Path, text: str, found: list[str]) -> None:
    loaded = read(write(tmp_path, routes=ROUTES, providers=BASE + text))
    errors = [d.code for d in loaded.diagnostics if d.severity == "error"]
    assert errors == found
    assert loaded.plan is None


def test_more_entries_than_a_file_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extending, "MAX_EVENTS", MAX_EVENTS // 50)  # as many take half a second
    many = ", ".join(f"n{i}: v" for i in range(60))
    text = f"providers:\n  p0: {{base_url: https://a.example, endpoints: {{x: /x}}, headers: {{{many}}}}}\n"
    text += "".join(f"  p{i}: {{extends: p{i - 1}, description: d{i}}}\n" for i in range(1, 90))
    extended = extend(document(text))
    assert [d.code for d in extended.found] == ["Y006"]
    assert len(extended.document.entries) < 4_200
    assert ("providers", "p89") in extended.broken


def test_an_entry_written_out_has_the_effects_of_one_that_extends(tmp_path: Path) -> None:
    short, written = tmp_path / "short", tmp_path / "written"
    for folder in (short, written):
        folder.mkdir()
        write(
            folder,
            routes=ROUTES,
            providers=BASE + "  eu: {extends: openai, timeouts: {total: 1h}}\n",
        )
    bare = engine("show", short, "--bare", "--file", "providers.yaml").stdout
    (written / "providers.yaml").write_text(bare, "utf-8")
    assert engine("diff", short, written).stdout == "no effect\n"
    changed = bare.replace("total: 1h", "total: 2h")
    (written / "providers.yaml").write_text(changed, "utf-8")
    assert "eu: timeouts.total  1h -> 2h" in engine("diff", short, written).stdout


@each(
    ("url", "found"),
    [
        ("https://us.openai.com/v1", []),
        ("https://openai.com:8443", []),
        ("https://{{ variables.region }}.openai.com/v1", []),
        ("https://api.openai.com.example/v1", ["X284"]),
        ("https://{{ variables.region }}.openai.example", ["X284"]),
        ("https://10.1.2.3/v1", ["X284"]),
    ],
)
def test_a_credential_stays_at_the_domain_it_is_for(
    url: str, found: list[str], tmp_path: Path
) -> None:
    more = "variables: {region: eu}, " if "{{" in url else ""
    text = f'{BASE}  eu: {{extends: openai, {more}base_url: "{url}"}}\n'
    assert codes(read(write(tmp_path, routes=ROUTES, providers=text))) == found


@each(
    "own",
    [
        # its own key in front, while the credential sets are those of the other one
        "base_url: https://llm.example/v1\n    credentials: {api_key: {env: OTHER_API_KEY}}",
        "variables: {host: llm.example.net}",
        "base_url: https://llm.other.co.uk/v1",
    ],
)
def test_a_secret_for_another_domain_is_reported_wherever_it_is_taken_over(
    own: str, tmp_path: Path
) -> None:
    base = BASE.replace("api.openai.com", "{{ variables.host }}").replace(
        "    headers:", "    variables: {host: llm.openai.co.uk}\n    headers:"
    )
    folder = write(
        tmp_path, routes=ROUTES, providers=f"{base}  eu:\n    extends: openai\n    {own}\n"
    )
    assert "X284" in codes(read(folder))


def test_a_json_value_is_replaced_whole() -> None:
    base = BASE.replace("set: {format", "default: {format").replace(
        "    endpoints:",
        "    ping: {endpoint: embeddings, cost: none, body: {a: {b: 1, c: 2}}}\n    endpoints:",
    )
    own = "endpoints: {embeddings: {body: {default: {format: {type: text}}}}}, ping: {body: {a: {b: 3}}}"
    made = entry(f"{base}  eu: {{extends: openai, {own}}}\n")
    assert made["endpoints"]["embeddings"]["body"]["default"] == {"format": {"type": "text"}}
    assert made["ping"]["body"] == {"a": {"b": 3}}


def test_addresses_are_compared_whole(tmp_path: Path) -> None:
    base = BASE.replace("https://api.openai.com", "https://10.9.2.3")
    text = f"{base}  eu: {{extends: openai, base_url: https://10.1.2.3/v1}}\n"
    assert codes(read(write(tmp_path, routes=ROUTES, providers=text))) == ["X284"]

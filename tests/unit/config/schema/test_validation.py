"""The schemas are sound and complete, and no message ever repeats a value from a file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from engine.config.load import Loaded
from engine.config.schema.places import describe
from engine.config.schema.schemas import read_schema
from engine.config.schema.validation import check_schema
from engine.config.schema.wrong_words import WRONG_WORDS
from engine.config.source.document import parse_document
from engine.report.json import render_json
from engine.report.view import Findings
from tests.servers import ROOT, parse_yaml
from tests.tables import each
from tests.unit.config.folders import minimal, only, provider, read, report, underlined, write

NAMES = ("routes", "providers", "keys", "server")
CANARY = "sk-canary-7f3a9b21"
PASSWORD = "hunter2"
SCHEMAS: dict[str, Any] = {name: json.loads(read_schema(name)) for name in NAMES}


@dataclass(frozen=True)
class Node:
    """A subschema: where it stands, and the whole it is part of."""

    name: str
    path: str
    schema: dict[str, Any]
    is_key: bool

    def __str__(self) -> str:
        return f"{self.name}:{self.path}"


def subschemas(name: str, node: Any, path: str = "", *, is_key: bool = False) -> Iterator[Node]:
    """Every subschema; `is_key` where it describes a key that people write."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            yield from subschemas(name, item, f"{path}/{index}")
    if not isinstance(node, dict):
        return
    yield Node(name, path, node, is_key)
    for word, inner in node.items():
        if word in ("properties", "$defs"):
            for key, sub in inner.items():
                yield from subschemas(
                    name, sub, f"{path}/{word}/{key}", is_key=word == "properties"
                )
        elif word in (
            "items",
            "additionalProperties",
            "propertyNames",
            "if",
            "then",
            "else",
            "not",
        ):
            yield from subschemas(name, inner, f"{path}/{word}")


NODES = [node for name in NAMES for node in subschemas(name, SCHEMAS[name])]
KEYS = [node for node in NODES if node.is_key]


def resolved(node: Node) -> Draft202012Validator:
    """A validator of one subschema with the definitions of its file."""
    return Draft202012Validator({**node.schema, "$defs": SCHEMAS[node.name].get("$defs", {})})


# -- the schemas themselves ----------------------------------------------------------------------


@each("name", NAMES)
def test_a_schema_is_valid_2020_12(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:orqen:schema:{name}:1"
    assert schema["title"]


def test_there_are_keys_to_look_at() -> None:
    assert len(KEYS) > 50


def test_every_key_is_described_with_examples() -> None:
    described = {
        str(node)
        for node in KEYS
        if node.schema.get("description", "").endswith(".") and node.schema.get("examples")
    }
    assert {str(node) for node in KEYS} - described == set()


def test_every_example_is_valid() -> None:
    examples = [(node, e) for node in NODES for e in node.schema.get("examples", ())]
    wrong = [(str(node), e) for node, e in examples if not resolved(node).is_valid(e)]
    assert wrong == []


def test_every_default_is_valid() -> None:
    defaults = [(node, node.schema["default"]) for node in NODES if "default" in node.schema]
    wrong = [(str(node), value) for node, value in defaults if not resolved(node).is_valid(value)]
    assert wrong == []


def test_every_mapping_is_closed() -> None:
    for node in NODES:
        if "properties" in node.schema:
            assert node.schema.get("additionalProperties") is False, node


def test_alternatives_are_told_apart_by_conditions() -> None:
    for node in NODES:
        assert not {"oneOf", "anyOf"} & set(node.schema), node


def test_references_stay_inside_the_file() -> None:
    for node in NODES:
        assert str(node.schema.get("$ref", "#/")).startswith("#/"), node


def test_every_pattern_has_its_words() -> None:
    for node in NODES:
        if "pattern" in node.schema:
            assert node.schema.get("x-expect"), node


def test_patterns_hold_to_the_very_end() -> None:
    """`$` would let a line end slip through, as at the end of a block scalar."""
    for node in NODES:
        pattern = node.schema.get("pattern")
        assert pattern is None or pattern.endswith(r"(?![\s\S])"), node


@each("name", NAMES)
def test_wrong_words_lead_to_keys_that_exist(name: str) -> None:
    known = {node.path.rpartition("/")[2] for node in KEYS}
    assert set(WRONG_WORDS.values()) <= known
    assert not set(WRONG_WORDS.values()) & {""}


@each("name", ["routes", "providers"])
def test_a_shipped_file_is_valid_for_any_reader(name: str) -> None:
    """A plain YAML 1.1 reader, such as an editor's, sees the same data."""
    raw = (ROOT / f"{name}.yaml").read_bytes()
    data = parse_yaml(raw)
    Draft202012Validator(SCHEMAS[name]).validate(data)
    document, found = parse_document(f"{name}.yaml", raw)
    assert found == []
    assert document is not None
    assert document.data == data


@each("name", ["routes", "providers"])
def test_a_shipped_file_names_its_schema(name: str) -> None:
    first = (ROOT / f"{name}.yaml").read_text("utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema=./schemas/{name}.schema.json"


# -- places and words ----------------------------------------------------------------------------


@each(
    ("old", "new", "code", "words"),
    [
        ("    path: /v1/embeddings", "    paht: /v1/embeddings", "S102", "paht"),
        ("    path: /v1/embeddings", "    path: 7", "S103", "7"),
        ("    path: /v1/embeddings", "    path: v1", "S104", "v1"),
        ("    path: /v1/embeddings", "    {path: /v1/embeddings, verb: GET}", "S102", "verb"),
        ("    path: /v1/embeddings", "\n\n    path: [/v1/embeddings]", "S103", "[/v1/embeddings]"),
        ("  embeddings:", "  embeddings_ü: {path: /ü}\n  embeddings:", "S105", "embeddings_ü"),
        ("version: 1", 'version: "1"', "S104", '"1"'),
    ],
)
def test_the_underline_covers_the_offender(
    old: str, new: str, code: str, words: str, tmp_path: Path
) -> None:
    text = minimal("routes").replace(old, new)
    document, _ = parse_document("routes.yaml", text.encode())
    assert document is not None
    found = next(d for d in check_schema(document, "routes")[0] if d.code == code)
    line = document.lines[found.span.start.line - 1]
    assert line[found.span.start.column - 1 : found.span.end.column - 1] == words


def test_a_typo_and_the_key_it_stands_for_are_one_finding(tmp_path: Path) -> None:
    text = minimal("providers").replace("base_url", "base_ulr")
    loaded = read(write(tmp_path, providers=text))
    assert only(loaded).fix is not None
    assert underlined(text, loaded) == "base_ulr"


def test_a_number_where_a_duration_belongs_is_told_what_a_duration_is(tmp_path: Path) -> None:
    """Quoting the number, which would help a name, would not help here."""
    text = minimal("routes") + "defaults: {timeouts: {idle: 30}}\n"
    found = only(read(write(tmp_path, routes=text)))
    assert "30s" in found.message + found.help
    assert "quote" not in found.help


@each(
    ("path", "words"),
    [
        ((), "the file"),
        (("endpoints", "ocr"), "endpoint `ocr`"),
        (("endpoints", "ocr", "timeouts", "idle"), "`timeouts.idle` of endpoint `ocr`"),
        (("models", 0), "model rule `gpt-`"),
        (("models", 1, "as"), "`as` of model rule 2"),
        (("models", 9), "model rule 10"),
        (("keys", 2, "name"), "`name` of key entry 3"),
        (("tests", 0), "test 1"),
        (("not_exposed", 0, "reason"), "`reason` of entry 1 of `not_exposed`"),
        (("defaults", "timeouts"), "`defaults.timeouts`"),
    ],
)
def test_a_place_in_words(path: tuple[str | int, ...], words: str) -> None:
    assert describe({"models": [{"prefix": "gpt-"}, "x"]}, path) == words


# -- the canary ----------------------------------------------------------------------------------

PLACES = {
    "provider: value of an unknown key": "    api_key: CANARY\n",
    "provider: inside an unknown key": "    auth: {bearer: {token: CANARY}}\n",
    "provider: list under an unknown key": "    keys: [CANARY, CANARY]\n",
    "provider: description of the wrong kind": "    description: [CANARY]\n",
    "credential: a literal": "    credentials: {api_key: CANARY}\n",
    "credential: a literal in quotes": '    credentials: {api_key: "CANARY"}\n',
    "credential: a literal on the next line": "    credentials:\n      api_key:\n        CANARY\n",
    "credential: a literal in a block": "    credentials:\n      api_key: |\n        CANARY\n",
    "credential: a list": "    credentials: {api_key: [CANARY]}\n",
    "credential: as the variable's name": "    credentials: {api_key: {env: CANARY}}\n",
    "credential: under value": "    credentials: {api_key: {value: CANARY}}\n",
    "credential: beside optional": "    credentials: {api_key: {optional: CANARY, env: A}}\n",
    "credential: in place of all": "    credentials: CANARY\n",
    "credential: two sources": "    credentials: {api_key: {env: CANARY, file: CANARY}}\n",
    "credential: file that is not there": "    credentials: {api_key: {file: CANARY}}\n",
    "variables: in place of all": "    variables: CANARY\n",
    "variables: list": "    variables: {a: [CANARY]}\n",
    "variables: not ASCII": "    variables: {a: CANARY-ü}\n",
    "headers: in place of all": "    headers: CANARY\n",
    "headers: list": "    headers: {authorization: [CANARY]}\n",
    "headers: not ASCII": "    headers: {authorization: Bearer CANARY-ü}\n",
    "headers: two lines": '    headers: {authorization: "CANARY\\n"}\n',
    "headers: broken template": '    headers: {authorization: "CANARY {{ credentials.api_key }"}\n',
    "headers: literal in a template": "    headers: {authorization: \"{{ 'CANARY' + model }}\"}\n",
    "headers: call with a literal": "    headers: {authorization: \"{{ model('CANARY') }}\"}\n",
    "headers: twice": "    headers: {authorization: CANARY, authorization: CANARY}\n",
    "forward_headers": "    forward_headers: CANARY\n",
    "caller_credentials": "    caller_credentials: {headers: {x-key: [CANARY]}}\n",
    "base_url: with a password": "    base_url: https://user:CANARY@host\n",
    "base_url: with a query": "    base_url: https://host?key=CANARY\n",
    "endpoints: with a query": "    endpoints: {embeddings: /embeddings?key=CANARY}\n",
    "query: two lines": '    endpoints: {embeddings: {path: /a, query: {key: "CANARY\\n"}}}\n',
    "query: not ASCII": "    endpoints: {embeddings: {path: /a, query: {key: CANARY-ü}}}\n",
    "timeouts": "    timeouts: {idle: CANARY}\n",
    "limits": "    limits: {queue: CANARY}\n",
}
KEY_PLACES = {
    "digest": "  - {name: a, sha256: CANARY}\n",
    "key beside the digest": "  - {name: a, sha256: SHA, key: CANARY}\n",
    "name": '  - {name: "CANARY x", sha256: SHA}\n',
    "expiry": "  - {name: a, sha256: SHA, expires: CANARY}\n",
    "endpoints": "  - {name: a, sha256: SHA, endpoints: CANARY}\n",
    "models": '  - {name: a, sha256: SHA, models: ["CANARY CANARY"]}\n',
    "in place of an entry": "  - CANARY\n",
}


def load_canary(folder: Path, place: str, canary: str) -> Loaded:
    """Load a configuration with the canary in one place, where something is wrong with it."""
    if place in KEY_PLACES:
        text = "version: 1\nkeys:\n" + KEY_PLACES[place]
        return read(write(folder, keys=text.replace("CANARY", canary).replace("SHA", "a" * 64)))
    text = PLACES[place].replace("CANARY", canary)
    head = "version: 1\nproviders:\n  openai:\n"
    rest = "" if "base_url" in text else "    base_url: https://api.openai.com/v1\n"
    rest += "" if "endpoints:" in text else "    endpoints: {embeddings: /embeddings, chat_completions: /c}\n"  # fmt: skip
    return read(write(folder, providers=head + rest + text))


@each("place", [*PLACES, *KEY_PLACES])
@each("canary", [CANARY, PASSWORD])
def test_no_message_repeats_a_value(place: str, canary: str, tmp_path: Path) -> None:
    loaded = load_canary(tmp_path, place, canary)
    words = [(d.message, d.label, d.help, [r.label for r in d.related]) for d in loaded.diagnostics]
    assert canary not in repr(words)
    assert canary not in render_json(Findings(loaded.diagnostics, loaded.documents))


@each("place", [*PLACES, *KEY_PLACES])
def test_no_excerpt_shows_what_looks_like_a_key(place: str, tmp_path: Path) -> None:
    loaded = load_canary(tmp_path, place, CANARY)
    assert loaded.diagnostics
    assert CANARY not in report(loaded)


@each("place", [place for place in PLACES if place.startswith("credential")])
def test_no_excerpt_shows_anything_from_where_secrets_belong(place: str, tmp_path: Path) -> None:
    loaded = load_canary(tmp_path, place, PASSWORD)
    assert loaded.diagnostics
    assert PASSWORD not in report(loaded)


@each("comment", ["ignore[S103]", "ignore[S103] why", "ignore[X205] why", "ignored"])
def test_a_comment_beside_a_secret_does_not_have_it_shown(comment: str, tmp_path: Path) -> None:
    text = provider(credentials={"api_key": PASSWORD})
    text = text.replace(PASSWORD, f"{PASSWORD}  # engine: {comment}")
    loaded = read(write(tmp_path, providers=text))
    assert {found.code for found in loaded.diagnostics} >= {"S103"}
    assert PASSWORD not in report(loaded)


@each(
    "line",
    ["    api_key CANARY\n    more: x\n", '    headers: {authorization: "CANARY}\n', "    \tapi_key: CANARY\n",
     "    credentials: {api_key: !secret CANARY}\n", "    credentials: {api_key: &a CANARY}\n", "    api_key: *CANARY\n"],
)  # fmt: skip
def test_no_syntax_error_shows_a_value(line: str, tmp_path: Path) -> None:
    text = minimal("providers") + line.replace("CANARY", CANARY)
    loaded = read(write(tmp_path, providers=text))
    assert loaded.plan is None
    assert CANARY not in report(loaded) + render_json(
        Findings(loaded.diagnostics, loaded.documents)
    )


@each(
    ("file", "old", "new", "words"),
    [
        ("routes.yaml", "model: a", "model: [a]", "write a rule for each model"),
        ("routes.yaml", "model: a", "prefix: [a-, b-]", "a rule for each other one"),
        ("routes.yaml", "provider: openai", "provider: [openai]", "`targets: ["),
        ("routes.yaml", "provider: openai", "targets: [{provider: [openai]}]", "a target for each"),
        ("routes.yaml", "provider: openai", "targets: openai", "write it as in [{provider: "),
        ("routes.yaml", "path: /v1/e", "path: [/v1/e, /e]", "go under `also`"),
        ("routes.yaml", "endpoints: {e: {path: /v1/e}}", "endpoints: [e]", "{path: "),
        ("providers.yaml", "headers: {a: b}", "headers: [{a: b}]", "write it as in {authorization: "),
        ("providers.yaml", "endpoints: {e: /e}", "endpoints: [e]", "write it as in {"),
    ],
)  # fmt: skip
def test_help_for_another_type_says_what_to_write(
    file: str, old: str, new: str, words: str
) -> None:
    texts = {
        "routes.yaml": "version: 1\nendpoints: {e: {path: /v1/e}}\nmodels: [{model: a, provider: openai}]\n",
        "providers.yaml": "version: 1\nproviders: {p: {base_url: 'https://x.example', headers: {a: b}, endpoints: {e: /e}}}\n",
    }
    assert old in texts[file]
    document, _ = parse_document(file, texts[file].replace(old, new).encode())
    assert document is not None
    found, _ = check_schema(document, file.removesuffix(".yaml"))
    assert [d.code for d in found] == ["S103"]
    assert words in found[0].help

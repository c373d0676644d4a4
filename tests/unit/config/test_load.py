"""The road from a folder to a Plan: files, credentials, variables, and that nothing is raised."""

import hashlib
import json
from pathlib import Path

from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import Loaded, load
from engine.config.new_key import temporary_key
from engine.config.schema.schemas import read_schema
from engine.plan.plan import Plan
from tests.servers import ROOT
from tests.tables import each
from tests.unit.config.folders import (
    ENVIRON,
    NOW,
    codes,
    minimal,
    only,
    provider,
    read,
    report,
    write,
)

KEYS = "version: 1\nkeys:\n  - {name: a, sha256: %s, expires: 2026-10-01}\n" % ("a" * 64)
BEARER = {"authorization": "Bearer {{ credentials.api_key }}"}


def plan_of(loaded: Loaded) -> Plan:
    assert loaded.plan is not None, report(loaded)
    return loaded.plan


def from_file(folder: Path, *, optional: bool = False) -> Loaded:
    """Load a provider whose key is in the file `key` of the folder, if it is there."""
    credential = {"api_key": {"file": "key", "optional": optional}}
    return read(write(folder, providers=provider(credentials=credential, headers=BEARER)))


# -- files ---------------------------------------------------------------------------------------


def test_both_files_are_missed_at_once(tmp_path: Path) -> None:
    loaded = read(tmp_path)
    assert [d.span.file for d in loaded.diagnostics] == ["providers.yaml", "routes.yaml"]
    assert codes(loaded) == ["F001", "F001"]
    assert loaded.plan is None


@each("name", ["routes.yaml", "providers.yaml", "keys.yaml"])
def test_a_file_that_is_a_folder_is_told(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    loaded = read(folder)
    assert codes(loaded) == ["F001"]
    assert loaded.plan is None


@each("name", ["routes.yaml", "keys.yaml"])
def test_a_link_that_leads_in_a_circle_is_told(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(folder / name)
    assert codes(read(folder)) == ["F001"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert codes(read(tmp_path / "nowhere")) == ["F001", "F001"]


def test_keys_may_be_left_out(tmp_path: Path) -> None:
    assert plan_of(read(write(tmp_path))).callers is None


def test_an_empty_list_of_keys_lets_nobody_in(tmp_path: Path) -> None:
    assert plan_of(read(write(tmp_path, keys="version: 1\nkeys: []\n"))).callers == {}


def test_the_shipped_folder_loads_without_errors_or_warnings() -> None:
    loaded = load(ROOT, {}, NOW)
    assert {d.severity for d in loaded.diagnostics} <= {Severity.NOTE}
    assert plan_of(loaded).rules


def test_findings_are_in_the_order_of_the_files(tmp_path: Path) -> None:
    text = minimal("routes").replace("path:", "paht:")
    loaded = read(
        write(tmp_path, routes=text, providers=minimal("providers").replace("env:", "envv:"))
    )
    places = [(d.span.file, d.span.start) for d in loaded.diagnostics]
    assert len(places) == 3
    assert places == sorted(places)


def test_the_fingerprint_follows_every_byte(tmp_path: Path) -> None:
    first = plan_of(read(write(tmp_path))).fingerprint
    second = plan_of(read(write(tmp_path, routes=minimal("routes") + "# a note\n"))).fingerprint
    third = plan_of(read(write(tmp_path, keys=KEYS))).fingerprint
    own = minimal("providers").replace("base_url:", "tls: {ca: ca.pem}\n    base_url:", 1)
    later = []
    for name in ("cert.pem", "other-ca.pem"):
        (tmp_path / "ca.pem").write_bytes(
            (ROOT / "tests/integration/upstream/tls" / name).read_bytes()
        )
        later.append(plan_of(read(write(tmp_path, providers=own))).fingerprint)
    assert len({first, second, third, *later}) == 5


# -- keys ----------------------------------------------------------------------------------------


@each(("now", "found"), [(NOW, []), (NOW + 40 * 86400, ["X212"])])
def test_expiry_is_judged_by_the_given_clock(now: float, found: list[str], tmp_path: Path) -> None:
    loaded = load(write(tmp_path, keys=KEYS), ENVIRON, now)
    assert codes(loaded) == found
    assert plan_of(loaded).callers


def test_a_one_off_key_is_let_in_beside_the_others(tmp_path: Path) -> None:
    extra = temporary_key("sk-orq-x", "one-off")
    for keys, count in ((None, 1), (KEYS, 2)):
        folder = write(tmp_path, **({"keys": keys} if keys else {}))
        callers = plan_of(load(folder, ENVIRON, NOW, (extra,))).callers
        assert callers is not None
        assert len(callers) == count
        assert callers[hashlib.sha256(b"sk-orq-x").digest()].name == "one-off"


# -- credentials and variables -------------------------------------------------------------------


@each("environ", [{}, {"OPENAI_API_KEY": ""}])
def test_a_key_that_is_not_set_is_a_note(environ: dict[str, str], tmp_path: Path) -> None:
    loaded = read(write(tmp_path), environ)
    assert only(loaded).code == "E401"
    made = plan_of(loaded).providers["openai"]
    assert made.missing == ("OPENAI_API_KEY",)
    assert made.headers == ()


def test_an_optional_key_that_is_not_set_is_nothing(tmp_path: Path) -> None:
    credential = {"org": {"env": "NOT_SET", "optional": True}}
    headers = {"openai-organization": "{{ credentials.org }}", "x-other": "a"}
    loaded = read(write(tmp_path, providers=provider(credentials=credential, headers=headers)))
    assert codes(loaded) == []
    made = plan_of(loaded).providers["openai"]
    assert [header.name for header in made.headers] == [b"x-other"]
    assert made.missing == ()


@each("raw", [b"KEY", b"KEY\n", b"KEY\r\n", b"KEY\n\n"])
def test_a_credential_file_may_end_its_line(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(raw)
    loaded = from_file(tmp_path)
    assert codes(loaded) == []
    assert [header.value for header in plan_of(loaded).providers["openai"].headers] == [
        b"Bearer KEY"
    ]


@each("raw", [b"KEY\nmore\n", b"KEY\0", "KÉY".encode(), b"x" * 9000])
def test_a_secret_that_no_header_can_hold_is_told(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(raw)
    loaded = from_file(tmp_path)
    assert codes(loaded) == ["E403"]
    assert plan_of(loaded).providers["openai"].missing


@each("raw", [None, "KÉY".encode("latin-1")])
def test_a_credential_file_that_cannot_be_read_is_told(raw: bytes | None, tmp_path: Path) -> None:
    if raw is not None:
        (tmp_path / "key").write_bytes(raw)
    loaded = from_file(tmp_path)
    assert codes(loaded) == ["E402"]
    assert plan_of(loaded).providers["openai"].missing


def test_an_optional_credential_file_may_be_absent(tmp_path: Path) -> None:
    loaded = from_file(tmp_path, optional=True)
    assert codes(loaded) == []
    assert plan_of(loaded).providers["openai"].missing == ()


@each("raw", [b"", b"\n", b"\r\n"])
def test_an_empty_credential_file_is_not_a_credential(raw: bytes, tmp_path: Path) -> None:
    """Otherwise requests would go out without a key."""
    (tmp_path / "key").write_bytes(raw)
    loaded = from_file(tmp_path)
    assert codes(loaded) == ["E402"]
    assert plan_of(loaded).providers["openai"].missing


def test_a_credential_file_is_found_from_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("KEY")
    for path in ("secrets/key", str(tmp_path / "secrets" / "key")):
        text = provider(credentials={"api_key": {"file": path}}, headers=BEARER)
        assert codes(read(write(tmp_path, providers=text))) == []


def test_a_variable_comes_from_the_environment_before_its_default(tmp_path: Path) -> None:
    variables = {"region": {"env": "REGION", "default": "us"}}
    text = provider(variables=variables, base_url="https://{{ variables.region }}.example.com")
    folder = write(tmp_path, providers=text)
    for environ, host in (({}, "us"), ({"REGION": ""}, "us"), ({"REGION": "eu"}, "eu")):
        upstream = plan_of(read(folder, environ)).providers["openai"].upstreams["embeddings"]
        assert upstream is not None
        assert upstream.origin.host == f"{host}.example.com"


def test_a_variable_that_is_not_set_leaves_the_url_open(tmp_path: Path) -> None:
    text = provider(
        variables={"region": {"env": "NOT_SET"}}, base_url="https://{{ variables.region }}.x.com"
    )
    loaded = read(write(tmp_path, providers=text))
    assert codes(loaded) == ["E401"]
    made = plan_of(loaded).providers["openai"]
    assert set(made.upstreams.values()) == {None}
    assert made.missing == ("NOT_SET",)


def test_a_whole_url_may_come_from_the_environment(tmp_path: Path) -> None:
    text = provider(variables={"url": {"env": "URL"}}, base_url="{{ variables.url }}")
    folder = write(tmp_path, providers=text)
    assert codes(read(folder, {})) == ["E401"]
    loaded = read(folder, {"URL": "http://127.0.0.1:11434/v1"})
    assert codes(loaded) == []
    upstream = plan_of(loaded).providers["openai"].upstreams["embeddings"]
    assert upstream is not None
    assert (str(upstream.origin), upstream.path) == ("http://127.0.0.1:11434", b"/v1/embeddings")


@each(
    "url",
    ["localhost:11434", "localhost", "ftp://files.example.com", "http://", "http://[::1", "http://host:port",
     "http://host:99999", "https://user:password@host", "https://host?a=b", "https://host#a", "//host"],
)  # fmt: skip
def test_a_url_from_the_environment_that_cannot_be_dialled_is_told(
    url: str, tmp_path: Path
) -> None:
    variables = {"url": {"env": "URL", "default": "https://api.example.com"}}
    text = provider(variables=variables, base_url="{{ variables.url }}")
    loaded = read(write(tmp_path, providers=text), {"URL": url})
    assert loaded.diagnostics
    made = plan_of(loaded).providers["openai"]
    assert made.missing
    assert set(made.upstreams.values()) == {None}


# -- nothing is raised ---------------------------------------------------------------------------

RAISING = {
    "a variable that no URL can hold": (
        provider(variables={"a": "zürich"}, base_url="https://{{ variables.a }}.example.com"),
        "T305",
    ),
    "a variable that no header can hold": (
        provider(variables={"a": "zürich"}, headers={"x-a": "{{ variables.a }}"}),
        "E403",
    ),
    "a variable that is no segment": (
        provider(
            variables={"a": "b/c"},
            endpoints={"embeddings": "/{{ variables.a | segment }}", "chat_completions": "/c"},
        ),
        "T305",
    ),
    "a header that grows too long": (
        provider(
            variables={"a": "x" * 5000}, headers={"x-a": "{{ variables.a }}{{ variables.a }}"}
        ),
        "T305",
    ),
    "a query that grows too long": (
        provider(
            variables={"a": "x" * 5000},
            endpoints={
                "embeddings": {"path": "/e", "query": {"q": "{{ variables.a }}{{ variables.a }}"}},
                "chat_completions": "/c",
            },
        ),
        "T305",
    ),
    "an argument that a filter cannot take": (
        provider(variables={"a": "b"}, headers={"x-a": "{{ variables.a | lower('c') }}"}),
        "T304",
    ),
    "a duration of nothing": (provider(timeouts={"total": "0.0s"}), "S104"),
    "a duration of 5000 digits": (provider(timeouts={"total": "9" * 5000 + "s"}), "S104"),
    "a template that is only itself": (provider(headers={"x-a": "{{ self }}"}), "T302"),
}


@each("name", RAISING)
def test_what_cannot_be_rendered_is_a_finding(name: str, tmp_path: Path) -> None:
    text, code = RAISING[name]
    assert code in codes(read(write(tmp_path, providers=text)))


def test_a_size_of_5000_digits_is_a_finding(tmp_path: Path) -> None:
    text = minimal("routes") + f"defaults: {{max_body: {'9' * 5000}MiB}}\n"
    assert codes(read(write(tmp_path, routes=text))) == ["S104"]


def test_a_test_of_a_model_that_is_no_segment_is_a_finding(tmp_path: Path) -> None:
    """The model would be refused with `invalid_model`, so that is what the test may expect."""
    endpoints = {"embeddings": "/{{ model | segment }}", "chat_completions": "/c"}
    line = "tests:\n  - {endpoint: embeddings, model: gpt-a/b, expect: {%s}}\n"
    folder = write(tmp_path, providers=provider(endpoints=endpoints))
    for expected, found in (("provider: openai", ["X209"]), ("error: invalid_model", [])):
        write(folder, routes=minimal("routes") + line % expected)
        assert codes(read(folder)) == found


def test_expectations_about_a_url_hold_for_every_form(tmp_path: Path) -> None:
    endpoints = {
        "embeddings": {"path": "/{{ model | segment }}/e", "query": {"v": "a b"}},
        "chat_completions": "https://other.example.com:8443/c",
    }
    tests = """tests:
  - {endpoint: embeddings, model: "gpt-a:b", expect: {url: "https://api.openai.com/v1/gpt-a:b/e?v=a%20b"}}
  - {endpoint: chat_completions, model: gpt-4o, expect: {url: "https://other.example.com:8443/c"}}
"""
    folder = write(tmp_path, providers=provider(endpoints=endpoints))
    assert codes(read(write(folder, routes=minimal("routes") + tests))) == []


EXPECTABLE = {
    "duplicate_field": "{endpoint: embeddings, model: text-embedding-3-small, body: {A: x}, expect: {error: duplicate_field}}",
    "model_not_found": "{endpoint: chat_completions, model: claude, expect: {error: model_not_found}}",
    "endpoint_not_supported": "{endpoint: images, model: gpt-4o, expect: {error: endpoint_not_supported}}",
    "invalid_model": "{endpoint: embeddings, model: gpt-a/b, expect: {error: invalid_model}}",
}


def test_every_error_that_a_test_may_expect_can_come_about() -> None:
    """One that never can would only mislead."""
    schema = json.loads(read_schema("routes"))
    expect = schema["properties"]["tests"]["items"]["properties"]["expect"]
    assert set(expect["properties"]["error"]["enum"]) == set(EXPECTABLE)


@each("error", EXPECTABLE)
def test_an_error_that_a_test_expects_holds(error: str, tmp_path: Path) -> None:
    routes = minimal("routes").replace("models:", "  images:\n    path: /v1/images\nmodels:")
    endpoints = {"embeddings": "/{{ model | segment }}", "chat_completions": "/c"}
    asked = "  - {prefix: text-embedding-, provider: openai, as: e, when: {body: {/a: [b]}}}\n"
    folder = write(
        tmp_path,
        routes=f"{routes}{asked}tests:\n  - {EXPECTABLE[error]}\n",
        providers=provider(endpoints=endpoints),
    )
    assert codes(read(folder)) == ["X206"]


def test_a_literal_url_is_checked_wherever_it_stands(tmp_path: Path) -> None:
    endpoints = {
        "embeddings": "http://a.example.com/e",
        "chat_completions": "https://b.example.com",
    }
    loaded = read(write(tmp_path, providers=provider(endpoints=endpoints)))
    assert codes(loaded) == ["X213"]


@each(
    ("host", "is_near"),
    [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("vllm", True), ("10.0.0.7", True),
     ("vllm.models.svc", True), ("api.example.com", False), ("8.8.8.8", False), ("[2606:4700::1]", False),
     ("evil-localhost.com", False), ("169.254.169.254.example.com", False)],
)  # fmt: skip
def test_plain_http_stays_near(host: str, is_near: bool, tmp_path: Path) -> None:
    loaded = read(write(tmp_path, providers=provider(base_url=f"http://{host}:8000/v1")))
    assert codes(loaded) == ([] if is_near else ["X213"])


def test_words_of_a_template_are_underlined_inside_its_braces(tmp_path: Path) -> None:
    """Not where the same letters stand in the text around them."""
    lines = {
        "/models/{{ model }}/x": "{{ ",
        "/env/{{ env.HOME }}": "{{ ",
        "/trmi/{{ model | trmi | segment }}": "| ",
    }
    for path, before in lines.items():
        endpoints = {"embeddings": path, "chat_completions": "/c"}
        text = provider(endpoints=endpoints)
        found = only(read(write(tmp_path, providers=text)))
        line = text.splitlines()[found.span.start.line - 1]
        assert line[: found.span.start.column - 1].endswith(before), (path, line)


def test_an_unquoted_key_that_readers_disagree_on_is_told(tmp_path: Path) -> None:
    text = minimal("providers").replace("  openai:", "  no:")
    routes = minimal("routes").replace("provider: openai", 'provider: "no"')
    assert codes(read(write(tmp_path, routes=routes, providers=text))) == ["Y004"]


def test_the_first_variable_that_is_set_counts(tmp_path: Path) -> None:
    text = provider(
        credentials={"api_key": {"env": ["FIRST_KEY", "SECOND_KEY"]}},
        variables={"region": {"env": ["FIRST_REGION", "REGION"]}},
        headers={"x-region": "{{ variables.region }}", **BEARER},
    )
    folder = write(tmp_path, providers=text)
    assert codes(load(folder, {"REGION": "eu"}, NOW)) == ["E401"]
    assert "FIRST_KEY" in only(load(folder, {"REGION": "eu"}, NOW)).message
    loaded = load(folder, {"SECOND_KEY": "second", "FIRST_REGION": "one", "REGION": "two"}, NOW)
    assert loaded.plan is not None
    sent = {h.name: h.value for h in loaded.plan.providers["openai"].headers}
    assert sent == {b"x-region": b"one", b"authorization": b"Bearer second"}

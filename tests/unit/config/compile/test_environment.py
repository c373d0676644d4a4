"""What the environment may hold beside a configuration: its tests never depend on it."""

from pathlib import Path

import pytest

from tests.tables import each
from tests.unit.config.folders import codes, minimal, provider, read, write

REGION = {"region": {"env": "REGION", "default": "us"}}
HOST = "https://{{ variables.region }}.example.com"


@each("environ", [{}, {"REGION": "eu"}])
def test_a_test_of_a_url_expects_the_default(environ: dict[str, str], tmp_path: Path) -> None:
    line = "tests:\n  - {endpoint: embeddings, model: gpt-a, expect: {url: 'https://%s.example.com/embeddings'}}\n"
    folder = write(tmp_path, providers=provider(variables=REGION, base_url=HOST))
    for host, found in (("us", []), ("eu", ["X209"])):
        write(folder, routes=minimal("routes") + line % host)
        assert codes(read(folder, environ)) == found
    assert read(write(folder, routes=minimal("routes") + line % "us"), environ).plan is not None


@pytest.mark.parametrize("environ", [{}, {"URL": "https://b.example.com", "REGION": "eu"}])
@pytest.mark.parametrize(
    "base", ["{{ variables.url }}", "https://{{ variables.region }}.example.com"]
)
def test_a_url_that_only_a_machine_knows_cannot_be_expected(
    base: str, environ: dict[str, str], tmp_path: Path
) -> None:
    line = "tests:\n  - {endpoint: embeddings, model: gpt-a, expect: {url: 'https://eu.example.com/embeddings'}}\n"
    variables = {"url": {"env": "URL"}, "region": {"env": "REGION"}}
    used = {name: value for name, value in variables.items() if name in base}
    folder = write(
        tmp_path,
        routes=minimal("routes") + line,
        providers=provider(variables=used, base_url=base),
    )
    found = [d for d in read(folder, environ).diagnostics if d.code == "X209"]
    assert len(found) == 1
    assert "not the environment" in found[0].help


PLAIN, WITH_SCHEME = "{{ credentials.key }}", "Bearer {{ credentials.key }}"


@each(
    ("headers", "found"),
    [
        ({"authorization": WITH_SCHEME}, ["X272"]),
        ({"x-key": PLAIN}, ["X272"]),
        ({"authorization": PLAIN}, []),
        ({"authorization": PLAIN, "x-client": "ours"}, []),
    ],
)
def test_a_scheme_in_a_secret_is_doubtful_where_the_header_that_sends_it_has_one(
    headers: dict[str, str], found: list[str], tmp_path: Path
) -> None:
    credentials = {"key": {"env": "KEY"}}
    folder = write(tmp_path, providers=provider(credentials=credentials, headers=headers))
    assert codes(read(folder, {"KEY": "Bearer sk-0123456789abcdef"})) == found


@each(("length", "found"), [(8192 - len("Bearer "), []), (8192, ["E403"])])
def test_a_value_that_fits_alone_and_not_with_what_its_header_adds(
    length: int, found: list[str], tmp_path: Path
) -> None:
    credentials = {"key": {"env": "KEY"}}
    headers = {"authorization": WITH_SCHEME}
    folder = write(tmp_path, providers=provider(credentials=credentials, headers=headers))
    loaded = read(folder, {"KEY": "k" * length})
    assert codes(loaded) == found
    assert all("`authorization` of provider `openai`" in d.message for d in loaded.diagnostics)


def test_a_header_for_the_collector_that_cannot_be_sent_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=minimal("routes") + "tracing: {}\n")
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=T%C3%B6ken"}
    (found,) = [d for d in read(folder, environ).diagnostics if d.code == "E403"]
    assert "`authorization` of `OTEL_EXPORTER_OTLP_HEADERS`" in found.message
    assert "T%C3" not in found.message
    assert "E403" not in codes(read(folder, {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=ok"}))


@each("end", ["/v1/traces", "/otlp/v1/metrics/", ""])
def test_an_endpoint_with_the_path_that_is_added_to_it_is_found(end: str, tmp_path: Path) -> None:
    line = f"tracing: {{endpoint: 'http://127.0.0.1:4318{end}'}}\n"
    found = read(write(tmp_path, routes=minimal("routes") + line), {}).diagnostics
    assert any("without /v1/traces" in d.message for d in found) == bool(end)


URL = {"base_url": "{{ variables.url }}", "variables": {"url": {"env": "OURS"}}}


@each(
    ("keys", "value", "missing"),
    [
        (URL, "", ["OURS"]),
        (URL, "ftp://a.example", ["OURS"]),
        (URL, "http://a.example", ["OURS"]),
        (URL, "https://a.example", []),
        ({"base_url": "https://a/{{ variables.x }}", "variables": {"x": {"env": "OURS"}}}, "a?b", ["OURS"]),
        ({"credentials": {"key": {"env": "OURS"}}, "headers": {"x-key": PLAIN}}, "", ["OURS"]),
        ({"credentials": {"key": {"env": "OURS"}}, "headers": {"x-key": PLAIN}}, "a\nb", ["key"]),
        ({"credentials": {"key": {"env": "OURS"}}, "headers": {"a": WITH_SCHEME}}, "k" * 8192, ["a"]),
        ({"credentials": {"key": {"file": "none"}}, "headers": {"x-key": PLAIN}}, "", ["none"]),
    ],
)  # fmt: skip
def test_a_provider_without_what_it_needs_of_the_environment_is_not_called(
    keys: dict[str, object], value: str, missing: list[str], tmp_path: Path
) -> None:
    plan = read(write(tmp_path, providers=provider(**keys)), {"OURS": value}).plan
    assert plan is not None
    assert list(plan.providers["openai"].missing) == missing

"""Every source of the corpus: its report and its files, that `engine check` accepts them, and that no secret is in them."""

import re
from pathlib import Path
from statistics import median

from syrupy.assertion import SnapshotAssertion

from engine.config.diagnostics.diagnostic import Severity
from engine.importers.writing import render
from engine.report.imported import render_import, view_import
from tests.servers import parse_yaml
from tests.tables import each
from tests.unit.config.folders import TextSnapshot
from tests.unit.importers.sources import NAMES, SOURCES, count_of, imported, loaded, share

CANARY = re.compile(r"(?i)canary[a-z0-9-]*[0-9]")


OURS = ("variables", "base_url", "credentials", "headers", "retry", "breaker", "limits", "timeouts")


def shown(name: str, text: str) -> str:
    """A file without what it has from the shipped configuration, which may change."""
    if name == "routes.yaml":
        return re.sub(r"(?ms)^endpoints:.*?(?=^models:)", "", text)
    if name != "providers.yaml":
        return text
    entries = parse_yaml(text)["providers"].items()
    return render({n: {k: v for k, v in e.items() if k in OURS} for n, e in entries}, 2, {}, "")


@each(("source", "name"), zip(SOURCES, NAMES, strict=True))
def test_report_and_files(source: Path, name: str, snapshot: SnapshotAssertion) -> None:
    outcome = imported(source)
    parts = [render_import(outcome)]
    for file, text in outcome.files.items():
        parts.append(f"--- {file}\n{shown(file, text)}")
    assert "\n".join(parts) == snapshot(name=name, extension_class=TextSnapshot)


@each("source", SOURCES)
def test_check_accepts_the_files(source: Path, tmp_path: Path) -> None:
    outcome = imported(source)
    if outcome.files:
        found = loaded(outcome, tmp_path).diagnostics
        assert [str(d) for d in found if d.severity is Severity.ERROR] == []
        assert [
            str(d) for d in found if d.code in ("X205", "X203")
        ] == []  # nothing is written for nothing


@each("source", SOURCES)
def test_every_setting_is_in_the_report_once(source: Path) -> None:
    rows = imported(source).rows
    repeated = [row for row in rows if "written again" in row.note]
    assert len(rows) - len(repeated) == count_of(source.read_bytes().replace(b"\t", b" "))
    places = [(row.file, row.path) for row in rows if row not in repeated]
    assert len(set(places)) == len(places)


@each("source", SOURCES)
def test_no_secret_leaves(source: Path) -> None:
    outcome = imported(source)
    texts = [*outcome.files.values(), render_import(outcome), str(view_import(outcome))]
    assert [hit[0] for text in texts for hit in CANARY.finditer(text)] == []


def test_the_corpus_has_secrets_at_all() -> None:
    found = {
        hit[0].lower() for source in SOURCES for hit in CANARY.finditer(source.read_text("utf-8"))
    }
    assert len(found) > 14


def test_the_corpus_is_large_and_most_of_it_is_carried() -> None:
    shares = [share(imported(source)) for source in SOURCES]
    assert len(SOURCES) >= 40
    assert median(shares) >= 0.75  # the corpus is made of what is hard


def test_callbacks_become_traces_and_metrics() -> None:
    source = next(s for s in SOURCES if s.stem == "tiers-and-limits")
    files = imported(source).files
    assert 'tracing:\n  sample: "100%"\n' in files["routes.yaml"]
    assert "metrics: {}" in files["server.yaml"]
    plain = imported(next(s for s in SOURCES if s.stem == "order")).files
    assert "tracing" not in plain["routes.yaml"]


def test_only_the_address_of_the_vendor_keeps_its_ping() -> None:
    providers = imported(next(s for s in SOURCES if s.stem == "tiers-and-limits")).files["providers.yaml"]  # fmt: skip
    first, *rest = providers.split("azure_deployments:")[1].split("\n  groq:")
    assert "ping:" not in first
    assert "ping: {path: /models}" in rest[0]

"""The pages say what the program does: examples run, tables and lists match the code."""

import json
import re
import runpy
import time
import tomllib
from dataclasses import fields
from pathlib import Path

import click
import pytest
import yaml

from engine.cli import main
from engine.config.diagnostics.codes import FINDING_KINDS
from engine.config.examples import example, load_example
from engine.config.files import FILES
from engine.config.load import load
from engine.config.model import DEFAULT_LIMITS, DEFAULT_TIMEOUTS
from engine.config.units import parse_duration
from engine.gateway.errors import CATALOGUE, GatewayError, error_body
from engine.gateway.record import Record, RecordBuilder, Timestamps, lines
from engine.gateway.response.cost import record_cost
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.plan.plan import Dialect
from engine.plan.prices import ModelPrices, Prices, PriceTable
from engine.report.lines import render_concise
from engine.report.view import Findings
from engine.telemetry.families import (
    BUILD_INFO,
    DURATIONS,
    EXPORTS_FAILED,
    GROUPS,
    LIMIT_RESULTS,
    LIMITS,
    PROCESS_FAMILIES,
    PROCESS_LABELS,
    SHORT_DURATIONS,
)
from engine.upstream import Failure
from tests import loopback
from tests.e2e.docs.examples import Example, examples, opened
from tests.scale.model import page as scaling_page
from tests.scale.model import problems
from tests.servers import ROOT, Server, ship

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
GENERATED = ("configuration", "codes", "providers")
WRITTEN = [page for page in PAGES if page.stem not in GENERATED]
OTHERS = [
    ROOT / name for name in ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
]
CLI = (DOCS / "cli.md").read_text("utf-8")
ENDPOINTS = (DOCS / "endpoints.md").read_text("utf-8")
GUIDE = (DOCS / "guide.md").read_text("utf-8")
OBSERVABILITY = (DOCS / "observability.md").read_text("utf-8")
RELIABILITY = (DOCS / "reliability.md").read_text("utf-8")
CHECK = (DOCS / "check.md").read_text("utf-8")
ERRORS = (DOCS / "errors.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of every table whose header starts with column `first`."""
    found: list[list[str]] = []
    for table in re.findall(r"^\|.*\|(?:\n\|.*\|)*", text, re.M):
        head, _, *body = table.splitlines()
        if head.startswith(f"| {first} |"):
            found += [[bare(cell) for cell in line.strip("|").split("|")] for line in body]
    return found


def bare(cell: str) -> str:
    """The text of a cell, without backticks when all of it is code."""
    code = re.fullmatch(r"`([^`]*)`", cell.strip())
    return code[1] if code else cell.strip()


def marked(page: Path, mark: str) -> Example:
    """The one example of a page with this mark."""
    (found,) = [example for example in examples(page) if example.mark == mark]
    return found


# -- examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.name))
def test_every_fence_is_seen_and_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(re.findall(r"^```", text, re.M)) == 2 * len(examples(page))
    for target, part in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", text):
        linked = page.parent / target if target else page
        assert linked.exists(), target
        assert not part or part in anchors(linked), f"{target}#{part}"


def anchors(page: Path) -> set[str]:
    """The fragments by which a link can reach the headings of a page."""
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_generated_pages_are_what_the_script_makes() -> None:
    made = runpy.run_path(str(DOCS / "generate.py"))
    for name in GENERATED:
        written = (DOCS / f"{name}.md").read_text("utf-8")
        assert written == made[f"render_{name}"](), f"docs/{name}.md is old; run `make docs`"
    drawn = runpy.run_path(str(DOCS / "draw.py"))["render"]()
    assert (DOCS / "overview.svg").read_text("utf-8") == drawn, "run `make docs`"


# -- errors --------------------------------------------------------------------------------------


def test_every_error_code_is_explained_with_its_status_and_no_other() -> None:
    table = rows(ERRORS, "code")
    assert sorted(row[0] for row in table) == sorted(CATALOGUE)
    assert {row[0]: int(row[1]) for row in table} == {c: k.status for c, k in CATALOGUE.items()}


def test_the_page_says_which_errors_may_have_cost_money() -> None:
    for code, *_, again in rows(ERRORS, "code"):
        kind = CATALOGUE[code]
        assert again.startswith("no: may have been processed") == kind.sent, code
        assert ("retry-after" in again) == (kind.retry_after is not None), code


@pytest.mark.parametrize("dialect", [Dialect.OPENAI, Dialect.ANTHROPIC])
def test_the_envelopes_are_those_of_the_page(dialect: Dialect) -> None:
    shown = json.loads(marked(DOCS / "errors.md", f"envelope {dialect}").text)
    error = GatewayError("model_required", "the request names no `model`", param="model")
    assert shown == json.loads(error_body(error, dialect, "req_0123456789abcdef01234567"))


def test_the_event_that_ends_a_broken_stream_is_that_of_the_page() -> None:
    shown = json.loads(marked(DOCS / "errors.md", "event responses").text)
    stream = EventStream((), ResponseFacts())
    for number in (0, shown["sequence_number"] - 1):
        event = {"sequence_number": number, "response": shown["response"]}
        stream.feed(f"data: {json.dumps(event)}\n\n".encode())
    error = GatewayError("upstream_truncated", shown["error"]["message"])
    ending = error_event(error, Dialect.RESPONSES, "req_1", stream)
    name, data = ending.decode().removesuffix("\n\n").split("\n")
    assert (name, json.loads(data.removeprefix("data: "))) == ("event: response.failed", shown)


# -- deploy, reliability, observability, cli -----------------------------------------------------


def test_the_page_has_every_field_of_an_access_record() -> None:
    plain = json.loads(lines([RecordBuilder(request_id="req_x").freeze(Timestamps())]))
    record = RecordBuilder(request_id="req_x")
    record.add_tried("429")
    record.exception = "ValueError at app.py:1"
    record.add_attempt("caller")
    record_cost(record, Prices("2026-11-20-0123abcd", "a list", PriceTable(ModelPrices({}), {})))
    with_bug = json.loads(lines([record.freeze(Timestamps())]))
    whole = Record(
        **with_bug,
        cache_write_tokens=1,
        units={"pages": 1},
        dropped=("user",),
        may_be_paid_twice=True,
        service_tier="flex",
        ms_silent=1200.0,
    )
    with_units = json.loads(lines([whole]))
    assert [row[0] for row in rows(OBSERVABILITY, "field")] == list(with_units)
    assert list(json.loads(marked(DOCS / "observability.md", "record").text)) == list(plain)


def test_the_page_has_every_metric_with_its_type_and_labels() -> None:
    known = {f.name: (f.kind, g.labels) for g in GROUPS for f in g.families}
    known |= {family.name: (family.kind, PROCESS_LABELS) for family in PROCESS_FAMILIES}
    known[BUILD_INFO.name] = BUILD_INFO.kind, ("version",)
    known[EXPORTS_FAILED.name] = EXPORTS_FAILED.kind, ()
    table = rows(OBSERVABILITY, "metric")
    shown = {row[0]: (row[1], tuple(re.findall(r"\w+", row[2]))) for row in table}
    assert shown == known
    assert {label for _, labels in known.values() for label in labels} - {"version"} == {
        row[0] for row in rows(OBSERVABILITY, "label")
    }
    for bounds in (DURATIONS, SHORT_DURATIONS):
        text = ", ".join(f"{bound:g}" for bound in bounds[:-1]) + f" and {bounds[-1]:g} second"
        assert text in OBSERVABILITY.replace("\n", " ")


ASKING = ("deploy/prometheus/alerts.yaml", "deploy/grafana/orqen.json", "docs/runbook.md")
_SELECTOR = re.compile(r"\b((?:orqen|process)_[a-z_]+)\b(?:\{([^{}]*)\})?")
_MATCHER = re.compile(r'(\w+)=~?"([^"]*)"')
OF_PROMETHEUS = {"instance", "job", "le"}


@pytest.mark.parametrize("path", ASKING)
def test_what_is_asked_of_prometheus_is_exposed(path: str) -> None:
    known = {f.name: g.labels for g in GROUPS for f in g.families}
    known |= {family.name: PROCESS_LABELS for family in PROCESS_FAMILIES}
    known |= {BUILD_INFO.name: ("version",), EXPORTS_FAILED.name: ()}
    known |= {
        f"{f.name}{end}": g.labels
        for g in GROUPS
        for f in g.families
        if f.bounds
        for end in ("_bucket", "_sum", "_count")
    }
    text = (ROOT / path).read_text("utf-8").replace('\\"', '"')
    for name, matchers in _SELECTOR.findall(text):
        assert name in known, name
        for label, value in _MATCHER.findall(matchers):
            assert label in {*known[name], *OF_PROMETHEUS}, (name, label)
            if name in {f.name for f in LIMITS.families} and label == "result":
                assert value in LIMIT_RESULTS, (name, value)


def test_the_page_has_every_outcome() -> None:
    source = "".join(
        (ROOT / "engine/gateway" / name).read_text("utf-8")
        for name in ("record.py", "request.py", "response/relay.py", "outbound/attempts.py")
    )
    literal = re.findall(r'outcome(?:: (?:ClassVar\[)?str\]?)?(?: = [\w.]+)? = "(\w+)"', source)
    literal += re.findall(r'outcome = .* else "(\w+)"', source)
    known = {*literal, *(failure.outcome for failure in Failure)}
    assert {row[0] for row in rows(OBSERVABILITY, "outcome")} == known


def test_the_page_has_the_defaults_of_timeouts_and_limits() -> None:
    shown = {row[0]: parse_duration(row[1]) for row in rows(RELIABILITY, "key")}
    assert shown == {
        field.name: getattr(DEFAULT_TIMEOUTS, field.name) for field in fields(DEFAULT_TIMEOUTS)
    }
    text = " ".join(" ".join(row) for row in rows(RELIABILITY, "what"))
    assert f"`in_flight`, {DEFAULT_LIMITS.in_flight} by default" in text
    assert f"`queue`, {DEFAULT_LIMITS.queue} by default" in text
    assert f"`wait` ({DEFAULT_LIMITS.wait:g} s)" in text


def test_readiness_has_the_shape_of_the_page(served: Server) -> None:
    shown = json.loads(marked(DOCS / "observability.md", "shape").text)
    answer = loopback.get(served.url + "/readyz").json()
    assert {**answer, "config": "", "loaded": ""} == {**shown, "config": "", "loaded": ""}


def commands(group: click.Group, name: str = "engine") -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, f"{name} {word}")
        else:
            found.append((f"{name} {word}", command))
    return found


@pytest.mark.parametrize(("name", "command"), commands(main), ids=str)
def test_every_command_and_option_is_explained(name: str, command: click.Command) -> None:
    section = CLI.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    assert section, f"cli.md has no section `{name}`"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for spelling in (*parameter.opts, *parameter.secondary_opts):
                assert f"`{spelling}" in section, spelling


def test_no_command_is_explained_that_does_not_exist() -> None:
    explained = re.findall(r"^## `(engine .+)`$", CLI, re.M)
    assert sorted(explained) == sorted(name for name, _ in commands(main))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.name))
def test_no_command_is_spoken_of_that_does_not_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert set(re.findall(r"\bengine ([a-z]+)\b", re.sub(r"--\S+", "", text))) <= set(main.commands)


# -- check ---------------------------------------------------------------------------------------


def test_the_suppression_of_the_page_silences_what_is_found_there(tmp_path: Path) -> None:
    text = marked(DOCS / "check.md", "suppression").text.partition("\n")[2]
    shipped = (ROOT / "providers.yaml").read_text("utf-8")
    ship(tmp_path)
    (tmp_path / "providers.yaml").write_text(
        shipped.replace("\nproviders:\n", f"\nproviders:\n{text}")
    )
    loaded = load(tmp_path, {}, time.time())
    assert [silenced.found.code for silenced in loaded.suppressed] == ["X205"]
    assert {found.code for found in loaded.diagnostics} == {"E401"}


def test_the_page_has_every_format(tmp_path: Path) -> None:
    (option,) = [p for p in main.commands["check"].params if p.name == "form"]
    assert isinstance(option.type, click.Choice)
    assert [row[0] for row in rows(CHECK, "format")] == [
        f for f in option.type.choices if f != "auto"
    ]


def test_the_hook_of_the_page_is_the_one_there_is(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    (theirs,) = yaml.safe_load(marked(DOCS / "check.md", "hooks").text)["repos"]
    assert [asked["id"] for asked in theirs["hooks"]] == [hook["id"]]
    page = (DOCS / "check.md").read_text("utf-8")
    (when,) = re.findall(r"It runs when (.*?) is part of a commit", page, re.S)
    assert sorted(re.findall(r"`(.*?)`", when)) == sorted(FILES)
    for name in FILES:
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "routes.yaml.md")
    assert hook["entry"].split() == ["engine", "check"]
    assert (hook["pass_filenames"], hook["require_serial"]) == (False, True)


def test_the_steps_of_the_workflow_do_what_they_say(tmp_path: Path, served: Server) -> None:
    workflow = yaml.safe_load(marked(DOCS / "check.md", "workflow").text)
    assert workflow["permissions"]["security-events"] == "write"
    steps = workflow["jobs"]["check"]["steps"]
    with opened(tmp_path, served) as session:
        for step in steps:
            if step.get("run", "").startswith("engine "):
                session.run(Example("check.md", "sh", "", step["run"]))
    (upload,) = [step for step in steps if "upload-sarif" in step.get("uses", "")]
    told = json.loads((tmp_path / upload["with"]["sarif_file"]).read_text("utf-8"))
    assert told["version"] == "2.1.0"


def test_the_problem_matchers_know_every_line_of_the_concise_format() -> None:
    matchers = json.loads((DOCS / "problem-matcher.json").read_text("utf-8"))["problemMatcher"]
    patterns = [pattern for matcher in matchers for pattern in matcher["pattern"]]
    for code in FINDING_KINDS:
        loaded = load_example(code, time.time())
        for line in render_concise(Findings(loaded.diagnostics, loaded.documents)).splitlines():
            (match,) = [m for p in patterns if (m := re.search(p["regexp"], line))]
            (pattern,) = [p for p in patterns if re.search(p["regexp"], line)]
            assert match[pattern["code"]] in (code, *example(code).also)
            assert match[pattern["file"]].endswith(".yaml")
            assert int(match[pattern["line"]]) and int(match[pattern["column"]])
            assert match[pattern.get("severity", 0)].count(
                FINDING_KINDS[match[pattern["code"]]].severity
            )


# -- README --------------------------------------------------------------------------------------


def test_the_table_of_endpoints_is_the_shipped_configuration() -> None:
    loaded = load(ROOT, {}, time.time())
    assert loaded.plan is not None
    shown = {row[0]: row for row in rows(ENDPOINTS, "path")}
    assert len(shown) == len(loaded.plan.every_endpoint())
    for endpoint in loaded.plan.every_endpoint():
        _, takes, _, served_by = shown[endpoint.path.decode()]
        assert endpoint.method == "POST"
        assert set(takes.lower().split(" or ")) == endpoint.bodies, endpoint.name
        serving = [p for p in loaded.plan.providers.values() if endpoint.name in p.upstreams]
        assert int(served_by) == len(serving), endpoint.name


def test_the_calls_in_the_guide_are_those_that_serve_prints() -> None:
    printed = (ROOT / "engine/mock/curl.txt").read_text("utf-8")
    printed = printed.format(url="http://127.0.0.1:8080", key="$KEY")
    assert f"```sh\n{printed.strip()}\n```" in GUIDE


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 80


def test_the_figures_in_the_readme_are_those_of_the_benchmark() -> None:
    result = json.loads((DOCS / "performance.json").read_text("utf-8"))
    small = result["rows"]["small"]
    shown = " ".join(re.findall(r"\*\*Speed\*\* (.+?)\n\n", README, re.S)).replace("\n", " ")
    assert shown.startswith(f"({result['date']}).")  # the code may have changed since
    assert f"{small['engine']['requests_per_second']:,.0f} requests/s on one core" in shown
    assert f"A small JSON request takes {small['engine']['cpu_us']:,.0f} µs of CPU" in shown
    peers = re.findall(r"(\w+) (?:took )?([\d,]+) µs", shown.partition("In the same run")[2])
    assert {name.lower(): value for name, value in peers} == {
        name: f"{row['cpu_us']:,.0f}" for name, row in small.items() if name != "engine"
    }


def test_the_figures_of_scaling_are_those_that_were_measured() -> None:
    figures = json.loads((DOCS / "scaling.json").read_text("utf-8"))
    assert scaling_page(figures) in (DOCS / "scaling.md").read_text("utf-8")
    missed = "three replicas have less than 2.7 times the capacity of one"  # the page says why
    assert problems(figures) in ([], [missed])


def test_the_readme_counts_the_shipped_providers() -> None:
    plan = load(ROOT, {}, time.time()).plan
    assert plan is not None
    assert f"covers {len(plan.providers)} providers" in README


# -- ARCHITECTURE --------------------------------------------------------------------------------


def test_the_packages_are_those_of_the_tree() -> None:
    table = {row[0]: row[1] for row in rows(ARCHITECTURE, "package")}
    packages = {p.parent for p in (ROOT / "engine").rglob("__init__.py")} - {ROOT / "engine"}
    assert set(table) == {f"{p.relative_to(ROOT).as_posix()}/" for p in packages} | {
        "deploy/",
        "examples/",
        "schemas/",
    }
    for package, module in table.items():
        assert (ROOT / package / f"{module}.py").exists() or not module, package


def test_each_package_has_the_owner_that_the_page_names() -> None:
    table = {row[0]: row[1] for row in rows(ARCHITECTURE, "dependency")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"].get("optional-dependencies", {}).values()
    needed = [*project["project"]["dependencies"], *(item for extra in extras for item in extra)]
    declared = {re.split("[>=;]", item)[0].strip() for item in needed}
    assert set(table) == declared
    for module in (ROOT / "engine").rglob("*.py"):
        name = module.relative_to(ROOT / "engine").with_suffix("").as_posix()
        for package, owner in table.items():
            imported = {"pyyaml": "yaml"}.get(package, package)
            if re.search(rf"^\s*(?:import|from) {imported}\b", module.read_text("utf-8"), re.M):
                owners = owner.replace("`", "").split(", ")
                rooms = tuple(o for o in owners if o.endswith("/"))
                is_owner = name in owners or name.startswith(rooms)
                assert is_owner, f"{package} is imported in engine/{name}.py"


# -- locks ---------------------------------------------------------------------------------------


def test_the_locks_hold_every_declared_dependency_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = project["dependency-groups"]
    runtime = project["project"]["dependencies"] + groups["build"]
    wanted = {
        "requirements.lock": runtime,
        "requirements-dev.lock": runtime
        + [item for item in groups["dev"] if isinstance(item, str)],
    }
    for name, declared in wanted.items():
        lock = (ROOT / name).read_text("utf-8")
        pinned = re.findall(r"^([a-z0-9-]+)==.*\\\n    --hash=sha256:", lock, re.M)
        needed = {re.match(r"[\w.-]+", item)[0].lower() for item in declared}  # type: ignore[index]
        assert needed <= set(pinned), f"{name} is old; run `make lock`"
        assert not re.search(r"https?://|--index|--find-links", lock)

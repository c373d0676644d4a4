"""The house rules: which package may import which, who owns a library, how large a module may be."""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.conftest import MISSING, NEEDS
from tests.imported import nothing_asked
from tests.servers import ROOT

ENGINE = ROOT / "engine"
MODULES = sorted(str(p.relative_to(ENGINE).with_suffix("")) for p in ENGINE.rglob("*.py"))

# Who may import whom: the first row with a pattern that fits a module is its rule. A package may import itself.
ARROWS = (
    ("__*__", "cli/*"),
    ("plan/* mock/*", ""),
    ("upstream/* accounts/* limits/*", "plan/*"),
    ("gateway/*", "upstream/* plan/*"),
    ("telemetry/*", "gateway/record plan/*"),
    ("config/* lsp/* importers/*", "config/* plan/*"),
    ("report/*", "config/* importers/notes importers/result telemetry/readings gateway/errors gateway/routing/* gateway/inbound/auth gateway/inbound/paths plan/*"),
    ("admin/*", "accounts/* config/* report/* plan/*"),
    ("server/hooks/* server/worker server/ping", "__init__ accounts/* limits/* telemetry/* gateway/* upstream/* plan/*"),
    ("server/*", "__init__ admin/* accounts/* config/* limits/* telemetry/* mock/* plan/*"),
    ("cli/*", "server/* report/* importers/* lsp/* telemetry/readings config/* accounts/* admin/address plan/*"),
)  # fmt: skip
# Within these, a part imports its own floor and those before it; what is not named is the last floor.
FLOORS = {
    "config": ("diagnostics", "source", "model rules prices server units template resources extras", "schema", "checks"),
    "gateway": ("errors headers cancellation tracing", "inbound", "routing hooks record"),
    "server": ("hooks",),
}  # fmt: skip
WITHOUT_SQL = {f"accounts/{name}" for name in ("__init__", "errors", "key_limits", "passwords", "tokens", "values", "vault", "follower", "key_table", "usage_writer")}  # fmt: skip
OWNERS = {
    "botocore": {"upstream/signers/aws_sigv4"},
    "google": {"upstream/signers/google_oauth"},
    "yaml": {
        "config/source/any_yaml",
        "config/source/document",
        "config/source/scalars",
        "config/source/tokens",
    },
    "jsonschema": {"config/schema/schemas"},
    "jinja2": {"admin/rendering", "config/template"},
    "authlib": {"admin/oidc"},
    "joserfc": {"admin/oidc"},
    "granian": {"server/http"},
    "uvloop": {"server/http"},
    "httptools": {"upstream/http1/response"},
    "httpx2": {"admin/oidc", "telemetry/otlp", "upstream/httpx_client"},
    "msgspec": {
        "gateway/inbound/head",  # values of each request, made by C
        "gateway/inbound/json_depth",
        "gateway/inbound/json_text",
        "gateway/inbound/payload",
        "gateway/outbound/exchange",
        "gateway/outbound/prepare",
        "gateway/record",
        "gateway/response/event_text",
        "gateway/response/named_model",
        "gateway/response/usage_reader",
        "server/hooks/limit_permits",
        "server/hooks/request_counter",
        "upstream/__init__",
    },
    "opentelemetry": {
        "server/hooks/traces",
        "telemetry/attributes",
        "telemetry/otlp_metrics",
        "telemetry/spans",
    },
    "pygls": {"lsp/requests", "lsp/server", "lsp/session"},
    "lsprotocol": {"lsp/protocol", "lsp/requests", "lsp/server", "lsp/session"},
    "sqlalchemy": {m for m in MODULES if m.startswith("accounts/")} - WITHOUT_SQL,
    "alembic": {
        "accounts/migrations/__init__",
        "accounts/migrations/r0001_first",
        "accounts/migrations/r0002_usage_daily",
        "accounts/migrations/r0003_key_limits",
        "accounts/migrations/r0005_account_limits",
        "accounts/migrations/r0006_usd_budgets",
        "accounts/migrations/r0004_cost",
    },
    "cryptography": {"accounts/vault"},
    "argon2": {"accounts/passwords"},
    "click": {m for m in MODULES if m.startswith("cli/")} - {"cli/files", "cli/store"},
}
PACKAGES = {"starlette": "admin/"}  # used all over one package
MAX_LINES = 300
Node = TypeVar("Node", bound=ast.AST)
TABLES = {"config/diagnostics/codes"}  # data only, and read by looking one entry up


@cache
def tree(module: str) -> ast.Module:
    return ast.parse((ENGINE / f"{module}.py").read_text("utf-8"))


@cache
def _nodes(module: str) -> dict[type[ast.AST], list[Any]]:
    """The nodes of a module by their type: a walk through all modules takes half a second."""
    found = defaultdict(list)
    for node in ast.walk(tree(module)):
        found[type(node)].append(node)
    return found


def every(module: str, kind: type[Node]) -> list[Node]:
    """All nodes of a type, wherever in the module they stand."""
    return _nodes(module).get(kind, [])


@cache
def imported(module: str) -> tuple[str, ...]:
    """Every module named in an import statement, wherever in the module it stands."""
    return tuple(_imported(module))


def _imported(module: str) -> Iterator[str]:
    for plain in every(module, ast.Import):
        yield from (alias.name for alias in plain.names)
    for node in every(module, ast.ImportFrom):
        assert node.level == 0, f"{module} has a relative import"
        yield node.module or ""
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imported_modules(module: str) -> set[str]:
    """The modules of engine that `module` imports; importing the package itself is free."""
    names = {name.removeprefix("engine.").replace(".", "/") for name in imported(module) if name.startswith("engine.")}  # fmt: skip
    return {name if name in MODULES else f"{name}/__init__" for name in names if name in MODULES or f"{name}/__init__" in MODULES}  # fmt: skip


def fits(module: str, patterns: str) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns.split())


def may_import(module: str, other: str) -> bool:
    if module.partition("/")[0] == other.partition("/")[0]:
        return floor(other) <= floor(module)
    return fits(other, next(targets for patterns, targets in ARROWS if fits(module, patterns)))


def floor(module: str) -> int:
    package, _, rest = module.partition("/")
    floors = [parts.split() for parts in FLOORS.get(package, ())]
    return next((n for n, parts in enumerate(floors) if rest.split("/")[0] in parts), len(floors))


def test_imports_point_down() -> None:
    forbidden = {
        module: {r for r in imported_modules(module) if not may_import(module, r)}
        for module in MODULES
    }
    assert {module: others for module, others in forbidden.items() if others} == {}


def test_the_rule_sees_imports_at_all() -> None:
    assert {"config/load", "config/model", "upstream/http1/pool"} & imported_modules("server/run")
    assert imported_modules("config/compile/binding") >= {
        "config/model",
        "config/template",
        "plan/plan",
    }
    assert not may_import("config/load", "gateway/app")
    assert not may_import("config/source/tokens", "config/checks/urls")
    assert not may_import("server/hooks/worker", "server/run")


def test_the_engine_has_few_packages() -> None:
    assert len({module.partition("/")[0] for module in MODULES if "/" in module}) <= 14
    assert {module for module in MODULES if "/" not in module} == {"__init__", "__main__"}


def test_no_two_packages_import_each_other() -> None:
    def package_of(module: str) -> str:
        return module.partition("/")[0] if "/" in module else ""

    below = {package_of(m): {package_of(other) for n in MODULES if package_of(n) == package_of(m) for other in imported_modules(n)} - {package_of(m), ""} for m in MODULES}  # fmt: skip
    while ready := {name for name in below if not below[name] & below.keys()}:
        below = {name: others for name, others in below.items() if name not in ready}
    assert below == {}


def test_every_module_has_a_rule() -> None:
    for module in MODULES:
        assert any(fits(module, patterns) for patterns, _ in ARROWS), module


def test_a_library_has_one_owner() -> None:
    for package, owners in OWNERS.items():
        users = {m for m in MODULES if any(n.split(".")[0] == package for n in imported(m))}
        assert users == owners, package


def test_granian_is_used_by_its_public_names() -> None:
    used = {name for name in imported("server/http") if name.startswith("granian")}
    assert used
    assert [name for name in used if "._" in name] == []


def test_a_library_stays_in_its_package() -> None:
    for library, package in PACKAGES.items():
        users = {m for m in MODULES if any(n.split(".")[0] == library for n in imported(m))}
        assert {m for m in users if not m.startswith(package)} == set(), library
        assert users, library


def test_a_module_is_not_too_long() -> None:
    lines = {m: (ENGINE / f"{m}.py").read_text("utf-8").count("\n") for m in MODULES}
    assert {m for m in lines if lines[m] > MAX_LINES} <= TABLES


@cache
def named(module: str) -> frozenset[str]:
    """Every attribute written as `a.b`, and every name imported from a module as `a.b`."""
    attributes = {
        f"{node.value.id}.{node.attr}"
        for node in every(module, ast.Attribute)
        if isinstance(node.value, ast.Name)
    }
    return frozenset({*attributes, *imported(module)})


@cache
def called(module: str) -> frozenset[str]:
    """Every function that is called by a plain name."""
    calls = [node.func for node in every(module, ast.Call)]
    return frozenset(call.id for call in calls if isinstance(call, ast.Name))


def test_no_wait_for() -> None:
    """`asyncio.wait_for` loses cancellations on Python 3.11; `asyncio.timeout` does not."""
    assert [module for module in MODULES if "asyncio.wait_for" in named(module)] == []


def test_only_the_command_line_prints() -> None:
    printing = {module for module in MODULES if "print" in called(module)}
    assert {module for module in printing if not module.startswith("cli/")} == set()


# Before Python 3.11.5, a group that repeats possessively keeps what a try consumed that failed. An atomic
# group around it does not; of these two no try fails that has begun, and the third is no group.
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[\d,]*\})\+")
HARMLESS = (r'(?:\\.[^"\\]*+)*+', r'(?:[^"\\]|\\.)*+', r"$&'()*+,;=")


def test_no_group_of_a_pattern_is_possessive() -> None:
    for path in (ROOT / "engine").rglob("*.py"):
        text = path.read_text("utf-8")
        for harmless in HARMLESS:
            text = text.replace(harmless, "")
        assert not POSSESSIVE_GROUP.search(text), path


def test_nothing_is_evaluated() -> None:
    evil = {"eval", "exec", "compile", "__import__"}
    assert [module for module in MODULES if evil & called(module)] == []


def test_a_module_says_what_it_is_for() -> None:
    assert [module for module in MODULES if not ast.get_docstring(tree(module))] == []


def test_a_package_says_what_it_never_does() -> None:
    packages = [m for m in MODULES if m.endswith("/__init__")]
    limits = re.compile(r"(?i)\b(?:never|nothing|not|no)\b")
    assert len(packages) > 20
    assert [m for m in packages if not limits.search(ast.get_docstring(tree(m)) or "")] == []


def test_only_dates_are_read_off_the_wall_clock() -> None:
    """Keys expire, records are dated, `retry-after` may be a date; all else goes by `monotonic`."""
    wall = {"time.time", "time.time_ns", "datetime.now", "time.localtime"}
    users = {m for m in MODULES if m.startswith(("gateway/", "upstream/")) and wall & named(m)}
    assert users <= {
        "gateway/admit",
        "gateway/inbound/head",
        "gateway/record",
        "gateway/response/error_events",
        "gateway/outbound/exchange",
        "gateway/routing/listing",
    }


def test_the_request_side_never_reads_files() -> None:
    for module in MODULES:
        if module.startswith(("gateway/", "upstream/")):
            names = {node.attr for node in every(module, ast.Attribute)}
            assert not names & {"read_text", "read_bytes", "write_text", "write_bytes"}, module


def test_no_module_of_the_tests_asks_the_machine_for_anything_at_import() -> None:
    """A test may, and says what it needs; tests/conftest.py watches over the modules of tests."""
    files = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    files = [file for file in files if file.with_name("__init__.py").exists()]  # no scripts
    files = [file for file in files if not file.stem.startswith(("__main__", "test_"))]
    modules = {".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    assert modules >= {"bench.peers", "tests.guided", "tests.e2e.docs.examples"}
    absent = {name for names in MISSING.values() for name in names}
    with pytest.MonkeyPatch.context() as patch, nothing_asked("at import"):
        patch.setenv("PATH", "")
        for module in modules:
            try:
                import_module(module)
            except ModuleNotFoundError as error:
                assert error.name in absent, module


# What every environment of the tests has; whatever else a test imports is left out without it.
ALWAYS = {
    "click", "granian", "httptools", "httpx2", "jinja2", "jsonschema", "msgspec", "uvloop", "yaml",
    "hypothesis", "pytest", "syrupy",
    "anthropic", "botocore", "cohere", "google", "httpx", "lsprotocol", "mistralai", "openai", "pydantic", "pygls",
}  # fmt: skip


def test_tests_that_import_other_packages_are_left_out_without_them() -> None:
    seen = {path: packages_of(path) for path in (ROOT / "tests").rglob("test_*.py")}
    needed = {path: {name.partition(".")[0] for name in needs_of(path)} for path in seen}
    assert {path: more for path in seen if (more := seen[path] - ALWAYS - needed[path])} == {}
    assert all((ROOT / path).exists() for path in NEEDS)


def needs_of(path: Path) -> Iterator[str]:
    for place, packages in NEEDS.items():
        yield from packages if path.is_relative_to(ROOT / place) else ()


@cache
def packages_of(path: Path) -> frozenset[str]:
    """The packages that are imported with a module of the tests, by itself or by its neighbours."""
    found: set[str] = set()
    for name in re.findall(r"^(?:from|import) ([\w.]+)", path.read_text("utf-8"), re.MULTILINE):
        root = name.partition(".")[0]
        near = ROOT / f"{name.replace('.', '/')}.py"
        if root == "tests" and near.exists():
            found |= packages_of(near)
        elif root not in {*sys.stdlib_module_names, "engine", "tests", "bench"}:
            found.add(root)
    return frozenset(found)

"""Fixtures for tests over real sockets: one mock upstream and one gateway for the whole run."""

import gc
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

from engine.cli import crash
from engine.config.compile.server import NEEDED
from tests import lazily, loopback
from tests.imported import nothing_asked
from tests.processes import ONE_CA
from tests.servers import CANARY, KEY, ROOT, Server, gateway, mock_upstream, read_yaml, ship

# How long one example takes is no matter of these tests: a busy machine takes its time. The examples
# are the same each time, so that no change is refused for what it has not touched; others, and seven
# times as many, are tried where ORQEN_TEST_RANDOM is set, which is every night.
IS_RANDOM = bool(os.environ.get("ORQEN_TEST_RANDOM"))
settings.register_profile(
    "patient",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    max_examples=100 if IS_RANDOM else 15,
    derandomize=not IS_RANDOM,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

pytest_plugins = ["tests.forked"]
os.environ.update(ONE_CA)
# Made before the collector looks for cycles: to look five times as often takes a twentieth of the CPU of the
# unit tests, and saves 40 MB a process.
YOUNG_OBJECTS = 500_000
# Thousands of small folders, and files of SQLite: on a disk they take a tenth of the CPU of the unit tests.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 1 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
lazily.import_at_use(*lazily.SDKS, *lazily.EDITORS)

# What tests need beyond the engine, which `make test` installs: elsewhere they are left out, which the
# end of the report says. Each file that imports such a package is in here; see `test_house`.
PROMETHEUS, OTLP = ("prometheus_client",), ("opentelemetry.proto",)
NEEDS = {
    "tests/e2e/server/test_accounts.py": NEEDED,
    "tests/integration/accounts": NEEDED,
    "tests/integration/admin": (*NEEDED, "joserfc"),
    "tests/unit/accounts": NEEDED,
    "tests/unit/admin": NEEDED,
    "tests/unit/cli/test_accounts.py": NEEDED,
    "tests/unit/gateway/inbound/test_differential.py": ("aiohttp", "python_multipart", "werkzeug"),
    "tests/e2e/server/test_tls.py": ("cryptography", "h2"),
    "tests/integration/server/test_http2.py": ("cryptography", "h2"),
    "tests/integration/server/test_renewal.py": ("cryptography",),
    "tests/unit/config/compile/test_listener_tls.py": ("cryptography",),
    "tests/unit/config/compile/test_x509.py": ("cryptography",),
    "tests/integration/catalogue/test_language.py": ("cryptography",),
    "tests/integration/upstream/test_identity.py": ("cryptography",),
    "tests/e2e/server/test_metrics.py": PROMETHEUS,
    "tests/unit/telemetry/test_metrics.py": PROMETHEUS,
    "tests/integration/telemetry/test_parts.py": PROMETHEUS,
    "tests/integration/telemetry/test_export.py": ("cryptography", *OTLP),
    "tests/integration/telemetry/test_otlp_metrics.py": (*OTLP, *PROMETHEUS),
    "tests/integration/telemetry/test_traces.py": OTLP,
}


def is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of what it is a part of
        return False


MISSING = {
    path: absent
    for path, packages in NEEDS.items()
    if (absent := [name for name in packages if not is_installed(name)])
}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out the tests that need packages which are missing."""
    is_ours = collection_path.is_relative_to(ROOT)
    return True if is_ours and str(collection_path.relative_to(ROOT)) in MISSING else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MISSING:
        packages = sorted({name for absent in MISSING.values() for name in absent})
        words = f"left out, without {', '.join(packages)}: {', '.join(MISSING)}"
        terminalreporter.write_line(f"{words}; `make install` installs them")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tools", action="store_true", help="fail, not skip, without a program")


def pytest_configure(config: pytest.Config) -> None:
    """Look for unused snapshots in whole runs alone: for chosen files that costs more than the tests."""
    is_chosen = config.args_source is pytest.Config.ArgsSource.ARGS
    if is_chosen and not config.getoption("update_snapshots"):
        config.option.disable_unused_snapshots = True


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Let the garbage collector never look at the modules and tests, which all stay."""
    draw_nothing()
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        crash.GC_THRESHOLD = YOUNG_OBJECTS  # which a command that a test runs here would set again
        gc.set_threshold(YOUNG_OBJECTS)
        gc.enable()


@given(none())
def draw_nothing(_: None) -> None:
    """Let Hypothesis make its generator: it looks for who refers to it, whom Python 3.14 cannot find if they are frozen.

    It does so before the modules of tests are there, among which that takes a fifth of a second.
    """


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """No module of the tests starts a process or connects to anything when it is imported."""
    del collector
    with nothing_asked("at import"):
        return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs a program which this machine has not, or another version of HTTP."""
    http1 = item.get_closest_marker("http1")
    if http1 is not None and loopback.IS_HTTP2:
        pytest.skip(http1.args[0])
    programs = [program for mark in item.iter_markers("needs") for program in mark.args]
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and item.config.getoption("--tools"):
        pytest.fail(f"needs {', '.join(missing)}", pytrace=False)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}; see `make test-tools`")


@pytest.fixture(scope="session", autouse=True)
def no_secret_in_any_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """After the whole run: no log of any process holds a provider's secret or a gateway key."""
    yield
    logs = [path for path in tmp_path_factory.getbasetemp().rglob("log*") if path.is_file()]
    for log in logs:
        text = log.read_text("utf-8", errors="replace")
        for secret in (CANARY + "-", KEY, KEY.removeprefix("sk-orq-")):
            assert secret not in text, f"{log.parent.name}/{log.name} holds a secret"


@pytest.fixture(scope="session")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The built-in upstream; what it received is at /__mock/requests."""
    with mock_upstream(tmp_path_factory.mktemp("mock") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def canaries() -> dict[str, str]:
    """Every environment variable that the shipped providers need, secrets each with a unique value."""
    environ: dict[str, str] = {}
    for provider in read_yaml("providers.yaml")["providers"].values():
        for credential in provider["credentials"].values():
            environ |= {name: f"{CANARY}-{name.lower()}" for name in _names(credential["env"])[:1]}
        for variable in provider.get("variables", {}).values():
            if "default" not in variable:
                environ |= dict.fromkeys(_names(variable["env"])[:1], "of-the-tests")
    return environ


def _names(env: str | list[str]) -> list[str]:
    return [env] if isinstance(env, str) else env


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, mock: Server, canaries: dict[str, str]
) -> Iterator[Server]:
    """The gateway on the shipped configuration, every provider served by `mock`."""
    folder = tmp_path_factory.mktemp("gateway")
    arguments = ("--mock-port", str(mock.port))
    with gateway(
        ship(folder), folder / "log", *arguments, environ=canaries, module="tests.watched"
    ) as server:
        yield server
        assert server.process.poll() is None, "the gateway died during the tests"


@pytest.fixture
def rested(served: Server) -> Iterator[Server]:
    """`served`, whose worker must hold no more after the test than before."""
    before = served.rest()
    yield served
    served.comes_to(before)


@pytest.fixture
def http(served: Server) -> Iterator[httpx2.Client]:
    """A plain client with the gateway key."""
    headers = {"authorization": f"Bearer {KEY}"}
    with loopback.Client(base_url=served.url, headers=headers, timeout=loopback.PATIENCE) as client:
        yield client

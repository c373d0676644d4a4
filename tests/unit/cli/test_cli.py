"""Every command as an operator meets it: exit code, words on the right stream, files written."""

import hashlib
import json
import re
import stat
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from syrupy.assertion import SnapshotAssertion

from engine.cli import accounts, db, keys, main, prices, vault
from engine.config.load import load
from engine.config.schema.schemas import read_schema
from engine.importers.starter import known_providers
from engine.server.ports import url_of
from tests.servers import ROOT
from tests.tables import each
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.compile.test_compile import PLANS
from tests.unit.config.folders import SECRET, TextSnapshot, minimal, provider, write

KEYS = "version: 1\nkeys:\n  - name: first  # a comment\n    sha256: {digest}\n".format(digest="a" * 64)  # fmt: skip
__all__ = ["plain"]
GROUPS = {
    "keys": keys.keys,
    "accounts": accounts.accounts,
    "vault": vault.vault,
    "db": db.db,
    "prices": prices.prices,
}
COMMANDS = [*main.commands, *(f"{group} {name}" for group in GROUPS for name in GROUPS[group].commands)]  # fmt: skip
BROKEN = minimal("routes").replace("path:", "paht:")
WARNED = minimal("routes") + "  - {model: no, provider: openai}\n"

TESTS = """tests:
  - {endpoint: embeddings, model: gpt-3, expect: {provider: openai, model: gpt-3}}
  - {endpoint: embeddings, model: claude, expect: {%s}}
"""
TESTED = minimal("routes") + TESTS % "error: model_not_found"
MESSY = minimal("routes").replace("    ", "        ")
FAILING = minimal("routes") + TESTS % 'provider: openai, url: "https://x.example/v1"'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A minimal configuration."""
    return write(tmp_path)


# -- exit codes ----------------------------------------------------------------------------------

OTHER = str(PLANS / "routing")
ROUTE = ("route", "POST", "/v1/embeddings", "-C", "DIR", "--model")
EXITS: dict[str, tuple[tuple[str, ...], str, int]] = {
    "accounts, no server.yaml": (("accounts", "list", "-C", "DIR"), "", 2),
    "usage, no server.yaml": (("usage", "-C", "DIR"), "", 2),
    "prices, none": (("prices", "show", "gpt-4o", "-C", "DIR"), "", 2),
    "db, no server.yaml": (("db", "status", "-C", "DIR"), "", 2),
    "vault, no server.yaml": (("vault", "check", "-C", "DIR"), "", 2),
    "vault, new key": (("vault", "new-key"), "", 0),
    "keys import, no server.yaml": (("keys", "import", "--account", "a", "-C", "DIR"), "", 2),
    "check, fine": (("check", "DIR"), "", 0),
    "check, warnings": (("check", "DIR"), WARNED, 0),
    "check, warnings count": (("check", "DIR", "--fail-on", "warning"), WARNED, 1),
    "check, fine and warnings count": (("check", "DIR", "--fail-on", "warning"), "", 0),
    "check, errors": (("check", "DIR"), BROKEN, 1),
    "check, errors as json": (("check", "DIR", "--format", "json"), BROKEN, 1),
    "check, fix fine": (("check", "DIR", "--fix"), "", 0),
    "check, fix errors": (("check", "DIR", "--fix"), BROKEN, 1),
    "check, fix errors with guesses": (("check", "DIR", "--fix", "--unsafe-fixes"), BROKEN, 0),
    "check, diff": (("check", "DIR", "--diff", "--unsafe-fixes"), BROKEN, 1),
    "check, no such folder": (("check", "DIR/nowhere"), "", 2),
    "check, a file": (("check", "DIR/routes.yaml"), "", 2),
    "check, no such option": (("check", "DIR", "--nonsense"), "", 2),
    "check, no such format": (("check", "DIR", "--format", "xml"), "", 2),
    "check, one argument too many": (("check", "DIR", "DIR"), "", 2),
    "check, notes count": (("check", "DIR", "--audit", "--fail-on", "note"), "", 1),
    "check, not selected": (("check", "DIR", "--select", "E401"), BROKEN, 0),
    "check, no such code": (("check", "DIR", "--select", "X999"), "", 2),
    "check, not to be ignored": (("check", "DIR", "--ignore", "S102"), BROKEN, 2),
    "check, standard input unnamed": (("check", "-"), "", 2),
    "check, standard input named for nothing": (("check", "DIR", "--stdin-filename", "routes.yaml"), "", 2),
    "explain, a code": (("explain", "X201"), "", 0),
    "explain, a name": (("explain", "Unknown-Provider"), "", 0),
    "explain, all": (("explain", "--list"), "", 0),
    "explain, no such code": (("explain", "X999"), "", 2),
    "explain, a retired code": (("explain", "X215"), "", 2),
    "explain, nothing": (("explain",), "", 2),
    "explain, both": (("explain", "X201", "--list"), "", 2),
    "route, routed": ((*ROUTE, "text-embedding-3-small"), "", 0),
    "route, refused": ((*ROUTE, "claude"), "", 1),
    "route, broken": ((*ROUTE, "text-embedding-3-small"), BROKEN, 2),
    "route, key": ((*ROUTE, "gpt-4o", "--key", "nobody"), "", 2),
    "route, no such format": ((*ROUTE, "gpt-4o", "--format", "xml"), "", 2),
    "route, no model": (ROUTE[:-1], "", 2),
    "route, no path": (("route", "POST"), "", 2),
    "routes, fine": (("routes", "DIR"), "", 0),
    "routes, as json": (("routes", "DIR", "--format", "json"), "", 0),
    "routes, no such endpoint": (("routes", "DIR", "--endpoint", "embedding"), "", 2),
    "routes, no such provider": (("routes", "DIR", "--provider", "opena"), "", 2),
    "routes, broken": (("routes", "DIR"), BROKEN, 2),
    "ping, nothing set": (("ping", "-C", "DIR"), "", 1),
    "ping, no such provider": (("ping", "opnai", "-C", "DIR"), "", 2),
    "ping, broken": (("ping", "-C", "DIR"), BROKEN, 2),
    "test, fine": (("test", "DIR"), TESTED, 0),
    "test, none": (("test", "DIR"), "", 0),
    "test, failing": (("test", "DIR"), FAILING, 1),
    "test, failing as json": (("test", "DIR", "--format", "json"), FAILING, 1),
    "test, failing as junit": (("test", "DIR", "--format", "junit"), FAILING, 1),
    "test, the failing left out": (("test", "DIR", "--run", "^embeddings gpt-3$"), FAILING, 0),
    "test, broken": (("test", "DIR"), BROKEN, 2),
    "test, fits none": (("test", "DIR", "--run", "nothing"), TESTED, 2),
    "test, no expression": (("test", "DIR", "--run", "("), TESTED, 2),
    "test, no such file": (("test", "DIR", "DIR/more.yaml"), TESTED, 2),
    "test, not tests": (("test", "DIR", "DIR/providers.yaml"), TESTED, 2),
    "test, two folders": (("test", "DIR", "DIR"), TESTED, 2),
    "show, fine": (("show", "DIR"), "", 0),
    "show, bare": (("show", "DIR", "--bare", "--file", "routes.yaml"), "", 0),
    "show, as json": (("show", "DIR", "--format", "json"), "", 0),
    "show, broken": (("show", "DIR"), BROKEN, 2),
    "show, no such endpoint": (("show", "DIR", "--endpoint", "nothing"), "", 2),
    "show, no such provider": (("show", "DIR", "--provider", "nothing"), "", 2),
    "diff, same": (("diff", "DIR", "DIR", "--exit-code"), "", 0),
    "diff, other": (("diff", "DIR", OTHER), "", 0),
    "diff, other counts": (("diff", "DIR", OTHER, "--exit-code"), "", 1),
    "diff, broken": (("diff", "DIR", OTHER), BROKEN, 2),
    "diff, no such folder": (("diff", "DIR", "DIR/nowhere"), "", 2),
    "diff, nothing named": (("diff",), "", 2),
    "fmt, tidy": (("fmt", "DIR"), "", 0),
    "fmt, messy": (("fmt", "DIR"), MESSY, 0),
    "fmt, check tidy": (("fmt", "DIR", "--check"), "", 0),
    "fmt, check messy": (("fmt", "DIR", "--check"), MESSY, 1),
    "fmt, diff messy": (("fmt", "DIR", "--diff"), MESSY, 1),
    "fmt, not YAML": (("fmt", "DIR/routes.yaml"), "a: [", 2),
    "fmt, no such file": (("fmt", "DIR/nothing.yaml"), "", 2),
    "fmt, - and more": (("fmt", "-", "DIR"), "", 2),
    "schema, tests": (("schema", "tests"), "", 0),
    "schema, fine": (("schema", "keys"), "", 0),
    "schema, no such file": (("schema", "nothing"), "", 2),
    "lsp, one argument too many": (("lsp", "DIR"), "", 2),
    "init, fine": (("init", "DIR/new"), "", 0),
    "init, small": (("init", "DIR/new", "--minimal", "--editor", "vscode"), "", 0),
    "init, no such editor": (("init", "DIR/new", "--editor", "ed"), "", 2),
    "init, chosen": (("init", "DIR/new", "--providers", "openai", "--endpoints", "embeddings"), "", 0),
    "init, no such provider": (("init", "DIR/new", "--providers", "opnai"), "", 2),
    "init, no such endpoint": (("init", "DIR/new", "--providers", "openai", "--endpoints", "x"), "", 2),
    "init, minimal and chosen": (("init", "DIR/new", "--minimal", "--providers", "openai"), "", 2),
    "init, taken": (("init", "DIR"), "", 2),
    "import, no such program": (("import", "no-such-program", "DIR/routes.yaml", "DIR/new"), "", 2),
    "import, nothing in it": (("import", "litellm", "DIR/routes.yaml", "DIR/new"), "", 1),
    "init, no folder named": (("init",), "", 2),
    "keys new, fine": (("keys", "new", "agent", "-C", "DIR"), "", 0),
    "keys new, bad name": (("keys", "new", "not a name", "-C", "DIR"), "", 2),
    "keys new, no name": (("keys", "new"), "", 2),
    "keys, no such command": (("keys", "old"), "", 2),
    "serve, broken": (("serve", "DIR", "--no-auth"), BROKEN, 2),
    "serve, without keys": (("serve", "DIR"), "", 2),
    "serve, open to the network": (("serve", "DIR", "--no-auth", "--host", "0.0.0.0"), "", 2),
    "serve, no such port": (("serve", "DIR", "--port", "70000"), "", 2),
    "serve, no workers": (("serve", "DIR", "--workers", "0"), "", 2),
    "mock, no such port": (("mock", "--port", "0"), "", 2),
    "status, nothing answers": (("status", "DIR", "--url", "http://127.0.0.1:9"), "", 2),
    "top, nothing answers": (("top", "--once", "--url", "http://127.0.0.1:9"), "", 2),
    "health, nothing answers": (("health", "--url", "http://127.0.0.1:9"), "", 2),
    "no such command": (("chekc",), "", 2),
    "version": (("--version",), "", 0),
    "help": (("-h",), "", 0),
}  # fmt: skip


@each("name", EXITS)
def test_exit_code(name: str, tmp_path: Path) -> None:
    words, routes, code = EXITS[name]
    folder = write(tmp_path, **({"routes": routes} if routes else {}))
    result = engine(*(word.replace("DIR", str(folder)) for word in words))
    assert result.exit_code == code, result.output
    if code == 2:  # it says on stderr why it could not run
        assert result.stderr.strip()
        assert result.stdout == ""
        assert "Traceback" not in result.stderr


MISSING = {
    "E405": minimal("providers").replace("OPENAI_API_KEY}", "NOT_SET_ANYWHERE, required: true}"),
    "E406": minimal("providers") + "    tls: {ca: not-there.pem}\n",
}


@each("code", MISSING)
def test_what_this_machine_must_have_is_a_warning_to_check_and_stops_serve(
    code: str, tmp_path: Path
) -> None:
    folder = write(tmp_path, providers=MISSING[code])
    assert engine("check", folder).exit_code == 0
    assert engine("check", folder, "--fail-on", "warning").exit_code == 1
    refused = engine("serve", folder, "--no-auth")
    assert (refused.exit_code, code in refused.stderr) == (2, True)


def test_every_command_is_in_the_table() -> None:
    assert {words[0] for words, _, _ in EXITS.values()} >= set(main.commands)


# -- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, snapshot: SnapshotAssertion) -> None:
    result = CliRunner().invoke(main, [*command.split(), "-h"], prog_name="engine")
    assert result.exit_code == 0
    assert result.stdout == snapshot(extension_class=TextSnapshot)


def test_both_spellings_of_help_are_the_same() -> None:
    assert engine("check", "-h").stdout == engine("check", "--help").stdout


def test_the_version_is_one_line() -> None:
    assert re.fullmatch(r"engine, version \d+\.\d+\.\d+\S*\n", engine("--version").stdout)


def test_a_bare_command_shows_help() -> None:
    assert "Usage:" in engine().output


# -- check ---------------------------------------------------------------------------------------


def test_the_shipped_folder_is_clean() -> None:
    done = engine("check", ROOT, "--fail-on", "warning")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("ok: 2 files, ")
    assert "warning" not in done.stdout


def test_the_shipped_folder_has_no_findings_but_unset_variables() -> None:
    done = engine("check", ROOT, "--format", "json")
    assert {found["code"] for found in json.loads(done.stdout)["diagnostics"]} == {"E401"}


def several(tmp_path: Path) -> Path:
    """A folder with errors, a warning and a note."""
    text = provider(
        headers={"authorization": "Bearer {{ credentials.apikey }}"},
        credentials={"api_key": {"env": "NOT_SET"}},
    )
    return write(tmp_path, routes=WARNED.replace("prefix: gpt-", "prefixx: gpt-"), providers=text)


def test_check_fine_output(folder: Path, snapshot: SnapshotAssertion) -> None:
    assert engine("check", folder).stdout == snapshot(extension_class=TextSnapshot)


def test_check_verbose_names_each_variable(tmp_path: Path) -> None:
    text = provider(credentials={"a": {"env": "FIRST"}, "b": {"env": "SECOND"}})
    folder = write(tmp_path, providers=text)
    short, long = engine("check", folder).stdout, engine("check", folder, "-v").stdout
    assert "fail with `provider_key_missing`: " in short
    assert "FIRST" not in short
    assert "FIRST" in long
    assert "SECOND" in long


def test_json_is_versioned_and_counts(tmp_path: Path) -> None:
    view = json.loads(engine("check", several(tmp_path), "--format", "json").stdout)
    assert re.fullmatch(r"\d+\.\d+", view["format_version"])
    assert view["ok"] is False
    assert sum(view["summary"].values()) == len(view["diagnostics"]) + len(view["suppressed"])
    assert view["summary"]["notes"] == 1
    for found in view["diagnostics"]:
        assert found["range"]["start"]["line"] >= 1
        assert found["range"]["start"]["column"] >= 1


def test_json_of_a_clean_folder_has_no_findings(folder: Path) -> None:
    view = json.loads(engine("check", folder, "--format", "json").stdout)
    assert (view["ok"], view["diagnostics"]) == (True, [])


def test_the_folder_is_the_current_one_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert engine("check").stdout == engine("check", ".").stdout
    assert engine("check").exit_code == 0


# -- route and routes ----------------------------------------------------------------------------

RULES = """version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
  embeddings: {path: /v1/embeddings}
  images: {path: /v1/images, method: GET}
not_exposed:
  - {paths: [/v1/files, /v1/files/*], reason: call the provider directly}
models:
  - {prefix: "", provider: openai}
  - {prefix: gpt-, provider: openai}
  - {prefix: gpt-, provider: openai, endpoint: embeddings}
  - {model: gpt-4o, provider: openai, as: gpt-4o-2024-11-20}
  - {prefix: mine/, provider: openai, strip: true}
"""


@pytest.fixture
def routed(tmp_path: Path) -> Path:
    """Rules that compete, and headers of every kind."""
    text = provider(
        endpoints={
            "chat_completions": "/chat/completions",
            "embeddings": {"path": "/m/{{ model | segment }}/e", "query": {"v": "1"}},
        },
        credentials={
            "api_key": {"env": "OPENAI_API_KEY"},
            "org": {"env": "NOT_SET", "optional": True},
        },
        headers={
            "authorization": "Bearer {{ credentials.api_key }}",
            "openai-organization": "{{ credentials.org }}",
            "x-fixed": "fixed",
            "x-model": "{{ model }}",
            "x-with-default": "{{ credentials.api_key | default('none') }}",
        },
    )
    return write(tmp_path, routes=RULES, providers=text)


@pytest.mark.parametrize(
    ("method", "path", "model", "code"),
    [
        pytest.param("POST", "/v1/chat/completions", "gpt-4o", 0, id="exact"),
        pytest.param("post", "/v1/embeddings", "gpt-4o-mini", 0, id="narrowed"),
        pytest.param("POST", "/v1/chat/completions", "mine/llama", 0, id="stripped"),
        pytest.param("POST", "/v1/chat/completions", "anything", 0, id="catch-all"),
        pytest.param("POST", "/v1/embeddings", "a/b", 1, id="no segment"),
        pytest.param("GET", "/v1/images", "gpt-4o", 1, id="not served"),
        pytest.param("GET", "/v1/embeddings", "gpt-4o", 1, id="wrong method"),
        pytest.param("POST", "/v1/embedding", "gpt-4o", 1, id="unknown path"),
        pytest.param("GET", "/v1/files/abc", "gpt-4o", 1, id="not exposed"),
        pytest.param("POST", "/v1/chat/completions", "mine/", 1, id="nothing left"),
        pytest.param("POST", "v1/ü", "gpt-4o", 1, id="not a path"),
    ],
)
def test_route(
    method: str, path: str, model: str, code: int, routed: Path, snapshot: SnapshotAssertion
) -> None:
    result = engine("route", method, path, "--model", model, "-C", routed)
    assert result.exit_code == code
    assert result.stdout == snapshot(extension_class=TextSnapshot)


@pytest.mark.parametrize(
    ("path", "refused"),
    [("/v1/files", "404 not_exposed"), ("/v1/nothing", "404 unknown_path"), ("/v1/images", "405 method_not_allowed")],
)  # fmt: skip
def test_route_needs_no_model_for_a_path_that_takes_none(
    path: str, refused: str, routed: Path
) -> None:
    result = engine("route", "POST", path, "-C", routed)
    assert result.exit_code == 1, result.output
    first, second = result.stdout.splitlines()[:2]
    assert first == f"POST {path}"
    assert second.startswith(f"refused: {refused}")


def test_route_asks_for_the_model_of_an_endpoint(routed: Path) -> None:
    result = engine("route", "POST", "/v1/embeddings", "-C", routed)
    assert result.exit_code == 2
    assert "Missing option '--model'" in result.stderr


def test_route_masks_every_header_that_holds_a_secret(routed: Path) -> None:
    result = engine("route", "POST", "/v1/chat/completions", "--model", "gpt-4o", "-C", routed)
    assert "authorization: ***" in result.stdout
    assert "x-fixed: fixed" in result.stdout
    assert SECRET not in result.output


def test_route_names_what_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    result = engine("route", "POST", "/v1/embeddings", "--model", "gpt-4o", "-C", folder)
    assert result.exit_code == 0
    assert "OPENAI_API_KEY" in result.stdout
    assert "provider_key_missing" in result.stdout


def test_routes(routed: Path, snapshot: SnapshotAssertion) -> None:
    result = engine("routes", routed)
    assert result.stdout == snapshot(extension_class=TextSnapshot)
    assert not [line for line in result.stdout.splitlines() if line != line.rstrip()]


# -- schema and init -----------------------------------------------------------------------------


@each("name", ["routes", "providers", "keys"])
def test_schema_is_the_file(name: str) -> None:
    done = engine("schema", name)
    assert done.stdout == (ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8")
    assert done.stdout == read_schema(name)


@each("options", [(), ("--minimal",), ("--minimal", "--editor", "vscode")])
def test_init_writes_what_check_accepts(options: tuple[str, ...], tmp_path: Path) -> None:
    new = tmp_path / "a" / "new"
    result = engine("init", new, *options)
    assert result.exit_code == 0
    assert engine("check", new, "--fail-on", "warning").exit_code == 0
    for name in ("routes", "providers"):
        text = (new / f"{name}.yaml").read_text("utf-8")
        link = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
        assert link
        assert (new / link[1]).read_text("utf-8") == read_schema(name)
    assert (new / ".vscode").exists() == ("vscode" in options)


@each("name", list(known_providers())[::4])  # the next test has all of them
def test_init_writes_a_small_configuration_of_each_provider(name: str, tmp_path: Path) -> None:
    assert engine("init", tmp_path / "new", "--providers", name).exit_code == 0
    found = load(tmp_path / "new", None, time.time())
    assert [str(d) for d in found.diagnostics] == []
    assert [provider.name for provider in found.config.providers] == [name]


def test_init_with_all_providers_chosen_routes_as_the_shipped_rules_do(tmp_path: Path) -> None:
    assert engine("init", tmp_path / "new", "--providers", "all").exit_code == 0
    found = load(tmp_path / "new", None, time.time())
    assert [str(d) for d in found.diagnostics] == []
    assert len(found.config.providers) == len(known_providers())


def test_init_takes_the_providers_whose_variables_are_set(tmp_path: Path) -> None:
    words = (
        "init",
        tmp_path / "new",
        "--providers",
        "set",
        "--endpoints",
        "chat_completions, embeddings",
        "--key",
        "app",
    )
    result = engine(*words)
    assert result.exit_code == 0
    new = load(tmp_path / "new", {"OPENAI_API_KEY": SECRET}, time.time())
    assert [provider.name for provider in new.config.providers] == ["openai"]
    assert [e.name for e in new.config.endpoints] == ["chat_completions", "embeddings"]
    assert new.diagnostics == ()
    assert "OPENAI_API_KEY=\n" in (tmp_path / "new/.env.example").read_text()
    assert new.config.keys is not None
    assert new.config.keys[0].sha256 == entry_of(result.stdout.strip())
    assert SECRET not in result.output + "".join(
        p.read_text() for p in (tmp_path / "new").glob("*.*")
    )


def test_the_first_key_of_a_new_folder_makes_a_file_with_its_schema(tmp_path: Path) -> None:
    engine("init", tmp_path, "--minimal")
    for name in ("first", "second"):
        assert engine("keys", "new", name, "--write", "-C", tmp_path).exit_code == 0
    text = (tmp_path / "keys.yaml").read_text("utf-8")
    assert text.startswith(
        "# yaml-language-server: $schema=./schemas/keys.schema.json\nversion: 1\n"
    )
    assert text.count("$schema") == 1
    assert engine("check", tmp_path).exit_code == 0


def test_a_minimal_start_has_one_provider_and_tests(tmp_path: Path) -> None:
    engine("init", tmp_path, "--minimal")
    loaded = load(tmp_path, {"OPENAI_API_KEY": SECRET}, time.time())
    assert loaded.diagnostics == ()
    assert len(loaded.config.providers) == 1
    assert len(loaded.config.tests) > 2


def test_settings_of_an_editor_name_the_schemas_that_are_there(tmp_path: Path) -> None:
    engine("init", tmp_path, "--editor", "vscode")
    settings = json.loads((tmp_path / ".vscode/settings.json").read_text("utf-8"))
    json.loads((tmp_path / ".vscode/extensions.json").read_text("utf-8"))
    files = settings["yaml.schemas"]
    assert set(files.values()) == {
        f"{name}.yaml" for name in ("routes", "providers", "keys", "server", "prices")
    }
    for schema, file in files.items():
        assert (tmp_path / schema).read_text("utf-8") == read_schema(file.removesuffix(".yaml"))


@each(
    "name",
    ["routes.yaml", "providers.yaml", "schemas/keys.schema.json", ".vscode/settings.json"],
)
def test_init_overwrites_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    result = engine("init", tmp_path, "--editor", "vscode")
    assert result.exit_code == 2
    assert name in result.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.read_text() for path in files] == ["mine"]


# -- import --------------------------------------------------------------------------------------

SOURCE = """model_list:
  - {model_name: fast, litellm_params: {model: openai/gpt-5-mini, api_key: sk-canary-00000000000000000001}}
"""


def test_import_writes_what_check_accepts_and_reports_every_setting(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SOURCE)
    result = engine(
        "import", "litellm", tmp_path / "config.yaml", tmp_path / "new", "--format", "json"
    )
    assert result.exit_code == 0
    view = view_of("import", result)
    assert [row["setting"].rpartition(".")[2] for row in view["settings"]] == [
        "model_name",
        "model",
        "api_key",
    ]
    assert engine("check", tmp_path / "new", "--fail-on", "warning").exit_code == 0
    assert "OPENAI_API_KEY=\n" in (tmp_path / "new/.env.example").read_text()
    texts = [result.output, *(path.read_text() for path in (tmp_path / "new").iterdir())]
    assert [text for text in texts if "canary" in text] == []


def test_import_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SOURCE)
    (tmp_path / "providers.yaml").write_text("mine")
    result = engine("import", "litellm", tmp_path / "config.yaml", tmp_path)
    assert result.exit_code == 2
    assert "providers.yaml" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "providers.yaml"]


@each(("setting", "code"), [("drop_params: false", 0), ("cache: true", 1)])
def test_import_exits_with_1_when_a_setting_was_not_carried(
    setting: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "config.yaml").write_text(f"{SOURCE}litellm_settings: {{{setting}}}\n")
    words = ("import", "litellm", tmp_path / "config.yaml", tmp_path / "new", "--dry-run")
    assert engine(*words).exit_code == code
    assert not (tmp_path / "new").exists()


def test_import_reads_the_files_that_the_first_includes(tmp_path: Path) -> None:
    (tmp_path / "models.yaml").write_text(SOURCE)
    (tmp_path / "config.yaml").write_text("include: [models.yaml, missing.yaml]\n")
    result = engine("import", "litellm", tmp_path / "config.yaml", tmp_path / "new")
    assert result.exit_code == 1
    assert "models.yaml:2: model_list[0].model_name" in result.stdout
    assert "config.yaml:1: include[1] - the file was not found" in result.stdout
    assert "gpt-5-mini" in (tmp_path / "new/routes.yaml").read_text()


# -- lsp -----------------------------------------------------------------------------------------


# -- keys ----------------------------------------------------------------------------------------


def entry_of(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_new_key_is_alone_on_stdout(folder: Path) -> None:
    result = engine("keys", "new", "agent", "-C", folder)
    key = result.stdout.removesuffix("\n")
    assert re.fullmatch(r"sk-orq-[0-9a-f]{64}", key)
    assert f"sha256: {entry_of(key)}" in result.stderr
    assert key not in result.stderr
    assert not (folder / "keys.yaml").exists()


def test_two_new_keys_differ(folder: Path) -> None:
    assert len({engine("keys", "new", "agent", "-C", folder).stdout for _ in range(3)}) == 3


def test_write_makes_a_file_that_only_the_owner_reads(folder: Path) -> None:
    result = engine("keys", "new", "agent", "--write", "-C", folder)
    file = folder / "keys.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    assert entry_of(result.stdout.strip()) in text
    assert result.stdout.strip() not in text
    assert engine("check", folder, "--fail-on", "warning").exit_code == 0


@pytest.mark.parametrize(
    "old",
    [
        KEYS,
        "# ours\n\n" + KEYS + "    # the end\n",
        KEYS.rstrip("\n"),
        KEYS.replace("\n", "\r\n"),
        "\ufeff" + KEYS,
        KEYS.replace("first", "erste  # ü"),
    ],
    ids=["plain", "comments", "no line end", "CRLF", "byte order mark", "wide"],
)
def test_write_keeps_every_other_byte(old: str, folder: Path) -> None:
    file = folder / "keys.yaml"
    file.write_bytes(old.encode())
    mode = stat.S_IMODE(file.stat().st_mode)
    result = engine("keys", "new", "second", "--write", "-C", folder)
    assert result.exit_code == 0, result.output
    raw = file.read_bytes()
    assert raw.startswith(old.encode())
    assert entry_of(result.stdout.strip()).encode() in raw[len(old.encode()) :]
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert engine("check", folder).exit_code == 0


@pytest.mark.parametrize("style", ["version: 1\nkeys:\n- name: first\n  sha256: {digest}\n", "version: 1\nkeys:\n    - name: first\n      sha256: {digest}\n", "version: 1\nkeys: []\n", "version: 1\nkeys:\n", "version: 1\nkeys: &x\n- {{name: first, sha256: {digest}}}\n"])  # fmt: skip
def test_write_adds_to_a_list_in_any_style_or_leaves_it_alone(style: str, folder: Path) -> None:
    file = folder / "keys.yaml"
    old = style.format(digest="a" * 64)
    file.write_text(old)
    result = engine("keys", "new", "second", "--write", "-C", folder)
    if result.exit_code:
        assert file.read_text() == old
        assert "engine:" in result.stderr
        assert result.stdout == ""
    else:
        assert engine("check", folder).exit_code == 0


def test_write_leaves_no_draft_behind(folder: Path) -> None:
    engine("keys", "new", "agent", "--write", "-C", folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "keys.yaml",
        "providers.yaml",
        "routes.yaml",
    ]


@pytest.mark.parametrize("more", [(), ("--write",)])
def test_a_name_that_is_taken_is_refused(more: tuple[str, ...], folder: Path) -> None:
    (folder / "keys.yaml").write_text(KEYS)
    result = engine("keys", "new", "first", *more, "-C", folder)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "name" in result.stderr
    assert (folder / "keys.yaml").read_text() == KEYS


@each("name", ["agent-1", "a.b_c", "A", "x" * 64, "2026", "no", "1.5", "null"])
def test_any_allowed_name_is_written_so_that_it_is_read_back(name: str, folder: Path) -> None:
    result = engine("keys", "new", name, "--write", "-C", folder)
    assert result.exit_code == 0, result.stderr
    assert engine("check", folder, "--fail-on", "warning").exit_code == 0


@each("name", ["", " ", "a b", "ü", "x" * 65, "a: b", "a\nb", "[a]", "*a", "#a"])
def test_a_name_that_is_not_allowed_is_refused(name: str, folder: Path) -> None:
    result = engine("keys", "new", name, "--write", "-C", folder)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not (folder / "keys.yaml").exists()


def test_a_file_that_is_not_text_is_refused(folder: Path) -> None:
    raw = KEYS.replace("comment", "ü").encode("latin-1")
    (folder / "keys.yaml").write_bytes(raw)
    result = engine("keys", "new", "agent", "--write", "-C", folder)
    assert result.exit_code == 2
    assert (folder / "keys.yaml").read_bytes() == raw


def test_a_new_key_is_let_in(folder: Path) -> None:
    """The way from `keys new` to a plan that knows the caller."""
    key = engine("keys", "new", "agent", "--write", "-C", folder).stdout.strip()
    view = json.loads(engine("check", folder, "--format", "json").stdout)
    assert view["ok"]
    assert entry_of(key) in (folder / "keys.yaml").read_text()


# -- serve, as processes -------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])
def test_serve_without_auth_stays_on_this_machine(host: str, folder: Path) -> None:
    result = engine("serve", folder, "--no-auth", "--host", host)
    assert result.exit_code == 2
    assert "loopback" in result.stderr


@each(("host", "url"), [("::1", "http://[::1]:80"), ("127.0.0.1", "http://127.0.0.1:80")])
def test_an_address_stands_in_a_url_as_it_must(host: str, url: str) -> None:
    assert url_of(host, 80) == url


FOLDER_COMMANDS = [
    "check",
    "serve",
    "show",
    "status",
    "route chat_completions -C",
    "keys list -C",
    "ping -C",
    "check - -C",
]


@each("command", FOLDER_COMMANDS)
def test_a_file_in_place_of_its_folder_is_told_what_to_give(command: str, tmp_path: Path) -> None:
    file = write(tmp_path) / "routes.yaml"
    result = engine(*command.split(), file)
    words = f"`{file}` is a file; give the folder it is in, or nothing for the current folder."
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr


@each("command", ["init", "import litellm CONFIG", "diff"])
def test_a_command_that_needs_a_folder_offers_no_other(command: str, tmp_path: Path) -> None:
    file = write(tmp_path) / "routes.yaml"
    result = engine(*command.replace("CONFIG", str(file)).split(), file)
    assert result.exit_code == 2
    assert f"`{file}` is a file; give the folder it is in" in result.stderr
    assert "nothing for" not in result.stderr

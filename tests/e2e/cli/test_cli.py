"""Commands as processes: terminals, ports, and what is not installed."""

import socket
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import run_engine, run_engine_without, shown_on_a_terminal
from tests.servers import KEY, write_keys
from tests.unit.cli.running import engine
from tests.unit.cli.test_cli import BROKEN, several
from tests.unit.config.folders import SECRET, provider, write


def test_output_to_a_pipe_has_no_colour(tmp_path: Path) -> None:
    assert "\x1b" not in run_engine("check", str(several(tmp_path))).stdout


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])  # fmt: skip
def test_a_terminal_gets_colour_unless_it_says_no(
    environ: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    text = shown_on_a_terminal(environ, "check", several(tmp_path))
    assert "S102" in text
    assert ("\x1b[" in text) is coloured


@pytest.mark.parametrize("package", ["pygls", "lsprotocol"])
def test_a_language_server_that_is_not_installed_says_what_to_install(package: str) -> None:
    done = run_engine_without([package], "lsp")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "engine: `engine lsp` needs one more package: pip install -e '.[lsp]'\n"


@pytest.mark.parametrize("package", ["sqlalchemy", "starlette"])
def test_accounts_without_their_packages_are_reported_and_not_served(
    package: str, tmp_path: Path
) -> None:
    accounts = "accounts: {database: 'sqlite:///orqen.db', vault_keys: [{env: VAULT_KEY}]}"
    folder = write(tmp_path, server=f"version: 1\n{accounts}\n")
    environ = {"OPENAI_API_KEY": "sk", "VAULT_KEY": sha256(b"a").hexdigest()}
    for command, code in (("check", 0), ("serve", 2)):
        done = run_engine_without([package], command, folder, **environ)
        assert (done.returncode, "pip install -e '.[accounts]'" in done.stdout + done.stderr) == (
            code,
            True,
        )
    assert not (folder / "orqen.db").exists()


def test_plain_check_says_what_a_provider_that_lacks_nothing_else_needs(tmp_path: Path) -> None:
    secrets = {"access_key_id": {"env": "AN_ID"}, "secret_access_key": {"env": "A_KEY"}}
    signed = provider(
        credentials=secrets, sign={"with": "aws_sigv4", "service": "s", "region": "r"}
    )
    folder = write(tmp_path, providers=signed)
    for environ, reported in ({"AN_ID": "an-id", "A_KEY": "a-secret"}, True), ({}, False):
        done = run_engine_without(["botocore"], "check", folder, **environ)
        assert done.returncode == 0
        assert ("pip install -e '.[aws]'" in done.stdout) == reported


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_serve_without_keys_says_what_to_do(folder: Path) -> None:
    done = run_engine("serve", str(folder), "--port", str(free_port()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "keys new" in done.stderr
    assert "--mock" in done.stderr


def test_serve_on_a_broken_configuration_opens_no_port(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=BROKEN)
    write_keys(folder)
    done = run_engine("serve", str(folder), "--port", str(free_port()))
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[S102]" in done.stderr
    assert "listening" not in done.stderr


def test_a_broken_configuration_is_told_before_the_port_is_looked_at(
    taken: int, tmp_path: Path
) -> None:
    folder = write(tmp_path, routes=BROKEN)
    write_keys(folder)
    done = run_engine("serve", str(folder), "--port", str(taken))
    assert done.returncode == 2
    assert "error[S102]" in done.stderr
    assert str(taken) not in done.stderr


@pytest.mark.parametrize("command", ["serve", "mock"])
def test_a_port_that_is_taken_is_told(command: str, taken: int, folder: Path) -> None:
    write_keys(folder)
    words = ["serve", str(folder)] if command == "serve" else ["mock"]
    done = run_engine(*words, "--port", str(taken))
    assert done.returncode == 2
    assert f"127.0.0.1:{taken}" in done.stderr
    assert "Traceback" not in done.stderr
    assert "listening" not in done.stdout


def test_an_address_that_is_not_ours_is_told(folder: Path) -> None:
    write_keys(folder)
    done = run_engine("serve", str(folder), "--host", "192.0.2.1", "--port", str(free_port()))
    assert done.returncode == 2
    assert "192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_name_that_nobody_knows_is_told(folder: Path) -> None:
    write_keys(folder)
    done = run_engine("serve", str(folder), "--host", "no-such-host.invalid")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_module_and_the_command_are_the_same() -> None:
    assert run_engine("--version").stdout == engine("--version").stdout


def test_no_output_of_a_broken_folder_shows_a_secret(tmp_path: Path) -> None:
    folder = several(tmp_path)
    write_keys(folder)
    for words in (
        ("check",),
        ("check", "-v"),
        ("check", "--format", "json"),
        ("routes",),
        ("serve",),
    ):
        done = run_engine(*words, str(folder), NOT_SET=SECRET, OPENAI_API_KEY=SECRET)
        assert SECRET not in done.stdout + done.stderr
        assert KEY not in done.stdout + done.stderr

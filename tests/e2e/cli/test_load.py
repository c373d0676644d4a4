"""What an installation lacks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import run_engine_without
from tests.unit.config.folders import ENVIRON, provider, write


def test_a_signer_whose_package_is_missing_is_told(tmp_path: Path) -> None:
    text = provider(
        credentials={
            "access_key_id": {"env": "OPENAI_API_KEY"},
            "secret_access_key": {"env": "OTHER_API_KEY"},
        },
        sign={"with": "aws_sigv4", "service": "s", "region": "r"},
    )
    script = (
        "import sys, pathlib; sys.modules['botocore'] = None; from engine.config.load import load;"
        f"found = load(pathlib.Path({str(write(tmp_path, providers=text))!r}), {ENVIRON!r}, 0);"
        "print([(d.code, 'pip install -e' in d.message) for d in found.diagnostics],"
        " found.plan.providers['openai'].missing)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[('E404', True)] (\"pip install -e '.[aws]'\",)\n"


STORE = ("sqlalchemy", "alembic", "cryptography", "argon2", "psycopg", "starlette", "authlib", "joserfc")  # fmt: skip
SERVER = "version: 1\naccounts: {database: 'sqlite:///x.db', vault_keys: [{file: key}]}\n"


def without_store(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    """`engine` where the packages of the extra `accounts` are not installed, as the server is."""
    return run_engine_without(STORE, *words)


@pytest.mark.parametrize("words", [("check",), ("keys", "new", "app", "-C")])
def test_without_server_yaml_nothing_of_the_store_is_needed(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = without_store(*words, write(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "words",
    [("db", "status"), ("vault", "check"), ("keys", "list", "--account", "a")],
)
def test_a_command_about_the_store_names_the_extra(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "key").write_text("0123456789abcdef" * 3 + "fedcba9876543210")
    done = without_store(*words, "-C", write(tmp_path, server=SERVER))
    assert done.returncode == 2, done.stdout
    assert "pip install -e '.[accounts]'" in done.stderr
    assert "Traceback" not in done.stderr

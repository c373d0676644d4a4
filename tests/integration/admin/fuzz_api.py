"""Schemathesis against the account API of a real listener: `python -m tests.integration.admin.fuzz_api PATH/TO/st`.

It makes requests of every operation from `/openapi.json`, right ones and wrong ones, and compares each response with the
document. Ends with the exit code of Schemathesis.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from engine.accounts.accounts import create_account
from engine.accounts.audit import SYSTEM
from engine.accounts.database import open_database
from engine.accounts.keys import create_key
from engine.accounts.vault import Vault
from engine.admin.app import create_app
from engine.admin.context import AdminContext
from engine.config.load import load
from engine.plan.accounts import Accounts, AccountsSettings, Admin, VaultKey
from engine.server.http import Listen, serve_alone
from engine.server.ports import wait_until_ready
from tests.ports import free_port
from tests.processes import ROOT

EXAMPLES, SEED = 50, 1
# Without those that do not fit: a key is fixed, a revoked one is still shown, and some rules are beyond schemas.
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "missing_required_header", "unsupported_method",
)  # fmt: skip
CONFIGURATION = """
[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 414, 415]
"""


@contextmanager
def listener(folder: Path) -> Iterator[tuple[str, str]]:
    """The address of a listener in a process of its own, and a key of one account."""
    settings = AccountsSettings(
        Accounts(f"sqlite:///{folder}/orqen.db", (VaultKey("0" * 16, os.urandom(32)),)),
        Admin(port=free_port()),
    )
    database = open_database(settings.accounts.database)
    database.upgrade()
    with database.write() as connection:
        account = create_account(connection, "fuzzed", SYSTEM)
        made, key = create_key(
            connection, account.id, name="fuzz", scopes=("manage",), actor=SYSTEM
        )
    database.close()
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(settings, made.id))
    process.start()
    port = (settings.admin or Admin()).port
    try:
        assert wait_until_ready(_Polled(process), port, "/healthz")
        yield f"http://127.0.0.1:{port}", key
    finally:
        process.kill()
        process.join()


class _Polled:
    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode


@dataclass(frozen=True)
class Sparing:
    """The application, with nothing at the place of the key that makes all calls."""

    app: ASGIApp
    key_id: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").replace(self.key_id, "0")
        await self.app({**scope, "path": path}, receive, send)


def _serve(settings: AccountsSettings, key_id: str) -> None:
    admin, loaded = settings.admin or Admin(), load(ROOT, {}, 0)
    database = open_database(settings.accounts.database)
    vault = Vault(settings.accounts.vault_keys)
    app = create_app(AdminContext(database, vault, settings, ROOT, lambda: loaded))
    serve_alone(Sparing(app, key_id), Listen(admin.host, admin.port))


def main(arguments: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory() as folder, listener(Path(folder)) as (url, key):
        Path(folder, "schemathesis.toml").write_text(CONFIGURATION, "utf-8")
        words = [
            arguments[0], "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS), "--header", f"authorization: Bearer {key}",
            "--max-examples", str(EXAMPLES), "--seed", str(SEED), "--no-color", *arguments[1:],
        ]  # fmt: skip
        return subprocess.run(words, cwd=folder, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

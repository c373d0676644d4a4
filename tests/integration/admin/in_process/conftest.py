"""An admin listener with a store of two accounts, made once and copied for each test."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from engine.accounts import people, sessions
from engine.accounts.accounts import create_account
from engine.accounts.audit import SYSTEM
from engine.accounts.database import Database, open_database
from engine.accounts.keys import create_key
from engine.accounts.members import Role, add_member
from engine.accounts.provider_keys import save_provider_key
from engine.accounts.vault import Vault
from engine.admin import dispatch, server
from engine.admin.app import create_app
from engine.admin.context import AdminContext
from engine.config.load import Loaded
from engine.config.prices import PriceFile
from engine.plan.accounts import Accounts, AccountsSettings, Admin, VaultKey
from tests.integration.admin.in_process.listener import Browser
from tests.servers import ROOT
from tests.unit.accounts import quick_statements
from tests.unit.accounts.quick_passwords import quick_passwords
from tests.unit.admin.conftest import shipped_configuration

__all__ = ["quick_passwords", "quick_statements", "shipped_configuration"]
PASSWORD = "correct horse battery"
# Of PASSWORD, with the least parameters that argon2id knows: one of full cost takes a tenth of a second a try.
PASSWORD_HASH = (
    "$argon2id$v=19$m=8,t=1,p=1$OYoeEqQOfT3gODEMRdmR/g$3NI2QFYFw5THfWphUO8TNBJbYCBT8pXPvPDk3LdRAiQ"
)
VAULT_KEY = VaultKey("0" * 16, bytes(range(7, 39)))


@dataclass
class House:
    """The listener, its store, and who is in it. Each account has an owner, a member and a viewer."""

    app: ASGIApp
    context: AdminContext
    ids: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Database:
        return self.context.database

    def browser(self, who: str | None = None) -> Browser:
        """A browser; of somebody who is signed in, or of nobody."""
        browser = Browser(self.app)
        if who is not None:
            with self.database.write() as c:
                _, token = sessions.create_session(c, self.ids[who])
            browser.cookies["orqen_session"] = token
        return browser


@pytest.fixture(scope="module", autouse=True)
def in_this_thread() -> Iterator[None]:
    """Requests are responded to in the thread of the test: to wake another one takes as long as most responses."""

    async def at_once(respond: Callable[..., Any], *arguments: Any) -> Any:
        return respond(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        for module in (dispatch, server):
            patch.setattr(module, "run_in_threadpool", at_once)
        yield


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> "Furnished":
    """A database file with two accounts, the ids of what is in it, and its keys."""
    path = tmp_path_factory.mktemp("store") / "orqen.db"
    database = open_database(f"sqlite:///{path}")
    database.upgrade()
    ids, keys = _furnish(database)
    database.close()
    return path, ids, keys


def _furnish(database: Database) -> tuple[dict[str, str], dict[str, str]]:
    ids: dict[str, str] = {}
    keys: dict[str, str] = {}
    with database.write() as c:
        operator = people.create_person(c, name="Operator", email="operator@example.com", actor=SYSTEM, is_operator=True)  # fmt: skip
        ids["operator"] = operator.id
        for side in ("ours", "theirs"):
            account = create_account(c, side, SYSTEM)
            ids[side] = account.id
            for role in Role:
                name = f"{side}-{role}"
                person = people.create_person(
                    c, name=name, email=f"{name}@example.com", actor=SYSTEM
                )
                add_member(c, account.id, person.id, role, SYSTEM)
                ids[name] = person.id
            for name, scopes in (
                ("use", ("use",)),
                ("manage", ("manage",)),
                ("both", ("use", "manage")),
            ):
                key, text = create_key(c, account.id, name=name, scopes=scopes, actor=SYSTEM)
                ids[f"{side}-key-{name}"], keys[f"{side}-{name}"] = key.id, text
            save_provider_key(c, Vault([VAULT_KEY]), account.id, "openai", {"api_key": f"sk-canary-{side}-12345678"}, SYSTEM)  # fmt: skip
        c.exec_driver_sql("UPDATE people SET password_hash = ?", (PASSWORD_HASH,))
    return ids, keys


Furnished = tuple[Path, dict[str, str], dict[str, str]]


def open_house(
    furnished: Furnished, loaded: Loaded, folder: Path, admin: Admin | None = None
) -> House:
    """A listener with a copy of the store; the caller closes its database."""
    path, ids, keys = furnished
    copy = folder / "orqen.db"
    shutil.copy(path, copy)
    settings = AccountsSettings(Accounts(f"sqlite:///{copy}", (VAULT_KEY,)), admin or Admin())
    database = open_database(settings.accounts.database)
    context = AdminContext(database, Vault([VAULT_KEY]), settings, ROOT, lambda: loaded)
    return House(create_app(context), context, dict(ids), dict(keys))


@pytest.fixture
def priced_house(
    furnished: Furnished, shipped_configuration: Loaded, tmp_path: Path
) -> Iterator[House]:
    """The same with a prices.yaml."""
    prices = PriceFile("a list", "2026-11-20", "0" * 8, ())
    config = replace(shipped_configuration.config, prices=prices)
    made = open_house(furnished, replace(shipped_configuration, config=config), tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def house(furnished: Furnished, shipped_configuration: Loaded, tmp_path: Path) -> Iterator[House]:
    made = open_house(furnished, shipped_configuration, tmp_path)
    yield made
    made.database.close()

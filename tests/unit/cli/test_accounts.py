"""`accounts`, `db`, `vault` and `keys --account`: what they print, change and refuse."""

import hashlib
import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result

from engine.accounts import keys as stored
from engine.accounts import lookup, sessions
from engine.accounts.accounts import find_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.key_limits import KeyLimits
from engine.accounts.members import Role, add_member
from engine.accounts.migrations import newest
from engine.accounts.people import create_person, get_person
from engine.accounts.provider_keys import save_provider_key
from engine.accounts.tables import LATENCY_COLUMNS
from engine.accounts.usage import UsageRow, add_usage
from engine.accounts.vault import Vault
from engine.config.new_key import digest
from engine.plan.accounts import parse_vault_key
from tests.unit.accounts import quick_statements
from tests.unit.accounts.all_audit import list_all_audit
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import write

__all__ = ["plain", "quick_statements"]
SERVER = """\
version: 1
accounts:
  database: sqlite:///store.db
  vault_keys: [{file: vault-new}, {file: vault-old}]
admin: {port: 8082}
"""


def configured(folder: Path) -> Path:
    for name in ("vault-new", "vault-old"):
        (folder / name).write_text(secrets.token_hex(32) + "\n")
    return write(folder, server=SERVER)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration with a store that has no tables yet."""
    return configured(tmp_path)


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with tables and an account `team`, to copy: a copy costs a hundredth."""
    folder = configured(tmp_path_factory.mktemp("furnished"))
    assert engine("db", "upgrade", "-C", folder).exit_code == 0
    assert engine("accounts", "new", "team", "-C", folder).exit_code == 0
    return folder


@pytest.fixture
def ready(furnished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(furnished, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def database(ready: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{ready / 'store.db'}")
    yield database
    database.close()


def valid(database: Database, key: str) -> lookup.KeyEntry | None:
    known = hashlib.sha256(key.encode()).digest()
    with database.read() as connection:
        return lookup.find_keys(connection, [known]).get(known)


def only_line(result: Result) -> str:
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return line


# -- db --------------------------------------------------------------------------------------------


def test_the_tables_of_a_newer_version_need_that_version(ready: Path) -> None:
    with closing(sqlite3.connect(ready / "store.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    result = engine("db", "status", "-C", ready)
    assert result.exit_code == 1
    assert "tables    9999, which is newer than this version of engine knows" in result.stdout
    assert "db upgrade" not in result.stdout


def test_tables_are_made_once_and_reported(folder: Path) -> None:
    before = engine("db", "status", "-C", folder)
    assert (
        before.exit_code,
        f"none, and no such file; this version needs {newest()}" in before.stdout,
    ) == (1, True)
    assert list(folder.glob("store.db*")) == []
    assert engine("db", "upgrade", "-C", folder).stdout.startswith("applied 0001\n")
    assert "applied" not in engine("db", "upgrade", "-C", folder).stdout
    after = engine("db", "status", "-C", folder)
    assert after.exit_code == 0
    assert f"{folder / 'store.db'}" in after.stdout
    assert "0 accounts, 0 gateway keys, 0 provider values, 0 people" in after.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("accounts", "list"), ("accounts", "new", "a"), ("vault", "check"), ("vault", "rotate"),
        ("keys", "list", "--account", "a"), ("keys", "rotate", "k", "--account", "a"),
    ],
)  # fmt: skip
def test_a_command_says_what_it_needs_first(folder: Path, command: tuple[str, ...]) -> None:
    result = engine(*command, "-C", folder)
    words = f"the database {folder / 'store.db'} does not exist: run `engine db upgrade`"
    assert (result.exit_code, words in result.stderr) == (2, True)
    (folder / "store.db").touch()
    result = engine(*command, "-C", folder)
    words = "tables of the database are not those of this version: run `engine db upgrade`"
    assert (result.exit_code, words in result.stderr) == (2, True)
    (folder / "server.yaml").unlink()
    result = engine(*command, "-C", folder)
    assert (result.exit_code, "there is no server.yaml in" in result.stderr) == (2, True)
    (folder / "server.yaml").write_text("version: 1\n")
    result = engine(*command, "-C", folder)
    assert (result.exit_code, "has no `accounts`" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:pw-secret@[::1/db", "postgresql://u:pw-secret@h:x/db", "mysql://u:pw-secret@h/db", "sqlite:///:memory:"],
)  # fmt: skip
def test_a_url_that_names_no_database_is_a_finding_and_not_quoted(folder: Path, url: str) -> None:
    (folder / "url").write_text(url)
    write(folder, server=SERVER.replace("sqlite:///store.db", "{file: url}"))
    for command in (("db", "status"), ("db", "upgrade"), ("accounts", "list")):
        result = engine(*command, "-C", folder)
        assert (result.exit_code, "E408" in result.stderr) == (2, True), result.output
        assert "pw-secret" not in result.output
    assert {p.name for p in folder.iterdir()}.isdisjoint({":memory:", "store.db"})


def test_a_weak_vault_key_is_refused_before_anything_is_made(folder: Path) -> None:
    (folder / "vault-new").write_text("00" * 32)
    result = engine("db", "upgrade", "-C", folder)
    assert (result.exit_code, "E408" in result.stderr) == (2, True)
    assert list(folder.glob("store.db*")) == []


def test_a_database_that_cannot_be_reached_is_one_line_without_its_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "server.yaml").write_text(SERVER.replace("sqlite:///store.db", "{env: DATABASE_URL}"))
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hidden-word@127.0.0.1:1/orqen?sslmode=disable")  # fmt: skip
    result = engine("db", "status", "-C", folder)
    assert result.exit_code == 2
    assert result.stdout == "database  postgresql://127.0.0.1:1/orqen\n"
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be used" in result.stderr
    assert "hidden-word" not in result.output


# -- vault -----------------------------------------------------------------------------------------


def test_a_new_vault_key_is_one_that_is_accepted() -> None:
    first, second = (only_line(engine("vault", "new-key")) for _ in range(2))
    assert parse_vault_key(first).id != parse_vault_key(second).id


def test_rotating_moves_all_to_the_first_vault_key(ready: Path, database: Database) -> None:
    new, old = (parse_vault_key((ready / f"vault-{n}").read_text()) for n in ("new", "old"))
    with database.write() as connection:
        account = find_account(connection, "team")
        assert account
        save_provider_key(
            connection, Vault([old]), account.id, "acme", {"key": "canary-value"}, CLI
        )
    checked = engine("vault", "check", "-C", ready)
    assert checked.exit_code == 0
    assert checked.stdout.splitlines() == [
        f"vault key {new.id}  encrypts, 0 values",
        f"vault key {old.id}  decrypts, 1 value",
    ]
    rotated = engine("vault", "rotate", "-C", ready)
    assert rotated.stdout.splitlines()[0] == "1 value under another vault key"
    (ready / "server.yaml").write_text(SERVER.replace(", {file: vault-old}", ""))
    assert engine("vault", "check", "-C", ready).exit_code == 0
    (ready / "server.yaml").write_text(SERVER.replace("{file: vault-new}, ", ""))
    missing = engine("vault", "check", "-C", ready)
    assert missing.exit_code == 1
    assert f"vault key {new.id}  missing, 1 value" in missing.stdout
    assert f"account {account.id}, acme, `key`: the vault key `{new.id}` is missing" in missing.stdout  # fmt: skip
    refused = engine("vault", "rotate", "-C", ready)
    assert (refused.exit_code, "is missing in server.yaml" in refused.stderr) == (2, True)
    assert "canary-value" not in checked.output + rotated.output + missing.output


# -- usage -----------------------------------------------------------------------------------------


def test_usage_is_shown_and_unknown_tokens_are_no_zero(ready: Path, database: Database) -> None:
    team = json.loads(engine("accounts", "list", "--format", "json", "-C", ready).stdout)[0]["id"]
    hour, latency = int(time.time()) // 3600 * 3600, (1, *(0,) * 11)
    rows = [
        UsageRow(
            hour, team, "k1", "gpt-4o", "openai", 2, 1, 9, latency, 1500, 20, 360_000, 1, "v1"
        ),
        UsageRow(hour, "", "", "rerank-1", "cohere", 1, 0, 9, latency),
    ]
    with database.write() as connection:
        add_usage(connection, rows)
    lines = engine("usage", "-C", ready).stdout.splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert [line.split() for line in lines[1:]] == [
        ["gpt-4o", "2", "1", "1,500", "20", "0.000360", "1"], ["rerank-1", "1", "0", "-", "-", "-", "0"],
    ]  # fmt: skip
    narrowed = ("--account", "team", "--by", "day", "--format", "json")
    (found,) = json.loads(engine("usage", *narrowed, "-C", ready).stdout)
    assert (found["requests"], found["input_tokens"], found["cost_nano_usd"]) == (2, 1500, 360_000)
    assert engine("usage", "--account", "nobody", "-C", ready).exit_code == 2


def test_keys_have_their_names_in_usage_for_people(ready: Path, database: Database) -> None:
    latency = (1, *(0,) * 11)
    with database.write() as connection:
        team = find_account(connection, "team")
        assert team is not None
        key = stored.create_key(connection, team.id, name="app", actor=CLI)[0].id
        add_usage(connection, [
            UsageRow(int(time.time()) // 3600 * 3600, account, of, "m", "openai", count, 0, 9, latency)
            for account, of, count in ((team.id, key, 5), (team.id, "gone", 2), ("", "", 1))
        ])  # fmt: skip
    asked = "usage", "--by", "key", "-C", ready
    lines = engine(*asked).stdout.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [["team/app", "5"], ["gone", "2"], ["-", "1"]]
    rows = json.loads(engine(*asked, "--format", "json").stdout)
    assert [row["label"] for row in rows] == [key, "gone", ""]


# -- accounts --------------------------------------------------------------------------------------


def test_accounts_are_listed_by_their_names(ready: Path) -> None:
    made = only_line(engine("accounts", "new", "another", "-C", ready))
    listed = json.loads(engine("accounts", "list", "--format", "json", "-C", ready).stdout)
    assert [account["name"] for account in listed] == ["another", "team"]
    assert listed[0]["id"] == made
    assert "team" in engine("accounts", "list", "-C", ready).stdout
    again = engine("accounts", "new", "team", "-C", ready)
    assert (again.exit_code, "there is an account `team` already" in again.stderr) == (2, True)


def test_a_disabled_account_has_no_valid_key(ready: Path, database: Database) -> None:
    key = only_line(engine("keys", "new", "app", "--account", "team", "-C", ready))
    assert engine("accounts", "disable", "team", "-C", ready).exit_code == 0
    assert valid(database, key) is None
    assert "disabled" in engine("accounts", "list", "-C", ready).stdout
    assert engine("accounts", "enable", "team", "-C", ready).exit_code == 0
    assert valid(database, key) is not None


def test_a_link_signs_in_the_operator_or_whom_the_address_names(
    ready: Path, database: Database
) -> None:
    first, again = (only_line(engine("accounts", "sign-in-link", "-C", ready)) for _ in range(2))
    with database.write() as connection:
        ann = create_person(connection, name="Ann", email="a@b.c", actor=CLI)
    for_ann = only_line(engine("accounts", "sign-in-link", "--email", "A@b.c", "-C", ready))
    start = "http://127.0.0.1:8082/signin/link?token="
    people = []
    with database.write() as connection:
        for link in (first, again, for_ann):
            assert link.startswith(start)
            person_id = sessions.use_sign_in_link(connection, link.removeprefix(start))
            assert person_id is not None
            people.append(get_person(connection, person_id))
    assert people[0] == people[1]
    assert people[0].is_operator
    assert people[2].id == ann.id
    unknown = engine("accounts", "sign-in-link", "--email", "x@y.z", "-C", ready)
    assert (unknown.exit_code, unknown.stdout) == (2, "")


def test_without_a_dashboard_there_is_no_link(ready: Path) -> None:
    (ready / "server.yaml").write_text(SERVER.replace("admin: {port: 8082}\n", ""))
    result = engine("accounts", "sign-in-link", "-C", ready)
    assert (result.exit_code, "has no `admin`" in result.stderr) == (2, True)


def test_limits_of_an_account_are_shown_and_only_removed_when_that_is_asked_for(
    ready: Path, database: Database
) -> None:
    def limit(*options: str) -> tuple[str, KeyLimits]:
        result = engine("accounts", "limit", "team", *options, "-C", ready)
        assert result.exit_code == 0, result.output
        with database.read() as connection:
            team = find_account(connection, "team")
        assert team is not None
        return result.stdout, team.limits

    assert limit() == ("`team` has no limits\n", KeyLimits())
    assert limit("--rpm", "7")[1] == KeyLimits(7)
    shown, limits = limit("--daily-tokens", "5000")
    assert limits == KeyLimits(7, 5000)
    assert limit() == (shown, limits)
    assert [line.split() for line in shown.splitlines()[1:]] == [
        ["rate_limit_rpm", "7"], ["daily_token_budget", "5,000"],
    ]  # fmt: skip
    assert limit("--unlimited", "--rpm", "9")[1] == KeyLimits(9)
    assert limit("--unlimited")[1] == KeyLimits()


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_of_an_account_is_shown_once_with_its_limits(ready: Path, database: Database) -> None:
    result = engine(
        "keys", "new", "app", "--account", "team", "--models", "a-*,b", "--endpoints", "embeddings",
        "--expires", "90d", "--scope", "manage", "--scope", "use", "-C", ready,
    )  # fmt: skip
    entry = valid(database, only_line(result))
    assert entry is not None
    assert (entry.name, entry.models, entry.endpoints) == ("app", ("a-*", "b"), ("embeddings",))
    assert entry.scopes == ("use", "manage")
    assert entry.expires_at is not None
    assert 88 < (entry.expires_at - time.time()) / 86400 < 91
    listed = engine("keys", "list", "--account", "team", "-C", ready).stdout
    assert "app" in listed
    assert "use+manage" in listed
    assert "endpoints: embeddings; models: a-*, b" in listed
    assert result.stdout.strip() not in listed
    (shown,) = json.loads(
        engine("keys", "list", "--account", "team", "--format", "json", "-C", ready).stdout
    )
    assert (shown["id"], shown["models"]) == (entry.key_id, ["a-*", "b"])
    assert not (ready / "keys.yaml").exists()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--account", "tean"), "did you mean `team`?"),
        (("--account", "team", "--write"), "`--write` is for keys.yaml"),
        (("--scope", "use"), "`--scope` needs `--account`"),
        (("--account", "team", "--endpoints", "embedding"), "did you mean `embeddings`?"),
        (("--account", "team", "--expires", "2020-01-01"), "in the past"),
        (("--account", "team", "--models", " "), "`models` must have 1 to"),
    ],
)
def test_a_key_that_cannot_be_made_is_refused(
    ready: Path, database: Database, options: tuple[str, ...], reason: str
) -> None:
    result = engine("keys", "new", "app", *options, "-C", ready)
    assert (result.exit_code, result.stdout, reason in result.stderr) == (2, "", True)
    with database.read() as connection:
        assert lookup.all_keys(connection, 10) == []


def test_a_key_is_revoked_by_its_name_or_its_id(ready: Path, database: Database) -> None:
    first = only_line(engine("keys", "new", "app", "--account", "team", "-C", ready))
    assert engine("keys", "revoke", "app", "--account", "team", "-C", ready).exit_code == 0
    assert valid(database, first) is None
    gone = engine("keys", "revoke", "app", "--account", "team", "-C", ready)
    assert (gone.exit_code, "no valid key `app`" in gone.stderr) == (2, True)
    both = [only_line(engine("keys", "new", "app", "--account", "team", "-C", ready)) for _ in "ab"]
    unclear = engine("keys", "revoke", "app", "--account", "team", "-C", ready)
    assert (unclear.exit_code, "several keys are called `app`" in unclear.stderr) == (2, True)
    entry = valid(database, both[0])
    assert entry is not None
    assert engine("keys", "revoke", entry.key_id, "--account", "team", "-C", ready).exit_code == 0
    assert [valid(database, key) is None for key in both] == [True, False]


def test_a_key_of_another_account_is_not_found(ready: Path, database: Database) -> None:
    engine("accounts", "new", "others", "-C", ready)
    key = only_line(engine("keys", "new", "app", "--account", "team", "-C", ready))
    entry = valid(database, key)
    assert entry is not None
    for command in ("revoke", "rotate"):
        result = engine("keys", command, entry.key_id, "--account", "others", "-C", ready)
        assert result.exit_code == 2
    assert valid(database, key) == entry


def test_a_rotated_key_goes_on_for_the_grace(ready: Path, database: Database) -> None:
    old = only_line(engine("keys", "new", "app", "--account", "team", "--models", "m", "-C", ready))
    result = engine("keys", "rotate", "app", "--account", "team", "--grace", "2h", "-C", ready)
    new = only_line(result)
    before, after = valid(database, old), valid(database, new)
    assert before is not None
    assert after is not None
    assert before.expires_at is not None
    assert 7100 < before.expires_at - time.time() <= 7200
    assert (after.models, after.expires_at) == (("m",), None)
    # The name now means the new key.
    newest = only_line(engine("keys", "rotate", "app", "--account", "team", "--grace", "0s", "-C", ready))  # fmt: skip
    assert [valid(database, key) is None for key in (old, new, newest)] == [False, True, False]
    wrong = engine("keys", "rotate", "app", "--account", "team", "--grace", "soon", "-C", ready)
    assert (wrong.exit_code, "`--grace` must be a duration" in wrong.stderr) == (2, True)


def test_keys_of_the_file_go_on_as_keys_of_an_account(ready: Path, database: Database) -> None:
    def entry(name: str, more: str = "") -> str:
        return f"  - name: {name}\n    sha256: {digest(name)}\n{more}"

    text = "version: 1\nkeys:\n" + entry("first", "    models: [a-*]\n    expires: 2099-01-01\n")
    text += entry("second", "    endpoints: [embeddings]\n") + entry(
        "third", "    expires: 2020-01-01\n"
    )
    (ready / "keys.yaml").write_text(text)
    result = engine("keys", "import", "--account", "team", "-C", ready)
    assert (result.exit_code, result.stdout) == (1, "`first`: imported\n`second`: imported\n")
    assert "`third`: has expired" in result.stderr
    first, second = valid(database, "first"), valid(database, "second")
    assert first is not None
    assert second is not None
    assert (first.models, first.expires_at) == (("a-*",), 4070908800)
    assert (second.endpoints, second.expires_at) == (("embeddings",), None)
    assert (ready / "keys.yaml").read_text() == text
    again = engine("keys", "import", "--account", "team", "-C", ready)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "`first`: the key `first` is in the store already" in again.stderr
    with database.read() as connection:
        account = find_account(connection, "team")
        assert account
        assert stored.count_keys(connection, account.id) == 2
        assert "key.import" in [row.action for row in list_all_audit(connection)]


def test_there_is_something_to_import(ready: Path) -> None:
    result = engine("keys", "import", "--account", "team", "-C", ready)
    assert (result.exit_code, "there are no keys in" in result.stderr) == (2, True)
    (ready / "keys.yaml").write_text("version: 1\nkeys: [{name: a}]\n")
    result = engine("keys", "import", "--account", "team", "-C", ready)
    assert (result.exit_code, "`sha256`" in result.stderr) == (2, True)


PRICES = "version: 1\nsource: a list\ndate: 2026-11-20\nmodels: {m: {usd_per_request: 1}}\n"


def test_budgets_in_dollars_are_exact_and_need_prices(ready: Path, database: Database) -> None:
    commands = (("accounts", "limit", "team"), ("keys", "new", "app", "--account", "team"))
    for command in commands:
        refused = engine(*command, "--monthly-usd", "0.1", "-C", ready)
        assert (refused.exit_code, "there is no prices.yaml" in refused.output) == (2, True)
    (ready / "prices.yaml").write_text(PRICES)
    for command in commands:
        assert engine(*command, "--monthly-usd", "1e3", "-C", ready).exit_code == 2
        assert engine(*command, "--monthly-usd", "0.1", "--rpm", "7", "-C", ready).exit_code == 0
    limits = KeyLimits(7, monthly_nano_usd_budget=100_000_000)
    with database.read() as connection:
        team = find_account(connection, "team")
        assert team is not None
        assert team.limits == limits
        assert [key.limits for key in stored.list_keys(connection, team.id)] == [limits]
    assert engine("keys", "new", "app", "--rpm", "7", "-C", ready).exit_code == 2


# -- people ----------------------------------------------------------------------------------------


def test_a_person_is_disabled_and_enabled_but_not_the_last_operator(
    ready: Path, database: Database
) -> None:
    with database.write() as c:
        ann = create_person(c, name="Ann", email="ann@example.com", actor=CLI)
        create_person(c, name="Op", email="op@example.com", actor=CLI, is_operator=True)
        sessions.create_session(c, ann.id)
    done = engine("accounts", "disable-person", "Ann@example.com", "-C", ready)
    assert (done.exit_code, done.stderr) == (0, "disabled `ann@example.com`\n")
    with database.read() as c:
        assert get_person(c, ann.id).is_disabled
    engine("accounts", "enable-person", "ann@example.com", "-C", ready)
    with database.read() as c:
        assert not get_person(c, ann.id).is_disabled
        assert sessions.list_sessions(c, ann.id) == []
    with database.write() as c:
        account = find_account(c, "team")
        assert account is not None
        add_member(c, account.id, ann.id, Role.OWNER, CLI)
    done = engine("accounts", "disable-person", "ann@example.com", "-C", ready)
    assert "account `team` has no other owner who may sign in" in done.stderr
    typo = engine("accounts", "disable-person", "anm@example.com", "-C", ready)
    assert "no person `anm@example.com`; did you mean `ann@example.com`?" in typo.stderr
    last = engine("accounts", "disable-person", "op@example.com", "-C", ready)
    assert (last.exit_code, "no other operator may sign in" in last.stderr) == (2, True)


def test_an_account_is_renamed(ready: Path, database: Database) -> None:
    done = engine("accounts", "rename", "team", "crew", "-C", ready)
    assert (done.exit_code, done.stderr) == (0, "renamed `team` to `crew`\n")
    with database.read() as connection:
        assert find_account(connection, "team") is None
        assert find_account(connection, "crew") is not None


def test_usage_before_this_month_is_removed_and_no_other(ready: Path, database: Database) -> None:
    hours = [int(time.time()) // 3600 * 3600, 1_700_000_000 // 3600 * 3600]
    with database.write() as connection:
        width = len(LATENCY_COLUMNS)
        latency = (1,) + (0,) * (width - 1)
        add_usage(connection, [UsageRow(h, "", "", "m", "p", 1, 0, 1, latency) for h in hours])
    for day in ("2999-01-01", time.strftime("%Y-%m-02", time.gmtime())):
        refused = engine("db", "delete-usage", "--before", day, "-C", ready)
        assert (refused.exit_code, "the current month stays" in refused.stderr) == (2, True)
    first = time.strftime("%Y-%m-01", time.gmtime())
    for count in (1, 0):
        done = engine("db", "delete-usage", "--before", first, "-C", ready)
        assert only_line(done) == f"removed {count} hourly rows"

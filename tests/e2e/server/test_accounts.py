"""Keys of accounts from the store to the provider, with two workers, a database and real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import Connection, select

from engine.accounts import accounts as stored
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.key_limits import KeyLimits
from engine.accounts.keys import create_key, revoke_key, update_key
from engine.accounts.provider_keys import save_provider_key
from engine.accounts.tables import usage_hourly
from engine.accounts.usage import read_usage
from engine.accounts.vault import Vault
from engine.plan.accounts import parse_vault_key
from engine.server.admin_process import PROCESS_NAME
from engine.server.ports import wait_until_ready
from tests import loopback
from tests.ports import free_port
from tests.processes import ROOT, Command, Process
from tests.recorder import Recorder, recording
from tests.servers import KEY, Server, gateway, write_keys

VAULT_KEY = "8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a"
ROUTES = """
version: 1
endpoints: {talk: {path: /v1/talk}, say: {path: /v1/say}}
listing: {path: /v1/models}
models:
  - {prefix: plain-, provider: plain}
  - {prefix: azure-, provider: azure}
  - {prefix: amazon-, provider: amazon}
  - {prefix: keyless-, provider: keyless}
  - {prefix: regional-, provider: regional}
  - {prefix: either-, targets: [{provider: keyless}, {provider: plain}]}
"""
PROVIDERS = """
version: 1
providers:
  plain:
    base_url: http://127.0.0.1:PORT/plain
    credentials: {key: {env: OPERATOR}}
    headers: {authorization: "Bearer {{ credentials.key }}"}
    caller_credentials: {headers: {x-provider-api-key: key}}
    endpoints: {talk: /talk, say: /say}
  azure:
    base_url: http://127.0.0.1:PORT/azure
    credentials: {api_key: {env: OPERATOR}, subscription: {env: OPERATOR}}
    headers: {api-key: "{{ credentials.api_key }}", x-subscription: "{{ credentials.subscription }}"}
    endpoints: {talk: "/deployments/{{ model | segment }}/talk"}
  amazon:
    base_url: http://127.0.0.1:PORT/amazon
    credentials: {access_key_id: {env: OPERATOR}, secret_access_key: {env: OPERATOR}}
    sign: {with: aws_sigv4, service: bedrock, region: eu-west-1}
    endpoints: {talk: /talk}
  regional:
    base_url: "http://127.0.0.1:PORT/{{ variables.region }}"
    variables: {region: {env: REGION, choices: [eu, us]}}
    caller_variables: {body: {region: region}}
    credentials: {key: {env: OPERATOR}}
    headers: {x-key: "{{ credentials.key }}"}
    endpoints: {talk: /talk}
  keyless:
    base_url: http://127.0.0.1:PORT/keyless
    credentials: {key: {env: NOT_SET}}
    headers: {x-key: "{{ credentials.key }}"}
    endpoints: {talk: /talk}
"""
SERVER = """
version: 1
accounts:
  database: sqlite:///orqen.db
  vault_keys: [{env: VAULT_KEY}]
  provider_keys: POLICY
admin: {port: ADMIN}
"""
PRICES = """
version: 1
source: a list
date: 2026-11-20
providers: {plain: {"*": {usd_per_request: USD}}}
""".lstrip()
ENVIRON = {"OPERATOR": "operators-secret", "VAULT_KEY": VAULT_KEY, "REGION": "eu"}
SECONDS = 60.0


@dataclass
class House:
    """A folder, its store, and a recorder in place of every provider."""

    folder: Path
    recorder: Recorder
    admin: int = field(default_factory=free_port)
    vault: Vault = field(default_factory=lambda: Vault([parse_vault_key(VAULT_KEY)]))

    def write(self, policy: str = "account_then_operator") -> None:
        port = str(self.recorder.port)
        (self.folder / "routes.yaml").write_text(ROUTES.lstrip())
        (self.folder / "providers.yaml").write_text(PROVIDERS.lstrip().replace("PORT", port))
        server = SERVER.lstrip().replace("POLICY", policy).replace("ADMIN", str(self.admin))
        (self.folder / "server.yaml").write_text(server)
        (self.folder / "prices.yaml").write_text(PRICES.replace("USD", "0.25"))

    @contextmanager
    def opened(self) -> Iterator[Database]:
        database = open_database(f"sqlite:///{self.folder / 'orqen.db'}")
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.opened() as database, database.write() as connection:
            yield connection

    def new_account(self, name: str, **keys: Mapping[str, str]) -> str:
        """An account with these provider keys; its id."""
        with self.writing() as connection:
            account = stored.create_account(connection, name, CLI)
            for provider, values in keys.items():
                save_provider_key(connection, self.vault, account.id, provider, values, CLI)
        return account.id

    def new_key(self, account_id: str, **settings: Any) -> tuple[str, str]:
        """The id and the text of a new key."""
        with self.writing() as connection:
            key, words = create_key(connection, account_id, name="k", actor=CLI, **settings)
        return key.id, words

    def sent(self) -> dict[str, str]:
        """The headers of the one request that reached a provider."""
        return dict(self.recorder.take().headers)


@contextmanager
def standing(
    folder: Path, policy: str = "account_then_operator", workers: int = 2
) -> Iterator[tuple[House, Server]]:
    with recording() as recorder:
        house = House(folder, recorder)
        house.write(policy)
        options = ("--workers", str(workers))
        with gateway(folder, folder / "log", *options, environ=ENVIRON) as server:
            until(lambda: len(server.worker_pids()) == workers)
            yield house, server
            secrets = ("accounts-secret", "operators-secret", VAULT_KEY, "sk-orq-")
            assert not [secret for secret in secrets if secret in server.text]


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def ask(
    server: Server, key: str, model: str = "plain-1", path: str = "/v1/talk", **headers: str
) -> httpx2.Response:
    """One request on a connection of its own."""
    sent = {
        "authorization": f"Bearer {key}",
        **{n.replace("_", "-"): v for n, v in headers.items()},
    }
    return loopback.post(f"{server.url}{path}", headers=sent, json={"model": model})


def statuses(server: Server, key: str, count: int = 20) -> set[int]:
    """What requests on so many connections get, so that each of two workers has some."""
    return {ask(server, key).status_code for _ in range(count)}


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Server]]:
    with standing(tmp_path_factory.mktemp("accounts")) as made:
        yield made


def test_a_new_key_works_at_once_and_a_revoked_one_is_refused_on_all_workers_within_a_second(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    account = house.new_account("at once")
    key_id, key = house.new_key(account)
    assert statuses(server, key) == {200}
    with house.writing() as connection:
        revoke_key(connection, account, key_id, CLI)
    time.sleep(1.0)
    house.recorder.arrivals.clear()
    assert statuses(server, key) == {401}
    assert house.recorder.arrivals == []


def test_the_order_is_the_callers_own_then_the_accounts_then_the_operators(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    _, key = house.new_key(house.new_account("ordered", plain={"key": "accounts-secret"}))
    _, other = house.new_key(house.new_account("without"))
    house.recorder.arrivals.clear()
    for _ in range(3):  # from caches too
        assert ask(server, key, x_provider_api_key="own-secret").status_code == 200
        assert house.sent()["authorization"] == "Bearer own-secret"
        response = ask(server, key)
        assert house.sent()["authorization"] == "Bearer accounts-secret"
        assert ask(server, other).status_code == 200
        assert house.sent()["authorization"] == "Bearer operators-secret"
    record = server.record(response.headers["x-engine-request-id"])
    assert record["credential"] == "account"
    assert record["key"].startswith(f"@{record['account']}/")
    assert "accounts-secret" not in server.text


def test_a_key_that_is_replaced_or_removed_is_not_used_any_more(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    account = house.new_account("replacing", plain={"key": "first-secret"})
    _, key = house.new_key(account)
    assert statuses(server, key) == {200}
    with house.writing() as connection:
        save_provider_key(connection, house.vault, account, "plain", {"key": "second-secret"}, CLI)

    def sent() -> set[str | None]:
        house.recorder.arrivals.clear()
        assert statuses(server, key) == {200}
        return {arrival.value("authorization") for arrival in house.recorder.arrivals}

    until(lambda: sent() == {"Bearer second-secret"})
    assert sent() == {"Bearer second-secret"}


def test_several_credentials_and_signatures_are_all_the_accounts(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    values = {"api_key": "accounts-secret", "subscription": "accounts-subscription"}
    amazon = {"access_key_id": "ACCOUNTSID", "secret_access_key": "accounts-secret"}
    _, key = house.new_key(house.new_account("several", azure=values, amazon=amazon))
    house.recorder.arrivals.clear()
    for model in ("azure-1", "azure-2"):
        assert ask(server, key, model).status_code == 200
        arrival = house.recorder.take()
        assert arrival.target == f"/azure/deployments/{model}/talk"
        assert arrival.value("api-key") == "accounts-secret"
        assert arrival.value("x-subscription") == "accounts-subscription"
    assert ask(server, key, "amazon-1").status_code == 200
    assert "Credential=ACCOUNTSID/" in house.sent()["authorization"]
    assert ask(server, KEY_OF_NOBODY, "amazon-1").status_code == 401


KEY_OF_NOBODY = "sk-orq-" + "0" * 64


def test_half_of_several_credentials_is_refused_and_not_completed_by_the_operators(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    _, key = house.new_key(house.new_account("half", azure={"api_key": "accounts-secret"}))
    house.recorder.arrivals.clear()
    refused = ask(server, key, "azure-1")
    assert refused.json()["error"]["code"] == "provider_key_missing"
    assert house.recorder.arrivals == []


def test_a_choice_in_the_body_is_the_callers_each_time(stand: tuple[House, Server]) -> None:
    """The heads are the same, so one that was kept would go to the wrong region."""
    house, server = stand
    _, key = house.new_key(house.new_account("choosing", regional={"key": "accounts-secret"}))
    house.recorder.arrivals.clear()
    for region in ("us", "eu", None, "us", None):
        body = {"model": "regional-1"} | ({"region": region} if region else {})
        headers = {"authorization": f"Bearer {key}"}
        assert loopback.post(f"{server.url}/v1/talk", headers=headers, json=body).status_code == 200
        arrival = house.recorder.take()
        assert arrival.target == f"/{region or 'eu'}/talk"
        assert arrival.value("x-key") == "accounts-secret"


def test_a_target_that_only_the_account_can_call_is_called(stand: tuple[House, Server]) -> None:
    house, server = stand
    _, with_key = house.new_key(house.new_account("with one", keyless={"key": "accounts-secret"}))
    _, without = house.new_key(house.new_account("with none"))
    house.recorder.arrivals.clear()
    assert ask(server, with_key, "either-1").status_code == 200
    assert house.sent()["x-key"] == "accounts-secret"
    assert ask(server, without, "either-1").status_code == 200
    assert house.sent()["authorization"] == "Bearer operators-secret"
    assert ask(server, without, "keyless-1").json()["error"]["code"] == "provider_key_missing"


def test_a_key_is_held_to_its_limits(stand: tuple[House, Server]) -> None:
    house, server = stand
    account = house.new_account("limited")
    _, narrow = house.new_key(account, models=["plain-1", "either-*"], endpoints=["talk"])
    _, manages = house.new_key(account, scopes=["manage"])
    assert ask(server, narrow).status_code == 200
    assert ask(server, narrow, "either-9").status_code == 200
    assert ask(server, narrow, "plain-2").status_code == 403
    assert ask(server, narrow, path="/v1/say").status_code == 403
    assert ask(server, manages).status_code == 403
    _, brief = house.new_key(account, expires_at=int(time.time()) + 2)
    assert ask(server, brief).status_code == 200
    time.sleep(2.1)
    assert statuses(server, brief) == {401}


def test_models_are_listed_for_a_key_that_the_worker_does_not_know_yet(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    _, key = house.new_key(house.new_account("listing"))
    found = loopback.get(f"{server.url}/v1/models", headers={"x-api-key": key})
    assert found.status_code == 200
    assert loopback.get(f"{server.url}/v1/models", headers={"x-api-key": "no"}).status_code == 401


def test_usage_is_counted_by_key_and_model(stand: tuple[House, Server]) -> None:
    house, server = stand
    account = house.new_account("counted")
    key_id, key = house.new_key(account)
    for model in ("plain-1", "plain-1", "plain-2", "keyless-1", "nobody-serves-this"):
        ask(server, key, model)

    def counted(by: Any) -> dict[str, tuple[int, int]]:
        with house.opened() as database, database.read() as connection:
            rows = read_usage(connection, account, 0, 10**12, by)
        return {row.label: (row.requests, row.errors) for row in rows}

    until(lambda: counted("key") == {key_id: (5, 2)})
    assert counted("model") == {
        "plain-1": (2, 0), "plain-2": (1, 0), "keyless-1": (1, 1), "": (1, 1),
    }  # fmt: skip


def test_usage_has_the_cost_by_the_prices_of_its_time(stand: tuple[House, Server]) -> None:
    house, server = stand
    account = house.new_account("billed")
    _, key = house.new_key(account)

    def billed() -> dict[str, tuple[int | None, int]]:
        with house.opened() as database, database.read() as connection:
            wanted = select(usage_hourly).where(usage_hourly.c.account_id == account)
            return {
                r.price_version: (r.cost_nano_usd, r.unpriced) for r in connection.execute(wanted)
            }

    def version() -> str:
        response = ask(server, key)
        record = server.record(response.headers["x-engine-request-id"])
        return str(record["price_version"])

    first = version()
    until(lambda: billed() == {first: (250_000_000, 0)})
    (house.folder / "prices.yaml").write_text(PRICES.replace("USD", "0.5"))
    until(lambda: version() != first)
    until(lambda: len(billed()) == 2)
    assert billed()[version()][0] in range(500_000_000, 2_000_000_000, 500_000_000)


def is_ready(server: Server) -> bool:
    try:
        return loopback.get(f"{server.url}/readyz").status_code == 200
    except httpx2.HTTPError:
        return False


def test_a_stop_loses_no_usage_and_a_kill_only_what_was_not_yet_written(tmp_path: Path) -> None:
    with standing(tmp_path, workers=1) as (house, server):
        account = house.new_account("counted to the end")
        _, key = house.new_key(account)

        def counted() -> dict[str, int]:
            with house.opened() as database, database.read() as connection:
                rows = read_usage(connection, account, 0, 10**12, "model")
            return {row.label: row.requests for row in rows}

        assert [ask(server, key, "plain-1").status_code for _ in range(8)] == [200] * 8
        until(lambda: counted() == {"plain-1": 8})  # a second after the first of them
        assert [ask(server, key, "plain-2").status_code for _ in range(3)] == [200] * 3
        (pid,) = server.worker_pids()
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.worker_pids() not in ([], [pid]))
        until(lambda: is_ready(server))
        assert [ask(server, key, "plain-3").status_code for _ in range(4)] == [200] * 4
        assert server.stop() == 0
        found = counted()
        assert (found["plain-1"], found["plain-3"]) == (8, 4)
        assert found.get("plain-2", 0) <= 3, "nothing counts twice"


def test_known_keys_go_on_without_the_database_and_unknown_ones_get_a_503(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    account = house.new_account("going on", plain={"key": "accounts-secret"})
    _, key = house.new_key(account)
    _, unused = house.new_key(account)
    assert statuses(server, key) == {200}
    file, away = house.folder / "orqen.db", house.folder / "away.db"
    file.rename(away)
    try:
        until(lambda: states(server) == {"unavailable"})
        assert statuses(server, key) == {200}
        refused = ask(server, KEY_OF_NOBODY)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "accounts_unavailable"
        assert refused.headers["retry-after"] == "1"
        until(
            lambda: server.text.count("the store of accounts cannot be read") == 2
        )  # once a worker
    finally:
        away.rename(file)
    until(lambda: states(server) == {"ok"})
    assert statuses(server, unused) == statuses(server, key) == {200}
    assert statuses(server, KEY_OF_NOBODY) == {401}


def states(server: Server) -> set[str]:
    """What the probes of the workers say of the store."""
    return {loopback.get(f"{server.url}/healthz").json()["accounts"] for _ in range(20)}


def admin_pids(server: Server) -> list[int]:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in children if Path(f"/proc/{c}/comm").read_text().strip() == PROCESS_NAME]


def listens(port: int) -> bool:
    try:
        return loopback.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx2.TransportError:
        return False


def test_the_dashboard_may_die_and_the_gateway_does_not_notice(stand: tuple[House, Server]) -> None:
    house, server = stand
    until(lambda: listens(house.admin))
    workers = server.worker_pids()
    (pid,) = admin_pids(server)
    time.sleep(max(0.0, 3.5 - time.monotonic() + started_at(pid)))  # not soon after its start
    os.kill(pid, signal.SIGKILL)
    assert statuses(server, KEY_OF_NOBODY) == {401}
    until(lambda: listens(house.admin) and admin_pids(server) not in ([], [pid]))
    assert server.worker_pids() == workers
    assert "the dashboard died" in server.text


def test_the_dashboard_does_not_outlive_the_server(tmp_path: Path) -> None:
    with standing(tmp_path, workers=1) as (house, server):
        until(lambda: listens(house.admin))
        server.process.send_signal(signal.SIGKILL)
        until(lambda: not listens(house.admin))


def started_at(pid: int) -> float:
    """When a process was started, in seconds of the monotonic clock."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_provider_that_changes_gets_the_accounts_key_as_it_is_declared_now(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    _, key = house.new_key(house.new_account("reloaded", plain={"key": "accounts-secret"}))
    assert statuses(server, key) == {200}
    file = house.folder / "providers.yaml"
    file.write_text(file.read_text().replace("authorization: ", "x-new-name: ", 1))
    reloads = server.text.count("runs now")
    until(lambda: server.text.count("runs now") > reloads)
    house.recorder.arrivals.clear()
    assert statuses(server, key) == {200}
    assert {a.value("x-new-name") for a in house.recorder.arrivals} == {"Bearer accounts-secret"}
    house.write()
    until(lambda: server.text.count("runs now") > reloads + 1)


def test_a_change_of_server_yaml_waits_for_a_restart(stand: tuple[House, Server]) -> None:
    house, server = stand
    house.write("operator")
    until(lambda: "server.yaml has changed" in server.text)
    until(lambda: loopback.get(f"{server.url}/readyz").json().get("restart") == ["server.yaml"])
    house.write()
    until(lambda: "restart" not in loopback.get(f"{server.url}/readyz").json())


@pytest.mark.parametrize(
    ("policy", "sent", "without"),
    [
        ("account", "Bearer accounts-secret", 401),
        ("operator", "Bearer operators-secret", 200),
    ],
)
def test_the_policy_decides_whose_key_is_used(
    tmp_path: Path, policy: str, sent: str, without: int
) -> None:
    write_keys(tmp_path)
    with standing(tmp_path, policy, workers=1) as (house, server):
        _, key = house.new_key(house.new_account("with", plain={"key": "accounts-secret"}))
        _, other = house.new_key(house.new_account("without"))
        for _ in range(2):
            assert ask(server, key, x_provider_api_key="own-secret").status_code == 200
            assert house.sent()["authorization"] == "Bearer own-secret"
            assert ask(server, key).status_code == 200
            assert house.sent()["authorization"] == sent
            assert ask(server, other).status_code == without
            assert ask(server, KEY).status_code == 200, "a key of keys.yaml has no account"
            assert house.recorder.arrivals.pop().value("authorization") == "Bearer operators-secret"
            house.recorder.arrivals.clear()


LIBRARIES = {"sqlalchemy", "cryptography", "argon2", "starlette", "authlib", "alembic"}
IMPORTS = """
import sys, engine.cli.serve, engine.gateway.app, engine.server.run, engine.server.worker
print(*sys.modules)
"""


def test_no_library_of_accounts_is_imported_with_the_server() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "granian" in done.stdout
    assert LIBRARIES.isdisjoint(done.stdout.split())


def mapped(pid: int) -> set[str]:
    """The libraries of accounts of which a process has mapped compiled code."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {name for name in LIBRARIES if f"/{name}/" in maps}


@contextmanager
def started_anew(folder: Path) -> Iterator[Server]:
    """A gateway that is not forked from a process with these libraries."""
    port = free_port()
    command = [sys.executable, "-m", "engine", "serve", str(folder), "--port", str(port)]
    command += ["--drain-delay", "0"]
    with (folder / "log").open("wb") as log:
        process: Any = subprocess.Popen(command, cwd=ROOT, env=ENVIRON, stdout=log, stderr=log)
    try:
        assert wait_until_ready(process, port, "/readyz")
        yield Server(port, process, folder / "log")
    finally:
        process.terminate()
        process.wait(60)


def test_workers_with_accounts_have_the_libraries_of_the_store(stand: tuple[House, Server]) -> None:
    """So that the next test can fail."""
    _, server = stand
    assert {"sqlalchemy", "cryptography"} <= mapped(server.worker_pids()[0])


def test_without_server_yaml_nothing_is_started_and_no_library_of_accounts_is_loaded(
    tmp_path: Path,
) -> None:
    with recording() as recorder:
        House(tmp_path, recorder).write()
        (tmp_path / "server.yaml").unlink()
        write_keys(tmp_path)
        with started_anew(tmp_path) as server:
            assert ask(server, KEY).status_code == 200
            pids = (server.process.pid, *server.worker_pids())
            assert [mapped(pid) for pid in pids] == [set(), set()]
            assert admin_pids(server) == []
            assert "accounts" not in loopback.get(f"{server.url}/healthz").json()
    assert not (tmp_path / "orqen.db").exists()


def test_a_start_with_a_missing_vault_key_is_refused(tmp_path: Path) -> None:
    with recording() as recorder:
        house = House(tmp_path, recorder)
        house.write()
        with house.opened() as database:
            database.upgrade()
        house.new_account("saved", plain={"key": "accounts-secret"})
    other = sha256(b"another vault key").hexdigest()
    out = tmp_path / "refused"
    words = ("engine", "serve", str(tmp_path), "--port", str(free_port()))
    process = Process(
        Command(words, out, out, {"PATH": os.environ["PATH"], **ENVIRON, "VAULT_KEY": other})
    )
    assert process.wait(30) == 2
    assert "not started: the store of accounts cannot be used" in out.read_text()
    assert "is not in server.yaml" in out.read_text()


def test_the_limits_of_a_key_hold_on_all_workers_and_a_change_is_in_force_soon(
    stand: tuple[House, Server],
) -> None:
    house, server = stand
    account = house.new_account("of limits")
    key_id, words = house.new_key(account, limits=KeyLimits(rate_limit_rpm=3))
    assert [ask(server, words).status_code for _ in range(6)].count(200) == 3
    with house.writing() as connection:
        update_key(
            connection, account, key_id, name="k", models=None, endpoints=None, expires_at=None,
            actor=CLI, limits=KeyLimits(daily_token_budget=1),
        )  # fmt: skip
    until(lambda: ask(server, words).status_code == 200)
    # The other worker may not know the change yet, and refuse by the limit of before.
    until(lambda: ask(server, words).headers.get("x-engine-error") == "budget_exceeded")

"""`serve --mock`: what this machine knows stays with it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from engine.server.reload import read_folder
from engine.server.run import Options, prepare
from tests import loopback
from tests.servers import KEY, Server, gateway, write_keys

PROVIDERS = """
version: 1
providers:
  by_env:
    base_url: https://{{ variables.host }}/v1
    variables:
      host: {env: REAL_HOST, default: real.example}
      account: {env: REAL_ACCOUNT}
    credentials:
      api_key: {env: REAL_KEY}
      organization: {env: REAL_ORGANIZATION, optional: true}
    headers:
      authorization: "Bearer {{ credentials.api_key }}"
      x-account: "{{ variables.account }}"
    endpoints: {chat: /chat/completions}
  by_file:
    base_url: https://file.example/v1
    credentials:
      api_key: {file: secret.txt}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    endpoints: {chat: /chat/completions}
  signed:
    base_url: https://signed.example/v1
    credentials:
      credentials_file: {env: REAL_JSON}
    sign: {with: google_oauth, scope: "https://scope.example"}
    endpoints: {chat: /chat/completions}
"""
ROUTES = """
version: 1
endpoints:
  chat: {path: /v1/chat/completions, body: json}
models:
  - {prefix: env/, provider: by_env}
  - {prefix: file/, provider: by_file}
  - {prefix: signed/, provider: signed}
"""
REAL = {
    "REAL_KEY": "real-key-1",
    "REAL_HOST": "real-key-2.example",
    "REAL_ACCOUNT": "real-key-3",
    "REAL_ORGANIZATION": "real-key-4",
    "REAL_JSON": '{"real-key-5": 1}',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mock")
    (made / "providers.yaml").write_text(PROVIDERS.lstrip())
    (made / "routes.yaml").write_text(ROUTES.lstrip())
    write_keys(made)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Server]:
    os.mkfifo(folder / "secret.txt")  # whoever reads it waits for ever
    with gateway(folder, folder / "log", "--mock", environ=REAL) as server:
        yield server


LISTENS = "0A"  # in /proc/net/tcp


def mock_of(server: Server) -> str:
    """The address of the mock beside a gateway: where its process listens."""
    (mock,) = [
        c for c in server.child_pids() if Path(f"/proc/{c}/comm").read_text() == "orqen-mock\n"
    ]
    files = {os.readlink(file) for file in Path(f"/proc/{mock}/fd").iterdir()}
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    (port,) = {s[1].partition(":")[2] for s in sockets if s[3] == LISTENS and f"socket:[{s[9]}]" in files}  # fmt: skip
    return f"http://127.0.0.1:{int(port, 16)}"


@pytest.mark.parametrize("model", ["env/m", "file/m", "signed/m"])
def test_every_provider_answers_without_what_the_machine_has(served: Server, model: str) -> None:
    answer = ask(served, model)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "You said: hello"


@pytest.mark.parametrize("placeholders", [True, False], ids=["--mock", "--mock-port"])
def test_credential_sets_need_no_credential_either(tmp_path: Path, *, placeholders: bool) -> None:
    accounts = """
    accounts:
      - callers: [tests]
        credentials: {api_key: {env: UNSET_TEAM_KEY}}
        variables: {account: {env: UNSET_TEAM_ACCOUNT}}
"""
    (tmp_path / "providers.yaml").write_text(
        PROVIDERS.lstrip().replace("\n  by_file:", f"{accounts}  by_file:")
    )
    (tmp_path / "routes.yaml").write_text(ROUTES.lstrip())
    write_keys(tmp_path)
    options = Options(tmp_path, "127.0.0.1", 1, 1, mock=2, placeholders=placeholders)
    loaded, problems = prepare(options, read_folder(tmp_path))
    assert loaded is not None and loaded.plan is not None and not problems
    (own,) = loaded.plan.providers["by_env"].accounts
    assert [variant.missing for variant in own.providers] == [()]


def test_the_mock_tells_nobody_what_it_received(served: Server) -> None:
    ask(served, "env/m", {"x-provider-api-key": "real-key-6"})
    told = loopback.get(f"{mock_of(served)}/__mock/requests")
    assert told.json() == {"requests": []}
    assert re.search("real-key", served.text) is None


def ask(server: Server, model: str, headers: dict[str, str] | None = None) -> httpx2.Response:
    asked = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    sent = {"authorization": f"Bearer {KEY}", **(headers or {})}
    return loopback.post(f"{server.url}/v1/chat/completions", json=asked, headers=sent)

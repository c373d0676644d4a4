"""Each folder of examples/: no finding at all, its tests pass, and a gateway serves it."""

import shutil
from pathlib import Path

import pytest

from engine.config.load import load
from tests import loopback
from tests.servers import KEY, ROOT, Server, gateway, write_keys

FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/routes.yaml"))
ENVIRON = {
    **dict.fromkeys(
        ("ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "GROQ_API_KEY", "OPENAI_API_KEY"), "a-key"
    ),
    "AZURE_OPENAI_RESOURCE": "ours",
    "DATABASE_URL": "postgresql://orqen@localhost/orqen",
    "ORQEN_VAULT_KEY": "8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a",
}
CALLS = {
    "minimal": ("/v1/chat/completions", "gpt-5-mini"),
    "failover": ("/v1/chat/completions", "smart"),
    "azure": ("/v1/chat/completions", "gpt-5-mini"),
    "vllm": ("/v1/chat/completions", "ours/qwen3-32b"),
    "agents": ("/v1/messages", "claude-sonnet-5"),
}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_an_example_has_no_finding(folder: Path) -> None:
    loaded = load(folder, ENVIRON, 0)
    assert loaded.diagnostics == ()
    assert loaded.plan is not None
    assert f"({folder.name}/" in (ROOT / "examples/README.md").read_text("utf-8")


@pytest.mark.parametrize("name", CALLS)
def test_an_example_is_served(name: str, tmp_path: Path, mock: Server) -> None:
    path, model = CALLS[name]
    folder = tmp_path / name
    shutil.copytree(ROOT / "examples" / name, folder)
    write_keys(folder)
    options = ("--mock-port", str(mock.port))
    with gateway(folder, tmp_path / "log", *options, environ=ENVIRON) as server:
        body = {"model": model, "messages": [], "max_tokens": 9}
        got = loopback.post(server.url + path, json=body, headers={"x-api-key": KEY})
    assert got.status_code == 200, got.text

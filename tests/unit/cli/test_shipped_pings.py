"""The pings of the shipped providers: where each would go, and which providers have none."""

import json
import os
from typing import Any

import pytest

from engine.config.resources import shipped
from tests.servers import read_yaml
from tests.unit.cli.running import engine

# Their list of models needs no key, or they have none; and a call of a model has no price that `cost` could say.
WITHOUT = {
    "azure_anthropic", "bedrock", "bedrock_mantle", "cloudflare", "deepinfra", "huggingface", "hyperbolic", "jina", "llamacpp", "novita",
    "nvidia_nim", "ovhcloud", "sambanova", "vertex_ai", "voyage", "zai", "zhipu",
}  # fmt: skip


@pytest.fixture
def pings(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `engine ping --dry-run` says when every credential is set."""
    for name in os.environ.keys() - {"PATH", "HOME", "TMPDIR"}:
        monkeypatch.delenv(name)
    providers = read_yaml("providers.yaml")["providers"]
    for entry in providers.values():
        sources = [*entry.get("credentials", {}).values(), *entry.get("variables", {}).values()]
        for source in sources:
            if isinstance(source, dict) and "default" not in source:
                names = source["env"]
                monkeypatch.setenv(names if isinstance(names, str) else names[0], "value")
    folder = shipped("providers.yaml").parent
    result = engine("ping", "--dry-run", "--format", "json", "-C", folder)
    return list(json.loads(result.stdout)["pings"])


def test_28_have_one_and_which_have_none_is_known(pings: list[dict[str, Any]]) -> None:
    found = {p["provider"]: p["url"] for p in pings if p["outcome"] == "planned"}
    assert len(found) == 28
    assert found["perplexity"] == "https://api.perplexity.ai/router/v1/models"
    assert found["siliconflow"] == "https://api.siliconflow.com/v1/user/info"
    assert found["tei"] == "http://localhost:3000/v1/embeddings"
    assert {p["cost"] for p in pings if p["outcome"] == "planned"} == {"free"}
    assert {p["provider"] for p in pings if p["outcome"] == "not_declared"} == WITHOUT

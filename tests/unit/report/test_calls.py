"""What `engine serve --mock` prints to paste is served by the configuration that it runs."""

import json
import shlex
from pathlib import Path

from engine.cli.serve import _ready_banner
from engine.config.load import load
from engine.gateway.inbound.paths import match_endpoint
from engine.gateway.routing.match import find_target
from engine.plan.plan import Plan
from tests.tables import each
from tests.unit.cli.running import engine

URL = "http://127.0.0.1:1"


def printed(folder: Path, *words: str) -> tuple[Plan, list[list[str]]]:
    """The plan of what `engine init` writes, and the words of each call in the banner."""
    assert engine("init", folder, *words).exit_code == 0
    loaded = load(folder, None, 0.0)
    banner = _ready_banner(loaded, URL, "KEY", mock=True)
    assert loaded.plan is not None
    return loaded.plan, [shlex.split(x) for x in banner.splitlines() if x.startswith("curl")]


def served(plan: Plan, words: list[str]) -> tuple[str, str]:
    """Path and model of a call; fails where a request would get 404."""
    path = next(word for word in words if word.startswith(URL)).removeprefix(URL)
    fields = {key: value for key, _, value in (word.partition("=") for word in words)}
    if "-d" in words:
        fields = json.loads(words[words.index("-d") + 1])
    place = match_endpoint(plan, "POST", path.encode())
    assert ("json" if "-d" in words else "form") in place.endpoint.bodies
    assert any("KEY" in word for word in words)
    return path, find_target(plan, place.endpoint, place.model or fields["model"]).model


SHIPPED = {
    "/v1/embeddings": "text-embedding-3-small",
    "/v1/chat/completions": "gpt-4o-mini",
    "/v1/audio/speech": "gpt-4o-mini-tts",
    "/v1/audio/transcriptions": "whisper-1",
    "/v1/messages": "claude-haiku-4-5",
}


@each(
    ("words", "expected"),
    [
        ([], SHIPPED),
        (["--providers", "openai", "--endpoints", "embeddings"], {"/v1/embeddings": "text-embedding-3-small"}),
        (["--providers", "anthropic", "--endpoints", "messages"], {"/v1/messages": "claude-haiku-4-5"}),
        (["--providers", "groq", "--endpoints", "chat_completions"], {"/v1/chat/completions": "gpt-oss-120b"}),
        (["--providers", "cohere", "--endpoints", "rerank"], {"/v1/rerank": "cohere/example"}),
        (["--providers", "openai", "--endpoints", "images_edits"], {"/v1/images/edits": "openai/example"}),
    ],
)  # fmt: skip
def test_the_calls_that_serve_prints_are_served(
    words: list[str], expected: dict[str, str], tmp_path: Path
) -> None:
    plan, calls = printed(tmp_path / "new", *words)
    assert dict(served(plan, call) for call in calls) == expected


def test_a_path_with_the_model_in_it_is_printed_with_one(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    engine("init", folder, "--providers", "openai", "--endpoints", "moderations")
    routes = folder / "routes.yaml"
    text = routes.read_text().replace("path: /v1/moderations", "path: '/own/{model}/moderate'")
    routes.write_text(text)
    loaded = load(folder, None, 0.0)
    assert loaded.plan is not None, loaded.diagnostics
    banner = _ready_banner(loaded, URL, "KEY", mock=True)
    (call,) = (shlex.split(x) for x in banner.splitlines() if x.startswith("curl"))
    assert served(loaded.plan, call) == ("/own/openai%2Fexample/moderate", "openai/example")

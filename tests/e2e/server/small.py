"""A configuration that is loaded in a moment, for servers that are started or reloaded often."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx2

from tests.servers import WAIT, write_keys

ROUTES = """
version: 1
endpoints:
  chat_completions: {path: /v1/chat/completions}
  embeddings: {path: /v1/embeddings}
  messages: {path: /v1/messages, errors: anthropic}
models:
  - {prefix: gpt-, provider: openai}
  - {prefix: claude-, provider: openai}
  - {prefix: text-embedding-3-, provider: openai}
"""
PROVIDERS = """
version: 1
providers:
  openai:
    base_url: https://api.openai.com/v1
    credentials: {}
    endpoints: {chat_completions: /chat/completions, embeddings: /embeddings, messages: /messages}
"""


def write_small(folder: Path) -> Path:
    """A configuration that is loaded in a moment, with KEY in its keys.yaml."""
    (folder / "routes.yaml").write_text(ROUTES.lstrip())
    (folder / "providers.yaml").write_text(PROVIDERS.lstrip())
    write_keys(folder)
    return folder


def eventually(check: Callable[[], bool]) -> bool:
    """Whether `check` holds within WAIT seconds; a process that does not listen yet is waited for."""
    end = time.monotonic() + WAIT
    while not (found := _holds(check)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except httpx2.ConnectError:
        return False

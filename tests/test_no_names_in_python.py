"""No endpoint and no provider of the shipped YAML is known to the Python code.

A name made of one ordinary English word may stand in prose, but never as text of its own or as a
part of a path. A compound name may not stand anywhere.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.servers import ROOT, read_yaml

# Words that a comment, a docstring or a variable may use in their everyday sense.
ORDINARY = {
    "completions", "embeddings", "infinity", "messages", "moderations", "responses", "together",
}  # fmt: skip
# The shapes of errors are named after the APIs that defined them.
DIALECTS = {"openai", "anthropic", "responses"}
DIALECT_HOMES = {
    "engine/plan/plan.py",
    "engine/gateway/errors.py",
    "engine/server/hooks/limit_responses.py",
}
DIALECT_MEMBER = re.compile(r"\bDialect\.(OPENAI|ANTHROPIC|RESPONSES)\b")
# What public lists of prices call kinds of models; some of our endpoints have the same names.
KINDS = {"engine/config/listed_prices.py": {"ocr", "rerank", "audio_speech"}}
# How the keys of services begin, by which a secret in a file is known.
KEY_STARTS = "sk|pk|rk|gsk|hf|ghp|xai"
# A header of content delivery networks, which any provider may be behind.
HEADER = "cloudflare-cdn-cache-control"


@dataclass(frozen=True)
class Word:
    """A name of the YAML found where it should not be."""

    file: str
    line: int
    name: str


@cache
def names() -> set[str]:
    routes = read_yaml("routes.yaml")
    providers = read_yaml("providers.yaml")
    return {*routes["endpoints"], *providers["providers"]}


@cache
def sources() -> dict[str, str]:
    found = sorted((ROOT / "engine").rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in found}


@cache
def pattern(words: frozenset[str]) -> re.Pattern[str]:
    """Any of the words, whole; an underscore ends a word, so `call_groq` holds one."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<![a-z0-9])({'|'.join(longest_first)})(?![a-z0-9])", re.IGNORECASE)


def anywhere(file: str, source: str, words: set[str]) -> Iterator[Word]:
    """The words in code, comments, text and docstrings alike."""
    for number, line in enumerate(
        source.replace(KEY_STARTS, "").replace(HEADER, "").splitlines(), 1
    ):
        for found in pattern(frozenset(words)).finditer(DIALECT_MEMBER.sub("Dialect", line)):
            yield Word(file, number, found[1].lower())


def as_text(file: str, source: str, words: set[str]) -> Iterator[Word]:
    """The words as a string of their own, or as a segment of a path in one."""
    whole = re.compile(rf"({'|'.join(sorted(words))})")
    segment = re.compile(rf"/({'|'.join(sorted(words))})(?![a-z0-9_])")
    if not re.search("|".join(sorted(words)), source):  # nearly all; parsing costs most
        return
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str | bytes):
            continue
        text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        if found := whole.fullmatch(text.strip()) or segment.search(text):
            yield Word(file, node.lineno + text[: found.start()].count("\n"), found[1])


def offences(file: str, source: str) -> set[Word]:
    known = names()
    allowed = DIALECTS if file in DIALECT_HOMES else KINDS.get(file, set())
    return {
        *anywhere(file, source, known - ORDINARY - allowed),
        *as_text(file, source, (known & ORDINARY) - allowed),
    }


def test_no_name() -> None:
    assert [word for file, source in sources().items() for word in offences(file, source)] == []


def test_the_dialects_are_members_and_constants_alone() -> None:
    """In their two homes as well: no comparison with a text, no branch on a provider."""
    plan = sources()["engine/plan/plan.py"]
    members = re.findall(r"^    ([A-Z]+) = \"([a-z]+)\"$", plan, re.MULTILINE)
    assert members == [(name.upper(), name) for name in ("openai", "anthropic", "responses")]
    assert len(list(anywhere("", plan, DIALECTS))) == 6
    errors = sources()["engine/gateway/errors.py"]
    constants = re.sub(r"\b_(OPENAI|ANTHROPIC)_TYPES\b", "", errors)
    assert list(anywhere("", constants, DIALECTS)) == []


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("x = 1  # as groq does", "groq"),
        ('"""Calls Mistral."""', "mistral"),
        ("def call_cohere(): ...", "cohere"),
        ("chat_completions = 1", "chat_completions"),
        ("if provider == 'openai': ...", "openai"),
        ('if name == "messages": ...', "messages"),
        ("path.startswith(b'/v1/responses')", "responses"),
        ('f"{base}/embeddings?a=1"', "embeddings"),
        ('"together"', "together"),
        ('if provider == "infinity": ...', "infinity"),
    ],
)
def test_an_offence_is_found(source: str, name: str) -> None:
    assert {word.name for word in offences("engine/x.py", source)} == {name}


@pytest.mark.parametrize(
    "source",
    [
        "messages = 1  # put together",
        '"""The responses of one upstream, taken together."""',
        "raise ValueError('the messages are too long')",
        "dialect = Dialect.OPENAI",
        "togetherness = 'recompletions'",
        "if found == resource.RLIM_INFINITY: ...",
    ],
)
def test_everyday_words_are_no_offence(source: str) -> None:
    assert offences("engine/x.py", source) == set()

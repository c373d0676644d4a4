"""What is shown of a text that is no YAML: names stay readable, and nothing that may be a secret."""

import re
import string
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from engine.config.source.masking import mask_lines
from tests.servers import ROOT
from tests.tables import each


def shown(line: str) -> str:
    return mask_lines((line,))[0]


def test_the_rules_of_the_shipped_file_can_be_read() -> None:
    text = (ROOT / "routes.yaml").read_text("utf-8")
    lines = re.findall(r"^  - \{(?:prefix|model): [^}]*\}", text, re.M)
    assert len(lines) > 100
    assert [line for line in lines if shown(line) != line] == []


NAMES = ["groq/", "gpt-4o-mini", "text-embedding-", "claude-3-5-sonnet-20241022", "openai/gpt-oss-120b"]  # fmt: skip


@each("name", NAMES)
def test_names_are_shown(name: str) -> None:
    line = f"  - {{prefix: {name}, provider: groq"
    assert shown(line) == line


@each("prefix", ["sk-", "sk-proj-", "gsk_", "hf_", "ghp_", "pk-"])
def test_a_key_of_a_known_shape_is_starred_however_short(prefix: str) -> None:
    stars = "*" * len(prefix + "1234")
    assert shown(f"  - [a, {prefix}1234, {{") == f"  - [a, {stars}, {{"


@given(st.text(string.ascii_letters + string.digits, min_size=21, max_size=64))
def test_a_long_word_is_starred(secret: str) -> None:
    assert secret not in shown(f"  - [{secret} {{")


@given(st.uuids(version=4))
def test_an_identifier_is_starred(uuid: UUID) -> None:
    assert str(uuid) not in shown(f"  - [{uuid} {{")


@given(st.from_regex(r"[a-z]{3,8}(-[a-z]{3,8}){2,4}", fullmatch=True))
def test_a_word_beside_the_name_of_a_secret_is_starred(words: str) -> None:
    for key in ("api_key", "token", "password"):
        assert words not in shown(f"    {key}: {words}")

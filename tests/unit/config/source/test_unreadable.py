"""What is told of a text that is not YAML: no secret, in no part of a finding."""

import re

from engine.config.source.document import parse_document, unread_document
from engine.config.source.repairs import TYPOS
from tests.tables import each

SECRETS = ["sk-live-4tQ9vXbE2mZr8YkLw0Pn7Hd5Jc3Ua6Gf", "Tr0ub4dor&3"]
# The mistake of a row of TYPOS or of another repair, with a secret behind it.
LINES = [
    "api_key\uff1a {}  # full-width colon", "api_key\uff1a{}", "api_key\uff1a \u201c{}\u201d", "{api_key: {}\uff0c b: c}}",
    "\uff0d api_key: {}", "api_key\uff1a \uff5ba: {}\uff5d", "api_key\uff1a \uff3b{}\uff3d", "api_key\uff1a \uff07{}\uff07",
    "api_key\uff1a \uff02{}\uff02", "{api_key\uff1a {}\uff03}}", "\uff03 api_key: {}", "api_key\uff1a \u2018{}\u2019 \xab{}\xbb",
    "\u2022 api_key: {}", "// api_key: {}", "...\napi_key: {}", "-api_key: {}", "api_key = {}", "api_key =\n  a: {}",
    "api_key {}", "X-api-key {}", "api_key:{}", "{a: b api_key: {}}", 'api_key: "{}', "api_key: '{}\"", "api_key: [{}",
    "api_key: {}]", "api_key: {a: {}", "api_key: @{}", "api_key: '{}' {}", "\tapi_key: {}", "api_key:\u3000{}\n\tb: c",
    "- api_key: 1\napi_key: {}", "   api_key: {}\n  b: c", 'api_key: "{}\\q"', "sha256\uff1a {}",
    *(f"api_key{chr(wide)} {{}}" for wide in (0xAB, 0xBB, *range(0x2018, 0x2020), *range(0xFF01, 0xFF5E))),
]  # fmt: skip


@each("line", LINES)
@each("secret", SECRETS)
def test_no_finding_holds_a_secret_behind_a_mistake(line: str, secret: str) -> None:
    text = f"version: 1\na:\n  {line.replace('{}', secret)}\nb: c: d\n"
    document, found = parse_document("a.yaml", text.encode())
    assert document is None
    assert found
    shown = unread_document("a.yaml", text.encode())
    assert shown is not None
    assert not [told for told in (found, shown.lines) if secret in repr(told)]


def test_there_is_a_line_for_each_typo() -> None:
    lines = [line.strip() for text in LINES for line in text.split("\n")]
    assert [t for t in TYPOS if not any(re.search(t.pattern, line) for line in lines)] == []


@each(
    ("line", "after"),
    [
        ("api_key\uff1a {}  # why", "api_key: {}  # why"),
        ("api_key\uff1a{}", "api_key: {}"),
        ("api_key {}", "api_key: {}"),
        ("api_key: '{}", "api_key: '{}'"),
        ("api_key\uff1a \u201c{}\u201d", None),
        ("api_key: @{}", None),
    ],
)
def test_a_fix_beside_a_secret_is_offered_and_one_that_holds_it_is_not(
    line: str, after: str | None
) -> None:
    text = f"a: 1\n{line}".replace("{}", SECRETS[0])
    made = after and after.replace("{}", SECRETS[0])
    [found] = parse_document("a.yaml", text.encode())[1]
    if made is None:
        assert found.fix is None
        return
    assert found.fix is not None
    (number, start), (_, end) = found.fix.span.start, found.fix.span.end
    old = text.split("\n")[number - 1]
    assert old[: start - 1] + found.fix.text + old[end - 1 :] == made


def test_a_tab_that_is_legal_is_not_reported_for_a_mistake_below_it() -> None:
    [found] = parse_document("a.yaml", b'a: "one\n\ttwo"\nb: c: d\n')[1]
    assert found.span.start.line == 3

"""The commonest slips: what `--fix` makes of each, that the result is right, and that it is made once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.diagnostics.fixes import fix_all
from engine.config.load import load
from tests.tables import each
from tests.unit.config.folders import ENVIRON, MINIMAL, NOW

ROUTES = (MINIMAL / "routes.yaml").read_text("utf-8")
PROVIDERS = (MINIMAL / "providers.yaml").read_text("utf-8")
KEY, BASE, HEADER = "{env: OPENAI_API_KEY}", "https://api.openai.com/v1", "authorization:"


def rule(text: str) -> dict[str, str]:
    return {"routes.yaml": f"{ROUTES}{text}\n", "providers.yaml": PROVIDERS}


def provider(old: str, new: str) -> dict[str, str]:
    assert old in PROVIDERS
    return {"routes.yaml": ROUTES, "providers.yaml": PROVIDERS.replace(old, new, 1)}


def limits(text: str) -> dict[str, str]:
    line = "    endpoints:\n"
    return provider(line, f"    timeouts: {text}\n{line}")


# What is written, what becomes of it, and whether it is a guess.
SLIPS = {
    "a number as a model": (rule("  - {model: 4.1, provider: openai}"), rule('  - {model: "4.1", provider: openai}'), False),
    "a number with a last zero": (rule("  - {model: 4.10, provider: openai}"), rule('  - {model: "4.10", provider: openai}'), False),
    "a star behind a model": (rule("  - {model: o3-*, provider: openai}"), rule('  - {prefix: "o3-", provider: openai}'), False),
    "a star behind a model, in quotes": (rule("  - model: 'o3-*'  # all\n    provider: openai"), rule("  - prefix: \"o3-\"  # all\n    provider: openai"), False),
    "a star behind a prefix": (rule("  - {prefix: o3-*, provider: openai}"), rule('  - {prefix: "o3-", provider: openai}'), False),
    "capitals in a provider": (rule("  - {model: fast, provider: OpenAI}"), rule("  - {model: fast, provider: openai}"), True),
    "no space": (rule("  - {model:fast, provider: openai}"), rule("  - {model: fast, provider: openai}"), True),
    "yes": (rule("  - {prefix: a/, provider: openai, strip: yes}"), rule("  - {prefix: a/, provider: openai, strip: true}"), False),
    "Off": (rule("  - {prefix: a/, provider: openai, strip: Off}"), rule("  - {prefix: a/, provider: openai, strip: false}"), False),
    "a sign first": (rule("  - {model: '@fast', provider: openai}".replace("'", "")), rule("  - {model: '@fast', provider: openai}"), False),
    "a bullet": (rule("  • {model: fast, provider: openai}"), rule("  - {model: fast, provider: openai}"), True),
    "a dollar": (provider(KEY, "$OPENAI_API_KEY"), provider(KEY, KEY), False),
    "braces": (provider(KEY, '"${OPENAI_API_KEY}"'), provider(KEY, KEY), False),
    "LiteLLM's": (provider(KEY, "os.environ/OPENAI_API_KEY"), provider(KEY, KEY), False),
    "a header in capitals": (provider(HEADER, "Authorization:"), provider(HEADER, HEADER), False),
    "a slash": (provider(BASE, BASE + "/"), provider(BASE, BASE), False),
    "slashes in quotes": (provider(BASE, f"'{BASE}//'  # here"), provider(BASE, f"'{BASE}'  # here"), False),
    "words for units": (limits("{idle: 5 minutes, connect: 2 sec}"), limits("{idle: 5m, connect: 2s}"), False),
    "no unit": (limits("{idle: 30}"), limits("{idle: 30s}"), True),
}  # fmt: skip


def check_in(folder: Path, files: Mapping[str, str]) -> Sequence[Diagnostic]:
    overrides = {name: text.encode() for name, text in files.items()}
    return load(folder, ENVIRON, NOW, overrides=overrides).diagnostics


@each("slip", SLIPS)
def test_a_slip_is_repaired(slip: str, tmp_path: Path) -> None:
    before, after, is_guess = SLIPS[slip]

    def check(files: Mapping[str, str]) -> Sequence[Diagnostic]:
        return check_in(tmp_path, files)

    assert any(d.severity is Severity.ERROR for d in check(before))
    fixed = fix_all(before, check, unsafe=is_guess)
    assert dict(fixed.texts) == after
    assert [d for d in fixed.left if d.severity is Severity.ERROR] == []
    assert dict(fix_all(after, check, unsafe=True).texts) == after
    if is_guess:
        assert dict(fix_all(before, check, unsafe=False).texts) == before


@each("written", ["Bearer $OPENAI_API_KEY", '"Bearer ${OPENAI_API_KEY}"'])
def test_a_dollar_in_a_header_becomes_the_credential_when_asked(
    written: str, tmp_path: Path
) -> None:
    """It is sent as it stands today, so the repair is a guess."""
    right = '"Bearer {{ credentials.api_key }}"'
    before, after = provider(right, written), provider(right, right)

    def check(files: Mapping[str, str]) -> Sequence[Diagnostic]:
        return check_in(tmp_path, files)

    assert dict(fix_all(before, check, unsafe=False).texts) == before
    assert dict(fix_all(before, check, unsafe=True).texts) == after
    assert list(check(after)) == []


LEFT = {
    "every model": rule('  - {model: "*", provider: openai}'),
    "a star behind an alias": rule("  - {model: fast, as: o3-*, provider: openai}"),
    "a star on a line of its own": rule("  - model:\n      o3-*\n    provider: openai"),
    "a header that is there": provider(HEADER, "Authorization: x\n      authorization:"),
    "a secret": provider(KEY, "$ecret-of-some-kind"),
    "a mixture": provider(KEY, "sk-$OPENAI_API_KEY"),
    "a unit of weight": limits("{idle: 5 kg}"),
    "a switch for a time": limits("{idle: true}"),
    "a word": rule("  - {prefix: a/, provider: openai, strip: maybe}"),
}


@each("slip", LEFT)
def test_what_may_mean_something_else_is_left_alone(slip: str, tmp_path: Path) -> None:
    def check(files: Mapping[str, str]) -> Sequence[Diagnostic]:
        return check_in(tmp_path, files)

    assert dict(fix_all(LEFT[slip], check, unsafe=True).texts) == LEFT[slip]


@each(
    ("url", "why"),
    [
        ("https://x.example:70000/v1", "a port that is not a number from 1 to 65535"),
        ("https://x.example:abc/v1", "a port that is not a number from 1 to 65535"),
        ("https://x.example:0/v1", "a port that is not a number from 1 to 65535"),
        ("https://:8080/v1", "no host"),
        ("https://[::1/v1", "brackets that are not those of an IPv6 address"),
    ],
)
def test_the_true_cause_of_a_url(url: str, why: str, tmp_path: Path) -> None:
    found = check_in(tmp_path, provider(BASE, f"'{url}'"))
    assert [(d.code, d.message) for d in found] == [("X214", f"the URL of provider `openai` has {why}")]  # fmt: skip


@each(
    ("host", "why"),
    [
        ("me@x.example", "has a user or a password"),
        ("x.example?a=b", "has a query or a fragment"),
    ],
)
def test_the_true_cause_of_a_url_with_a_variable(host: str, why: str, tmp_path: Path) -> None:
    url = "'https://{{ variables.host }}/v1'"
    files = provider(BASE, f"{url}\n    variables:\n      host: '{host}'")
    messages = [d.message for d in check_in(tmp_path, files) if d.code == "X214"]
    assert messages == [f"the URL of provider `openai` {why}"]

"""`engine check --fix`: what it repairs, what it asks for first, and what it leaves alone."""

import stat
from pathlib import Path

from tests.tables import each
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import minimal, write

__all__ = ["plain"]

RIGHT = minimal("routes") + "# the end\t \r\n"
WRONG = RIGHT.replace("prefix: gpt-", "prefxi: gpt-").replace("path: /v1/emb", "paht: /v1/emb")


def test_guesses_are_made_only_when_asked_for(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    result = engine("check", folder, "--fix")
    assert result.exit_code == 1
    assert "2 more with --unsafe-fixes" in result.stderr
    assert (folder / "routes.yaml").read_bytes() == WRONG.encode()


def test_guesses_without_a_fix_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    result = engine("check", folder, "--unsafe-fixes")
    assert result.exit_code == 2
    assert "--unsafe-fixes needs --fix or --diff" in result.stderr


def test_what_can_be_repaired_is_said_at_the_end(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=(WRONG + "defaults: {timeouts: {connect: 5sec}}\n").encode())
    result = engine("check", folder)
    assert "fixable: 1 with --fix, 2 with --fix --unsafe-fixes\n" in result.stdout
    assert "fixable" not in engine("check", folder, "--fix").stdout


def test_what_is_repaired_is_told_and_nothing_else_changes(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    file = folder / "routes.yaml"
    file.chmod(0o640)
    result = engine("check", folder, "--fix", "--unsafe-fixes")
    assert result.exit_code == 0, result.output
    assert file.read_bytes() == RIGHT.encode()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "fixed routes.yaml:7:5: S102 unknown-key" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["providers.yaml", "routes.yaml"]


def test_a_file_that_cannot_be_read_is_repaired_although_more_is_found_then(tmp_path: Path) -> None:
    text = RIGHT.replace("{prefix: gpt-,", '{model: "gpt-4, foo: 1,').replace("text-embedding-,", "text-embedding-, bar: 1,")  # fmt: skip
    folder = write(tmp_path, routes=text.encode())
    result = engine("check", folder, "--fix", "--unsafe-fixes")
    assert "fixed routes.yaml:10:13: Y001" in result.stderr
    assert "unknown key `foo`" in result.stdout
    assert "unknown key `bar`" in result.stdout


def test_a_fix_that_is_not_made_is_told(tmp_path: Path) -> None:
    text = RIGHT.replace("openai}", "openai, falback_on: [gpt-5]}", 1)
    folder = write(tmp_path, routes=text.encode())
    result = engine("check", folder, "--fix", "--unsafe-fixes")
    assert result.exit_code == 1
    assert "not fixed routes.yaml:10:38: S102 unknown-key: the fix would leave more errors\n" in result.stderr  # fmt: skip
    assert (folder / "routes.yaml").read_bytes() == text.encode()


def test_diff_shows_and_changes_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    result = engine("check", folder, "--diff", "--unsafe-fixes")
    assert result.exit_code == 1
    assert "-    paht: /v1/embeddings\n+    path: /v1/embeddings\n" in result.stdout
    assert "would fix" in result.stderr
    assert (folder / "routes.yaml").read_bytes() == WRONG.encode()


def test_a_sure_repair_needs_no_word_more(tmp_path: Path) -> None:
    """A comment that silences nothing can go, whatever it meant."""
    text = minimal("routes").replace(
        "/v1/embeddings", "/v1/embeddings  # engine: ignore[X205] none"
    )
    folder = write(tmp_path, routes=text)
    assert engine("check", folder, "--fail-on", "warning").exit_code == 1
    assert engine("check", folder, "--fail-on", "warning", "--fix").exit_code == 0
    assert "ignore[" not in (folder / "routes.yaml").read_text()


@each(
    ("words", "left"), [(("--select", "X"), 2), (("--ignore", "S102"), 2), (("--select", "S"), 0)]
)
def test_only_what_is_asked_for_is_repaired(
    words: tuple[str, ...], left: int, tmp_path: Path
) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    engine("check", folder, "--fix", "--unsafe-fixes", *words)
    text = (folder / "routes.yaml").read_text()
    assert text.count("prefxi") + text.count("paht") == left


@each("raw", [b"\xff\xfe", b"a: [", b""])
def test_a_file_that_cannot_be_read_is_left(raw: bytes, tmp_path: Path) -> None:
    folder = write(tmp_path, routes=raw)
    assert engine("check", folder, "--fix").exit_code == 1
    assert (folder / "routes.yaml").read_bytes() == raw


def test_repairs_of_standard_output_formats_keep_it_clean(tmp_path: Path) -> None:
    folder = write(tmp_path, routes=WRONG.encode())
    result = engine("check", folder, "--fix", "--unsafe-fixes", "--format", "json")
    assert result.stdout.startswith("{")


def test_a_url_that_lacks_its_host_keeps_its_slashes(tmp_path: Path) -> None:
    """The slash at its end is not what is wrong with it."""
    text = minimal("providers").replace("https://api.openai.com/v1", "http://")
    assert "http://" in text
    folder = write(tmp_path, providers=text)
    result = engine("check", folder, "--fix")
    assert "fixed" not in result.stderr
    assert (folder / "providers.yaml").read_text() == text

"""`keys new --write`, `list` and `revoke`: every way of writing keys.yaml, and every other byte stays."""

import json
import os
import re
import stat
from pathlib import Path

from engine.config.new_key import digest
from engine.config.source.document import parse_document
from engine.config.source.key_file import with_entry, without_entry
from tests.tables import each
from tests.unit.cli.outputs import view_of
from tests.unit.cli.running import engine, plain
from tests.unit.config.folders import write

__all__ = ["plain"]
A, B = "a" * 64, "b" * 64
ONE = f"version: 1\nkeys:\n  - name: first\n    sha256: {A}\n"
NEW = f'name: "new"\n{{}}sha256: {B}'
BLOCK = f'  - name: "new"\n    sha256: {B}\n'
FLAT = f'- name: "new"\n  sha256: {B}\n'
START = "version: 1\nkeys:\n" + BLOCK
OLD = f"{{name: first, sha256: {A}}}"
# How a file is written, with a new entry in it.
SHAPES = {
    "empty file": ("", START),
    "blank lines": ("\n\n", "\n\n" + START),
    "only a comment": ("# ours\n", "# ours\n" + START),
    "a comment that is not ended": ("# ours", "# ours\n" + START),
    "a comment with CRLF": ("# ours\r\n", ("# ours\n" + START).replace("\n", "\r\n")),
    "documented": ("version: 1\nkeys: []\n", START),
    "documented, with CRLF": ("version: 1\r\nkeys: []\r\n", START.replace("\n", "\r\n")),
    "documented, not ended": ("version: 1\nkeys: []", START),
    "documented, with a mark": ("\ufeffversion: 1\nkeys: []\n", "\ufeff" + START),
    "documented, first": ("keys: []\nversion: 1\n", f"keys:\n{BLOCK}version: 1\n"),
    "a comment after the bracket": ("version: 1\nkeys: []# none yet\n", f"version: 1\nkeys: # none yet\n{BLOCK}"),
    "comments": ("version: 1\nkeys: []  # none yet\n# end\n", f"version: 1\nkeys:  # none yet\n{BLOCK}# end\n"),
    "no keys": ("version: 1\n", START),
    "no keys, not ended": ("version: 1", START),
    "nothing": ("version: 1\nkeys:\n", START),
    "null": ("version: 1\nkeys: null\n", START),
    "quoted names": ("'version': 1\n\"keys\": []\n", f"'version': 1\n\"keys\":\n{BLOCK}"),
    "a document's marks": ("---\nversion: 1\nkeys: []\n...\n", f"---\n{START}...\n"),
    "indented": (ONE, ONE + BLOCK),
    "not ended": (ONE[:-1], ONE + BLOCK),
    "with CRLF": (ONE.replace("\n", "\r\n"), (ONE + BLOCK).replace("\n", "\r\n")),
    "a comment behind": (ONE + "# end\n", ONE + BLOCK + "# end\n"),
    "a comment under the dash": (ONE + "  # end\n", ONE + BLOCK + "  # end\n"),
    "a comment inside": (ONE + "    # until May\n\n# end\n", ONE + "    # until May\n" + BLOCK + "\n# end\n"),
    "a comment inside, not ended": (ONE + "   # until May", ONE + "   # until May\n" + BLOCK),
    "not indented": (f"version: 1\nkeys:\n- name: first\n  sha256: {A}\n", f"version: 1\nkeys:\n- name: first\n  sha256: {A}\n{FLAT}"),
    "not indented, first": (f"keys:\n- name: first\n  sha256: {A}\nversion: 1\n", f"keys:\n- name: first\n  sha256: {A}\n{FLAT}version: 1\n"),
    "deep": (f"version: 1\nkeys:\n      -  name: first\n         sha256: {A}\n", f"version: 1\nkeys:\n      -  name: first\n         sha256: {A}\n      - name: \"new\"\n        sha256: {B}\n"),
    "braces in a list": (f"version: 1\nkeys:\n  - {OLD}\n", f"version: 1\nkeys:\n  - {OLD}\n{BLOCK}"),
}  # fmt: skip


@each("shape", SHAPES)
def test_an_entry_is_added_as_the_list_is_written(shape: str) -> None:
    before, after = SHAPES[shape]
    assert with_entry(before, {"name": "new", "sha256": B}) == after


def test_a_name_is_written_as_it_was_given() -> None:
    assert 'name: "J\u00fcrgen \u6f22"\n' in with_entry(
        "", {"name": "J\u00fcrgen \u6f22", "sha256": B}
    )


@each("shape", SHAPES)
def test_an_entry_is_removed_and_nothing_else(shape: str) -> None:
    """Without the entry that was added, the file has the keys it had, and all its comments."""
    before, after = SHAPES[shape]
    left = without_entry(after, "new")
    document, found = parse_document("keys.yaml", left.encode())
    assert document is not None
    assert found == []
    first = [{"name": "first", "sha256": A}]
    assert document.data == {"version": 1, "keys": first if "first" in before else []}
    assert re.findall("#.*", left) == re.findall("#.*", before)
    assert ("\r\n" in left) == ("\r\n" in after)


THREE = f"""\
# who may call
keys: # three
  # the first
  - name: a   # a comment of it
    sha256: {A}
    models:
      - x
      - y
  # the second
  - {{name: b, sha256: {B}}} # by hand

  # the third
  - sha256: {"c" * 64}
    name: c
version: 1
"""


@each("name", ["a", "b", "c"])
def test_revoke_removes_the_lines_of_one_entry(name: str, tmp_path: Path) -> None:
    folder = write(tmp_path, keys=THREE)
    (folder / "keys.yaml").chmod(0o640)
    result = engine("keys", "revoke", name, "-C", folder)
    assert result.exit_code == 0, result.stderr
    gone = {"a": range(3, 8), "b": range(9, 10), "c": range(12, 14)}[name]
    lines = THREE.splitlines(keepends=True)
    assert (folder / "keys.yaml").read_text() == "".join(
        line for number, line in enumerate(lines) if number not in gone
    )
    assert stat.S_IMODE((folder / "keys.yaml").stat().st_mode) == 0o640
    assert sorted(os.listdir(folder)) == ["keys.yaml", "providers.yaml", "routes.yaml"]


def test_the_last_key_leaves_an_empty_list_and_a_new_one_fits_in(tmp_path: Path) -> None:
    folder = write(tmp_path, keys=ONE + "# end\n")
    assert engine("keys", "revoke", "first", "-C", folder).exit_code == 0
    assert (folder / "keys.yaml").read_text() == "version: 1\nkeys: []\n# end\n"
    assert engine("keys", "new", "again", "--write", "-C", folder).exit_code == 0
    assert engine("check", folder, "--fail-on", "warning").exit_code == 0


def test_a_name_that_is_there_twice_is_revoked_twice(tmp_path: Path) -> None:
    folder = write(tmp_path, keys=f"version: 1\nkeys:\n  - {OLD}\n  - {OLD.replace(A, B)}\n")
    assert engine("keys", "revoke", "first", "-C", folder).exit_code == 0
    assert (folder / "keys.yaml").read_text() == "version: 1\nkeys: []\n"


@each(
    ("text", "words"),
    [
        ("version: 1\nkeys:\n\t- name: first\n", "a tab is in the indentation"),
        ("version: 1\nkeys: [\n", "keys.yaml cannot be read"),
        ("version: 1\nkeys: first\n", "`keys:` in keys.yaml is not a list"),
        ("- a\n", "is not a mapping"),
        ("version: 1\nkeys: []\nkeys: []\n", "cannot be read"),
        ("keys: []\n", "has no `version`"),
        (ONE, "the name `first` is taken"),
        ("version: 1\nkeys: &a []\n", "anchors are not supported"),
        ("version: 1\nother: 1\n", "unknown key `other`"),
        ("{version: 1, keys: []}\n", "is in brackets or braces; write each key on a line of"),
        ("{version: 1}\n", "list of keys is in brackets"),
        (
            f"version: 1\nkeys: [{{name: other, sha256: {A}}}]\n",
            "list of keys is in brackets",
        ),
        ("version: 1\nkeys: [\n  # none\n]\n", "list of keys is in brackets"),
    ],
)
def test_a_file_that_cannot_take_it_is_left_alone(text: str, words: str, tmp_path: Path) -> None:
    folder = write(tmp_path, keys=text)
    result = engine("keys", "new", "first", "--write", "-C", folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())
    assert "('" not in result.stderr
    assert (folder / "keys.yaml").read_text() == text


def test_a_key_in_brackets_is_left_to_its_writer(tmp_path: Path) -> None:
    text = f"version: 1\nkeys: [{OLD}]\n"
    folder = write(tmp_path, keys=text)
    result = engine("keys", "revoke", "first", "-C", folder)
    assert result.exit_code == 2
    assert "write each key on a line of its own" in " ".join(result.stderr.split())
    assert (folder / "keys.yaml").read_text() == text


@each("text", [None, ONE, "version: 1\nkeys: []\n", "version: 1\n\tkeys: []\n"])
def test_revoking_what_is_not_there_changes_nothing(text: str | None, tmp_path: Path) -> None:
    folder = write(tmp_path, **({"keys": text} if text else {}))
    result = engine("keys", "revoke", "nobody", "-C", folder)
    assert result.exit_code == 2
    assert "keys.yaml" in result.stderr
    assert (folder / "keys.yaml").exists() == (text is not None)
    assert text is None or (folder / "keys.yaml").read_text() == text


def test_limits_and_expiry_are_written_and_listed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    words = ["--models", "gpt-4o-mini, text-*", "--models", "gpt-x", "--endpoints", "embeddings", "--expires", "2100-01-01"]  # fmt: skip
    made = engine("keys", "new", "agent", "--write", *words, "-C", folder)
    assert made.exit_code == 0, made.stderr
    view = view_of("keys", engine("keys", "list", "--format", "json", "-C", folder))
    assert view["keys"] == [
        {
            "name": "agent",
            "fingerprint": digest(made.stdout.strip())[:12],
            "endpoints": ["embeddings"],
            "models": ["gpt-4o-mini", "text-*", "gpt-x"],
            "expires": "2100-01-01",
            "expired": False,
        }
    ]
    assert engine("check", folder, "--fail-on", "warning").exit_code == 0


def test_days_from_now_are_a_date(tmp_path: Path) -> None:
    made = engine("keys", "new", "agent", "--expires", "90d", "-C", write(tmp_path))
    assert made.exit_code == 0
    assert "expires: 20" in made.stderr


@each(
    ("words", "reported"),
    [
        (("--expires", "soon"), "must be a date such as"),
        (("--expires", "2020-01-01"), "in the past"),
        (("--expires", "2030-02-30"), "must be a date such as"),
        (("--expires", "20300101"), "must be a date such as"),
        (("--endpoints", "embedings"), "did you mean `embeddings`?"),
        (("--endpoints", ","), "must be filled in, not empty"),
        (("--models", "a b"), "entry 1 of `models` of key entry 1 must be a model name"),
        (("--models", ""), "must be filled in, not empty"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(
    words: tuple[str, ...], reported: str, tmp_path: Path
) -> None:
    folder = write(tmp_path)
    result = engine("keys", "new", "agent", "--write", *words, "-C", folder)
    assert (result.exit_code, result.stdout) == (2, "")
    assert reported in " ".join(result.stderr.split())
    assert not (folder / "keys.yaml").exists()


def test_a_list_for_people_marks_what_has_expired(tmp_path: Path) -> None:
    text = ONE.replace(A, A + "\n    expires: 2020-01-01\n    models: [m-*]") + f"  - {{name: other, sha256: {B}}}\n"  # fmt: skip
    result = engine("keys", "list", "-C", write(tmp_path, keys=text))
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "name   sha256        expires             limits",
        "first  aaaaaaaaaaaa  2020-01-01 EXPIRED  limited to",
        "  models: m-*",
        "other  bbbbbbbbbbbb  never               none",
    ]


def test_a_list_of_nobody_and_of_a_broken_file(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert "there is no keys.yaml" in engine("keys", "list", "-C", folder).stderr
    write(folder, keys="version: 1\nkeys: []\n")
    assert engine("keys", "list", "-C", folder).stdout == "no keys: every request is refused\n"
    assert json.loads(engine("keys", "list", "--format", "json", "-C", folder).stdout)["keys"] == []
    write(folder, keys=ONE + "  - {name: other, sha: x}\n")
    result = engine("keys", "list", "-C", folder)
    assert result.exit_code == 1
    assert "first" in result.stdout
    assert "unknown key `sha`" in result.stderr

"""What stands where a file is looked for: it is named with its cause, and never waited for."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config.source.files import NotRegularError, read_file, unreadable_reason
from engine.server.reload import read_folder
from tests.tables import each
from tests.unit.config.folders import codes, only, provider, read, report, write

BEARER = {"authorization": "Bearer {{ credentials.api_key }}"}
TLS = {"base_url": "https://a.internal/v1"}


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        os.chdir(path.parent)  # the name of a socket is short
        bound.bind(path.name)


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "it is a named pipe, not a regular file"),
    "socket": (a_socket, "it is a socket, not a regular file"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a regular file"),
    "empty device": (lambda path: path.symlink_to("/dev/null"), "it is a device, not a regular file"),
    "folder": (Path.mkdir, "it is a directory, not a regular file"),
    "circle": (lambda path: path.symlink_to(path), "it is a link that leads back to itself"),
}  # fmt: skip
FILES = {
    "routes.yaml": "F001", "providers.yaml": "F001", "keys.yaml": "F001", "key": "E402", "ca.pem": "E406",
}  # fmt: skip


@each("name", FILES)
@each("kind", OTHERS)
def test_what_is_no_regular_file_is_told_at_once(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = provider(
        **TLS, credentials={"api_key": {"file": "key"}}, headers=BEARER, tls={"ca": "ca.pem"}
    )
    folder = write(tmp_path, providers=text)
    make, words = OTHERS[kind]
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    texts = read_folder(folder).texts
    assert name not in texts
    for overrides in (False, True):
        found = read(folder, overrides=texts if overrides else {}).diagnostics
        explain_syntax = next(d for d in found if d.code == FILES[name])
        assert words in explain_syntax.message
        assert str(folder) in explain_syntax.message


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(10**12)
    assert len(read_file(tmp_path / "large", 1000)) == 1001
    with pytest.raises(NotRegularError):
        read_file(Path("/dev/zero"))


def test_a_cause_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert (
        unreadable_reason(tmp_path / "dangling", FileNotFoundError())
        == "it is a link to a file that is not there"
    )
    assert "no permission" in unreadable_reason(tmp_path, PermissionError(13, "Permission denied"))


# -- the folder that is looked in ----------------------------------------------------------------


@each(
    ("name", "other"),
    [("providers.yaml", "providers.yml"), ("routes.yaml", "Routes.yaml"), ("routes.yaml", "route.yaml"),
     ("routes.yaml", "routes.yaml.txt"), ("keys.yaml", "keys.yml"), ("keys.yaml", "Keys.yaml")],
)  # fmt: skip
def test_a_file_of_another_name_is_named(name: str, other: str, tmp_path: Path) -> None:
    folder = write(tmp_path, keys="version: 1\nkeys: []\n")
    (folder / name).rename(folder / other)
    found = only(read(folder))
    assert found.code == "F001"
    assert found.message == f"there is no `{name}` in {folder}, only `{other}`"
    assert found.help == f"rename it to `{name}`; no other name is read"


@each("other", ["keys.yaml.bak", "keys.txt", "keys", "monkeys.yml"])
def test_what_has_another_purpose_is_left_alone(other: str, tmp_path: Path) -> None:
    (write(tmp_path) / other).write_text("")
    assert codes(read(tmp_path)) == []


def test_a_folder_above_or_below_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    inner = write(tmp_path / "config")
    for found in read(tmp_path).diagnostics:
        assert found.help == f"there is one in {inner}: give that folder to the command"
    (inner / "schemas").mkdir()
    assert str(inner) in read(inner / "schemas").diagnostics[0].help


def test_a_link_to_nothing_is_no_missing_file(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "keys.yaml").symlink_to("/nowhere/keys.yaml")
    found = only(read(folder))
    assert found.message == f"`keys.yaml` in {folder} is a link to a file that is not there"


# -- paths of credentials ------------------------------------------------------------------------


@each("optional", [False, True])
@each("path", ["~/key", "$HOME/key", "${HOME}/key", "~root/key", "%USERPROFILE%/key"])
def test_what_a_shell_would_expand_is_told(path: str, optional: bool, tmp_path: Path) -> None:
    credential = {"api_key": {"file": path, "optional": optional}}
    found = only(read(write(tmp_path, providers=provider(credentials=credential, headers=BEARER))))
    assert found.code == "E402"
    assert f"at {tmp_path}/{path}" in found.message
    assert found.help.endswith("write the whole path")


def test_a_secret_in_place_of_a_path_is_not_shown(tmp_path: Path) -> None:

    for secret in ("sk-proj-" + "a1B2c3D4" * 5, "a1B2c3D4" * 5, "dGhpcyBpcyBhIHNlY3JldCB2YWx1ZSAx"):
        text = provider(credentials={"api_key": {"file": secret}}, headers=BEARER)
        loaded = read(write(tmp_path, providers=text))
        assert codes(loaded) == ["E402"]
        assert secret not in report(loaded)

"""The texts of a configuration folder, and a finding for each that is not there or cannot be read."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path

from engine.config.diagnostics.diagnostic import Diagnostic, Position, Span
from engine.config.source.files import read_file, unreadable_reason

MAX_ENTRIES = 1000  # entries of a folder that are searched for a file of another name
_INIT = "`engine init DIR` writes a working configuration to start from"


def read_texts(
    directory: Path, names: Mapping[str, bool], overrides: Mapping[str, bytes | None]
) -> tuple[dict[str, bytes], list[Diagnostic]]:
    """The text of each file; `names` says of each whether it must be there.

    `overrides` holds texts that replace what is on disk; None for a file that is not there.
    """
    texts: dict[str, bytes] = {}
    found: list[Diagnostic] = []
    entries = cache(lambda: tuple(_entries(directory)))  # looked through once, and only if need be
    for name, is_needed in names.items():
        path = os.path.join(directory, name)  # as text, since paths take a twentieth of a load
        try:
            raw = overrides[name] if name in overrides else read_file(path)
        except FileNotFoundError:
            raw = None
        except OSError as error:
            words = f"`{name}` in {_shown(directory)} cannot be read: {unreadable_reason(Path(path), error)}"
            found.append(_at(name, words, "put the file there, or let this user read it"))
            continue
        if raw is not None:
            texts[name] = raw
        elif is_needed or os.path.islink(path) or _beside(entries(), name):
            found.append(_absent(directory, name, entries(), is_reported=name in overrides))
    return texts, found


def _absent(directory: Path, name: str, entries: Iterable[str], *, is_reported: bool) -> Diagnostic:
    where = _shown(directory)
    if not is_reported and not directory.is_dir():
        return _at(name, f"there is no folder {where} to read `{name}` from", _INIT)
    if (directory / name).is_symlink():
        words = f"`{name}` in {where} is a link to a file that is not there"
        return _at(name, words, "put the file there, or let the link lead to it")
    words = f"there is no `{name}` in {where}"
    if other := _beside(entries, name):
        return _at(
            name, f"{words}, only `{other}`", f"rename it to `{name}`; no other name is read"
        )
    if folder := _near(directory, name):
        return _at(name, words, f"there is one in {folder}: give that folder to the command")
    return _at(name, words, _INIT)


def _shown(directory: Path) -> str:
    return os.path.abspath(directory)


def _beside(entries: Iterable[str], name: str) -> str:
    """A file that was probably meant to have this name: other case, `.yml`, a doubled ending."""
    wanted = _stem(name)
    return next((n for n in entries if n != name and _stem(n) == wanted), "")


def _stem(name: str) -> str:
    """`Routes.yml`, `route.yaml` and `routes.yaml.txt` as `route`; "" for what is no such name."""
    words = name.casefold().removesuffix(".txt").split(".")
    if len(words) < 2 or any(ending not in ("yaml", "yml") for ending in words[1:]):
        return ""
    return words[0].removesuffix("s")


def _near(directory: Path, name: str) -> str:
    """A folder beside or around this one that has the file."""
    here = Path(_shown(directory))
    inside = (here / entry for entry in _entries(directory) if not entry.startswith("."))
    near = (folder for folder in (*inside, here.parent) if (folder / name).is_file())
    return str(next(near, ""))


def _entries(directory: Path) -> Iterator[str]:
    try:
        with os.scandir(directory) as entries:
            return iter(sorted(entry.name for entry in islice(entries, MAX_ENTRIES)))
    except OSError:
        return iter(())


def _at(name: str, message: str, fix_hint: str) -> Diagnostic:
    start = Position(1, 1)
    return Diagnostic("F001", message, Span(name, start, start), help=fix_hint)

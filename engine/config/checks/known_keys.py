"""Gateway keys that anybody would guess, told by the digest that keys.yaml has of them."""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from engine.config.checks.registry import CheckContext
from engine.config.diagnostics.diagnostic import Diagnostic, Place

# What is tried first by whoever looks for an open gateway: placeholders, examples, words of tests.
_GUESSES = Path(__file__).with_name("guesses.txt")
_ENDS = ("", "\n", "\r\n", " ")  # `echo test | sha256sum` hashes the end of the line as well


@cache
def _guessable() -> dict[str, str]:
    """What each digest is of, for a message."""
    guesses = _GUESSES.read_text("utf-8").split()
    words = dict.fromkeys(guesses, "a word that anybody would guess")
    words |= dict.fromkeys(("", '""', "''"), "an empty key")
    return {
        sha256((word + end).encode()).hexdigest(): what
        for word, what in words.items()
        for end in _ENDS
    }


def check_known_keys(context: CheckContext) -> Iterator[Diagnostic]:
    """Entries whose key is no secret."""
    for key in context.config.keys or ():
        what = _guessable().get(key.sha256)
        if what is not None:
            yield context.at(
                "X265",
                f"`sha256` of key `{key.name}` is the digest of {what}",
                "keys.yaml",
                (*key.at, "sha256"),
                Place.VALUE,
                help="make a key with `engine keys new NAME`",
            )

"""Gateway keys of keys.yaml: repeated, expired, or easy to guess."""

from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from engine.config.checks.limits import may_match
from engine.config.checks.registry import KEYS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.plan.suggest import nearest

# What is tried first by whoever looks for an open gateway: placeholders, examples, test values.
_GUESSES = Path(__file__).with_name("guesses.txt")
_ENDS = ("", "\n", "\r\n", " ")  # `echo test | sha256sum` hashes the line end as well


@check("X211")
def repeated_key(context: CheckContext) -> Iterator[Diagnostic]:
    names: set[str] = set()
    digests: set[str] = set()
    for key in context.config.keys or ():
        if key.name in names:
            message = f"the name `{key.name}` is given twice"
            yield context.at("X211", message, KEYS, (*key.at, "name"), EntryPart.VALUE)
        if key.sha256 in digests:
            message = f"key `{key.name}` repeats the digest of another key"
            yield context.at("X211", message, KEYS, (*key.at, "sha256"), EntryPart.VALUE)
        names.add(key.name)
        digests.add(key.sha256)


@check("X211", "X212")
def expiry(context: CheckContext) -> Iterator[Diagnostic]:
    for key in context.config.keys or ():
        at = (*key.at, "expires")
        if key.expiry_text is not None and key.expires is None:
            message = f"`expires` of key `{key.name}` is not a date such as 2027-01-01"
            yield context.at("X211", message, KEYS, at, EntryPart.VALUE)
        if key.expires is not None and key.expires <= context.now:
            yield context.at("X212", f"key `{key.name}` has expired", KEYS, at, EntryPart.VALUE)


@cache
def _guessable() -> dict[str, str]:
    """What each digest is of, for a message."""
    guesses = _GUESSES.read_text("utf-8").split()
    words = dict.fromkeys(guesses, "an easily guessed word")
    words |= dict.fromkeys(("", '""', "''"), "an empty key")
    return {
        sha256((word + end).encode()).hexdigest(): what
        for word, what in words.items()
        for end in _ENDS
    }


@check("X265")
def guessable_key(context: CheckContext) -> Iterator[Diagnostic]:
    for key in context.config.keys or ():
        what = _guessable().get(key.sha256)
        if what is not None:
            yield context.at(
                "X265",
                f"`sha256` of key `{key.name}` is the digest of {what}",
                KEYS,
                (*key.at, "sha256"),
                EntryPart.VALUE,
                help="make a key with `engine keys new NAME`",
            )


@check("X266")
def key_for_no_model(context: CheckContext) -> Iterator[Diagnostic]:
    config = context.config
    if "models" in config.incomplete or "endpoints" in config.incomplete or not config.rules:
        return
    names = [(rule.pattern, rule.is_prefix) for rule in config.rules]
    names += [(e.default_model, False) for e in config.endpoints if e.default_model]
    for key in config.keys or ():
        for index, pattern in enumerate(key.models or ()):
            if not any(may_match(pattern, *name) for name in names):
                message = f"key `{key.name}` is for model `{pattern}`, and no model rule takes that"
                shown = [f"{name}*" if is_prefix else name for name, is_prefix in names]
                at = (*key.at, "models", index)
                hint = nearest(pattern, shown)
                yield context.at("X266", message, KEYS, at, EntryPart.VALUE, hint=hint)

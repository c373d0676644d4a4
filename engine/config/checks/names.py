"""Characters of model names: invisible ones, ones that callers cannot send, ones that look like others."""

import unicodedata
from collections.abc import Iterator

from engine.config.checks.registry import KEYS, PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.schema.places import describe
from engine.config.source.document import Path
from engine.config.source.quotes import odd_quote

# Characters that are letters or marks by category and drawn as nothing.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(map(chr, range(0xFE00, 0xFE10)))  # fmt: skip
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u02d7\ufe58")
_LIKE_LATIN = frozenset(  # Cyrillic and Greek letters, and a few more
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d"
    "\u043a\u043c\u0442\u043f\u0433\u0432\u044c\u0410\u0412\u0415\u041a\u041c\u041d\u041e"
    "\u0420\u0421\u0422\u0425\u0423\u0406\u0408\u0405\u050c\u051a\u051c\u03b1\u03b5\u03bd"
    "\u03bf\u03c1\u03c4\u03c5\u03c7\u03b9\u03ba\u03b3\u0391\u0392\u0395\u0396\u0397\u0399"
    "\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u0131\u0261\u0251"
)


@check("X273", "X274")
def confusing_name(context: CheckContext) -> Iterator[Diagnostic]:
    """Names of models, in all files."""
    for file, path, name in _names(context):
        if (name.isascii() and name.isprintable()) or _is_in_odd_quotes(context, file, path, name):
            continue
        where = describe(context.documents[file].data, path).replace(name, _shown(name))
        odd = next((c for c in name if _is_invisible(c)), None)
        alike = _lookalike(name)
        if odd is not None:
            message = f"{where} has {_call(odd)}, which is invisible"
            yield context.at(
                "X273", message, file, path, EntryPart.VALUE, help="type the name again, without it"
            )
        elif unicodedata.normalize("NFC", name) != name:
            message = f"{where} has a letter in decomposed form, which is a different name"
            yield context.at(
                "X273", message, file, path, EntryPart.VALUE, help="type the name again"
            )
        elif alike is not None:
            message = f"{where} has {_call(alike)}, which looks like another character"
            yield context.at(
                "X274", message, file, path, EntryPart.VALUE, help="type the name again, in ASCII"
            )
        elif path[-1] in ("prefix", "default_model") and not name.isascii():
            message = f"{where} has characters outside ASCII, and a request with them is refused"
            help_text = "write a name in ASCII; only a rule for an exact model may have others"
            yield context.at("X273", message, file, path, EntryPart.VALUE, help=help_text)


def _names(context: CheckContext) -> Iterator[tuple[str, Path, str]]:
    config = context.config
    for rule in config.rules:
        yield ROUTES, (*rule.at, "prefix" if rule.is_prefix else "model"), rule.pattern
        for rule_target in rule.targets or ((rule,) if rule.rename else ()):
            if rule_target.rename is not None:
                yield ROUTES, (*rule_target.at, "as"), rule_target.rename
    for endpoint in config.endpoints:
        if endpoint.default_model is not None:
            yield ROUTES, (*endpoint.at, "default_model"), endpoint.default_model
    for provider in config.providers:
        for index, name in enumerate(provider.models):
            yield PROVIDERS, (*provider.at, "models", index), name
    for key in config.keys or ():
        for index, name in enumerate(key.models or ()):
            yield KEYS, (*key.at, "models", index), name


def _is_in_odd_quotes(context: CheckContext, file: str, path: Path, name: str) -> bool:
    """Whether Y009 already reports typographic quotes around the name."""
    odd = odd_quote(name)
    if odd is None or odd.code != "Y009":
        return False
    start = context.span(file, path, EntryPart.VALUE).start
    return context.documents[file].lines[start.line - 1][start.column - 1] == name[0]


def _is_invisible(character: str) -> bool:
    return character in _BLANK or not (character.isprintable())


def _lookalike(name: str) -> str | None:
    """A character that people read as another one."""
    odd = [c for c in name if not c.isascii()]
    always = [c for c in odd if c in _DASHES or unicodedata.normalize("NFKC", c).isascii()]
    if always:
        return always[0]
    alike = [c for c in odd if c in _LIKE_LATIN]
    is_mixed = any(c.isascii() and c.isalpha() for c in name) or len(alike) == len(odd)
    return alike[0] if alike and is_mixed else None


def _call(character: str) -> str:
    return f"U+{ord(character):04X} ({unicodedata.name(character, 'no name').lower()})"


def _shown(name: str) -> str:
    return "".join(c if not _is_invisible(c) else f"<U+{ord(c):04X}>" for c in name)

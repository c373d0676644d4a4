"""Origins of `cors:` that no browser sends, and those that allow more or less than intended.

An origin is compared with a request's byte for byte, so one that is spelt otherwise allows nobody.
"""

import re
from collections.abc import Iterator

from engine.config.checks.registry import ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.source.document import Path

_ANY = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_USUAL_PORT = re.compile(r"(?<=\Ahttp:)(//[^/]*):0*80\Z|(?<=\Ahttps:)(//[^/]*):0*443\Z")
_AFTER_HOST = re.compile(r"(?<=[^:/])[/?#].*", re.DOTALL)
_CODE = "X250"
_WRITE = (
    "write scheme and host, and the port where it is not the usual one: https://app.example.com"
)
# The first that is found in an origin is what is wrong with it.
_WRONG = (
    (r"\Anull\Z", "X252", "is `null`",
     "every page without an origin sends that, also those of others: serve the page from a host and name it"),
    (r"\*", "X251", "has `*`", "name every host; `*` alone allows every page"),
    (r",|\S\s+\S", _CODE, "has more than one", "write each as an item of the list"),
    (r"[^!-~]", _CODE, "has a space or a character that no origin can have", f"{_WRITE}; a name with other letters in its xn-- form"),
    (r"\A(?![^/]*://)", _CODE, "has no scheme", _WRITE),
    (r"@", _CODE, "has a user", _WRITE),
    (r"(?<=[^:/])/\Z", _CODE, "ends in a slash", _WRITE),
    (_AFTER_HOST.pattern, _CODE, "has a path", f"{_WRITE}; it counts for all pages of the host"),
    (r"[A-Z]", _CODE, "is not in lower case", _WRITE),
    (_USUAL_PORT.pattern, _CODE, "has the usual port, which browsers leave out", _WRITE),
    (r"", _CODE, "is no origin", _WRITE),
)  # fmt: skip


@check("X250", "X251", "X252", "X253", "X254")
def bad_origin(context: CheckContext) -> Iterator[Diagnostic]:
    """Which pages may call from a browser."""
    cors = context.config.cors
    if cors is None:
        return
    seen: set[str] = set()
    for index, origin in enumerate(cors.origins):
        at: Path = ("cors", "origins", index)
        if origin in seen:
            yield _describe(context, "X253", "is listed twice", at, help="leave one of them out")
        elif origin == _ANY:
            help_text = "name the pages, if you know them; a comment can accept this finding: engine explain X291"
            yield _describe(context, "X254", "allows every page", at, help=help_text)
        elif not _is_one(origin):
            yield _misspelt(context, origin, at)
        elif _ANY in cors.origins:
            yield _describe(
                context,
                "X253",
                "adds nothing to `*` where keys are required",
                at,
                help="leave `*` or this one out",
            )
        seen.add(origin)


def _is_one(origin: str) -> bool:
    return _ORIGIN.fullmatch(origin) is not None and not _USUAL_PORT.search(origin)


def _misspelt(context: CheckContext, origin: str, at: Path) -> Diagnostic:
    code, words, help_text = next(row[1:] for row in _WRONG if re.search(row[0], origin, re.DOTALL))
    return _describe(context, code, words, at, help=help_text, hint=_respelt(origin))


def _respelt(origin: str) -> str | None:
    """The intended origin, where it is clear and needs no quotes in YAML."""
    text = origin.strip().lower()
    if re.fullmatch(r"[a-z0-9.-]+\.[a-z]{2,}/?", text):
        text = f"https://{text}"
    elif re.match(r"(localhost|127\.0\.0\.1)(?![^:/])", text):
        text = f"http://{text}"
    text = _AFTER_HOST.sub("", text)
    text = _USUAL_PORT.sub(lambda found: found[1] or found[2], text)
    return text if _is_one(text) and "[" not in text else None


def _describe(  # noqa: PLR0913 the parts of a finding
    context: CheckContext,
    code: str,
    words: str,
    at: Path,
    *,
    help: str,  # noqa: A002 the field's name
    hint: str | None = None,
) -> Diagnostic:
    message = f"origin {int(at[-1]) + 1} of `cors` {words}"
    return context.at(code, message, ROUTES, at, EntryPart.VALUE, help=help, hint=hint)

"""The lines of a text that is not YAML, safe to show: what may be a secret is replaced by stars.

In a document the path says which value is a secret. A broken text has no paths, so only words that
cannot be a secret are kept: keys, paths, URLs, names of variables, of providers and of
models, and plain short words.
"""

import re

from engine.config.source.secret_shapes import has_key, has_random_token

MAX_KEY = 40
# The last are what is written for `,`, `:` and quotes by mistake.
_WORD = re.compile(r"""[^\s{}\[\],:"'#|=\uff01-\uff5e\u2018-\u201f]+""")
_HARMLESS = re.compile(
    r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"  # SOME_API_KEY
    r"|[A-Za-z_]{1,12}|[A-Za-z]{1,20}(?:[_./]+[A-Za-z]{1,20})*"
    r"|/[A-Za-z0-9_./-]*|//[a-z0-9.-]+(?:/[a-z0-9_./-]*)?"
    r"|[0-9]{1,6}(?:ms|s|m|h|B|KiB|MiB|GiB)?|[-*?&!%@`<>=+]{1,8}(?:[A-Za-z_-]{1,12})?"
)
# acme/, acme-4o-mini, our-embedding-, acme-3-5-large-20241022: words and short numbers, few digits.
_PART = r"(?:[A-Za-z]{1,14}|[A-Za-z]{0,5}[0-9]{1,2}|[A-Za-z]?[0-9]{1,3}[A-Za-z]{0,2}|20[0-9]{6})"
_NAME = re.compile(
    r"(?!(?:sk|pk|rk|gsk|hf|ghp)[-_])(?!(?:[^0-9]*[0-9]){11})(?=.{1,48}\Z)"
    rf"@?{_PART}(?:[-_./]{{1,2}}{_PART})*[-_./]?",
    re.IGNORECASE,
)
# A number of tokens, as in max_tokens, is no secret.
_SECRETIVE = re.compile(
    r"(?i)(?:key|(?<!count_)(?<!max_)token|secret|passw|digest|sha256|credential|authorization)"
)
_INNOCENT = re.compile(
    r"env|file|optional|true|false|credentials|variables|Bearer|[.A-Z0-9_]+|\w+\.\w+"
)
_PATH = re.compile(
    r"(?:[~$%./\\]|[A-Za-z]:[\\/]|[A-Za-z0-9._-]{1,40}[\\/]|[A-Za-z0-9_-]{1,40}\.[A-Za-z]{1,8}\Z)"
    r"[A-Za-z0-9_ ~$%{}.,:@+=/\\-]*"
)


def is_path(text: str) -> bool:
    """Whether `text` is surely a path, and may be shown where a secret could be as well."""
    parts = re.split(r"[/\\.]", text)
    return (
        _PATH.fullmatch(text) is not None
        and not any(map(has_random_token, parts))
        and not has_key(text)
    )


def mask_lines(lines: tuple[str, ...]) -> tuple[str, ...]:
    """`lines` with each word that may be secret replaced by as many stars."""
    return tuple(_shown(line) for line in lines)


def _shown(line: str) -> str:
    secretive = _SECRETIVE.search(line)
    limit = secretive.end() if secretive else len(line)
    first = len(line) - len(line.lstrip(" -{"))

    def word(found: re.Match[str]) -> str:
        text = found[0]
        is_key = found.start() == first or line[found.end() : found.end() + 1] == ":"
        kept = _HARMLESS if found.start() < limit else _INNOCENT
        core = text.rstrip(";")  # written for a comma
        is_name = found.start() < limit and _NAME.fullmatch(core)
        names = is_key and len(text) <= MAX_KEY and not has_key(text)
        is_shown = kept.fullmatch(core) or is_name or names
        return text if is_shown else "*" * len(text)

    return _WORD.sub(word, line)

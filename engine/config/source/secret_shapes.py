"""What secrets look like: the shapes of well-known keys (key_shapes.txt), and tokens that look drawn at random.

`KEY` is certain enough to be an error. `SECRET` is for hiding: it also matches values that are not secrets.
"""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from engine.config.diagnostics.diagnostic import Diagnostic

_START = r"(?<![A-Za-z0-9_-])"
_SHAPES = [
    line
    for line in Path(__file__).with_name("key_shapes.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
KEY = re.compile(
    _START
    + "(?:"
    + "|".join(_SHAPES)
    + r")|-----BEGIN [A-Z0-9 ]*PRIVATE KEY"
    + r"|(?i:AccountKey|SharedAccessKey|password|passwd|pwd)=[^\s;&{}]{8,}"
    + r"|(?<=://)[^\s/?#\"'@:]+:[^\s/?#\"'@{}]+(?=@)"
)

# What keys of well-known services look like, long mixed tokens that can only be one, and what stands
# before the host of a URL. A token is matched from its beginning only: a line of a megabyte takes
# no longer than its length.
SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|ghp|xai|AKIA|AIza|eyJ)[-_A-Za-z0-9.]{12,}[A-Za-z0-9+/_=.-]*"
    r"|(?<![A-Za-z0-9+/_=-])"
    r"(?=[A-Za-z0-9+/_=-]*[0-9])(?=[A-Za-z0-9+/_=-]*[A-Za-z])[A-Za-z0-9+/_=-]{32,}"
    r"|(?<=://)[^\s/?#\"']+(?=@)"
    r"|(?<=Basic )[A-Za-z0-9+/]{6,}={0,2}|(?<=basic )[A-Za-z0-9+/]{6,}={0,2}"
    r"|" + KEY.pattern
)

_RUN = re.compile(r"[A-Za-z0-9+/]+")
_UUID = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])"
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{40}(?![A-Za-z0-9+/=])")  # as AWS makes them
_REVEALING = re.compile(
    r"(?:^|[-_.])(?:authorization|auth|cookie|password|passwd|secret|credentials?|sig|signature"
    r"|(?:api|app|access|secret|subscription|account|function|functions|shared|service|private)?[-_]?key"
    r"|(?:access|auth|id|bearer|session|refresh|security|api|bot|private)?[-_]?token)$",
    re.IGNORECASE,
)
_BASIC = re.compile(r"(?i:basic)\s+([A-Za-z0-9+/]{6,}={0,2})")
TOKEN, RANDOM = 12, 32  # characters


def names_secret(name: str) -> bool:
    """Whether what is called `name` holds a secret, as `authorization` and `x-api-key` do."""
    return _REVEALING.search(name) is not None


def has_key(text: str) -> bool:
    """Whether `text` has a key of a well-known shape."""
    return KEY.search(text) is not None or _is_basic(text)


def without_keys(text: str) -> str:
    """`text` with each key of a well-known shape masked, for messages: a name may be one by mistake."""
    return KEY.sub("***", text)


def masked(found: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """The same, with such keys masked in what they say."""
    for each in found:
        yield replace(each, message=without_keys(each.message), help=without_keys(each.help))


def has_token(text: str) -> bool:
    """Whether some token in `text` looks random; for a place whose name suggests a secret."""
    return bool(_UUID.search(text)) or any(
        len(run) >= TOKEN and _has(run, "[0-9]", "[A-Za-z]") for run in _RUN.findall(text)
    )


def has_random_token(text: str) -> bool:
    """The same for any other place, where ids, hosts and names of models are long and mixed too."""
    runs = [run for run in re.findall("[A-Za-z0-9]+", text) if len(run) >= RANDOM]
    return any(_has(run, "[0-9]", "[A-Z]", "[a-z]") for run in [*runs, *_BASE64.findall(text)])


def _has(run: str, *kinds: str) -> bool:
    return all(re.search(kind, run) for kind in kinds)


def _is_basic(text: str) -> bool:
    """Whether it is a user and a password for HTTP Basic authentication."""
    found = _BASIC.fullmatch(text.strip())
    try:
        return found is not None and b":" in base64.b64decode(found[1])
    except ValueError:
        return False

"""What is wrong with a value that the environment or a file gives: a secret, or a part of a URL.

Every function returns text that follows the name of the variable, "" when nothing is wrong. The
text never contains the value.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from engine.config.source.url_text import HOST, url_text_problem

_QUOTES = "\"'`\u201c\u201d\u2018\u2019\xab\xbb"
UNEXPANDED = re.compile(
    r"\$[A-Za-z_]\w*|\$\{[^{}]*\}|\$\([^()]*\)|(?<!\{)\{\s*[A-Za-z_][\w.:-]*\s*\}|%[A-Za-z_]\w{3,}%"
    r"|<[A-Za-z][\w .-]*>|\b(?:env|secret|vault|file):(?!//)[A-Za-z_/][\w/.-]*|\bop://\S+"
    r"|\bos\.environ\b|\bprocess\.env\b|\bENC\["
)
_PLACEHOLDER = re.compile(
    r"(?i)(?:[a-z]{2,4}[-_](?:ant[-_]|proj[-_])?)?"
    r"(?:(?:your|insert|replace|put|enter|paste)[-_ .]?[a-z][a-z0-9_ .-]*|change[-_ ]?(?:me|it|this)"
    r"|(?:x{3,}[-_]?)+|\.{3,}|…+|\*{3,}|-{3,}|to[-_]?do|tbd|placeholder|secret|password|undefined|null"
    r"|none|nil|n/a|dummy|fake|fixme|my[-_ ]?(?:api[-_ ]?)?key|__[a-z0-9_]+__"
    r"|(?:[a-z]+[-_ ])?api[-_ ]?key(?:[-_ ]?here)?|(?:sk-)?1234567890?|abc123)"
)
_PATH_OF_FILE = re.compile(
    r"@?(?:file:/|~/|\.{1,2}/|/(?:run|var|etc|home|opt|mnt|tmp|usr|root|srv|app|secrets?|data|vault|Users|private)/)\S*"
    r"|@/\S+|[A-Za-z]:\\\S+"
)
_IN_A_STORE = re.compile(r"arn:aws[\w-]*:(?:secretsmanager|ssm):\S+|projects/[^/\s]+/secrets/\S+")
_UNFILLED = re.compile(
    r"(?i)(?:your|insert|replace|enter)[-_][a-z0-9_-]+|change-?me|x{3,}|placeholder|to-?do|tbd"
    r"|(?:resource|project|account)[-_]?name"
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LONGEST_LABEL = 63
_PATH = re.compile(r"[A-Za-z0-9._~:@!$&'()*+,;=%-]+(?:/[A-Za-z0-9._~:@!$&'()*+,;=%-]+)*")
WANTED = {
    "label": "a part of the host name", "host": "a host name", "path": "a part of the path",
    "URL": "a base URL such as https://host/v1",
}  # fmt: skip


def written_badly(value: str) -> str:
    """What is wrong with any value, whatever it is for."""
    text = value.strip()
    if text != value:
        return "begins or ends with a space or a line break"
    if text.startswith("\ufeff"):
        return "begins with a byte order mark"
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "is in quotes, which are a part of it"
    if re.search(r"[\x00-\x1f\x7f]", text):
        return "has a line break or another control character"
    return "" if text.isascii() else "has characters outside ASCII"


def secret_problem(value: str, *, adds_scheme: bool, is_file: bool = False) -> str:  # noqa: PLR0911 one line a refusal
    """What is wrong with a secret; `adds_scheme`: the header says `Bearer` itself; `is_file`: it names a file."""
    if words := written_badly(value):
        return words
    if not is_file and _PATH_OF_FILE.fullmatch(value):
        return "is the path of a file, not a key (a key in a file is `file:` in providers.yaml)"
    if _IN_A_STORE.fullmatch(value):
        return "is the name of a secret in a store, not the secret"
    if re.match(r"(?i)(?:bearer|basic|token)\s", value):
        return "begins with `Bearer `, which the header adds itself" if adds_scheme else ""
    if re.match(r"(?:export )?[A-Z][A-Z0-9_]*=", value):
        return "begins with the name of a variable and `=`"
    is_json = re.match(r"\{\s*[\"}]", value)
    if re.search(r"\{\{.*\}\}", value) or (UNEXPANDED.search(value) and not is_json):
        return "has the name of another variable, which is not filled in"
    if _PLACEHOLDER.fullmatch(value):
        return "is a placeholder, not a key"
    if value[-1] in ",;":
        return "ends with a comma or a semicolon"
    return "has a space" if re.search(r"\s", value) and not is_json else ""


def part_of(source: str, name: str) -> tuple[str, str]:
    """Which part of a URL template the variable `name` is, and the literal text that follows."""
    found = re.search(rf"\{{\{{[^{{}}]*\bvariables\.{re.escape(name)}\b[^{{}}]*\}}\}}", source)
    if found is None or "|" in found[0]:
        return "", ""
    before, after = source[: found.start()], source[found.end() :]
    follows = after.partition("{{")[0]
    if not before:
        return "URL", follows
    if not re.fullmatch(r"https?://[^/]*", before):
        return "path", follows
    alone = before.endswith("://") and follows[:1] in ("", "/", ":") and not after.startswith("{{")
    return ("host" if alone else "label"), follows


def part_problem(kind: str, value: str, follows: str) -> str:  # noqa: PLR0911 one line a refusal
    """What is wrong with `value` as a part of a URL; `follows` is the text after it."""
    if words := written_badly(value):
        outside = " (a host is written in its xn-- form)" if kind != "path" else ""
        return words + (outside if "ASCII" in words else "")
    if kind == "URL":
        return url_text_problem(value)
    if "://" in value:
        return "is a whole URL"
    if "@" in value and kind != "path":
        return "has a user or a password"
    if kind == "path":
        ok = _PATH.fullmatch(value) and not {".", ".."} & set(value.split("/"))
        return (
            ""
            if ok
            else "has a character that no path can have, such as a space, `?`, `#` or an extra slash"
        )
    if "/" in value:
        return "has a path as well"
    suffix = follows.partition("/")[0]
    if kind == "label" and suffix and value.endswith(suffix):
        return "is the whole host name"
    if kind == "host" and suffix.startswith(":") and re.search(r":\d+$", value):
        return "has a port, which the URL adds"
    if any(len(part) > _LONGEST_LABEL for part in value.split(".")):
        return f"has a part of more than {_LONGEST_LABEL} characters, which no host name can have"
    shape = _LABEL if kind == "label" else HOST
    return "" if shape.fullmatch(value) else "has a character that no host name can have"


def is_unfilled(value: str) -> bool:
    """Whether a part of a URL or a header is a placeholder copied from an example."""
    return any(_UNFILLED.fullmatch(part) for part in re.split(r"[\s./:]+", value))


def is_loopback(host: str) -> bool:
    """Whether what is sent to `host` stays on this host, as far as its name says."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def endpoint_twice(value: str, follows: str, path: str) -> str:
    """The end of `value` that is repeated by `follows` and `path`, which are added to it."""
    whole = repeated(value, follows + path) or repeated(value, follows)
    last = repeated(value, path)
    return whole or (last if last == path else "") or repeated(value + follows, path)


def repeated(first: str, then: str) -> str:
    """The end of the path of `first` that is also the start of `then`, as a path."""
    try:
        base = [part for part in urlsplit(first).path.split("/") if part]
    except ValueError:
        return ""
    own = [part for part in then.split("/") if part]
    for length in range(min(len(base), len(own)), 0, -1):
        if base[-length:] == own[:length]:
            return "/" + "/".join(own[:length])
    return ""

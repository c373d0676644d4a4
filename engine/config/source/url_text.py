"""What is wrong with the text of a URL: words that follow its name and quote no part of it."""

import re
from urllib.parse import urlsplit

# The first pattern that matches the start of a URL says what is wrong with it.
_SHELL = "has a variable of a shell, which is not filled in"
_PROBLEMS = tuple(
    (re.compile(pattern, re.DOTALL), problem)
    for pattern, problem in (
        (r"https?:/*https?:", "has its scheme twice"),
        (r"(?!https?://)(?i:https?://)", "has its scheme in capitals"),
        (r"(?!https?://)", "does not begin with https:// or http://"),
        (r"https?://(?:[:/?#]|\Z)", "has no host"),
        (r"[^/]*//[^/?#]*@", "has a user or a password"),
        (r".*[?#]", "has a query or a fragment"),
        (r".*\s", "has a space"),
        (r"[^/]*//[^/]*\$|.*\$\{", _SHELL),
    )
)
HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)


def url_text_problem(url: str) -> str:
    """What is wrong with the URL of a server, "" when nothing is."""
    for pattern, problem in _PROBLEMS:
        if pattern.match(url):
            return problem
    try:
        parts = urlsplit(url)
    except ValueError:
        return "has brackets that are not those of an IPv6 address"
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        return "has a port that is not a number from 1 to 65535"
    return "" if HOST.fullmatch(parts.netloc) else "has a host that is not a valid name or address"


def url_advice(problem: str) -> str:
    """What to write instead of the URL of a provider that has this problem."""
    if "query" in problem:
        return "write a query under `query:` of each endpoint"
    if problem == _SHELL:
        return "write `{{ variables.host }}` there, and `variables: {host: {env: NAME}}` beside it"
    return "write a URL such as https://api.example.com/v1"

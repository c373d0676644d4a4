"""A path to the endpoint it stands for, and the error with a hint if there is none.

One spelling of a path is the only one: nothing is decoded and nothing is normalised, but for hints.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from engine.gateway.errors import GatewayError
from engine.plan.plan import Dialect, Endpoint, Plan
from engine.plan.suggest import nearest

MAX_MODEL = 256  # characters
_PLACE = b"{model}"
_ESCAPED = re.compile(rb"(?:[^%]|%[0-9A-Fa-f]{2})+")
_LONGEST_HINTED = 256


@dataclass(frozen=True, slots=True)
class EndpointMatch:
    """An endpoint, and the model if the path names it."""

    endpoint: Endpoint
    model: str | None


def is_model(text: str) -> bool:
    """Whether `text` can name a model: 1 to MAX_MODEL visible ASCII characters without spaces.

    Asked of each request, so without the engine of regular expressions, which nothing else there needs.
    """
    is_short = 0 < len(text) <= MAX_MODEL
    return is_short and text.isascii() and text.isprintable() and " " not in text


def match_endpoint(plan: Plan, method: str, path: bytes, *, hint: bool = True) -> EndpointMatch:
    """The endpoint at exactly `path`.

    `hint` searches for the nearest known path, which costs far more than all the rest.

    Raises:
        GatewayError: `unknown_path`, `not_exposed`, `method_not_allowed` or `invalid_model`.
    """
    methods, segment = _at(plan, path)
    if methods is not None and method in methods:
        return EndpointMatch(methods[method], None if segment is None else _model(segment))
    if hint and methods is None:
        _refuse_spelling(plan, path)
    for refusal in plan.refusals:
        hit = path.startswith(refusal.path) if refusal.is_prefix else path == refusal.path
        if hit and (not refusal.methods or method in refusal.methods):
            raise GatewayError(
                "not_exposed", f"this gateway does not offer this path: {refusal.reason}"
            )
    if methods is not None:
        raise _not_allowed(", ".join(sorted(methods)))
    if plan.listing is not None and plan.listing.requested(path) is not None:
        raise _not_allowed("GET, HEAD")
    words = "this gateway has no such path"
    near = _near(plan, path) if hint else None
    raise GatewayError("unknown_path", f"{words}; did you mean {near}?" if near else words)


def dialect_of(plan: Plan, path: bytes) -> Dialect | None:
    """The dialect of the endpoint at `path`, or of the one above it."""
    methods, _ = _at(plan, path)
    if methods is None:
        above = [known for known in plan.endpoints if path.startswith(known + b"/")]
        methods = plan.endpoints[max(above, key=len)] if above else {}
    return next((endpoint.dialect for endpoint in methods.values()), None)


def _at(plan: Plan, path: bytes) -> tuple[Mapping[str, Endpoint] | None, bytes | None]:
    """The endpoints at `path` by method, and the segment that stands for the model if one does.

    One lookup for each depth at which models stand, however many paths there are.
    """
    methods = plan.endpoints.get(path)
    if methods is not None and _PLACE not in path:
        return methods, None
    for depth in plan.model_depths:
        parts = path.split(b"/", depth + 1)
        if len(parts) > depth and parts[depth] not in (b"", b".", b".."):
            segment, parts[depth] = parts[depth], _PLACE
            methods = plan.endpoints.get(b"/".join(parts))
            if methods is not None:
                return methods, segment
    return None, None


def _model(segment: bytes) -> str:
    """The model in a segment, decoded once; the same names as in a body."""
    text = unquote_to_bytes(segment).decode("latin-1")
    if not _ESCAPED.fullmatch(segment) or text in (".", "..") or not is_model(text):
        words = "the model in the path must be 1 to 256 visible ASCII characters, percent-encoded"
        raise GatewayError("invalid_model", words, param="model")
    return text


def _not_allowed(allowed: str) -> GatewayError:
    headers = ((b"allow", allowed.encode("ascii")),)
    return GatewayError("method_not_allowed", f"this path allows {allowed}", headers=headers)


# -- hints ---------------------------------------------------------------------------------------


def _known(plan: Plan) -> Iterator[str]:
    yield from (known.decode("ascii") for known in plan.endpoints)
    if plan.listing is not None:
        yield from (known.decode("ascii") for known in plan.listing.paths)


def _refuse_spelling(plan: Plan, path: bytes) -> None:
    """Refuse another spelling of a known path, before a reason is given that is not the true one."""
    words, plain = "this gateway has no such path; write it ", _plain(path)
    bare = path.rstrip(b"/")
    if bare != path and _at(plan, bare)[0] is not None:
        raise GatewayError("unknown_path", words + "without the slash at the end")
    known = set(_known(plan))
    for spelling in (plain, plain + "/"):
        if spelling in known and spelling.encode("ascii") != path:
            raise GatewayError("unknown_path", f"{words}as {spelling}")


def _plain(path: bytes) -> str:
    """`path` as it is usually written: decoded, in lower case, single slashes, one in front and none at the end."""
    text = unquote_to_bytes(path[:_LONGEST_HINTED]).decode("latin-1").lower()
    return re.sub(r"[/\\]+", "/", "/" + text.partition(";")[0]).rstrip("/")


def _near(plan: Plan, path: bytes) -> str | None:
    """The known path that `path` has a start too many or too few for, or that is most similar to it."""
    plain, known = _plain(path), list(_known(plan))
    longer = [each for each in known if plain.endswith(each)]
    shorter = [each for each in known if plain and each.endswith(plain)]
    return (
        max(longer, key=len, default=None)
        or min(shorter, key=len, default=None)
        or nearest(plain[: _LONGEST_HINTED // 2], known)
    )

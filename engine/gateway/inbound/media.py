"""Reads a content-type by its grammar (RFC 9110, 5.6 and 8.3), and spells it for the provider.

What goes up is the gateway's own spelling of what it has understood, so that no other reader finds
a parameter in it that was not one here.
"""

import re

from engine.gateway.errors import GatewayError

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA = re.compile(rb"(%b/%b)[ \t]*" % (_TOKEN, _TOKEN))
_PARAMETER = re.compile(rb';[ \t]*(?:(%b)=(?:(%b)|"([^"\\]*)"))?[ \t]*' % (_TOKEN, _TOKEN))
_JSON = re.compile(rb"application/(?:[a-z0-9.-]+\+)?json")
_FORM = b"multipart/form-data"
# Without what some readers cut it at or take for a charset: a comma, a space, a quote and `boundary=`.
_BOUNDARY = re.compile(rb"(?i:(?!.*boundary=)[0-9a-z()+_./:=?-]{1,70})")
UTF_8 = frozenset({b"utf-8", b"utf8"})


def _parsed(content_type: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
    """The media type and its parameters; None when it is not as it must be, or names one twice."""
    found = _MEDIA.match(content_type)
    if found is None:
        return None
    parameters: dict[bytes, bytes] = {}
    position = found.end()
    while position < len(content_type):
        parameter = _PARAMETER.match(content_type, position)
        if parameter is None:
            return None
        position = parameter.end()
        name, token, quoted = parameter.groups()
        if name is None:
            continue
        if name.lower() in parameters or b"*" in name:
            return None
        parameters[name.lower()] = quoted if token is None else token
    return found[1].lower(), parameters


def kind_of(content_type: bytes) -> str | None:
    """What body a content-type stands for, `json` or `form`; None when it stands for neither.

    A charset must be UTF-8, which is what JSON and the names of a form are read as.
    """
    if len(content_type) > 1024:
        return None
    parsed = _parsed(content_type)
    if parsed is None:
        return "form" if content_type.lower().startswith(_FORM) else None
    media, parameters = parsed
    if media == _FORM:
        return "form"
    is_utf_8 = parameters.get(b"charset", b"utf-8").lower() in UTF_8
    return "json" if is_utf_8 and _JSON.fullmatch(media) else None


def find_boundary(content_type: bytes) -> bytes:
    """The boundary of a form (RFC 2046, 5.1.1), given exactly once, and read alike by all.

    Raises:
        GatewayError: `invalid_form`.
    """
    media, parameters = _parsed(content_type) or (b"", {})
    boundary = parameters.get(b"boundary", b"")
    if media != _FORM or not _BOUNDARY.fullmatch(boundary):
        words = "the content-type of a form needs one boundary, of 1 to 70 letters, digits and ()+_./:=?-"
        raise GatewayError("invalid_form", words)
    if parameters.get(b"charset", b"utf-8").lower() not in UTF_8:
        raise GatewayError("invalid_form", "the charset of a form must be UTF-8")
    return boundary


def normalized(content_type: bytes) -> bytes:
    """A content-type as it goes to the provider: what was understood of it, and nothing else.

    One that is not understood stays as it is, for `find_boundary` to refuse.
    """
    media, parameters = _parsed(content_type) or (content_type, {})
    boundary = parameters.get(b"boundary")
    if media != _FORM:
        return media
    if boundary is None or parameters.get(b"charset", b"utf-8").lower() not in UTF_8:
        return content_type
    is_token = re.fullmatch(_TOKEN, boundary) is not None
    return media + b"; boundary=" + (boundary if is_token else b'"%b"' % boundary)


def is_plain_text(content_type: bytes) -> bool:
    """Whether a part of a form is text in UTF-8 or ASCII, and nothing that is decoded once more."""
    parsed = _parsed(content_type) if len(content_type) <= 1024 else None
    if parsed is None or parsed[0] != b"text/plain":
        return False
    return parsed[1].get(b"charset", b"utf-8").lower() in UTF_8 | {b"us-ascii", b"ascii"}

"""Reads the header of one part of a form, by what all readers of forms agree on.

Names of files are bytes that pass as they are. What decides is the name of the part: it is there
once, plain, and nothing that another reader would decode (RFC 7578, 4.2 and 5.1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.gateway.inbound.form_parser import invalid
from engine.gateway.inbound.media import is_plain_text

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(%b):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*" % _TOKEN)
_KIND = re.compile(rb"form-data[ \t]*", re.IGNORECASE)
_PARAMETER = re.compile(
    rb';[ \t]*(?:(%b)=("(?:[^"\\]|\\.)*+"|[^][()<>@,;:\\"/?={}\x00-\x20\x7f]+))?[ \t]*' % _TOKEN
)
_NAMES = re.compile(rb"name[ \t]*(?:\*[0-9]*)?\*?[ \t]*=", re.IGNORECASE)
_MAX_ENTRIES = 32  # header lines of a part, and parameters of its disposition
_PLAIN_ENCODINGS = {b"7bit", b"8bit", b"binary"}
_KNOWN = {b"disposition", b"type", b"transfer-encoding", b"length"}


@dataclass(frozen=True, slots=True)
class FormPart:
    """What the header of a part says; `start` and `end` are where its name stands, quotes included.

    `length` is the one it declares, if it does.
    """

    name: str
    start: int
    end: int
    is_file: bool
    length: int | None
    headers: Mapping[bytes, bytes]

    def check_text(self) -> None:
        """Refuse a part whose text another reader may decode to something else.

        Raises:
            GatewayError: `invalid_form`.
        """
        headers = self.headers
        unknown = [n for n in headers if n.startswith(b"content-") and n[8:] not in _KNOWN]
        encoding = headers.get(b"content-transfer-encoding", b"binary").lower()
        is_plain = is_plain_text(headers.get(b"content-type", b"text/plain"))
        if self.is_file or unknown or encoding not in _PLAIN_ENCODINGS or not is_plain:
            raise invalid(f"`{self.name}` must be a plain text field in UTF-8")
        if b"\\" in headers[b"content-disposition"]:
            raise invalid(f"the header of `{self.name}` has a backslash")


def read_part(head: bytes) -> FormPart:
    """The part with these header lines.

    Raises:
        GatewayError: `invalid_form`.
    """
    headers: dict[bytes, bytes] = {}
    at = disposition_at = 0
    if head.count(b"\r\n") >= _MAX_ENTRIES:
        raise invalid(f"the header of a part has more than {_MAX_ENTRIES} lines")
    for line in head.split(b"\r\n"):
        found = _LINE.fullmatch(line)
        if found is None:
            raise invalid("the header of a part has a line that is not `name: value`")
        name = found[1].lower()
        if name in headers:
            raise invalid("a part of the form has the same header twice")
        headers[name] = found[2]
        disposition_at = at + found.start(2) if name == b"content-disposition" else disposition_at
        at += len(line) + 2
    if headers.get(b"content-type", b"").lower().startswith((b"multipart/", b"message/")):
        raise invalid("a part of the form is itself multipart")
    length = headers.get(b"content-length")
    if length is not None and not re.fullmatch(rb"[0-9]{1,18}", length):
        raise invalid("the length of a part is not a number")
    name_of, start, end, is_file = _named(headers.get(b"content-disposition", b""))
    place = (disposition_at + start, disposition_at + end)
    return FormPart(name_of, *place, is_file, None if length is None else int(length), headers)


def _named(disposition: bytes) -> tuple[str, int, int, bool]:
    """The name in a disposition, where it stands, and whether the part is a file.

    A file's name with an escaped quote ends there for some readers. It must not go on with what
    they would take for a name of the part.
    """
    kind = _KIND.match(disposition)
    position = kind.end() if kind else len(disposition)
    spans: dict[bytes, tuple[int, int]] = {}
    left = iter(range(_MAX_ENTRIES))
    while position < len(disposition):
        if next(left, None) is None:
            raise invalid(f"the disposition of a part has more than {_MAX_ENTRIES} parameters")
        found = _PARAMETER.match(disposition, position)
        if found is None:
            raise invalid("the disposition of a part cannot be read")
        position = found.end()
        if found[1] is None:
            continue
        if found[1].lower() in spans or (found[1].lower()[:4] == b"name" and found[1] != b"name"):
            raise _no_plain_name()
        if b'\\"' in found[2] and _NAMES.search(found[2]):
            raise _no_plain_name()
        spans[found[1].lower()] = found.span(2)
    if b"name" not in spans:
        raise _no_plain_name()
    start, end = spans[b"name"]
    is_file = any(name.startswith(b"filename") for name in spans)
    return _text(disposition[start:end].strip(b'"')), start, end, is_file


def _text(name: bytes) -> str:
    if b"\\" in name or b"=?" in name:  # a quoted pair; an encoded word of RFC 2047
        raise _no_plain_name()
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("latin-1")


def _no_plain_name() -> Exception:
    return invalid("a part of the form needs exactly one plain `name`")

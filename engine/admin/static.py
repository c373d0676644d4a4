"""The files of the dashboard: style sheet, script and icon, read once."""

import hashlib
from functools import cache

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from engine.admin.rendering import STATIC

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


async def static_response(request: Request) -> Response:
    """The file, or nothing but its tag where the browser has it already."""
    found = _files().get(request.path_params["name"])
    if found is None:
        return PlainTextResponse("There is no such file.\n", 404)
    content, kind, tag = found
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    paths = [path for path in STATIC.iterdir() if path.suffix in _TYPES]
    return {path.name: _file(path.read_bytes(), _TYPES[path.suffix]) for path in paths}


def _file(content: bytes, kind: str) -> tuple[bytes, str, str]:
    return content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"'

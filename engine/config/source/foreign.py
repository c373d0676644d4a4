"""Configurations of other programs under the names of ours: one finding that says what the file is.

Only a text with errors is examined, so a valid file is never refused here.
"""

import re
from dataclasses import dataclass

from engine.config.diagnostics.diagnostic import LINE_END, Diagnostic, Position, Span

MAX_LINES = 2_000
_START = "`engine init DIR` writes files to start from"
_MODELS = (
    "write its models as rules under `models:` in routes.yaml, and its accounts in providers.yaml"
)
_FILE = "FILE"
_FRONT = "keep it for that program, which may run in front of this one"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A program, what lines of its configuration all look like, and what to do with such a file."""

    name: str
    lines: tuple[str, ...]
    fix_hint: str


def _import(program: str) -> str:
    """What to do with the configuration of a program that `engine import` reads."""
    return f"`engine import {program} {_FILE} DIR` writes it as files of this program in DIR"


def _key(names: str) -> str:
    """A line that has one of these keys, in YAML or JSON."""
    return rf"(?:.*[{{,\[])?[ \t-]*[\"']?(?:{names})[\"']?[ \t]*:"


_ANY = (
    _Kind(
        "LiteLLM",
        (_key("litellm_params|litellm_settings"),),
        _import("litellm"),
    ),
    _Kind("Envoy AI Gateway", (r"apiVersion:\s*aigateway\.envoyproxy\.io",), _MODELS),
    _Kind("Kubernetes", (r"apiVersion:\s*\S", r"kind:\s*\S"), "extract what is in the ConfigMap, or write these files into one"),
    _Kind("agentgateway", (r"binds[ \t]*:", _key("listeners|backends|port")), _import("agentgateway")),
    _Kind("KrakenD", (_key("endpoints"), _key("backend|output_encoding"), _key("endpoint|host|url_pattern")), _MODELS),
    _Kind("Portkey", (_key("strategy"), _key("targets"), _key("mode|virtual_key|api_key|override_params")), _import("portkey")),
    _Kind("Portkey", (_key("virtual_key|virtualKey"),), _import("portkey")),
    _Kind("Bifrost", (_key("providers"), _key("config_store|network_config|concurrency_and_buffer_size|client|governance")), _import("bifrost")),
    _Kind("Bifrost", (_key("providers"), _key("keys"), _key("value"), _key("weight")), _import("bifrost")),
    _Kind("Kong", (r"_format_version[ \t]*:",), _FRONT),
    _Kind("Traefik", (r"(?:http|entryPoints)[ \t]*:", _key("routers|entryPoints|loadBalancer")), _FRONT),
    _Kind("Envoy", (r"static_resources[ \t]*:",), _FRONT),
    _Kind("MLflow AI Gateway", (_key("endpoint_type"), _key("model")), _MODELS),
    _Kind("Docker Compose", (r"services[ \t]*:", _key("image|build")), "keep it for that program; it mounts a folder with these files"),
    _Kind("OpenAPI", (r"[{ \t]*\"?(?:openapi|swagger)\"?[ \t]*:", _key("paths|info")), "write the paths that callers use under `endpoints:`"),
    _Kind("nginx", (r"[ \t]*(?:http|server|events|location|upstream)\b[^:#]*\{[ \t]*$", r"[^#]*;[ \t]*(?:#.*)?$"), _FRONT),
    _Kind("Caddy", (r"[^#:\s]*(?::\d+)?[ \t]*\{[ \t]*$", r"[ \t]+reverse_proxy\b"), _FRONT),
    _Kind("HAProxy", (r"(?:frontend|backend|defaults|global)\b(?!.*:)", r"[ \t]+(?:bind|server|mode)\b"), _FRONT),
    _Kind("TOML", (r"\[\[?[A-Za-z_][\w.\"-]*\]\]?[ \t]*$", r"[\w.-]+[ \t]*="), _MODELS),
    _Kind("an .env file", (r"(?:export )?[A-Z][A-Z0-9_]*=", r"(?:export )?[A-Z][A-Z0-9_]*=.*"), "set these variables where the server starts, and name them with `env:` in providers.yaml"),
)  # fmt: skip
_ALONE = _Kind("LiteLLM", (_key("model_list|router_settings"),), _ANY[0].fix_hint)
_OURS = re.compile(r"version: 1(?:\s|$)|(?:endpoints|providers|models|keys):\s*(?:#.*)?$")
_NO_PROGRAM = ("an ", "TOML")


def foreign_file(file: str, text: str) -> Diagnostic | None:
    """The finding for a text with errors that is the configuration of another program."""
    lines = LINE_END.split(text.removeprefix("\ufeff"))[:MAX_LINES]
    is_ours = sum(_OURS.match(line) is not None for line in lines) > 1
    if is_ours and "litellm_" not in text:  # most files with errors: the patterns are slow
        return None
    for kind in _ANY[:1] if is_ours else (*_ANY, _ALONE):
        places = _places(kind, lines)
        if places:
            return _finding(file, kind, lines, min(places))
    return None


def _places(kind: _Kind, lines: list[str]) -> list[int]:
    """The first line of each pattern; none, where one has no line."""
    places = []
    for pattern in kind.lines:
        place = _first(pattern, lines)
        if place is None:
            return []
        places.append(place)
    return places


def _first(pattern: str, lines: list[str]) -> int | None:
    matches = re.compile(pattern).match
    return next((number for number, line in enumerate(lines) if matches(line)), None)


def _finding(file: str, kind: _Kind, lines: list[str], line: int) -> Diagnostic:
    what = kind.name if kind.name.startswith(_NO_PROGRAM) else f"a configuration of {kind.name}"
    text = lines[line]
    start = len(text) - len(text.lstrip(" \t{-"))
    end = max(start + 1, len(text.rstrip()))
    span = Span(file, Position(line + 1, start + 1), Position(line + 1, end + 1))
    message = f"this is {what}, and {file} has its own format"
    fix_hint = kind.fix_hint.replace(_FILE, file)
    return Diagnostic("X275", message, span, help=f"{fix_hint}; {_START}")

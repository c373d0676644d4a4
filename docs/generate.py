"""Writes configuration.md from schemas/, codes.md from the findings, providers.md from providers.yaml.

    python docs/generate.py

Run it with `make docs` after a change of either; a test compares the files with what it makes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.cli.explain import render_example
from engine.config.diagnostics.codes import FINDING_KINDS, FindingKind
from engine.config.examples import example
from engine.config.load import load
from engine.config.schema.schemas import read_schema
from engine.config.schema.shape import flow
from engine.report.routing import catalogue_summary, view_catalogue

HERE = Path(__file__).parent
Schema = dict[str, Any]

FILES = ("routes", "providers", "keys", "server", "prices")
PHASES = {
    "F": "Files",
    "Y": "YAML",
    "S": "Schema",
    "X": "References between entries",
    "T": "Templates",
    "E": "Environment",
    "A": "Advice, with `--audit`",
}
NOTICE = "<!-- Written by docs/generate.py; change its source and run `make docs`. -->"

CONFIGURATION = f"""{NOTICE}

# Configuration reference

A configuration is a folder with `routes.yaml` and `providers.yaml`, `keys.yaml` where callers need keys, and
`server.yaml` where they have accounts; `prices.yaml` gives requests a cost.
This page lists every key. `engine schema routes` prints the JSON Schema it is made from, which editors use for
completion; `engine check` says what is wrong with a file and where.

In the tables, `NAME` stands for a name of your own and `[]` for each item of a list. Durations are written with
their unit (`500ms`, `30s`, `10m`, `1h`), and so are sizes (`512KiB`, `32MiB`, `1GiB`). Keys that are not listed here
are errors, never ignored.
"""

CODES = f"""{NOTICE}

# Findings of `engine check`

An **error** stops `engine serve`, a **warning** does not, and a **note** is about the environment of the process.
A code is never reused for another finding. `engine explain CODE` prints the same text.

Warnings, notes and advice, and the errors that say so below, can be silenced by a comment on their line or alone
above it, with a reason: `# engine: ignore[X205] reason`. See [check.md](check.md#silencing-a-finding).
"""


PROVIDERS = f"""{NOTICE}

# Providers of the shipped configuration

Each entry names its source: **sdk**, the provider's own SDK, API specification or server source; **docs**, its
documentation. An entry in brackets comes from another project (**second-hand**) or is a **guess**; it is not enabled until you
have tried it and removed `enabled: false` in `providers.yaml`. An empty cell is an endpoint that the provider does not offer, or
offers in a format that differs from what callers send; `providers.yaml` has the reason. `engine routes --providers` prints the
same for your own files.
"""


def render_configuration() -> str:
    """The text of docs/configuration.md."""
    return "\n".join([CONFIGURATION, *(_file(name) for name in FILES), _timeouts()])


def render_codes() -> str:
    """The text of docs/codes.md."""
    parts = [CODES]
    for letter, title in PHASES.items():
        parts.append(f"## {title}\n")
        parts.extend(
            _finding(kind) for kind in FINDING_KINDS.values() if kind.code.startswith(letter)
        )
    return "\n".join(parts)


def render_providers() -> str:
    """The text of docs/providers.md: the shipped providers with the grade of each entry."""
    view = view_catalogue(load(HERE.parent, {}, 0).config)
    head = ("provider", *(f"`{name}`" for name in view["endpoints"]), "what it is")
    rows = [
        (
            f"`{p['name']}`",
            *(_provider_cell(p, name) for name in view["endpoints"]),
            p["description"].replace("|", "\\|"),
        )
        for p in view["providers"]
    ]
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"{PROVIDERS}\n{catalogue_summary(view).capitalize()}.\n", *lines, ""])


def _provider_cell(provider: Schema, endpoint: str) -> str:
    if endpoint in provider["not_enabled"]:
        return f"({provider['not_enabled'][endpoint]})"
    return provider["grades"].get(endpoint) or ""


def _finding(kind: FindingKind) -> str:
    shown = example(kind.code)
    silenced = "a comment silences it" if kind.ignorable else "no comment silences it"
    lines = [f"### {kind.code} {kind.name}", ""]
    lines += [f"**{kind.severity}** ({silenced}): {kind.summary}. {kind.explanation}", ""]
    for name, text in shown.beside.items():
        lines += [f"With this `{name}`:", "", *_fence("example", "yaml", text), ""]
    if shown.bad is None:
        lines += [f"Without `{shown.file}`, this is reported:", ""]
    else:
        lines += [f"Wrong in `{shown.file}`, and what is reported:", ""]
        lines += [*_fence("example", "yaml", shown.bad), ""]
    lines += [*_fence("example", "text", render_example(kind.code)), "", "Right:", ""]
    return "\n".join([*lines, *_fence("example", "yaml", shown.good), ""])


def _fence(mark: str, language: str, text: str) -> list[str]:
    return [f"<!-- test: {mark} -->", f"```{language}", *text.rstrip("\n").split("\n"), "```"]


def _file(name: str) -> str:
    schema = json.loads(read_schema(name))
    lines = [f"## {name}.yaml", "", schema["description"], ""]
    for key, value in schema["properties"].items():
        resolved = _resolve(schema, value)
        required = ", required" if key in schema["required"] else ""
        lines += [f"### {name}.yaml: `{key}`", "", f"*{_kind(resolved)}{required}.* "]
        lines[-1] += resolved["description"]
        lines += ["", *_example(key, resolved)]
        lines += _table(_rows(schema, resolved, ""))
    return "\n".join(lines)


def _timeouts() -> str:
    """The one shape that is used in several places, shown once."""
    schema = json.loads(read_schema("routes"))
    rows = _rows(schema, schema["$defs"]["timeouts"], "")
    return "\n".join(["## Time limits", "", "The keys of every `timeouts`.", "", *_table(rows)])


def _table(rows: Iterator[str]) -> list[str]:
    body = list(rows)
    return ["| key | takes | what it does |", "|---|---|---|", *body, ""] if body else []


def _example(key: str, schema: Schema) -> list[str]:
    return ["```yaml", *_block({key: schema["examples"][0]}), "```", ""]


def _rows(root: Schema, schema: Schema, path: str) -> Iterator[str]:
    """A table row for each key below `schema`, depth first."""
    for key, value, is_required in _keys(schema):
        child = _resolve(root, value)
        place = f"{path}.{key}".removeprefix(".").replace(".[]", "[]")
        if "description" in child:
            takes = _kind(child) + (", required" if is_required else "")
            yield f"| `{place}` | {takes} | {_cell(child)} |"
        if child.get("x-def") != "timeouts":
            yield from _rows(root, child, place)


def _keys(schema: Schema) -> Iterator[tuple[str, Schema, bool]]:
    required = schema.get("required", [])
    for key, value in schema.get("properties", {}).items():
        yield key, value, key in required
    if isinstance(schema.get("additionalProperties"), dict):
        yield "NAME", schema["additionalProperties"], False
    if isinstance(schema.get("items"), dict):
        yield "[]", schema["items"], False


def _cell(schema: Schema) -> str:
    example = schema.get("examples", [None])[0]
    text = str(schema["description"])
    if schema.get("x-def") == "timeouts":
        text += " Keys: [time limits](#time-limits)."
    if example is not None:
        text += f" Example: `{flow(example)}`"
    return text.replace("|", "\\|")


def _resolve(root: Schema, schema: Schema) -> Schema:
    """The schema with its `$ref` followed; its own keys win over those of the definition."""
    if "$ref" not in schema:
        return schema
    name = schema["$ref"].removeprefix("#/$defs/")
    return {"x-def": name, **_resolve(root, root["$defs"][name]), **schema}


def _kind(schema: Schema) -> str:
    if schema.get("x-def") in ("duration", "size", "name", "model"):
        return str(schema["x-def"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    words = {
        "object": "mapping",
        "array": "list",
        "string": "text",
        "boolean": "`true` or `false`",
        "integer": "whole number",
        "number": "number",
    }
    return " or ".join(words[kind] for kind in kinds)


def _block(mapping: Schema) -> Iterator[str]:
    """A mapping over several lines, with what is simple in flow style."""
    for key, value in mapping.items():
        if isinstance(value, dict) and any(isinstance(v, dict) for v in value.values()):
            yield f"{flow(key)}:"
            yield from (f"  {line}" for line in _block(value))
        elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
            yield f"{flow(key)}:"
            yield from (f"  - {flow(item)}" for item in value)
        else:
            yield f"{flow(key)}: {flow(value)}"


def main() -> None:
    """Write all three files."""
    (HERE / "configuration.md").write_text(render_configuration(), "utf-8")
    (HERE / "codes.md").write_text(render_codes(), "utf-8")
    (HERE / "providers.md").write_text(render_providers(), "utf-8")


if __name__ == "__main__":
    main()

"""What a model would do next: call one of the tools it was given, or write text.

A forced tool is called; with `auto`, one whose name the caller's text mentions, so that an agent
can be led (`what is the weather?` calls `get_weather`). After the result of a tool comes text.
The formats of the APIs differ only in names: `responses.json` maps them to one.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from engine.mock.schema import sample

_RESULTS = {"tool", "function", "function_call_output", "custom_tool_call_output", "tool_result"}
_CALLS = {"function_call", "custom_tool_call", "tool_use"}
_MODES = {"required": "any", "validated": "any"}
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}  # fmt: skip
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SAID = 200
_PARTS = 4


def turn(of: object, choice: object, messages: object, said: object, results: object = None) -> Any:
    """The next step: `call`, or None, and the `text` of a response without one.

    `of` are tools with a name, a type and a schema; `results` what tools said, where an API gives
    that beside its messages.
    """
    items = list(_items(messages))
    reported = [text for text in map(_text, _tail(items)) if text] or [_text(results) or ""]
    has_results = bool(results) or any(_is_result(item) for item in _tail(items))
    called = [*_called(items), *_called_beside(results)]
    call = _choose(_usable(of), choice, str(said), called, has_results=has_results)
    text = f"The tool said: {reported[-1]}" if has_results else f"You said: {said}"
    return {"call": call, "text": text}


def reply(of: str, schema: object = None, kind: object = None) -> str | None:
    """The JSON text that a caller asked for; None where it did not."""
    if isinstance(schema, dict):
        return json.dumps(sample(schema), ensure_ascii=False)
    return json.dumps({"text": of}, ensure_ascii=False) if kind == "json_object" else None


def slices(of: str) -> list[str]:
    """`of` in a few chunks, as it would come in a stream."""
    step = max(1, -(-len(of) // _PARTS))
    return [of[at : at + step] for at in range(0, len(of), step)] or [""]


def _usable(tools: object) -> list[dict[str, Any]]:
    found = [tool for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
    return [
        tool
        for tool in found
        if isinstance(tool.get("name"), str)
        and (
            isinstance(tool.get("schema"), dict) or tool.get("type") in (None, "function", "custom")
        )
    ]


def _choose(
    tools: list[dict[str, Any]], choice: object, said: str, called: list[str], *, has_results: bool
) -> dict[str, Any] | None:
    mode, forced, allowed = _read(choice)
    tools = [tool for tool in tools if allowed is None or tool["name"] in allowed]
    if forced is not None:
        return next((_call(tool) for tool in tools if tool["name"] == forced), None)
    fresh = [tool for tool in tools if not has_results or tool["name"] not in called]
    meant = [tool for tool in fresh if _is_meant(tool["name"], said)]
    if mode == "any":
        meant = meant or fresh or tools
    return _call(meant[0]) if meant and mode != "none" else None


def _read(choice: object) -> tuple[str, str | None, set[str] | None]:
    """The mode of a choice, the one tool it forces, and the tools it allows."""
    if not isinstance(choice, dict):
        mode = str(choice or "auto").lower()
        return _MODES.get(mode, mode), None, None
    inner = choice.get("allowed_tools", choice)
    if isinstance(inner, dict) and isinstance(inner.get("tools"), list):
        mode = str(inner.get("mode", "auto"))
        return _MODES.get(mode, mode), None, {str(_name(tool)) for tool in inner["tools"]}
    name = _name(choice)
    return str(choice.get("type", "auto")), name if isinstance(name, str) else None, None


def _name(of: object) -> object:
    if not isinstance(of, dict):
        return None
    inner = of.get("function") or of.get("custom") or {}
    return of.get("name") or (inner.get("name") if isinstance(inner, dict) else None)


def _is_meant(name: str, said: str) -> bool:
    """Whether a text has the longest word of a tool's name, or the whole name."""
    words = {word.lower() for word in _WORDS.findall(name)}
    longest = max(words, key=len, default=name.lower())
    lowered = said.lower()
    return name.lower() in lowered or re.search(rf"\b{re.escape(longest)}s?\b", lowered) is not None


def _call(tool: dict[str, Any]) -> dict[str, Any]:
    schema = tool.get("schema") or _definitions(tool.get("definitions")) or {"type": "object"}
    arguments = sample(schema)
    text = json.dumps(arguments, ensure_ascii=False)
    custom = tool.get("type") == "custom" and not isinstance(tool.get("schema"), dict)
    return {
        "name": tool["name"],
        "custom": custom or None,
        "arguments": arguments,
        "json": "mock" if custom else text,
        "parts": slices("mock" if custom else text),
    }


def _definitions(of: object) -> dict[str, Any] | None:
    """A schema for parameters that are given one by one, with types in Python's words."""
    if not isinstance(of, dict):
        return None
    shapes = {name: shape for name, shape in of.items() if isinstance(shape, dict)}
    kinds = {name: str(shape.get("type", "str")).lower() for name, shape in shapes.items()}
    return {
        "type": "object",
        "properties": {
            name: {"type": _TYPES.get(kind.partition("[")[0], "string")}
            for name, kind in kinds.items()
        },
        "required": [name for name, shape in shapes.items() if shape.get("required")],
    }


def _items(messages: object) -> Iterator[dict[str, Any]]:
    """Messages with the blocks inside them, in order."""
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            yield message
            content = message.get("content")
            if not _is_result(message):
                yield from (each for each in content if isinstance(each, dict)) if isinstance(content, list) else ()  # fmt: skip


def _tail(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results after the last message of the model, if no other message follows."""
    at = max((n for n, item in enumerate(items) if _is_models(item)), default=-1)
    return [item for item in items[at + 1 :] if _is_result(item)]


def _is_models(item: dict[str, Any]) -> bool:
    return item.get("role") in ("assistant", "CHATBOT") or item.get("type") in _CALLS


def _is_result(item: dict[str, Any]) -> bool:
    return item.get("role") in _RESULTS or item.get("type") in _RESULTS


def _called(items: list[dict[str, Any]]) -> list[str]:
    inner = [item["tool_calls"] for item in items if isinstance(item.get("tool_calls"), list)]
    calls = [call for some in inner for call in some]
    calls += [item for item in items if item.get("type") in _CALLS]
    return [str(_name(call)) for call in calls]


def _called_beside(results: object) -> list[str]:
    reported = results if isinstance(results, list) else []
    return [str(_name(each.get("call"))) for each in reported if isinstance(each, dict)]


def _text(of: object) -> str | None:
    """The last text inside the result of a tool."""
    if isinstance(of, str):
        return of[:_SAID]
    if isinstance(of, list):
        return next(filter(None, map(_text, reversed(of))), None)
    if not isinstance(of, dict):
        return None
    found = (
        _text(of.get(key)) for key in ("text", "content", "output", "outputs", "data", "result")
    )
    return next(filter(None, found), None) or json.dumps(of, ensure_ascii=False)[:_SAID]

"""Tool calls and structured output: what agents need, in each dialect and its events."""

from __future__ import annotations  # so that no SDK is imported before it is used

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import jsonschema
import openai
import pytest
from pydantic import BaseModel

SCHEMA: Any = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
NAMES = ("get_weather", "final_answer")
CHAT: Any = [{"type": "function", "function": {"name": n, "parameters": SCHEMA}} for n in NAMES]
RESPONSES: Any = [{"type": "function", "name": n, "parameters": SCHEMA} for n in NAMES]
MESSAGES: Any = [{"name": n, "input_schema": SCHEMA} for n in NAMES]
HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = [{"role": "user", "content": "what is the weather?"}]


class Trip(BaseModel):
    city: str
    days: int


@pytest.fixture(scope="module")
def sdk(mock_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{mock_url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(mock_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=mock_url, api_key="k", max_retries=0) as client:
        yield client


def fits(arguments: Any) -> bool:
    jsonschema.validate(json.loads(arguments) if isinstance(arguments, str) else arguments, SCHEMA)
    return True


@pytest.mark.parametrize(
    ("choice", "messages", "called"),
    [
        ({"type": "function", "function": {"name": "final_answer"}}, HELLO, "final_answer"),
        ("required", HELLO, "get_weather"),
        ("auto", HELLO, None),
        ("auto", WEATHER, "get_weather"),
        ("none", WEATHER, None),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [CHAT[1]]}}, HELLO, "final_answer"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_chat(sdk: openai.OpenAI, choice: Any, messages: Any, called: str | None, stream: bool) -> None:  # fmt: skip
    asked: Any = {"model": "m", "messages": messages, "tools": CHAT, "tool_choice": choice}
    if stream:
        with sdk.chat.completions.stream(**asked) as events:
            answer: Any = events.get_final_completion()
    else:
        answer = sdk.chat.completions.create(**asked)
    calls = answer.choices[0].message.tool_calls or []
    assert [call.function.name for call in calls] == [called] * bool(called)
    assert all(fits(call.function.arguments) for call in calls)
    assert answer.choices[0].finish_reason == ("tool_calls" if called else "stop")
    assert (answer.choices[0].message.content is None) == bool(called)


def test_text_comes_after_the_result_of_a_tool(sdk: openai.OpenAI) -> None:
    first = sdk.chat.completions.create(model="m", messages=WEATHER, tools=CHAT).choices[0].message
    call: Any = (first.tool_calls or [])[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages: Any = [*WEATHER, first.to_dict(), result]
    answer = sdk.chat.completions.create(model="m", messages=messages, tools=CHAT)
    assert answer.choices[0].message.content == "The tool said: sunny"
    forced = sdk.chat.completions.create(model="m", messages=messages, tools=CHAT, tool_choice="required")  # fmt: skip
    again: Any = (forced.choices[0].message.tool_calls or [])[0]
    assert again.function.name == "final_answer"


def test_chat_with_a_schema(sdk: openai.OpenAI) -> None:
    parsed = sdk.chat.completions.parse(model="m", messages=HELLO, response_format=Trip)
    assert isinstance(parsed.choices[0].message.parsed, Trip)
    form: Any = {"type": "json_object"}
    answer = sdk.chat.completions.create(model="m", messages=HELLO, response_format=form)
    assert json.loads(answer.choices[0].message.content or "") == {"text": "You said: hello"}
    with sdk.chat.completions.stream(model="m", messages=HELLO, response_format=Trip) as events:
        assert isinstance(events.get_final_completion().choices[0].message.parsed, Trip)


def test_chat_streams_every_choice_and_its_usage(sdk: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    stream = sdk.chat.completions.create(model="m", messages=HELLO, n=2, stream=True, stream_options=options)  # fmt: skip
    chunks: list[Any] = list(stream)
    ended = [(c.choices[0].index, c.choices[0].finish_reason) for c in chunks if c.choices]
    assert [end for end in ended if end[1]] == [(0, "stop"), (1, "stop")]
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


@pytest.mark.parametrize("stream", [False, True])
def test_responses(sdk: openai.OpenAI, stream: bool) -> None:
    asked: Any = {"model": "m", "tools": RESPONSES}
    forced: Any = {**asked, "input": "hello", "tool_choice": {"type": "function", "name": "final_answer"}}  # fmt: skip
    call = respond(sdk, forced, stream).output[0]
    assert (call.type, call.name, fits(call.arguments)) == ("function_call", "final_answer", True)
    call = respond(sdk, {**asked, "input": "the weather?"}, stream).output[0]
    assert call.name == "get_weather"
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    history = [*WEATHER, call.to_dict(), result]
    assert respond(sdk, {**asked, "input": history}, stream).output_text == "The tool said: sunny"
    form = {"format": {"type": "json_schema", "name": "trip", "schema": SCHEMA}}
    answer = respond(sdk, {"model": "m", "input": "hello", "text": form}, stream)
    assert fits(answer.output_text)
    assert answer.usage.output_tokens > 0


def respond(sdk: openai.OpenAI, asked: Any, stream: bool) -> Any:
    if not stream:
        return sdk.responses.create(**asked)
    with sdk.responses.stream(**asked) as events:
        seen = [event.sequence_number for event in events]
        assert seen == sorted(set(seen))
        return events.get_final_response()


def test_responses_with_a_class(sdk: openai.OpenAI) -> None:
    assert isinstance(sdk.responses.parse(model="m", input="hello", text_format=Trip).output_parsed, Trip)  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
def test_messages(claude: anthropic.Anthropic, stream: bool) -> None:
    asked: Any = {"model": "m", "max_tokens": 99, "tools": MESSAGES}
    forced: Any = {**asked, "tool_choice": {"type": "tool", "name": "final_answer"}}
    answer = say(claude, {**forced, "messages": HELLO}, stream)
    assert (answer.stop_reason, answer.content[0].name) == ("tool_use", "final_answer")
    assert fits(answer.content[0].input)
    answer = say(claude, {**asked, "messages": WEATHER}, stream)
    call = answer.content[0]
    assert call.name == "get_weather"
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "sunny"}]}  # fmt: skip
    history = [*WEATHER, {"role": "assistant", "content": [call.to_dict()]}, {"role": "user", "content": [result]}]  # fmt: skip
    answer = say(claude, {**asked, "messages": history}, stream)
    assert (answer.stop_reason, answer.content[0].text) == ("end_turn", "The tool said: sunny")
    assert say(claude, {**asked, "messages": WEATHER, "tool_choice": {"type": "none"}}, stream).content[0].type == "text"  # fmt: skip
    form = {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}
    assert fits(say(claude, {**asked, "messages": HELLO, "extra_body": form}, stream).content[0].text)  # fmt: skip


def say(claude: anthropic.Anthropic, asked: Any, stream: bool) -> Any:
    if not stream:
        return claude.messages.create(**asked)
    with claude.messages.stream(**asked) as events:
        return events.get_final_message()


def test_cohere(mock_url: str) -> None:
    with httpx.Client(trust_env=False) as http:
        check_cohere(cohere.ClientV2("k", base_url=mock_url, httpx_client=http))


def check_cohere(client: cohere.ClientV2) -> None:
    answer: Any = client.chat(model="m", messages=WEATHER, tools=CHAT)
    assert answer.finish_reason == "TOOL_CALL"
    assert fits(answer.message.tool_calls[0].function.arguments)
    events: list[Any] = list(client.chat_stream(model="m", messages=WEATHER, tools=CHAT))
    parts = [e.delta.message.tool_calls.function.arguments for e in events if e.type == "tool-call-delta"]  # fmt: skip
    assert fits("".join(parts))
    assert events[-1].delta.finish_reason == "TOOL_CALL"
    answer = client.chat(model="m", messages=HELLO, tools=CHAT, tool_choice="REQUIRED")
    assert answer.message.tool_calls[0].function.name == "get_weather"
    form: Any = {"type": "json_object", "json_schema": SCHEMA}
    answer = client.chat(model="m", messages=HELLO, response_format=form)
    assert fits(answer.message.content[0].text)
    events = list(client.chat_stream(model="m", messages=HELLO))
    assert "".join(e.delta.message.content.text for e in events if e.type == "content-delta") == "You said: hello"  # fmt: skip


def test_cohere_at_its_first_version(mock_http: httpx2.Client) -> None:
    tool = {"name": "get_weather", "description": "d", "parameter_definitions": {"city": {"type": "str", "required": True}}}  # fmt: skip
    asked = {"model": "m", "message": "the weather?", "tools": [tool]}
    answer = mock_http.post("/v1/chat", json=asked).json()
    assert answer["tool_calls"] == [{"name": "get_weather", "parameters": {"city": "mock"}}]
    told = {**asked, "tool_results": [{"call": answer["tool_calls"][0], "outputs": [{"text": "sunny"}]}]}  # fmt: skip
    assert mock_http.post("/v1/chat", json=told).json()["text"] == "The tool said: sunny"
    streamed = mock_http.post("/v1/chat", json={"message": "hello", "stream": True})
    lines = [json.loads(line) for line in streamed.text.splitlines()]
    assert "".join(line.get("text", "") for line in lines) == "You said: hello"
    assert lines[-1]["response"]["text"] == "You said: hello"


def test_groq_adds_its_own_words(mock_http: httpx2.Client) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": HELLO}
    answer = mock_http.post("/openai/v1/chat/completions", json=asked).json()
    assert answer["x_groq"]["id"].startswith("req_")
    streamed = mock_http.post("/openai/v1/chat/completions", json={**asked, "stream": True}).text
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert chunks[0]["x_groq"]["id"] == chunks[-1]["x_groq"]["id"]
    assert chunks[-1]["x_groq"]["usage"]["total_tokens"] > 0
    for form in ("json", "verbose_json"):
        heard = mock_http.post(
            "/openai/v1/audio/transcriptions",
            data={"model": "whisper-large-v3", "response_format": form},
            files={"file": ("a.wav", b"RIFF")},
        ).json()
        assert heard["x_groq"]["id"].startswith("req_")


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": "x"},
        {"tools": [1, None, {"function": 3}, {"name": 7, "parameters": {}}], "tool_choice": "required"},
        {"tools": CHAT, "tool_choice": {"type": "function", "function": {"name": "unknown"}}},
        {"tools": CHAT, "tool_choice": 7},
        {"tools": CHAT, "tool_choice": {"allowed_tools": {"tools": [1]}}},
        {"response_format": "json"},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/none"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "object", "properties": 1, "required": 3}}}},
        {"messages": [{"role": "tool", "content": {"a": 1}}, {"role": "assistant", "tool_calls": 3}, 5]},
    ],
)  # fmt: skip
def test_odd_requests_are_answered(mock_http: httpx2.Client, odd: dict[str, Any]) -> None:
    asked = {"model": "m", "messages": HELLO, **odd}
    assert mock_http.post("/v1/chat/completions", json=asked).status_code == 200

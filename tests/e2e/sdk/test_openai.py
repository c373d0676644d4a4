"""The official OpenAI SDK, given nothing but a base URL and a gateway key, sync and async."""

from __future__ import annotations  # so that no SDK is imported before it is used

import asyncio
import base64
import io
import operator
import wave
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.e2e.sdk.wire import assert_arrived, values
from tests.servers import KEY, Server, read_yaml

Arguments = dict[str, Any]

# The SDK marks what the provider has retired; callers with other upstreams still use it.
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SOUND = ("speech.wav", b"RIFF" + bytes(range(256)) * 400, "audio/wav")
SPOKEN = "The quick brown fox jumps over the lazy dog."
SAID = [{"role": "user", "content": "hello there"}]
ANSWER = "You said: hello there"


@dataclass(frozen=True)
class Case:
    """One call of the SDK: its method, its arguments, and what must come of it."""

    method: str
    arguments: Arguments
    check: Callable[[Any], None]
    path: str

    @property
    def is_stream(self) -> bool:
        return bool(self.arguments.get("stream"))

    @property
    def name(self) -> str:
        return self.method + "-stream" * self.is_stream

    def bound(self, client: openai.OpenAI | openai.AsyncOpenAI) -> Any:
        """The method that gives the response along with what is parsed from it."""
        resource, _, verb = self.method.rpartition(".")
        return getattr(operator.attrgetter(resource)(client).with_raw_response, verb)


def check_chat(result: Any) -> None:
    assert result.choices[0].message.content == ANSWER
    assert result.choices[0].finish_reason == "stop"
    assert result.usage.total_tokens == result.usage.prompt_tokens + result.usage.completion_tokens


def check_chat_stream(events: Any) -> None:
    assert "".join(e.choices[0].delta.content or "" for e in events if e.choices) == ANSWER
    assert events[-2].choices[0].finish_reason == "stop"
    assert events[-1].usage.total_tokens > 0


def check_completion(result: Any) -> None:
    assert result.object == "text_completion"
    assert result.choices[0].text == "You wrote: hello there"


def check_completion_stream(events: Any) -> None:
    assert "".join(event.choices[0].text for event in events) == "You wrote: hello there"


def check_embeddings(result: Any) -> None:
    assert [item.index for item in result.data] == [0, 1]
    assert all(len(item.embedding) == 8 for item in result.data)
    assert all(isinstance(number, float) for number in result.data[0].embedding)
    assert result.data[0].embedding != result.data[1].embedding


def check_response(result: Any) -> None:
    assert result.status == "completed"
    assert result.output_text == ANSWER


def check_response_stream(events: Any) -> None:
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = (event.delta for event in events if event.type == "response.output_text.delta")
    assert "".join(deltas) == ANSWER
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == ANSWER


def check_images(result: Any) -> None:
    pictures = [base64.b64decode(image.b64_json) for image in result.data]
    assert len(pictures) == 2
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)


def check_image_events(kind: str) -> Callable[[Any], None]:
    def check(events: Any) -> None:
        assert [e.type for e in events] == [f"{kind}.partial_image"] * 2 + [f"{kind}.completed"]
        assert [event.partial_image_index for event in events[:2]] == [0, 1]
        assert base64.b64decode(events[-1].b64_json).startswith(b"\x89PNG")

    return check


def check_transcript(result: Any) -> None:
    assert result.text == SPOKEN


def check_text(result: Any) -> None:
    assert result == SPOKEN + "\n"


def check_segments(result: Any) -> None:
    assert result.duration == 1.0
    assert result.segments[0].text == SPOKEN


def check_transcript_stream(events: Any) -> None:
    deltas = "".join(e.delta for e in events if e.type == "transcript.text.delta")
    assert deltas == SPOKEN
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == SPOKEN


def check_sound(result: Any) -> None:
    assert_second_of_sound(result.content)


def check_speech_events(result: Any) -> None:
    assert result.response.headers["content-type"].startswith("text/event-stream")
    assert result.content.count(b'"type":"speech.audio.delta"') == 6
    assert b'"type":"speech.audio.done"' in result.content


def check_moderation(result: Any) -> None:
    assert [item.flagged for item in result.results] == [False, False]
    assert result.results[0].category_scores.violence == 0.0001


def assert_second_of_sound(content: bytes) -> None:
    with wave.open(io.BytesIO(content)) as sound:
        assert sound.getnframes() == sound.getframerate() == 8000


CHAT: Arguments = {"model": "gpt-4o-mini", "messages": SAID}
TEXT: Arguments = {"model": "davinci-002", "prompt": "hello there"}
VECTORS: Arguments = {"model": "text-embedding-3-small", "input": ["one", "two"]}
RESPONSE: Arguments = {"model": "o3", "input": "hello there"}
PICTURE: Arguments = {"model": "gpt-image-1.5", "prompt": "a fox, \u00e9tonn\u00e9"}
EDIT: Arguments = {**PICTURE, "image": [("a.png", PNG), ("b.png", PNG[::-1])]}
PARTIAL: Arguments = {"stream": True, "partial_images": 2}
HEARD: Arguments = {"model": "whisper-1", "file": SOUND}
HEARD_LIVE: Arguments = {"model": "gpt-4o-transcribe", "file": SOUND, "stream": True}
SPEECH: Arguments = {"model": "tts-1", "voice": "alloy", "input": "hello there"}
ASKED: Arguments = {"model": "omni-moderation-latest", "input": ["one", "two"]}
WITH_USAGE: Arguments = {"stream": True, "stream_options": {"include_usage": True}}

COUNTED: Arguments = {"model": "gpt-5.4", "input": "hello there"}


def check_count(counted: Any) -> None:
    assert counted.input_tokens > 0


def check_compaction(shorter: Any) -> None:
    assert (shorter.object, shorter.output[0].type) == ("response.compaction", "compaction")


CASES = [
    Case("chat.completions.create", CHAT, check_chat, "/v1/chat/completions"),
    Case("chat.completions.create", CHAT | WITH_USAGE, check_chat_stream, "/v1/chat/completions"),
    Case("completions.create", TEXT, check_completion, "/v1/completions"),
    Case("completions.create", TEXT | {"stream": True}, check_completion_stream, "/v1/completions"),
    Case("embeddings.create", VECTORS, check_embeddings, "/v1/embeddings"),
    Case(
        "embeddings.create",
        VECTORS | {"encoding_format": "float"},
        check_embeddings,
        "/v1/embeddings",
    ),
    Case("responses.create", RESPONSE, check_response, "/v1/responses"),
    Case("responses.create", RESPONSE | {"stream": True}, check_response_stream, "/v1/responses"),
    Case("responses.input_tokens.count", COUNTED, check_count, "/v1/responses/input_tokens"),
    Case("responses.compact", COUNTED, check_compaction, "/v1/responses/compact"),
    Case("images.generate", PICTURE | {"n": 2}, check_images, "/v1/images/generations"),
    Case(
        "images.generate",
        PICTURE | PARTIAL,
        check_image_events("image_generation"),
        "/v1/images/generations",
    ),
    Case("images.edit", EDIT | {"n": 2, "mask": PNG}, check_images, "/v1/images/edits"),
    Case("images.edit", EDIT | PARTIAL, check_image_events("image_edit"), "/v1/images/edits"),
    Case(
        "images.create_variation",
        {"model": "dall-e-2", "image": PNG, "n": 2},
        check_images,
        "/v1/images/variations",
    ),
    Case("audio.transcriptions.create", HEARD, check_transcript, "/v1/audio/transcriptions"),
    Case(
        "audio.transcriptions.create",
        HEARD | {"response_format": "text"},
        check_text,
        "/v1/audio/transcriptions",
    ),
    Case(
        "audio.transcriptions.create",
        HEARD | {"response_format": "verbose_json", "timestamp_granularities": ["segment"]},
        check_segments,
        "/v1/audio/transcriptions",
    ),
    Case(
        "audio.transcriptions.create",
        HEARD_LIVE,
        check_transcript_stream,
        "/v1/audio/transcriptions",
    ),
    Case("audio.translations.create", HEARD, check_transcript, "/v1/audio/translations"),
    Case("audio.speech.create", SPEECH, check_sound, "/v1/audio/speech"),
    Case(
        "audio.speech.create",
        SPEECH | {"stream_format": "sse"},
        check_speech_events,
        "/v1/audio/speech",
    ),
    Case("moderations.create", ASKED, check_moderation, "/v1/moderations"),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def assert_wire(mock: Server, canaries: dict[str, str], case: Case, response: Any) -> None:
    """The provider got the SDK's own bytes, and the operator's credential alone."""
    body = response.request.read()
    assert len(body) > 20
    record = assert_arrived(mock, response, case.path, body)
    assert values(record, "authorization") == [f"Bearer {canaries['OPENAI_API_KEY']}"]
    assert values(record, "openai-organization") == [canaries["OPENAI_ORG_ID"]]
    assert values(record, "content-type") == [response.request.headers["content-type"]]


@every_case
def test_sync(served: Server, mock: Server, canaries: dict[str, str], case: Case) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        raw = case.bound(client)(**case.arguments)
        result = raw.parse()
        case.check(list(result) if case.is_stream else result)
        assert_wire(mock, canaries, case, raw.http_response)


@every_case
def test_async(served: Server, mock: Server, canaries: dict[str, str], case: Case) -> None:
    async def call() -> Any:
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
            raw = await case.bound(client)(**case.arguments)
            result = raw.parse()
            case.check([event async for event in result] if case.is_stream else result)
            return raw.http_response

    assert_wire(mock, canaries, case, asyncio.run(call()))


def test_the_plainest_call_there_is(served: Server) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        chat = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hello there"}]
        )
        assert chat._request_id
        assert chat._request_id.startswith("req_")
    check_chat(chat)


def test_a_named_provider_changes_the_model_and_no_other_byte(
    served: Server, mock: Server, canaries: dict[str, str]
) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        raw = client.chat.completions.with_raw_response.create(
            model="groq/openai/gpt-oss-120b",
            messages=[{"role": "user", "content": 'the model "groq/openai/gpt-oss-120b", please'}],
        )
    sent = raw.http_response.request.read()
    assert sent.count(b"groq/") == 2
    changed = sent.replace(b'"groq/openai/gpt-oss-120b"', b'"openai/gpt-oss-120b"')
    target = "/openai/v1/chat/completions"
    record = assert_arrived(mock, raw.http_response, target, changed)
    assert values(record, "authorization") == [f"Bearer {canaries['GROQ_API_KEY']}"]


def test_speech_arrives_in_pieces_as_it_is_made(served: Server) -> None:
    async def listen() -> list[bytes]:
        async with (
            openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client,
            client.audio.speech.with_streaming_response.create(**SPEECH) as answer,
        ):
            assert answer.headers["content-type"] == "audio/wav"
            return [chunk async for chunk in answer.iter_bytes()]

    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client,
        client.audio.speech.with_streaming_response.create(**SPEECH) as answer,
    ):
        chunks = list(answer.iter_bytes())
    assert chunks[0].startswith(b"RIFF")
    for heard in (chunks, asyncio.run(listen())):
        assert len(heard) > 1
        assert_second_of_sound(b"".join(heard))


def test_speech_as_events_is_read_line_by_line(served: Server) -> None:
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client,
        client.audio.speech.with_streaming_response.create(**SPEECH, stream_format="sse") as answer,
    ):
        lines = [line for line in answer.iter_lines() if line]
    assert len(lines) == 7
    assert all(line.startswith("data: {") for line in lines)


def test_the_helpers_that_stream_work(served: Server) -> None:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        with client.responses.stream(model="o3", input="hello there") as events:
            assert events.get_final_response().output_text == ANSWER
        with client.chat.completions.stream(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "hello there"}]
        ) as chunks:
            assert chunks.get_final_completion().choices[0].message.content == ANSWER


def test_every_endpoint_of_the_provider_is_called() -> None:
    """One that is added to providers.yaml needs a case here."""
    shipped = read_yaml("providers.yaml")
    endpoints = shipped["providers"]["openai"]["endpoints"]
    assert {f"/v1{entry['path']}" for entry in endpoints.values()} == {case.path for case in CASES}

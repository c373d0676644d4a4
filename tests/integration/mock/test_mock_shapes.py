"""The official SDKs, pointed straight at the mock, accept every answer and every stream."""

from __future__ import annotations  # so that no SDK is imported before it is used

import base64
import io
import struct
import wave
from collections.abc import Iterator
from typing import Any

import anthropic
import cohere
import httpx
import httpx2
import mistralai.client as mistral
import openai
import pytest

PNG = b"\x89PNG\r\n\x1a\n"
SAID: Any = [{"role": "user", "content": "good morning"}]
SOUND = ("a.wav", b"RIFF" + bytes(1000))
PICTURE = ("a.png", PNG + bytes(1000))


@pytest.fixture(scope="module")
def sdk(mock_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{mock_url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(mock_url: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=mock_url, api_key="k", max_retries=0) as client:
        yield client


def test_chat(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(model="some-model", messages=SAID, n=2)
    assert answer.model == "some-model"
    assert [choice.message.content for choice in answer.choices] == ["You said: good morning"] * 2
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_stream(sdk: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks: list[Any] = list(
        sdk.chat.completions.create(model="m", messages=SAID, stream=True, stream_options=options)
    )
    said = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(said) == "You said: good morning"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


def test_chat_stream_ends_with_done_and_no_usage(mock_http: httpx2.Client) -> None:
    asked = {"model": "m", "messages": SAID, "stream": True}
    answer = mock_http.post("/v1/chat/completions", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")
    assert "usage" not in answer.text


def test_completions(sdk: openai.OpenAI) -> None:
    whole = sdk.completions.create(model="m", prompt="once")
    assert whole.choices[0].text == "You wrote: once"
    stream = sdk.completions.create(model="m", prompt="once", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "You wrote: once"


def test_embeddings_are_the_same_in_both_encodings(sdk: openai.OpenAI) -> None:
    asked = ["a", "b", "c"]
    plain = sdk.embeddings.create(model="m", input=asked, encoding_format="float").data
    packed = sdk.embeddings.create(model="m", input=asked).data
    assert [len(entry.embedding) for entry in plain] == [8, 8, 8]
    assert [entry.index for entry in packed] == [0, 1, 2]
    for left, right in zip(plain, packed, strict=True):
        assert right.embedding == pytest.approx(left.embedding, abs=1e-6)


@pytest.mark.parametrize(("asked", "given"), [(3, 3), (3072, 3072), (9999, 4096)])
def test_embeddings_honour_dimensions(mock_http: httpx2.Client, asked: int, given: int) -> None:
    body = {"model": "m", "input": [1, 2], "dimensions": asked, "encoding_format": "base64"}
    data = mock_http.post("/v1/embeddings", json=body).json()["data"]
    assert len(data) == 1
    raw = base64.b64decode(data[0]["embedding"])
    assert len(struct.unpack(f"<{given}f", raw)) == given


def test_responses(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="m", input="good morning")
    assert answer.output_text == "You said: good morning"
    assert answer.status == "completed"
    assert answer.usage is not None


def test_responses_stream(sdk: openai.OpenAI) -> None:
    with sdk.responses.stream(model="m", input=SAID) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [events[0].type, events[-1].type] == ["response.created", "response.completed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "You said: good morning"


def test_messages(claude: anthropic.Anthropic) -> None:
    answer = claude.messages.create(model="m", max_tokens=9, messages=SAID)
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "You said: good morning"
    assert str(answer._request_id).startswith("req_")
    count = claude.messages.count_tokens(model="m", messages=SAID)
    assert count.input_tokens > 0


def test_messages_stream(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model="m", max_tokens=9, messages=SAID) as stream:
        assert "".join(stream.text_stream) == "You said: good morning"
        final = stream.get_final_message()
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 1


def test_messages_error(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(model="mock-status-529", max_tokens=9, messages=SAID)
    body = caught.value.response.json()
    assert body["error"]["type"] == "overloaded_error"
    assert body["request_id"] == caught.value.response.headers["request-id"]


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_images(sdk: openai.OpenAI) -> None:
    made = sdk.images.generate(model="m", prompt="a fox", n=2)
    assert made.data is not None
    assert [base64.b64decode(each.b64_json or "")[:8] for each in made.data] == [PNG, PNG]
    linked = sdk.images.generate(model="m", prompt="a fox", response_format="url")
    assert linked.data is not None
    assert (linked.data[0].url or "").startswith("https://")
    edited = sdk.images.edit(model="m", prompt="a fox", image=[PICTURE, PICTURE])
    assert edited.usage is not None
    assert sdk.images.create_variation(model="m", image=PICTURE).data


@pytest.mark.parametrize("kind", ["image_generation", "image_edit"])
def test_images_stream(sdk: openai.OpenAI, kind: str) -> None:
    stream: Any
    if kind == "image_edit":
        stream = sdk.images.edit(
            model="m", prompt="x", image=PICTURE, stream=True, partial_images=2
        )
    else:
        stream = sdk.images.generate(model="m", prompt="x", stream=True, partial_images=2)
    types = [event.type for event in stream]
    assert types == [f"{kind}.partial_image"] * 2 + [f"{kind}.completed"]


def test_transcriptions(sdk: openai.OpenAI) -> None:
    plain = sdk.audio.transcriptions.create(model="m", file=SOUND)
    assert plain.text.startswith("The quick")
    verbose: Any = sdk.audio.transcriptions.create(
        model="m", file=SOUND, response_format="verbose_json"
    )
    assert verbose.segments[0].end == 1.0
    text = sdk.audio.transcriptions.create(model="m", file=SOUND, response_format="srt")
    assert "-->" in str(text)


def test_transcriptions_stream(sdk: openai.OpenAI) -> None:
    stream = sdk.audio.transcriptions.create(model="m", file=SOUND, stream=True)
    events: list[Any] = list(stream)
    *deltas, done = events
    assert "".join(event.delta for event in deltas) == done.text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_translations(sdk: openai.OpenAI, mock_http: httpx2.Client) -> None:
    assert sdk.audio.translations.create(model="m", file=SOUND).text
    answer = mock_http.post(
        "/v1/audio/translations",
        data={"model": "m", "response_format": "vtt"},
        files={"file": SOUND},
    )
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text.startswith("WEBVTT")


def test_speech(sdk: openai.OpenAI) -> None:
    create = sdk.audio.speech.with_streaming_response.create
    with create(model="m", voice="v", input="hello") as answer:
        assert answer.headers["content-type"] == "audio/wav"
        assert "content-length" not in answer.headers
        chunks = [*answer.iter_bytes()]
    assert len(chunks) > 1
    with wave.open(io.BytesIO(b"".join(chunks))) as sound:
        assert sound.getnframes() / sound.getframerate() == 1.0


def test_speech_events(mock_http: httpx2.Client) -> None:
    asked = {"model": "m", "voice": "v", "input": "hello", "stream_format": "sse"}
    answer = mock_http.post("/v1/audio/speech", json=asked)
    assert answer.text.count("speech.audio.delta") == 6
    assert answer.text.count("speech.audio.done") == 1


def test_moderations(sdk: openai.OpenAI) -> None:
    answer = sdk.moderations.create(model="m", input=["a", "b"])
    assert [result.flagged for result in answer.results] == [False, False]


def test_errors_have_the_sdk_class(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.embeddings.create(model="mock-status-429", input="x")
    assert caught.value.type == "rate_limit_error"
    assert caught.value.response.headers["retry-after"] == "1"


def test_dated_deployments(mock_url: str) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=mock_url, api_key="k", api_version="2024-10-21", max_retries=0
    ) as client:
        answer = client.embeddings.create(model="some-deployment", input="x")
        assert answer.model == "some-deployment"
        assert client.responses.create(model="m", input="x").output_text
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="mock-status-503", input="x")


def test_cohere(mock_url: str) -> None:
    with httpx.Client(trust_env=False) as http:
        client = cohere.ClientV2(api_key="k", base_url=mock_url, httpx_client=http)
        check_cohere(client)


def check_cohere(client: cohere.ClientV2) -> None:
    documents = ["a dog barks", "the quick fox", "a cat"]
    ranked = client.rerank(model="m", query="quick fox", documents=documents, top_n=2).results
    assert ranked[0].index == 1
    assert len(ranked) == 2
    assert ranked[0].relevance_score > ranked[1].relevance_score
    made = client.embed(
        model="m", texts=["a", "b"], input_type="search_query", embedding_types=["float"]
    )
    assert [len(vector) for vector in made.embeddings.float_ or []] == [8, 8]


def test_ranking_with_top_k_answers_a_data_list(mock_http: httpx2.Client) -> None:
    asked = {"model": "m", "query": "fox", "documents": ["cat", "fox"], "top_k": 1}
    answer = mock_http.post("/v1/rerank", json=asked).json()
    assert [entry["index"] for entry in answer["data"]] == [1]
    assert answer["usage"]["total_tokens"] > 0


def test_mistral(mock_url: str) -> None:
    with mistral.Mistral(api_key="k", server_url=mock_url) as client:
        document: Any = {"type": "document_url", "document_url": "https://mock.invalid/a.pdf"}
        pages = client.ocr.process(model="m", document=document).pages
        assert pages[0].markdown.startswith("# Mock")
        assert len(client.embeddings.create(model="m", inputs=["a", "b"]).data) == 2
        assert len(client.classifiers.moderate(model="m", inputs=["a", "b"]).results) == 2
        told = client.chat.complete(model="m", messages=SAID)
        assert told.choices[0].message.content == "You said: good morning"


@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v1/videos/generations", "request_id"),
        ("/api/paas/v4/videos/generations", "task_status"),
        ("/openai/v1/videos", "status"),
        ("/chat/completions", "choices"),
        ("/v1beta/openai/chat/completions", "choices"),
        ("/compatibility/v1/embeddings", "data"),
        ("/api/v1/embeddings", "data"),
        ("/inference/v1/rerank", "results"),
        ("/compatible-api/v1/reranks", "results"),
        ("/providers/mistral/azure/ocr", "pages"),
        ("/anthropic/v1/messages", "stop_reason"),
        ("/openai/responses?api-version=x", "output"),
    ],
)
def test_paths_of_many_upstreams(mock_http: httpx2.Client, path: str, member: str) -> None:
    answer = mock_http.post(path, json={"model": "m"})
    assert answer.status_code == 200
    assert member in answer.json()


@pytest.mark.parametrize("path", ["/v1/videos/abc", "/v1/models"])
def test_paths_that_are_read(mock_http: httpx2.Client, path: str) -> None:
    assert mock_http.get(path).status_code == 200

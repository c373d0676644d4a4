"""The official Anthropic, Cohere and Mistral SDKs, and what each makes of a refusal."""

from __future__ import annotations  # so that no SDK is imported before it is used

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import cohere
import httpx2
import mistralai.client as mistral
import openai
import pytest

from tests import loopback
from tests.e2e.sdk.wire import assert_arrived, assert_no_key, values
from tests.listening import listening
from tests.servers import KEY, Server, gateway, received, write_keys

SAID: list[anthropic.types.MessageParam] = [{"role": "user", "content": "hello there"}]
ANSWER = "You said: hello there"
DOCUMENTS = ["bread and butter", "the red fox", "a red fox in a red coat"]

ROUTES = """
version: 1
endpoints:
  rerank_v2: {path: /v2/rerank}
  embed_v2: {path: /v2/embed}
  chat_completions: {path: /v1/chat/completions}
  messages: {path: /v1/messages, errors: anthropic}
models:
  - {prefix: rerank-v, provider: cohere}
  - {prefix: embed-v, provider: cohere}
  - {prefix: away/, provider: away, strip: true}
  - {prefix: rude/, provider: rude, strip: true}
"""

PROVIDERS = """
version: 1
providers:
  cohere:
    base_url: http://127.0.0.1:%d
    credentials:
      api_key: {env: CO_API_KEY}
    headers:
      authorization: "Bearer {{ credentials.api_key }}"
    forward_headers: [x-client-name]
    endpoints:
      rerank_v2: /v2/rerank
      embed_v2: /v2/embed
  away:  # nothing listens there
    base_url: http://127.0.0.1:%d
    endpoints: {rerank_v2: /a, chat_completions: /b, messages: /c}
  rude:  # hangs up without an answer
    base_url: http://127.0.0.1:%d
    endpoints: {chat_completions: /b, messages: /c}
"""


class Rude:
    """An upstream that reads a request and hangs up; `calls` counts the requests."""

    def __init__(self) -> None:
        self.calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length:")
            )
            await reader.readexactly(length)
            self.calls += 1
        writer.close()


@pytest.fixture(scope="module")
def rude() -> Iterator[tuple[Rude, int]]:
    upstream = Rude()
    with listening(upstream.serve) as port:
        yield upstream, port


@pytest.fixture(scope="module")
def extended(
    tmp_path_factory: pytest.TempPathFactory,
    mock: Server,
    canaries: dict[str, str],
    rude: tuple[Rude, int],
) -> Iterator[Server]:
    """A gateway whose YAML adds the native paths of an SDK, and providers that fail."""
    folder = tmp_path_factory.mktemp("extended")
    (folder / "routes.yaml").write_text(ROUTES)
    write_keys(folder)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # without listening, so that every connection is refused
        ports = (mock.port, closed.getsockname()[1], rude[1])
        (folder / "providers.yaml").write_text(PROVIDERS % ports)
        with gateway(folder, folder / "log", environ=canaries) as server:
            yield server


# -- Anthropic ---------------------------------------------------------------------------------


def ask(client: anthropic.Anthropic) -> tuple[anthropic.types.Message, Any]:
    raw = client.messages.with_raw_response.create(
        model="claude-opus-5-5", max_tokens=64, messages=SAID
    )
    return raw.parse(), raw.http_response


def assert_messages_wire(
    mock: Server, canaries: dict[str, str], response: Any, version: str
) -> dict[str, Any]:
    record = assert_arrived(mock, response, "/v1/messages", response.request.read())
    assert values(record, "x-api-key") == [canaries["ANTHROPIC_API_KEY"]]
    assert values(record, "authorization") == []
    assert values(record, "anthropic-version") == [version]
    return record


def test_anthropic_messages_with_a_bearer_key(
    served: Server, mock: Server, canaries: dict[str, str]
) -> None:
    with anthropic.Anthropic(base_url=served.url, api_key=KEY) as client:
        message, response = ask(client)
    assert message.content[0].type == "text"
    assert message.content[0].text == ANSWER
    assert message.usage.output_tokens > 0
    assert message._request_id == response.headers["request-id"]
    assert response.request.headers["authorization"] == f"Bearer {KEY}"
    version = response.request.headers["anthropic-version"]
    assert version != "2023-06-01"  # the SDK's own, not the default of providers.yaml
    assert_messages_wire(mock, canaries, response, version)


def test_anthropic_messages_with_the_older_key_header(
    served: Server, mock: Server, canaries: dict[str, str]
) -> None:
    """Before version 2 the SDK sent the key as x-api-key, and an older API version."""

    def as_before(request: httpx2.Request) -> None:
        del request.headers["authorization"]

    older = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "anthropic-beta": "a-1,b-2"}
    with (
        loopback.Client(event_hooks={"request": [as_before]}) as plain,
        anthropic.Anthropic(
            base_url=served.url, api_key=KEY, default_headers=older, http_client=plain
        ) as client,
    ):
        _, response = ask(client)
    assert "authorization" not in response.request.headers
    record = assert_messages_wire(mock, canaries, response, "2023-06-01")
    assert values(record, "anthropic-beta") == ["a-1,b-2"]


def test_anthropic_streams(served: Server, mock: Server, canaries: dict[str, str]) -> None:
    with anthropic.Anthropic(base_url=served.url, api_key=KEY) as client:
        raw = client.messages.with_raw_response.create(
            model="claude-opus-5-5", max_tokens=64, messages=SAID, stream=True
        )
        kinds = [event.type for event in raw.parse()]
        assert_messages_wire(
            mock, canaries, raw.http_response, raw.http_request.headers["anthropic-version"]
        )
        with client.messages.stream(
            model="claude-opus-5-5", max_tokens=64, messages=SAID
        ) as stream:
            assert "".join(stream.text_stream) == ANSWER
            assert stream.get_final_message().stop_reason == "end_turn"
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_anthropic_async(served: Server) -> None:
    async def call() -> tuple[anthropic.types.Message, str]:
        async with anthropic.AsyncAnthropic(base_url=served.url, api_key=KEY) as client:
            whole = await client.messages.create(
                model="claude-opus-5-5", max_tokens=64, messages=SAID
            )
            async with client.messages.stream(
                model="claude-opus-5-5", max_tokens=64, messages=SAID
            ) as stream:
                return whole, "".join([text async for text in stream.text_stream])

    message, streamed = asyncio.run(call())
    assert message.content[0].type == "text"
    assert message.content[0].text == streamed == ANSWER


def test_a_stream_that_breaks_off_raises_in_the_sdk(served: Server) -> None:
    """The error event is one that each SDK understands: no short answer passes for a whole one."""
    with anthropic.Anthropic(base_url=served.url, api_key=KEY) as client:
        events = client.messages.create(
            model="claude-mock-cut", max_tokens=64, messages=SAID, stream=True
        )
        with pytest.raises(anthropic.APIError, match="broke off"):
            list(events)
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client_of_openai:
        chunks = client_of_openai.chat.completions.create(
            model="gpt-mock-cut", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match="broke off"):
            list(chunks)
        told = client_of_openai.responses.create(model="gpt-mock-cut", input="hi", stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            list(told)
        with (
            client_of_openai.responses.stream(model="gpt-mock-cut", input="hi") as running,
            pytest.raises(openai.APIError, match="broke off"),
        ):
            list(running)


# -- Cohere ------------------------------------------------------------------------------------


def assert_cohere_wire(mock: Server, canaries: dict[str, str], answer: Any, path: str) -> None:
    response = answer.response
    assert response.request.url.path == path
    record = assert_arrived(mock, response, path, response.request.content)
    assert values(record, "authorization") == [f"Bearer {canaries['CO_API_KEY']}"]
    assert values(record, "x-client-name") == ["tests"]


def test_cohere_needs_nothing_but_two_endpoints_in_yaml(
    extended: Server, mock: Server, canaries: dict[str, str]
) -> None:
    """The SDK calls /v2/rerank and /v2/embed, here under names of the operator's own."""
    with cohere.ClientV2(api_key=KEY, base_url=extended.url, client_name="tests") as client:
        ranked = client.v2.with_raw_response.rerank(
            model="rerank-v4.0-pro", query="red fox", documents=DOCUMENTS, top_n=2
        )
        embedded = client.v2.with_raw_response.embed(
            model="embed-v4.0",
            texts=["one", "two"],
            input_type="search_document",
            embedding_types=["float"],
            output_dimension=256,
        )
    assert {item.index for item in ranked.data.results} == {1, 2}
    assert embedded.data.embeddings.float_ is not None
    assert [len(vector) for vector in embedded.data.embeddings.float_] == [256, 256]
    assert_cohere_wire(mock, canaries, ranked, "/v2/rerank")
    assert_cohere_wire(mock, canaries, embedded, "/v2/embed")


def test_cohere_v1_client_reranks_on_the_shipped_routes(
    served: Server, mock: Server, canaries: dict[str, str]
) -> None:
    """Its path is /v1/rerank; providers.yaml sends it on to /v2/rerank."""
    with cohere.Client(api_key=KEY, base_url=served.url, client_name="tests") as client:
        raw = client.with_raw_response.rerank(
            model="rerank-v4.0-pro", query="red fox", documents=DOCUMENTS, top_n=2
        )
    response = raw.response
    assert response.request.url.path == "/v1/rerank"
    assert {item.index for item in raw.data.results} == {1, 2}
    record = assert_arrived(mock, response, "/v2/rerank", response.request.content)
    assert values(record, "authorization") == [f"Bearer {canaries['CO_API_KEY']}"]


# -- Mistral -----------------------------------------------------------------------------------


def last(mock: Server) -> dict[str, Any]:
    records = loopback.get(f"{mock.url}/__mock/requests").json()["requests"]
    return received(mock, records[-1]["id"])


def assert_mistral_wire(
    mock: Server, canaries: dict[str, str], path: str, *fields: str
) -> dict[str, Any]:
    record = last(mock)
    assert_no_key(record)
    assert record["target"] == path
    assert values(record, "authorization") == [f"Bearer {canaries['MISTRAL_API_KEY']}"]
    body: dict[str, Any] = json.loads(record["body"])
    assert set(fields) <= body.keys()
    return body


def test_mistral(served: Server, mock: Server, canaries: dict[str, str]) -> None:
    with mistral.Mistral(api_key=KEY, server_url=served.url) as client:
        pages = client.ocr.process(
            model="mistral-ocr-latest",
            document={"type": "document_url", "document_url": "https://example.com/a.pdf"},
        )
        assert pages.pages[0].markdown.startswith("# Mock page")
        body = assert_mistral_wire(mock, canaries, "/v1/ocr", "document")
        assert body["model"] == "mistral-ocr-latest"

        vectors = client.embeddings.create(
            model="codestral-embed", inputs=["one", "two"], output_dimension=16
        )
        assert [len(item.embedding or []) for item in vectors.data] == [16, 16]
        body = assert_mistral_wire(mock, canaries, "/v1/embeddings", "output_dimension")
        assert body["input"] == ["one", "two"]

        judged = client.classifiers.moderate(model="mistral-moderation-latest", inputs=["one"])
        assert judged.results[0].categories
        assert not any(judged.results[0].categories.values())
        assert_mistral_wire(mock, canaries, "/v1/moderations", "input", "model")

        chat = client.chat.complete(
            model="mistral-large-latest", messages=[{"role": "user", "content": "hello there"}]
        )
        assert chat.choices[0].message
        assert chat.choices[0].message.content == ANSWER
        with client.chat.stream(
            model="mistral-large-latest", messages=[{"role": "user", "content": "hello there"}]
        ) as events:
            heard = "".join(str(e.data.choices[0].delta.content or "") for e in events)
        assert heard == ANSWER


# -- what a refusal becomes --------------------------------------------------------------------


@dataclass(frozen=True)
class Sdk:
    """How one SDK asks for a model, and what it raises for each status."""

    call: Callable[[str, str, str], object]
    model: str
    raised: Callable[[], dict[int, type[Exception]]]


def call_openai(url: str, key: str, model: str) -> object:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        return client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "hi"}]
        )


def call_anthropic(url: str, key: str, model: str) -> object:
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as client:
        return client.messages.create(model=model, max_tokens=64, messages=SAID)


def call_cohere(url: str, key: str, model: str) -> object:
    with cohere.Client(api_key=key, base_url=url, max_retries=0) as client:
        return client.rerank(model=model, query="fox", documents=DOCUMENTS)


def call_cohere_v2(url: str, key: str, model: str) -> object:
    with cohere.ClientV2(api_key=key, base_url=url, max_retries=0) as client:
        return client.v2.rerank(model=model, query="fox", documents=DOCUMENTS)


def call_mistral(url: str, key: str, model: str) -> object:
    with mistral.Mistral(api_key=key, server_url=url) as client:
        return client.chat.complete(model=model, messages=[{"role": "user", "content": "hi"}])


SDKS = {
    "openai": Sdk(
        call_openai,
        "gpt-",
        lambda: {
            401: openai.AuthenticationError,
            404: openai.NotFoundError,
            429: openai.RateLimitError,
            502: openai.InternalServerError,
        },
    ),
    "anthropic": Sdk(
        call_anthropic,
        "claude-",
        lambda: {
            401: anthropic.AuthenticationError,
            404: anthropic.NotFoundError,
            429: anthropic.RateLimitError,
            502: anthropic.InternalServerError,
        },
    ),
    "cohere": Sdk(
        call_cohere,
        "rerank-v",
        lambda: {
            401: cohere.UnauthorizedError,
            404: cohere.NotFoundError,
            429: cohere.TooManyRequestsError,
            502: cohere.core.ApiError,
        },
    ),
    "mistral": Sdk(
        call_mistral,
        "mistral-",
        lambda: dict.fromkeys((401, 404, 429, 502), mistral.errors.SDKError),
    ),
}

every_sdk = pytest.mark.parametrize("name", SDKS)


def refusal(name: str, status: int, url: str, key: str, model: str) -> tuple[Any, dict[str, str]]:
    """The exception of the SDK, with the headers of the answer."""
    sdk = SDKS[name]
    call = call_cohere_v2 if name == "cohere" and status == 502 else sdk.call
    with pytest.raises(sdk.raised()[status]) as caught:
        call(url, key, model)
    error: Any = caught.value
    assert error.status_code == status
    response = getattr(error, "response", error)
    return error, {key.lower(): value for key, value in response.headers.items()}


@every_sdk
def test_a_wrong_gateway_key(served: Server, name: str) -> None:
    wrong = KEY[:-1] + "1"
    error, headers = refusal(name, 401, served.url, wrong, SDKS[name].model + "x")
    assert headers["x-engine-error"] == "invalid_api_key"
    assert wrong not in str(error) + repr(headers)


@every_sdk
def test_an_unknown_model(served: Server, name: str) -> None:
    error, headers = refusal(name, 404, served.url, KEY, "no-such-model")
    assert headers["x-engine-error"] == "model_not_found"
    assert "no-such-model" in str(error)


@every_sdk
def test_a_refusal_of_the_provider_is_left_as_it_is(served: Server, name: str) -> None:
    _, headers = refusal(name, 429, served.url, KEY, SDKS[name].model + "mock-status-429")
    assert headers["retry-after"] == "1"
    assert headers["x-mock-id"]
    assert "x-engine-error" not in headers


@every_sdk
def test_a_provider_out_of_reach(extended: Server, name: str) -> None:
    error, headers = refusal(name, 502, extended.url, KEY, "away/m")
    assert headers["x-engine-error"] == "upstream_connect_failed"
    assert "x-should-retry" not in headers
    assert "cannot be reached" in str(error)


def test_the_envelopes_are_read(served: Server) -> None:
    """Each SDK finds the code or the type where its own provider puts it, and the request id."""
    error, headers = refusal("openai", 404, served.url, KEY, "no-such-model")
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "not_found_error")
    assert error.request_id == headers["x-engine-request-id"]
    error, headers = refusal("anthropic", 404, served.url, KEY, "no-such-model")
    assert error.body["error"]["type"] == "not_found_error"
    assert error.request_id == headers["x-engine-request-id"]


def test_retry_after_of_the_provider_is_obeyed(served: Server, mock: Server) -> None:
    model = "gpt-mock-status-429-retried"
    started = time.monotonic()
    with (
        openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY, max_retries=1) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.embeddings.create(model=model, input="x")
    assert time.monotonic() - started >= 1
    second = int(caught.value.response.headers["x-mock-id"])
    assert [received(mock, str(each))["model"] for each in (second - 1, second)] == [model, model]


@pytest.mark.parametrize("name", ["openai", "anthropic"])
def test_nothing_is_paid_for_twice(extended: Server, rude: tuple[Rude, int], name: str) -> None:
    """The SDK retries a 502 by default, but not one that the provider may have processed."""
    before = rude[0].calls
    with pytest.raises(SDKS[name].raised()[502]) as caught:
        if name == "openai":
            with openai.OpenAI(base_url=f"{extended.url}/v1", api_key=KEY) as client:
                client.chat.completions.create(
                    model="rude/m", messages=[{"role": "user", "content": "hi"}]
                )
        else:
            with anthropic.Anthropic(base_url=extended.url, api_key=KEY) as other:
                other.messages.create(model="rude/m", max_tokens=64, messages=SAID)
    error: Any = caught.value
    assert error.response.headers["x-engine-error"] == "upstream_closed"
    assert error.response.headers["x-should-retry"] == "false"
    assert rude[0].calls == before + 1

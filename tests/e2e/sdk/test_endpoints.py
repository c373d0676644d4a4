"""Official SDKs, unmodified, at the endpoints that count, list and embed in their makers' own ways."""

from __future__ import annotations  # so that no SDK is imported before it is used

from collections.abc import Iterator
from typing import Any

import anthropic
import cohere
import openai
import pytest

from tests.servers import KEY, Server, received

SAID: Any = [{"role": "user", "content": "three little words"}]
WAV = b"RIFF" + b"\0" * 60


@pytest.fixture(scope="module")
def azure(served: Server) -> Iterator[openai.AzureOpenAI]:
    client = openai.AzureOpenAI(azure_endpoint=served.url, api_key=KEY, api_version="2024-10-21")
    with client:
        yield client


@pytest.fixture(scope="module")
def plain(served: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=KEY) as client:
        yield client


@pytest.fixture(scope="module")
def claude(served: Server) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=served.url, api_key=KEY) as client:
        yield client


@pytest.fixture(scope="module")
def command(served: Server) -> Iterator[cohere.ClientV2]:
    with cohere.ClientV2(base_url=served.url, api_key=KEY) as client:
        yield client


# -- Azure's paths -------------------------------------------------------------------------------


def seen(mock: Server, answer: Any) -> dict[str, Any]:
    return received(mock, answer.headers["x-mock-id"])


@pytest.mark.parametrize(
    ("model", "target"),
    [
        ("gpt-4o", "/v1/chat/completions"),
        ("azure/dep-1", "/openai/v1/chat/completions"),
        (
            "azure_deployments/dep-1",
            "/openai/deployments/dep-1/chat/completions?api-version=2025-04-01-preview",
        ),
    ],
)
def test_a_deployment_is_a_model(
    azure: openai.AzureOpenAI, mock: Server, model: str, target: str
) -> None:
    """The SDK writes it into the path and the body; its api-version does not go up."""
    create = azure.chat.completions.with_raw_response.create
    answer = create(model=model, messages=SAID)
    assert "three little words" in str(answer.parse().choices[0].message.content)
    assert seen(mock, answer)["target"] == target


def test_a_deployment_of_the_client_wins_over_the_body(served: Server, mock: Server) -> None:
    with openai.AzureOpenAI(
        azure_endpoint=served.url, azure_deployment="gpt-4o-mini", api_key=KEY, api_version="1"
    ) as client:
        answer = client.chat.completions.with_raw_response.create(model="gpt-6", messages=SAID)
    assert answer.parse().model == "gpt-4o-mini"
    assert seen(mock, answer)["model"] == "gpt-4o-mini"


def test_streams_and_the_other_endpoints_of_azure(azure: openai.AzureOpenAI) -> None:
    chunks = list(azure.chat.completions.create(model="gpt-4o", messages=SAID, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert azure.embeddings.create(model="text-embedding-3-small", input="a").data
    assert azure.completions.create(model="davinci-002", prompt="a").choices
    assert azure.images.generate(model="gpt-image-2", prompt="a").data
    assert azure.audio.speech.create(model="tts-1", voice="alloy", input="a").read()
    file = ("a.wav", WAV)
    assert azure.audio.transcriptions.create(model="whisper-1", file=file).text
    with pytest.warns(DeprecationWarning):
        assert azure.audio.translations.create(model="whisper-1", file=file).text
    assert azure.images.edit(model="gpt-image-2", image=("a.png", WAV), prompt="a").data


def test_what_azure_clients_are_refused_comes_in_their_envelope(azure: openai.AzureOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        azure.chat.completions.create(model="nobodys-model", messages=SAID)
    assert caught.value.code == "model_not_found"


# -- what counts and keeps nothing ---------------------------------------------------------------


def test_tokens_of_messages_are_counted(claude: anthropic.Anthropic) -> None:
    for count in (claude.messages.count_tokens, claude.beta.messages.count_tokens):
        assert count(model="claude-opus-5-5", messages=SAID).input_tokens > 0


@pytest.mark.parametrize("model", ["vertex_ai/claude-opus-4-8", "azure_anthropic/c"])
def test_tokens_are_counted_where_a_cloud_serves_claude(
    claude: anthropic.Anthropic, mock: Server, model: str
) -> None:
    answer = claude.messages.with_raw_response.count_tokens(model=model, messages=SAID)
    assert seen(mock, answer)["target"].endswith(("count-tokens:rawPredict", "count_tokens"))


def test_responses_are_counted_and_compacted(plain: openai.OpenAI) -> None:
    counted = plain.responses.input_tokens.count(model="gpt-5.4", input="three little words")
    assert counted.input_tokens > 0
    shorter = plain.responses.compact(model="gpt-5.4", input="three little words")
    assert shorter.object == "response.compaction"
    assert shorter.output[0].type == "compaction"


# -- models --------------------------------------------------------------------------------------


def test_models_are_listed_and_found(plain: openai.OpenAI) -> None:
    names = [model.id for model in plain.models.list()]
    assert {"gpt-4o", "gpt-4o-mini", "claude-opus-5-5"} <= set(names)
    assert len(names) == len(set(names))
    for name in ("gpt-4o-mini", "gpt-4o-2099-01-01", "groq/openai/gpt-oss-120b"):
        assert plain.models.retrieve(name).id == name
    assert plain.models.retrieve("groq/x").owned_by == "groq"
    with pytest.raises(openai.NotFoundError):
        plain.models.retrieve("nobodys-model")


def test_the_list_of_claude_ends(claude: anthropic.Anthropic) -> None:
    """Pages are asked for until there is none; limits and positions of the SDK change nothing."""
    whole = [model.id for model in claude.models.list()]
    assert "claude-opus-5-5" in whole
    assert [model.id for model in claude.models.list(limit=2)] == whole
    assert [model.id for model in claude.models.list(after_id=whole[0])] == whole
    assert claude.models.retrieve("claude-future-9").type == "model"
    with pytest.raises(anthropic.NotFoundError):
        claude.models.retrieve("nobodys-model")


# -- Cohere's own API ----------------------------------------------------------------------------


def test_chat_of_cohere(command: cohere.ClientV2) -> None:
    answer = command.chat(model="command-a-03-2025", messages=SAID)
    content: Any = answer.message.content
    assert "three little words" in content[0].text
    events = list(command.chat_stream(model="command-a-03-2025", messages=SAID))
    assert [events[0].type, events[-1].type] == ["message-start", "message-end"]


def test_embeddings_of_cohere(command: cohere.ClientV2, served: Server) -> None:
    answer = command.embed(
        model="embed-v4.0", texts=["a", "b"], input_type="search_query", embedding_types=["float"]
    )
    assert len(answer.embeddings.float_ or []) == 2
    with cohere.Client(base_url=served.url, api_key=KEY) as older:
        assert older.chat(message="hello").text
        assert older.embed(texts=["a"], model="embed-english-v3.0", input_type="search_query")
        assert older.rerank(model="rerank-v4.0-pro", query="a", documents=["b"]).results


def test_only_cohere_serves_them(command: cohere.ClientV2, served: Server) -> None:
    with pytest.raises(cohere.NotFoundError) as caught:
        command.chat(model="gpt-4o", messages=SAID)
    assert caught.value.body["error"]["code"] == "endpoint_not_supported"
    with (
        cohere.ClientV2(base_url=served.url, api_key="wrong") as other,
        pytest.raises(cohere.UnauthorizedError),
    ):
        other.chat(model="command-a-03-2025", messages=SAID)

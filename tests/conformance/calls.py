"""Calls of vendors' own Python SDKs. Run by compare.py, in an environment that has them all.

    python calls.py SDK BASE KEY MODEL_PREFIX [CALLS]

Prints one JSON line: where the SDK goes by itself, or the calls it made at BASE, in order. CALLS is a
JSON list of names to which it keeps.
"""

# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return"
import contextlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

KEY = sys.argv[3] if len(sys.argv) > 3 else "none"
HELLO = [{"role": "user", "content": "hello"}]
WORDS = ["one", "two"]
Call = Callable[[Any, str], Any]


def sound() -> Any:
    return ("a.wav", io.BytesIO(b"RIFF\0\r\n--x"), "audio/wav")


def image() -> Any:
    return ("a.png", io.BytesIO(b"\x89PNG\r\n"), "image/png")


def drain(stream: Any) -> None:
    for _ in stream:
        pass


# The calls that SDKs made by the same generator share, by endpoint of the gateway.
CHAT: dict[str, Call] = {
    "chat_completions": lambda c, m: c.chat.completions.create(model=m, messages=HELLO),
    "chat_completions, streamed": lambda c, m: drain(
        c.chat.completions.create(model=m, messages=HELLO, stream=True)
    ),
}
COMPLETIONS: dict[str, Call] = {
    "completions": lambda c, m: c.completions.create(model=m, prompt="hello")
}
EMBEDDINGS: dict[str, Call] = {"embeddings": lambda c, m: c.embeddings.create(model=m, input=WORDS)}
RESPONSES: dict[str, Call] = {"responses": lambda c, m: c.responses.create(model=m, input="hello")}
MESSAGES: dict[str, Call] = {
    "messages": lambda c, m: c.messages.create(model=m, max_tokens=9, messages=HELLO),
    "messages, streamed": lambda c, m: drain(
        c.messages.create(model=m, max_tokens=9, messages=HELLO, stream=True)
    ),
}
COUNT: dict[str, Call] = {
    "messages_count_tokens": lambda c, m: c.messages.count_tokens(model=m, messages=HELLO)
}
RESPONSES_MORE: dict[str, Call] = {
    "responses_input_tokens": lambda c, m: c.responses.input_tokens.count(model=m, input="hello"),
    "responses_compact": lambda c, m: c.responses.compact(model=m, input="hello"),
}
SOUNDS: dict[str, Call] = {
    "audio_transcriptions": lambda c, m: c.audio.transcriptions.create(model=m, file=sound()),
    "audio_translations": lambda c, m: c.audio.translations.create(model=m, file=sound()),
}
SPEECH: dict[str, Call] = {
    "audio_speech": lambda c, m: c.audio.speech.create(model=m, input="hello", voice="alloy")
}
MODERATIONS: dict[str, Call] = {
    "moderations": lambda c, m: c.moderations.create(model=m, input="hello")
}
GENERATIONS: dict[str, Call] = {
    "images_generations": lambda c, m: c.images.generate(model=m, prompt="a cat")
}
IMAGES: dict[str, Call] = GENERATIONS | {
    "images_edits": lambda c, m: c.images.edit(model=m, image=image(), prompt="a hat"),
    "images_edits, two images": lambda c, m: c.images.edit(
        model=m, image=[image(), image()], prompt="a hat"
    ),
    "images_variations": lambda c, m: c.images.create_variation(model=m, image=image()),
}
RERANK: dict[str, Call] = {
    "rerank": lambda c, m: c.rerank.create(model=m, query="q", documents=WORDS)
}
OPENAI = CHAT | COMPLETIONS | EMBEDDINGS | RESPONSES | IMAGES | SOUNDS | SPEECH | MODERATIONS
COHERE: dict[str, Call] = {
    "rerank": lambda c, m: c.rerank(model=m, query="q", documents=WORDS, top_n=1),
    "cohere_chat": lambda c, m: c.chat(model=m, messages=HELLO),
    "cohere_chat, streamed": lambda c, m: drain(c.chat_stream(model=m, messages=HELLO)),
    "cohere_embed": lambda c, m: c.embed(
        model=m, texts=WORDS, input_type="search_query", embedding_types=["float"]
    ),
}
COHERE_V1: dict[str, Call] = {
    "cohere_chat_v1": lambda c, m: c.chat(model=m, message="hello"),
    "cohere_chat_v1, streamed": lambda c, m: drain(c.chat_stream(model=m, message="hello")),
    "cohere_embed_v1": lambda c, m: c.embed(model=m, texts=WORDS, input_type="search_query"),
    "cohere_classify": lambda c, m: c.classify(model=m, inputs=WORDS, examples=[]),
    "cohere_tokenize": lambda c, m: c.tokenize(model=m, text="hello", offline=False),
    "cohere_detokenize": lambda c, m: c.detokenize(model=m, tokens=[1, 2], offline=False),
}


def openai(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from openai import OpenAI

    return OpenAI(api_key=KEY, base_url=base, max_retries=0), OPENAI | RESPONSES_MORE


def azure_openai(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from openai import AzureOpenAI

    client = AzureOpenAI(
        api_key=KEY,
        api_version="2025-04-01-preview",
        azure_endpoint=base or "https://of-the-tests.openai.azure.com",
        max_retries=0,
    )
    return client, CHAT | COMPLETIONS | EMBEDDINGS | RESPONSES | GENERATIONS | SOUNDS | SPEECH


def bedrock_openai(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from openai import BedrockOpenAI

    client = BedrockOpenAI(api_key=KEY, aws_region="us-east-1", base_url=base, max_retries=0)
    return client, CHAT | RESPONSES


def anthropic(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from anthropic import Anthropic

    return Anthropic(api_key=KEY, base_url=base, max_retries=0), MESSAGES | COUNT


def anthropic_vertex(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from anthropic.lib.vertex import AnthropicVertex

    client = AnthropicVertex(
        access_token=KEY,
        region="global",
        project_id="of-the-tests",
        base_url=base and f"{base}/v1",
        max_retries=0,
    )
    return client, MESSAGES | COUNT


def anthropic_foundry(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from anthropic import AnthropicFoundry

    at: dict[str, Any] = {"base_url": f"{base}/anthropic"} if base else {"resource": "of-the-tests"}
    return AnthropicFoundry(api_key=KEY, max_retries=0, **at), MESSAGES | COUNT


def anthropic_mantle(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from anthropic import AnthropicBedrockMantle

    client = AnthropicBedrockMantle(
        api_key=KEY, aws_region="us-east-1", base_url=base and f"{base}/anthropic", max_retries=0
    )
    return client, MESSAGES | COUNT


def cohere(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from cohere import ClientV2

    return ClientV2(api_key=KEY, base_url=base), COHERE


def cohere_v1(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from cohere import Client

    return Client(api_key=KEY, base_url=base), COHERE_V1


def mistral(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from mistralai.client import Mistral

    document = {"type": "document_url", "document_url": "https://example.com/a.pdf"}
    calls: dict[str, Call] = {
        "chat_completions": lambda c, m: c.chat.complete(model=m, messages=HELLO),
        "chat_completions, streamed": lambda c, m: drain(c.chat.stream(model=m, messages=HELLO)),
        "embeddings": lambda c, m: c.embeddings.create(model=m, inputs=WORDS),
        "moderations": lambda c, m: c.classifiers.moderate(model=m, inputs=WORDS),
        "ocr": lambda c, m: c.ocr.process(model=m, document=document),
        "audio_transcriptions": lambda c, m: c.audio.transcriptions.complete(
            model=m, file={"file_name": "a.wav", "content": b"RIFF\0"}
        ),
    }
    return Mistral(api_key=KEY, server_url=base), calls


def groq(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from groq import Groq

    return Groq(api_key=KEY, base_url=base, max_retries=0), CHAT | EMBEDDINGS | SOUNDS | SPEECH


def together(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from together import Together

    calls = CHAT | COMPLETIONS | EMBEDDINGS | GENERATIONS | SOUNDS | SPEECH | RERANK
    return Together(api_key=KEY, base_url=base, max_retries=0), calls


def cerebras(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from cerebras.cloud.sdk import Cerebras

    client = Cerebras(api_key=KEY, base_url=base, max_retries=0, warm_tcp_connection=False)
    return client, CHAT | COMPLETIONS


def fireworks(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from fireworks import Fireworks

    client = Fireworks(api_key=KEY, base_url=base, max_retries=0)
    return client, CHAT | COMPLETIONS | MESSAGES


def perplexity(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from perplexity import Perplexity

    client = Perplexity(api_key=KEY, base_url=base, max_retries=0)
    calls: dict[str, Call] = {  # it takes two models alone, and no prefix
        "embeddings": lambda c, m: c.embeddings.create(model="pplx-embed-v1-4b", input=WORDS)
    }
    return client, CHAT | RESPONSES | calls


def sambanova(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from sambanova import SambaNova

    client = SambaNova(api_key=KEY, base_url=base, max_retries=0)
    return client, CHAT | COMPLETIONS | EMBEDDINGS | RESPONSES | SOUNDS


def voyage(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    import voyageai

    client = voyageai.Client(api_key=KEY, base_url=base, max_retries=0)
    client.base_url = "https://api.voyageai.com/v1"
    calls: dict[str, Call] = {"embeddings": lambda c, m: c.embed(WORDS, model=m)}
    return client, calls


def zai(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from zai import ZaiClient

    client = ZaiClient(api_key=KEY, base_url=base, max_retries=0)
    generations: dict[str, Call] = {
        "images_generations": lambda c, m: c.images.generations(model=m, prompt="a cat")
    }
    return client, CHAT | EMBEDDINGS | generations


def openrouter(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from openrouter import OpenRouter
    from openrouter.utils import BackoffStrategy, RetryConfig

    calls: dict[str, Call] = {
        "chat_completions": lambda c, m: c.chat.send(model=m, messages=HELLO),
        "embeddings": lambda c, m: c.embeddings.generate(model=m, input=WORDS),
        "rerank": lambda c, m: c.rerank.rerank(model=m, query="q", documents=WORDS),
    }
    once = RetryConfig("none", BackoffStrategy(1, 1, 1, 1), retry_connection_errors=False)
    return OpenRouter(api_key=KEY, server_url=base, retry_config=once, timeout_ms=5000), calls


def huggingface(base: str | None) -> tuple[Any, Mapping[str, Call]]:
    from huggingface_hub import InferenceClient
    from huggingface_hub.constants import INFERENCE_PROXY_TEMPLATE

    client = InferenceClient(base_url=base or "http://none", api_key=KEY)
    client.base_url = INFERENCE_PROXY_TEMPLATE.format(provider="v1")  # type: ignore[attr-defined]
    return client, {name: call for name, call in CHAT.items() if name == "chat_completions"}


def main() -> None:
    """Make every call of one SDK at BASE; without a BASE, tell where the SDK goes by itself."""
    sdk, base, _, prefix, *only = sys.argv[1:]
    wanted = json.loads(only[0]) if only else None
    client, calls = globals()[sdk](base or None)
    if not base:
        print(json.dumps({"own": _address(client), "made": {}}))
        return
    made = {}
    with contextlib.redirect_stdout(sys.stderr):
        for name, call in calls.items():
            if wanted is not None and name not in wanted:
                continue
            made[name] = "sent"
            try:
                call(client, prefix + "unit-test-1")
            except Exception as error:  # noqa: BLE001 the answer is empty, which some SDKs refuse
                made[name] = f"{type(error).__name__}: {error}"[:200]
    print(json.dumps({"own": "", "made": made}))


def _address(client: Any) -> str:
    for look in ("base_url", "_base_url"):
        if (
            isinstance(getattr(client, look, None), str)
            or "URL" in type(getattr(client, look, None)).__name__
        ):
            return str(getattr(client, look))
    configured = getattr(client, "sdk_configuration", None)
    if configured is not None:
        return str(configured.get_server_details()[0])
    wrapper = getattr(client, "_client_wrapper", None)
    return str(wrapper.get_base_url()) if wrapper else ""


if __name__ == "__main__":
    main()

"""Which path leads to which endpoint, and what is told about those that lead nowhere."""

from dataclasses import replace
from functools import cache
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.paths import EndpointMatch, dialect_of, is_model, match_endpoint
from engine.gateway.inbound.query import without
from engine.plan.plan import Dialect, Endpoint, Plan
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan


@cache
def plan() -> Plan:
    """The shipped plan with two endpoints more, whose paths name a model."""
    shipped = shipped_plan()
    chat, speech = shipped.endpoint("chat_completions"), shipped.endpoint("audio_speech")
    assert chat is not None
    assert speech is not None
    paths = {
        b"/at/{model}/chat": {"POST": chat},
        b"/at/{model}/audio/speech": {"POST": speech},
        b"/v0/{model}": {"POST": chat},
        b"/spoken/": {"POST": speech},
    }
    return replace(shipped, endpoints={**shipped.endpoints, **paths}, model_depths=(2,))


def found(path: bytes, method: str = "POST") -> EndpointMatch:
    return match_endpoint(plan(), method, path)


def refused(path: bytes, method: str = "POST") -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        match_endpoint(plan(), method, path)
    return caught.value


def test_every_path_is_found_by_its_one_spelling() -> None:
    shipped = shipped_plan()
    for known, methods in shipped.endpoints.items():
        path = known.replace(b"{model}", b"m")
        for method, endpoint in methods.items():
            assert match_endpoint(shipped, method, path).endpoint is endpoint
            for other in (path + b"/", b"/" + path, path.upper(), path + b"?", path[:-1]):
                with pytest.raises(GatewayError) as caught:
                    match_endpoint(shipped, method, other)
                assert caught.value.code in ("unknown_path", "not_exposed")


def test_a_wrong_method_is_told_the_right_one() -> None:
    for path in (b"/v1/embeddings", b"/at/m/chat"):
        error = refused(path, "GET")
        assert (error.code, error.headers) == ("method_not_allowed", ((b"allow", b"POST"),))


def test_a_path_that_is_not_offered_gives_its_reason() -> None:
    error = refused(b"/v1/files/file-1/content", "GET")
    assert error.code == "not_exposed"
    assert "provider account" in error.message


# -- a model in the path -------------------------------------------------------------------------

VISIBLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)


@given(
    VISIBLE.filter(lambda name: name not in (".", "..")),
    st.sampled_from(["", "/:@+-._~!$&'()*,;="]),
)
def test_a_model_in_a_path_is_what_it_is_in_a_body(name: str, safe: str) -> None:
    """Percent-encoded in whole or in part; a slash in a name must be."""
    segment = quote(name, safe=safe.replace("/", "")).encode()
    place = found(b"/at/" + segment + b"/chat")
    assert (place.model, place.endpoint.name) == (name, "chat_completions")


MODELS = {
    b"gpt-4o": "gpt-4o",
    b"groq%2fopenai%2Fgpt-oss": "groq/openai/gpt-oss",
    b"%67pt": "gpt",
    b"a%2567": "a%67",
    b"..%2f..%2fv1": "../../v1",
    b"...": "...",
    b"{model}": "{model}",
    b"a" * 256: "a" * 256,
}


@each(("segment", "model"), MODELS.items())
def test_it_is_decoded_once(segment: bytes, model: str) -> None:
    assert found(b"/at/%b/audio/speech" % segment).model == model


@each(
    "segment",
    [
        b"%",
        b"%2",
        b"%zz",
        b"a%",
        b"%2e",
        b"%2E%2e",
        b".%2e",
        b"%20",
        b"%00",
        b"a%0d%0a",
        b"%C3%A9",
        b"\xc3\xa9",
        b"a" * 257,
    ],
)
def test_what_is_no_model_in_a_body_is_none_in_a_path(segment: bytes) -> None:
    error = refused(b"/at/%b/chat" % segment)
    assert (error.code, error.param) == ("invalid_model", "model")


@each(
    "path",
    [
        b"/at//chat", b"/at/./chat", b"/at/../chat", b"/at/m", b"/at/m/", b"/at/m/n/chat",
        b"/at/m/chat/", b"/at/m/chat/x", b"//at/m/chat", b"/AT/m/chat", b"/at/m%2fchat",
        b"/a%74/m/chat", b"/at/m/ch%61t", b"/v0/", b"/v0", b"/at/m/chat;x", b"at/m/chat", b"",
    ],
)  # fmt: skip
def test_all_else_of_such_a_path_has_one_spelling(path: bytes) -> None:
    assert refused(path).code == "unknown_path"


def test_a_known_path_with_braces_is_no_path_without_a_model() -> None:
    """The text `{model}` in a request is the name of a model, and never the pattern itself."""
    assert found(b"/v0/{model}").model == "{model}"


class Counting(dict[bytes, dict[str, Endpoint]]):
    """A table that counts how often it is asked, and may not be walked."""

    asked = 0

    def get(self, key: bytes, default: object = None) -> object:  # type: ignore[override]  # one caller
        self.asked += 1
        return super().get(key, default)


def probes(count: int) -> int:
    chat = shipped_plan().endpoint("chat_completions")
    assert chat is not None
    table = Counting({b"/p%d/{model}/x" % number: {"POST": chat} for number in range(count)})
    counted = replace(plan(), endpoints=table)
    assert match_endpoint(counted, "POST", b"/p%d/m/x" % (count - 1)).model == "m"
    return table.asked


def test_more_such_paths_cost_no_more_look_ups() -> None:
    assert probes(2000) == probes(2) == 2


def test_a_parameter_that_belongs_to_the_path_goes() -> None:
    names = frozenset({b"api-version"})
    assert without(b"api-version=1&a=b", names) == b"a=b"
    assert without(b"a&API-Version=1&%61pi-version=2&b=api-version", names) == b"a&b=api-version"
    assert without(b"", names) == b""


# -- hints ---------------------------------------------------------------------------------------

HINTS = {
    b"/v1/chat/completions/": "without the slash at the end",
    b"/v1/chat/completions//": "without the slash at the end",
    b"/at/M/chat/": "without the slash at the end",
    b"/spoken": "write it as /spoken/",
    b"//v1/chat/completions": "write it as /v1/chat/completions",
    b"/v1//chat/completions": "write it as /v1/chat/completions",
    b"/V1/Chat/Completions": "write it as /v1/chat/completions",
    b"/v1/chat%2Fcompletions": "write it as /v1/chat/completions",
    b"/v1/chat/completions;x=1": "write it as /v1/chat/completions",
    b"/v1/messages/;": "write it as /v1/messages",
    b"\\v1\\messages": "write it as /v1/messages",
    b"/v1/v1/chat/completions": "did you mean /v1/chat/completions?",
    b"/api/v1/chat/completions": "did you mean /v1/chat/completions?",
    b"/chat/completions/v1/messages": "did you mean /v1/messages?",
    b"/v1/generations": "did you mean",
    b"/v1/embedding": "did you mean /v1/embeddings",
    b"/v1/models/": "write it as /v1/models",
    b"/v1/v1/models": "did you mean /v1/models?",
    b"v1/chat/completions": "write it as /v1/chat/completions",
    b"v1/embedding": "did you mean /v1/embeddings",
}


@each(("path", "told"), HINTS.items())
def test_another_spelling_is_told_the_right_one(path: bytes, told: str) -> None:
    error = refused(path)
    assert error.code == "unknown_path"
    assert told in error.message


@each("path", [b"/v1/files/", b"/v1/responses/resp_1", b"/v1/chat/completions/x"])
def test_a_reason_is_kept_for_what_it_is_true_of(path: bytes) -> None:
    assert refused(path).code == "not_exposed"


def test_an_operator_may_add_a_path_with_a_slash() -> None:
    assert found(b"/spoken/").endpoint.name == "audio_speech"


@each("path", [b"/", b"", b"/" * 60_000, b"/v1" * 20_000, b"/%" * 30_000])
def test_no_path_is_hint_enough_to_fail_on(path: bytes) -> None:
    assert refused(path).code == "unknown_path"


# -- dialects ------------------------------------------------------------------------------------


@each(
    ("path", "dialect"),
    [
        (b"/v1/messages", Dialect.ANTHROPIC),
        (b"/v1/messages/batches/b1", Dialect.ANTHROPIC),
        (b"/anthropic/v1/messages/x", Dialect.ANTHROPIC),
        (b"/v1/messages/", Dialect.ANTHROPIC),
        (b"/v1/chat/completions/x", Dialect.OPENAI),
        (b"/at/m/chat", Dialect.OPENAI),
        (b"/v1/messagesx", None),
        (b"/v1/files", None),
        (b"/", None),
    ],
)
def test_what_is_below_an_endpoint_speaks_as_it_does(path: bytes, dialect: Dialect | None) -> None:
    assert dialect_of(plan(), path) is dialect


@given(st.text(max_size=4) | st.text(st.sampled_from("a ~!\x7f\x1f\xa0é"), max_size=4))
@example("x" * 256)
@example("x" * 257)
def test_a_model_is_named_by_visible_ascii_characters(text: str) -> None:
    assert is_model(text) == (1 <= len(text) <= 256 and all("!" <= each <= "~" for each in text))

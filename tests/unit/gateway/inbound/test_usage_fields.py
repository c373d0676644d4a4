"""What is read of a request about usage, and the one field that is set in it."""

import pytest

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.form_body import MAX_NUMBER, FormBody
from engine.gateway.inbound.payload import FormRequestBody, JsonRequestBody
from engine.gateway.inbound.usage_fields import (
    MAX_OUTPUT,
    can_set,
    output_limit,
    refuse_unmetered,
    responses,
)
from engine.plan.usage import OutputLimit
from tests.tables import each
from tests.unit.gateway.inbound.forms import (
    BOUNDARY,
    WATCHED,
    body_reader_of,
    cut,
    file,
    form,
    part,
    run,
)

LIMIT = OutputLimit(
    (("max_completion_tokens",), ("max_tokens",), ("thinking", "budget")),
    (("n",), ("best_of",)),
    1000,
)
FIELD = ("stream_options", "include_usage")


def body(text: str) -> JsonRequestBody:
    return JsonRequestBody(text.encode(), frozenset())


@each(
    ("text", "tokens"),
    [
        ("{}", 1000),
        ('{"max_tokens": 7}', 7),
        ('{"max_tokens": 7, "max_completion_tokens": 9}', 9),
        ('{"max_tokens": 7, "n": 3}', 21),
        ('{"max_tokens": 7, "n": 3, "best_of": 5}', 35),
        ('{"n": 4}', 4000),
        ('{"thinking": {"budget": 5}}', 5),
        ('{"thinking": [5], "max_tokens": 2.5}', 2),
        # None of these is a limit, and none does harm.
        ('{"max_tokens": 1e400}', 1000),
        ('{"max_tokens": -5}', 1000),
        ('{"max_tokens": 0, "n": 0}', 1000),
        ('{"max_tokens": "5", "n": "9"}', 1000),
        ('{"max_tokens": null, "n": true}', 1000),
        ('{"max_tokens": {"a": 1}, "n": [2]}', 1000),
        ('{"max_tokens": 1e300, "n": 1e300}', MAX_OUTPUT),
        (f'{{"max_tokens": 1{"0" * 5000}}}', 1000),
        ('{"n": 99999999999999999999999999}', MAX_OUTPUT),
        ('{"n": -1e400}', 1000),
    ],
)
def test_the_output_that_a_request_allows(text: str, tokens: int) -> None:
    assert output_limit(body(text), LIMIT) == tokens


@each("text", ['{"n": 1, "n": 9}', '{"N": 9}', '{"thinking": {"budget": 1, "Budget": 2}}'])
def test_a_limit_that_two_parsers_may_read_differently_is_refused(text: str) -> None:
    with pytest.raises(GatewayError, match=r"`[a-z]+`"):
        output_limit(body(text), LIMIT)


@each(
    ("parts", "count"),
    [
        ([], 1),
        ([part("n", b"3")], 3),
        ([part("n", b"3"), part("n", b"7"), part("n", b"5")], 7),
        ([part("N", b"3"), part("n[]", b"4"), part(" n", b"5")], 5),
        ([part("n", b"2"), part("best_of", b"4")], 4),
        ([part("thinking", b'{"budget": 5}'), part("budget", b"5")], 1),
        ([part("n", each) for each in (b"", b"-5", b"0", b'"5"', b"five", b"1e999", b"\xff", b"[2]")], 1),
        ([part("n", b"9" * 5000)], MAX_OUTPUT),
        ([part("n", b" 4\r\n")], 4),
    ],
)  # fmt: skip
@each("is_first", [True, False])
def test_how_many_responses_a_form_asks_for(parts: list[bytes], count: int, is_first: bool) -> None:
    """Before a file, or after it; the highest number counts, as a server may read any of them."""
    image = file(b"x" * 2 * MAX_NUMBER, "image")
    raw = form(part("model", b"m"), *([*parts, image] if is_first else [image, *parts]))

    async def scenario() -> None:
        for chunks in ([raw], cut(raw, range(1, len(raw))) if len(raw) < 900 else [raw]):
            reader = body_reader_of(chunks)
            found = FormBody(reader, BOUNDARY.encode(), WATCHED, counted=LIMIT.in_forms)
            await found.read_head()
            body = FormRequestBody(found, reader)
            assert responses(body, LIMIT) == (count if is_first or body.complete else 1)
            upload = body.upload({}, frozenset(), ())
            sent = (
                upload.body
                if isinstance(upload.body, bytes)
                else b"".join([c async for c in upload.body])
            )
            assert sent == raw
            assert responses(body, LIMIT) == count
            body.close()

    run(scenario())


@each(
    ("text", "is_set"),
    [
        ("{}", True),
        ('{"stream_options": null}', True),
        ('{"stream_options":{}}', True),
        ('{"stream_options": {"include_usage" : false, "a": 1}}', True),
        ('{"stream_options": {"include_usage": "yes"}}', True),
        ('{"stream_options": {"include_usage": true}}', False),
        ('{"stream_options": "all"}', False),
        ('{"stream_options": [1]}', False),
        (f'{{"stream_options": {{"a": "{"x" * 200_000}"}}}}', True),
        (f'{{"stream_options": {{"a": "{"x" * 200_000}", "include_usage": true}}}}', False),
    ],
)
def test_usage_is_asked_for_unless_the_caller_does(text: str, is_set: bool) -> None:
    assert can_set(body(text), FIELD) == is_set


def test_usage_that_is_asked_for_twice_is_refused() -> None:
    with pytest.raises(GatewayError):
        can_set(body('{"stream_options": {}, "stream_options": {}}'), FIELD)
    with pytest.raises(GatewayError):
        can_set(body('{"stream_options": {"include_usage": 1, "include_usage": 2}}'), FIELD)


@each(
    ("text", "code"),
    [
        ('{"background": true}', "not_allowed"),
        ('{"background": "yes"}', "not_allowed"),
        ('{"background": 1}', "not_allowed"),
        ('{"background": false, "Background": true}', "duplicate_field"),
        ('{"background": false, "background": true}', "duplicate_field"),
        ('{"Background": true}', "duplicate_field"),
        ('{"run": {"later": {}}}', "not_allowed"),
        ('{"background": false}', None),
        ('{"background": null, "run": null}', None),
        ('{"run": [], "other": true}', None),
        ("{}", None),
    ],
)
def test_what_goes_on_after_its_response_is_refused(text: str, code: str | None) -> None:
    found = None
    try:
        refuse_unmetered(body(text), (("background",), ("run", "later")))
    except GatewayError as error:
        found = error.code
    assert found == code

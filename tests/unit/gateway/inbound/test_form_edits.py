"""A provider's changes to a form: the bytes that go upstream, and what is refused."""

from collections.abc import Mapping, Sequence

import pytest

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.form_body import FormBody
from engine.gateway.inbound.payload import FormRequestBody
from engine.plan.plan import BodyEdits, FieldValue
from tests.tables import each
from tests.unit.gateway.inbound.forms import (
    BOUNDARY,
    WATCHED,
    body_reader_of,
    file,
    form,
    part,
    run,
)

MODEL, ENGLISH, FILE = part("model", b"m"), part("language", b"en"), file(b"RIFF")
WORD = FieldValue(b'"de"', "de")
GERMAN = part("language", b"de")


def edits(**changes: object) -> BodyEdits:
    none: dict[str, object] = {
        "drop": (),
        "rename": {},
        "default": {},
        "set": {},
        "names": frozenset(),
    }
    return BodyEdits(**{**none, **changes})  # type: ignore[arg-type]


def edited(
    chunks: Sequence[bytes], *edits: BodyEdits, changes: Mapping[str, str | None] | None = None
) -> bytes:
    """The form that goes upstream, which is as long as is said before it."""
    reader = body_reader_of(chunks)
    form = FormBody(reader, BOUNDARY.encode(), WATCHED, frozenset({"language", "lang"}))
    try:
        run(form.read_head())
        upload = FormRequestBody(form, reader).upload(changes or {}, frozenset(), edits)
        assert isinstance(upload.body, bytes)
        assert upload.length == len(upload.body)
        return upload.body
    finally:
        form.close()


@each(
    ("parts", "changes", "after"),
    [
        ([MODEL], edits(set={"language": WORD}), [GERMAN, MODEL]),
        ([FILE, MODEL], edits(set={"language": WORD}), [GERMAN, FILE, MODEL]),
        ([FILE, MODEL], edits(default={"language": WORD}), [GERMAN, FILE, MODEL]),
        ([ENGLISH, MODEL], edits(default={"language": WORD}), [ENGLISH, MODEL]),
        ([MODEL, ENGLISH], edits(set={"language": WORD}), [GERMAN, MODEL]),
        ([ENGLISH, MODEL, ENGLISH], edits(drop=("language",)), [MODEL]),
        ([MODEL, part("lang", b"en")], edits(rename={"lang": "language"}), [MODEL, ENGLISH]),
        ([part("lang", b"en"), MODEL], edits(rename={"lang": "language"}, set={"language": WORD}), [GERMAN, MODEL]),
        ([part("lang", b"en"), MODEL], edits(drop=("lang",), rename={"lang": "language"}), [MODEL]),
        ([ENGLISH, MODEL], edits(), [ENGLISH, MODEL]),
    ],
)  # fmt: skip
def test_a_form_after_its_edits(
    parts: Sequence[bytes], changes: BodyEdits, after: Sequence[bytes]
) -> None:
    assert edited([form(*parts)], changes) == form(*after)


def test_a_value_that_is_set_stands_before_a_first_part_that_is_removed() -> None:
    """The part of the caller does not come back, be it the same field or a credential."""
    change = {"api_key": None, "model": "n"}
    raw = form(part("api_key", b"k"), MODEL, FILE)
    after = form(GERMAN, part("model", b"n"), FILE)
    assert edited([raw], edits(set={"language": WORD}), changes=change) == after


@each(
    ("parts", "first", "then", "after"),
    [
        ([MODEL], edits(set={"lang": WORD}), edits(rename={"lang": "language"}), [GERMAN, MODEL]),
        ([MODEL], edits(set={"lang": WORD}), edits(drop=("lang",)), [MODEL]),
        ([part("lang", b"en"), MODEL], edits(rename={"lang": "language"}), edits(drop=("language",)), [MODEL]),
        ([ENGLISH, MODEL], edits(drop=("language",)), edits(default={"language": WORD}), [GERMAN, MODEL]),
    ],
)  # fmt: skip
def test_a_form_after_the_changes_of_a_rule_and_a_provider(
    parts: Sequence[bytes], first: BodyEdits, then: BodyEdits, after: Sequence[bytes]
) -> None:
    assert edited([form(*parts)], first, then) == form(*after)


def test_two_names_of_one_field_are_refused() -> None:
    with pytest.raises(GatewayError) as refused:
        edited([form(part("lang", b"en"), ENGLISH, MODEL)], edits(rename={"lang": "language"}))
    assert refused.value.code == "duplicate_field"


def test_a_part_that_has_not_arrived_whole_cannot_be_removed() -> None:
    raw = form(FILE, MODEL, ENGLISH)
    end = raw.index(b"en\r\n") + 1
    with pytest.raises(GatewayError, match="must come before the first file") as refused:
        edited([raw[:end], raw[end:]], edits(drop=("language",)))
    assert refused.value.code == "invalid_form"

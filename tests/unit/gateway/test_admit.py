"""Which bodies a key may send that is for some models alone."""

from contextlib import nullcontext
from typing import cast

import pytest

from engine.gateway.admit import check_models
from engine.gateway.callers import Callers
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import KeySource
from engine.gateway.inbound.payload import JsonRequestBody
from engine.plan.callers import Caller
from tests.tables import each

CALLER = Caller("key", None, frozenset({"a"}), (), None)
MIB = 1024 * 1024


@each(
    ("tools", "is_refused"),
    [
        (b"null", False),
        (b"[]", False),
        (b'[{"type":"x"},{"model":"a"},"b",7]', False),
        (b'[{"type":"x"},{"model":"b"}]', True),
        (b'{"model":"b"}', True),
        (b'"b"', True),
        (b"[" + b"1," * 1023 + b"1]", False),
        (b"[" + b"1," * 1024 + b"1]", True),
        (b'["%b"]' % (b"x" * (MIB - 4)), False),
        (b'["%b"]' % (b"x" * (MIB - 3)), True),
    ],
)
def test_a_tool_names_no_other_model_and_every_tool_is_read(
    tools: bytes, *, is_refused: bool
) -> None:
    body = JsonRequestBody(b'{"model":"a","tools":%b}' % tools, frozenset())
    refusal = pytest.raises(GatewayError, match="`tools`")
    with refusal if is_refused else nullcontext():
        check_models(CALLER, "a", body)


def test_a_key_of_keys_yaml_goes_before_a_stored_one() -> None:
    """Who can write to the store takes no name and no limit from it."""

    class Stored:
        def known(self, digest: bytes) -> Caller:
            return Caller("stored", None, None, (), None)

    callers = Callers({b"1": CALLER}, cast(KeySource, Stored()))
    assert [callers[digest].name for digest in (b"1", b"2")] == ["key", "stored"]

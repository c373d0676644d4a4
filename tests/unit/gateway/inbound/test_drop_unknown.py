"""Fields that an endpoint does not take, after other changes of the same fields."""

from engine.gateway.inbound.edits import apply_edits
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_edits import EditedFields


def test_a_field_that_is_set_and_then_removed_leaves_nothing() -> None:
    body = JsonBody(b'{"model":"a","user":"caller","x":1}')
    draft = EditedFields(body)
    draft.set("user", b'"a-longer-value"')
    draft.rename("x", "y")
    assert draft.keep_only({"model"}) == ("user", "y")
    assert apply_edits(body.raw, draft.edits()) == b'{"model":"a"}'

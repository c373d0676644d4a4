"""The JSON that commands print, checked against its published schema."""

import json
from typing import Any

from click.testing import Result
from jsonschema import Draft202012Validator

from tests.servers import ROOT


def view_of(name: str, result: Result) -> dict[str, Any]:
    """What a command printed as JSON; it must fit `schemas/output/NAME.schema.json`."""
    schema = json.loads((ROOT / f"schemas/output/{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    view: dict[str, Any] = json.loads(result.stdout)
    errors = [error.message for error in Draft202012Validator(schema).iter_errors(view)]
    assert errors == []
    return view

"""The JSON that commands print, checked against its published schema."""

import json
from functools import cache
from typing import Any

from click.testing import Result
from jsonschema import Draft202012Validator

from tests.servers import ROOT


def view_of(name: str, result: Result) -> dict[str, Any]:
    """What a command printed as JSON; it must fit `schemas/output/NAME.schema.json`."""
    view: dict[str, Any] = json.loads(result.stdout)
    errors = [error.message for error in _validator(name).iter_errors(view)]
    assert errors == []
    return view


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOT / f"schemas/output/{name}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)

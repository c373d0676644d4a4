"""Trying a saved provider key: one small call through the gateway, with a key that lives for a minute.

So it takes the path of every other call: the gateway finds the account, opens the vault, and sends.
"""

import http.client
import json
import time
from dataclasses import dataclass

from engine.accounts import keys
from engine.accounts.errors import InvalidValueError
from engine.admin.first_calls import FirstCall, find_call
from engine.admin.formats import duration
from engine.admin.gateway import connect
from engine.admin.pages.common import account_of, actor_of
from engine.admin.request import PageError, PageRequest
from engine.report.mask import masked_text

KEY_SECONDS = 60
CALL_SECONDS = 30.0
MAX_RESPONSE = 64 * 1024
_MAX_TEXT = 400


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of a test: `kind` is `good`, `warn` or `bad`; `body` is what the provider said, masked."""

    __test__ = False  # not one of pytest's

    model: str
    kind: str
    title: str
    detail: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    error_code: str | None  # of the gateway itself
    body: bytes
    ms: float


def run_test(request: PageRequest, provider_name: str) -> TestResult:
    """Call the model of the form at the provider, which must be where the model leads."""
    model = request.form.text("model")
    plan = request.server.catalogue().plan
    provider = plan.providers.get(provider_name) if plan else None
    call = find_call(plan, provider) if plan and provider else None
    if plan is None or call is None:
        raise PageError(409, "There is no cheap call for this provider.")
    decision = plan.decide(call.endpoint, model)
    if decision.provider is None or decision.provider.name != provider_name:
        text = "The rules of routes.yaml lead this model to another provider, or nowhere."
        return TestResult(model, "bad", "Nothing was sent", text)
    try:
        response = _call_with_new_key(request, call, model)
    except InvalidValueError:
        return TestResult(model, "bad", "Nothing was sent", "This is no name of a model.")
    except (OSError, http.client.HTTPException) as error:
        text = f"The gateway does not respond at {request.context.gateway_url}: {type(error).__name__}."  # fmt: skip
        return TestResult(model, "bad", "Nothing came back", text)
    return result_of(model, response.status, response.error_code, response.body, response.ms)


def result_of(
    model: str, status: int, error_code: str | None, body: bytes, ms: float
) -> TestResult:
    """What a response says about the key."""
    title = f"{status} in {duration(ms)}"
    said = _message(body)
    if error_code is not None:
        return TestResult(model, "bad", title, f"The gateway refused the call: {error_code}.", said)
    if 200 <= status < 300:
        return TestResult(model, "good", title, "The provider accepted the key.")
    if status in (401, 403):
        return TestResult(model, "bad", title, "The provider refused the key.", said)
    if status == 429:
        text = "The provider knows the key, and a limit or the credit is used up."
        return TestResult(model, "warn", title, text, said)
    if status < 500:
        text = "The provider refused this call, and not the key. Another model may do."
        return TestResult(model, "warn", title, text, said)
    return TestResult(model, "warn", title, "The provider failed; that says nothing about the key.", said)  # fmt: skip


def _message(body: bytes) -> str:
    """The message of an error body, or the start of the body, without what looks like a key."""
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = error["message"] if isinstance(error, dict) else str(error)
    except (ValueError, KeyError, TypeError):
        pass
    return masked_text(str(text))[:_MAX_TEXT]


def _call_with_new_key(request: PageRequest, call: FirstCall, model: str) -> _Response:
    account_id, actor = account_of(request).id, actor_of(request)
    database = request.context.database
    with database.write() as connection:
        key, secret = keys.create_key(
            connection,
            account_id,
            name="test of a provider key",
            models=(model,),
            endpoints=(call.endpoint,),
            expires_at=int(time.time()) + KEY_SECONDS,
            actor=actor,
        )
    try:
        return _post(request.context.gateway_url, call.path, secret, call.shortest(model))
    finally:
        with database.write() as connection:
            keys.revoke_key(connection, account_id, key.id, actor)


def _post(url: str, path: str, secret: str, body: str) -> _Response:
    connection = connect(url, CALL_SECONDS)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    start = time.monotonic()
    try:
        connection.request("POST", path, body.encode(), headers)
        response = connection.getresponse()
        content = response.read(MAX_RESPONSE)
        ms = (time.monotonic() - start) * 1000
        return _Response(response.status, response.headers.get("x-engine-error"), content, ms)
    finally:
        connection.close()

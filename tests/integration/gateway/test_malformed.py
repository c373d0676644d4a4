"""Requests that no honest client sends, over raw sockets: refused, and the upstream sees nothing."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.integration.gateway.wire import (
    CHAT,
    SILENCE,
    chunked,
    clear,
    driver,
    read_answer,
    received_by,
    request,
)
from tests.servers import KEY, Server, gateway, ship, write_keys
from tests.unit.gateway.inbound.forms import BOUNDARY, FORM, file, form, part

SPEECH = "/v1/audio/speech"
SPEECH_LIMIT = 4 * 1024 * 1024
AUDIO = "/v1/audio/transcriptions"
OTHER_KEY = "sk-orq-" + "0ddba11" * 9 + "0"
CHUNKED = "transfer-encoding: chunked"
NAMED = part("model", b"whisper-1")
SOUND = file(b"RIFF" * 16)


@dataclass(frozen=True)
class Case:
    """`code` None: the server itself answers, or nobody does (status 0). `seen`: upstream calls."""

    sent: bytes
    status: int
    code: str | None = None
    seen: int = 0
    half_close: bool = False


def chat(body: str | bytes, status: int, code: str | None = None, seen: int = 0) -> Case:
    raw = body if isinstance(body, bytes) else body.encode()
    return Case(request(raw), status, code, seen)


def model(text: str, status: int = 400, code: str = "invalid_model", seen: int = 0) -> Case:
    """A request whose model is written as the JSON `text`."""
    body = '{"messages": [], "model": ' + text + "}"
    return chat(body, status, None if seen else code, seen)


def audio(body: bytes, code: str = "invalid_form", kind: str = FORM, seen: int = 0) -> Case:
    status = 200 if seen else 400
    return Case(request(body, kind=kind, target=AUDIO), status, code if not seen else None, seen)


def disposition(words: str) -> Case:
    return audio(form(NAMED, part("", b"gpt-x", disposition=words), SOUND))


def plain(
    name: str, *lines: str | bytes, target: str | bytes = CHAT, method: str = "POST"
) -> bytes:
    """An ordinary chat request but for what is asked for."""
    body = json.dumps({"model": f"gpt-{name}"}).encode()
    return request(body, *lines, target=target, method=method)


def routed(target: str | bytes, status: int = 404, code: str = "unknown_path") -> Case:
    return Case(plain("path", target=target), status, code)


def asked(method: str, status: int = 405, code: str | None = "method_not_allowed") -> Case:
    return Case(plain("method", method=method), status, code)


def framed(*lines: str | bytes, host: str | None = "gateway.test") -> Case:
    body = b'{"model": "gpt-framing"}'
    return Case(request(body, *lines, host=host), 400, "invalid_request")


def broken(body: bytes) -> Case:
    """A chunked body that cannot be read to its end; the caller still listens."""
    sent = request(body, CHUNKED, length=None)
    return Case(sent, 400, "invalid_request", half_close=True)


def typed(*lines: str, kind: str | None = None, target: str = CHAT) -> Case:
    sent = request(b'{"model": "gpt-typed"}', *lines, kind=kind, target=target)
    return Case(sent, 415, "unsupported_media_type")


def keyed(*lines: str | bytes, code: str | None = "invalid_api_key", status: int = 401) -> Case:
    """A request without the usual key."""
    return Case(request(b'{"model": "gpt-keyed"}', *lines, key=None), status, code)


def welcome(*lines: str, key: str | None = None) -> Case:
    return Case(request(b'{"model": "gpt-welcome"}', *lines, key=key), 200, seen=1)


JSON_BODIES = {
    "duplicate model": chat('{"model": "gpt-a", "model": "gpt-b"}', 400, "duplicate_field"),
    "duplicate around a nested one": chat(
        '{"model": "gpt-a", "x": {"model": 1}, "model": "gpt-b"}', 400, "duplicate_field"
    ),
    "escaped duplicate": chat(r'{"model": "gpt-a", "mod\u0065l": "gpt-b"}', 400, "duplicate_field"),
    "escaped first": chat(r'{"\u006Dodel": "gpt-a", "model": "gpt-b"}', 400, "duplicate_field"),
    "escaped single": chat(r'{"mod\u0065l": "gpt-escaped"}', 200, seen=1),
    "cased beside": chat('{"model": "gpt-a", "Model": "gpt-b"}', 400, "duplicate_field"),
    "cased alone": chat('{"MODEL": "gpt-a"}', 400, "duplicate_field"),
    "escaped and cased": chat(r'{"model": "gpt-a", "\u004dodel": "gpt-b"}', 400, "duplicate_field"),
    "nested only": chat('{"x": {"model": "gpt-a"}}', 400, "model_required"),
    "bom": chat(b"\xef\xbb\xbf" + b'{"model": "gpt-a"}', 400, "invalid_json"),
    "utf-16": chat('{"model": "gpt-a"}'.encode("utf-16"), 400, "invalid_json"),
    "utf-16 without mark": chat('{"model": "gpt-a"}'.encode("utf-16-le"), 400, "invalid_json"),
    "utf-32": chat('{"model": "gpt-a"}'.encode("utf-32-be"), 400, "invalid_json"),
    "nan": chat('{"model": "gpt-a", "temperature": NaN}', 400, "invalid_json"),
    "infinity": chat('{"model": "gpt-a", "temperature": -Infinity}', 400, "invalid_json"),
    "truncated": chat('{"model": "gpt-a", "messages": [', 400, "invalid_json"),
    "trailing data": chat('{"model": "gpt-a"} {"model": "gpt-b"}', 400, "invalid_json"),
    "trailing comma": chat('{"model": "gpt-a",}', 400, "invalid_json"),
    "comment": chat('{"model": "gpt-a" /* b */}', 400, "invalid_json"),
    "single quotes": chat("{'model': 'gpt-a'}", 400, "invalid_json"),
    "array": chat('[{"model": "gpt-a"}]', 400, "invalid_json"),
    "string": chat('"gpt-a"', 400, "invalid_json"),
    "null": chat("null", 400, "invalid_json"),
    "deep array": chat(
        '{"model": "gpt-a", "x": ' + "[" * 20_000 + "]" * 20_000 + "}", 400, "invalid_json"
    ),
    "512 levels": chat('{"model": "gpt-a", "x": ' + "[" * 511 + "]" * 511 + "}", 200, seen=1),
    "513 levels": chat(
        '{"model": "gpt-a", "x": ' + "[" * 512 + "]" * 512 + "}", 400, "invalid_json"
    ),
    "deep object": chat('{"model": "gpt-a", "x": ' + '{"a":' * 20_000, 400, "invalid_json"),
    "invalid utf-8": chat(b'{"model": "gpt-a", "x": "\xff"}', 400, "invalid_json"),
    "overlong utf-8": chat(b'{"model": "gpt-a", "x": "\xc0\xaf"}', 400, "invalid_json"),
    "raw control character": chat(b'{"model": "gpt-a", "x": "\x01"}', 400, "invalid_json"),
    "empty body": chat("", 400, "invalid_json"),
    "blank body": chat("  \r\n ", 400, "invalid_json"),
    "no model": chat('{"messages": []}', 400, "model_required"),
    "form fields": chat("model=gpt-a", 400, "invalid_json"),
}

MODELS = {
    "null": model("null"),
    "number": model("7"),
    "boolean": model("true"),
    "array": model('["gpt-a"]'),
    "object": model('{"model": "gpt-a"}'),
    "empty": model('""'),
    "257 characters": model('"gpt-' + "a" * 253 + '"'),
    "256 characters": model('"gpt-' + "a" * 252 + '"', 200, seen=1),
    "a megabyte": model('"gpt-' + "a" * 1_000_000 + '"'),
    "crlf": model(r'"gpt-a\r\nx-evil: 1"'),
    "nul": model(r'"gpt-a\u0000"'),
    "space": model('"gpt-a b"'),
    "non-ascii": model('"gpt-é"'),
    "fullwidth": model('"\uff47pt-4"'),
    "delete character": model(r'"gpt-\u007f"'),
    "lone surrogate": model(r'"gpt-\ud800"', code="invalid_json"),
    "unknown": model('"nobodys-model"', 404, "model_not_found"),
    "only a prefix": model('"openai/"', 404, "model_not_found"),
    "parent in a url": model('"azure_deployments/.."'),
    "template": model('"gpt-{{7*7}}"', 200, seen=1),
    "elsewhere": model('"gpt-@evil.example"', 200, seen=1),
}

MEDIA = {
    "wrong": typed(kind="text/plain"),
    "none": typed(),
    "two": typed("content-type: application/json", kind="application/json"),
    "two in one": typed(kind="application/json, application/json"),
    "utf-16": typed(kind="application/json; charset=utf-16"),
    "quoted utf-16": typed(kind='application/json; charset="UTF-16"'),
    "gzip": typed("content-encoding: gzip", kind="application/json"),
    "form where json is wanted": typed(kind=FORM),
    "json where a form is wanted": typed(kind="application/json", target="/v1/audio/translations"),
    "url-encoded": typed(kind="application/x-www-form-urlencoded"),
}

FORMS = {
    "good": audio(form(NAMED, SOUND), seen=1),
    "no boundary": audio(form(NAMED, SOUND), kind="multipart/form-data"),
    "two boundaries": audio(form(NAMED, SOUND), kind=f"{FORM}; boundary=other"),
    "another charset": audio(form(NAMED, SOUND), kind=f"{FORM}; charset=utf-16"),
    "another charset first": audio(
        form(NAMED, SOUND), kind=FORM.replace(";", "; charset=utf-7;", 1)
    ),
    "utf-8": audio(form(NAMED, SOUND), kind=f"{FORM}; charset=UTF-8", seen=1),
    "long boundary": audio(
        form(NAMED, boundary="b" * 71), kind="multipart/form-data; boundary=" + "b" * 71
    ),
    "empty boundary": audio(form(NAMED), kind="multipart/form-data; boundary="),
    "other boundary": audio(form(NAMED), kind="multipart/form-data; boundary=other"),
    "no terminator": audio(form(SOUND, NAMED).removesuffix(b"--\r\n")),
    "ends in a part": audio(form(SOUND, NAMED)[:-30]),
    "empty": audio(b""),
    "no model": audio(form(SOUND), "model_required"),
    "duplicate model": audio(form(NAMED, part("model", b"gpt-b"), SOUND), "duplicate_field"),
    "duplicate behind the file": audio(
        form(SOUND, NAMED, part("model", b"gpt-b")), "duplicate_field"
    ),
    "cased model": audio(form(NAMED, part("MODEL", b"gpt-b"), SOUND), "duplicate_field"),
    "cased alone": audio(form(part("Model", b"gpt-b"), SOUND), "duplicate_field"),
    "model as a file": audio(form(part("model", b"whisper-1", 'filename="m"'), SOUND)),
    "model as an extended file": audio(
        form(part("model", b"whisper-1", "filename*=utf-8''m"), SOUND)
    ),
    "extended name": disposition("form-data; name*=utf-8''model"),
    "extended beside plain": disposition("form-data; name=\"x\"; name*=utf-8''model"),
    "continued name": disposition('form-data; name*0="mo"; name*1="del"'),
    "two names": disposition('form-data; name="x"; name="model"'),
    "two cased names": disposition('form-data; name="x"; NAME="model"'),
    "spaced second name": disposition('form-data; name="x"; name ="model"'),
    "no name": disposition("form-data"),
    "attachment": disposition('attachment; name="model"'),
    "two dispositions": disposition(
        'form-data; name="model"\r\nContent-Disposition: form-data; name="x"'
    ),
    "folded disposition": disposition('form-data;\r\n name="model"'),
    "no disposition": audio(form(NAMED, b"Content-Type: text/plain\r\n\r\nx")),
    "base64": audio(
        form(
            part(
                "",
                b"Z3B0",
                disposition='form-data; name="model"\r\nContent-Transfer-Encoding: base64',
            ),
            SOUND,
        )
    ),
    "spaces in the model": audio(form(part("model", b"whisper-1 "), SOUND), "invalid_model"),
    "long model": audio(form(part("model", b"w" * 9000), SOUND)),
    "not utf-8": audio(form(part("model", b"\xff"), SOUND)),
    "1100 parts": audio(form(NAMED, *[part("x", b"y")] * 1100)),
    "1100 parts behind the file": audio(form(SOUND, *[part("x", b"y")] * 1100, NAMED)),
    "64 KB part header": audio(form(part("x", b"y", f'filename="{"f" * 65536}"'), NAMED)),
    "endless part header": audio(b"--" + BOUNDARY.encode() + b"\r\nx: " + b"f" * 65536),
    "preamble": audio(b"a preamble\r\n" + form(NAMED, SOUND)),
    "long preamble": audio(b"p" * 300_000 + b"\r\n" + form(NAMED, SOUND)),
    "epilogue": audio(form(NAMED, SOUND) + form(part("model", b"gpt-b"))),
    "line feeds only": audio(form(NAMED, SOUND).replace(b"\r\n", b"\n")),
}

FRAMING = {
    "bad chunk size": broken(b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk size overflow": broken(b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "chunk without a line end": broken(b"2\r\n{}0\r\n\r\n"),
    "truncated chunked": broken(chunked([b'{"model": "gpt-a"}'], is_ended=False)),
    "truncated length": Case(
        request(b'{"model": "gpt-a"}', length=99), 400, "invalid_request", half_close=True
    ),
    "gzip, chunked": Case(
        request(chunked([b'{"model": "gpt-a"}']), "transfer-encoding: gzip, chunked", length=None),
        400,
        "invalid_request",
    ),
    "chunked, chunked": Case(
        request(chunked([b'{"model": "gpt-a"}']), f"{CHUNKED}, chunked", length=None),
        400,
        "invalid_request",
    ),
    "chunked on two lines": Case(
        request(chunked([b'{"model": "gpt-a"}']), CHUNKED, CHUNKED, length=None),
        400,
        "invalid_request",
    ),
    "two lengths": Case(request(b'{"model": "gpt-a"}', "content-length: 3"), 400),
    "signed length": Case(request(b"{}", "content-length: +2", length=None), 400),
    "declared over the limit": Case(
        request(target=SPEECH, length=SPEECH_LIMIT + 1), 413, "request_too_large"
    ),
    "chunked over the limit": Case(
        request(chunked([b" " * 65536] * 65, is_ended=False), CHUNKED, target=SPEECH, length=None),
        413,
        "request_too_large",
    ),
    "tiny chunks": Case(request(chunked([b" "] * 1200), CHUNKED, length=None), 400, "bad_chunking"),
    "a header over two lines": Case(plain("fold", "x-a: 1\r\n 2"), 400),
    "30,000 short headers": Case(plain("many", *(["x: y"] * 30_000)), 431),
    "nul in a header": Case(plain("nul", b"x-a: \x00"), 400),
    "no host": framed(host=None),
    "two hosts": framed("host: evil.example"),
    "two hosts in one": framed(host="gateway.test, evil.example"),
    "host with a path": framed(host="gateway.test/v1/files"),
    "host with a query": framed(host="gateway.test?x"),
    "host with a fragment": framed(host="gateway.test#x"),
    "host with a user": framed(host="user@evil.example"),
    "host with a backslash": framed(host="gateway.test\\evil"),
    "host with a space": framed(host="gateway.test evil"),
}

PATHS = {
    "encoded parent": routed("/v1/%2e%2e/v1/chat/completions"),
    "parent": routed("/v1/x/../chat/completions"),
    "dot": routed("/v1/./chat/completions"),
    "encoded slash": routed("/v1/chat%2fcompletions"),
    "encoded letter": routed("/v1/ch%61t/completions"),
    "two slashes": routed("//v1/chat/completions"),
    "two slashes inside": routed("/v1//chat/completions"),
    "semicolon": routed("/v1/chat/completions;x=1"),
    "trailing slash": routed("/v1/embeddings/"),
    "trailing dot": routed("/v1/embeddings/."),
    "trailing nul": routed("/v1/chat/completions%00"),
    "upper case": routed("/V1/chat/completions"),
    "backslash": routed("/v1\\chat\\completions"),
    "below a known path": routed("/v1/chat/completions/%2e%2e", code="not_exposed"),
    "not exposed": routed("/v1/files", code="not_exposed"),
    "raw bytes": routed(b"/v1/chat/completions\xc3\xa9"),
    "raw query": Case(
        plain("query", target=CHAT.encode() + b"?x=\xc3\xa9"), 400, "invalid_request"
    ),
    "another host in the target": Case(
        plain("absolute", target=f"http://evil.example{CHAT}"), 200, seen=1
    ),
    "get": asked("GET"),
    "put": asked("PUT"),
    "trace": asked("TRACE"),
    "options": asked("OPTIONS"),
    "lower case": asked("post"),
    "unheard of": asked("BREW"),
    "connect": Case(
        request(method="CONNECT", target="evil.example:443", length=None), 404, "unknown_path"
    ),
}

WRONG_KEYS = {
    "wrong": keyed("authorization: Bearer sk-orq-" + "0" * 64),
    "50 KB": keyed("authorization: Bearer " + "k" * 50_000),
    "overlong": keyed(f"authorization: Bearer {KEY}{'x' * 300}"),
    "one letter more": keyed(f"authorization: Bearer {KEY}x"),
    "one letter less": keyed(f"authorization: Bearer {KEY[:-1]}"),
    "upper case": keyed(f"authorization: Bearer {KEY.upper()}"),
    "non-ascii": keyed(b"authorization: Bearer " + "sk-é".encode()),
    "control characters": keyed(b"authorization: Bearer sk\t" + KEY.encode()),
    "twice": keyed(f"authorization: Bearer {KEY}", f"authorization: Bearer {KEY}"),
    "twice by one name": keyed(f"x-api-key: {KEY}", "x-api-key: other"),
    "digest": keyed(f"authorization: Bearer {digest(KEY)}"),
    "foreign api key": keyed("x-api-key: sk-ant-foreign"),
}

KEYS = {
    "none": keyed(code="missing_api_key"),
    "empty": keyed("authorization:", code="missing_api_key"),
    "bearer alone": keyed("authorization: Bearer", code="missing_api_key"),
    "empty bearer": keyed("authorization: Bearer  ", code="missing_api_key"),
    "empty elsewhere": keyed("x-api-key:", "authorization: Bearer", code="missing_api_key"),
    "basic": keyed(f"authorization: Basic {KEY}"),
    "no scheme": keyed(f"authorization: {KEY}"),
    "two spaces": welcome(f"authorization: Bearer  {KEY}"),
    "in a cookie": keyed(f"cookie: key={KEY}", code="missing_api_key"),
    "in the proxy's header": keyed(f"proxy-authorization: Bearer {KEY}", code="missing_api_key"),
    "nul in the key": keyed(b"authorization: Bearer \x00", code=None, status=400),
    "100 KB": keyed("authorization: Bearer " + "k" * 100_000),
    "x-api-key": welcome(f"x-api-key: {KEY}"),
    "api-key": welcome(f"api-key: {KEY}"),
    "x-goog-api-key": welcome(f"x-goog-api-key: {KEY}"),
    "lower-case scheme": welcome(f"authorization: bearer {KEY}"),
    "beside a foreign key": welcome("x-api-key: sk-ant-foreign", key=KEY),
    "in two headers": welcome(f"api-key: {KEY}", key=KEY),
}

TABLE = {
    f"{group}: {name}": case
    for group, cases in (
        ("json", JSON_BODIES),
        ("model", MODELS),
        ("media type", MEDIA),
        ("form", FORMS),
        ("framing", FRAMING),
        ("path", PATHS),
        ("wrong key", WRONG_KEYS),
        ("key", KEYS),
    )
    for name, case in cases.items()
}
# In HTTP/2 the server resets the stream of a request with such headers (RFC 9113, 8.1.1), or ends the connection.
RESET = {
    *(f"framing: {name}" for name in FRAMING if name.startswith("host with")),
    "framing: 30,000 short headers",
    "framing: nul in a header",
    "framing: signed length",
    "framing: two hosts in one",
    "framing: two lengths",
    "key: nul in the key",
} - {"framing: host with a user"}


@pytest.fixture(scope="module", autouse=True)
def same_worker(served: Server) -> Iterator[None]:
    """No request here may cost a worker its life."""
    before = served.worker_pids()
    yield
    assert served.worker_pids() == before
    assert driver(served.port, request(b'{"model": "gpt-after"}')).status == 200


@pytest.fixture(autouse=True)
def nothing_left(rested: Server) -> None:
    """Whatever a caller sends, the worker is as it was before."""


@pytest.fixture
def quiet(mock: Server) -> Server:
    """The mock with nothing on record."""
    clear(mock)
    return mock


@pytest.mark.parametrize(("name", "case"), TABLE.items(), ids=TABLE.keys())
def test_malformed(served: Server, quiet: Server, name: str, case: Case) -> None:
    answer = driver(served.port, case.sent, half_close=case.half_close)
    if loopback.IS_HTTP2 and name in RESET:
        assert (answer, received_by(quiet)) == (SILENCE, [])
        return
    assert (answer.status, answer.header("x-engine-error")) == (case.status, case.code)
    assert len(received_by(quiet)) == case.seen
    if case.code:
        assert json.loads(answer.body)["error"]["code"] == case.code
        assert answer.count("x-engine-request-id") == 1


def test_wrong_keys_cannot_be_told_apart(served: Server) -> None:
    answers = [driver(served.port, case.sent) for case in WRONG_KEYS.values()]
    assert len({answer.body for answer in answers}) == 1
    assert len({tuple(sorted(name for name, _ in answer.headers)) for answer in answers}) == 1


def test_method_not_allowed_lists_what_is(served: Server) -> None:
    answer = driver(served.port, plain("allow", method="DELETE"))
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_a_wrong_key_learns_nothing_of_paths(served: Server) -> None:
    sent = request(b"{}", target="/v1/no/such/path", key="sk-orq-wrong")
    known = request(b"{}", key="sk-orq-wrong")
    assert driver(served.port, sent).body == driver(served.port, known).body


@pytest.fixture(scope="module")
def two_keys(
    tmp_path_factory: pytest.TempPathFactory, mock: Server, canaries: dict[str, str]
) -> Iterator[Server]:
    """A gateway with two valid keys."""
    folder = ship(tmp_path_factory.mktemp("two-keys"))
    write_keys(folder, f"{{name: other, sha256: {digest(OTHER_KEY)}}}")
    arguments = ("--mock-port", str(mock.port))
    with gateway(folder, folder / "log", *arguments, environ=canaries) as server:
        yield server


def test_two_valid_keys(two_keys: Server, quiet: Server) -> None:
    body = b'{"model": "gpt-two-keys"}'
    assert driver(two_keys.port, request(body, key=OTHER_KEY)).status == 200
    answer = driver(two_keys.port, request(body, f"x-api-key: {OTHER_KEY}"))
    assert (answer.status, answer.header("x-engine-error")) == (401, "invalid_api_key")
    assert len(received_by(quiet)) == 1


def expecting(**change: str | int | None) -> bytes:
    head: dict[str, object] = {"length": 24, **change}
    return request(b"", "expect: 100-continue", **head)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (expecting(key="sk-orq-wrong"), 401),
        (expecting(key=None), 401),
        (expecting(length=1 << 40), 413),
        (expecting(kind="text/plain"), 415),
        (expecting(target="/v1/no/such/path"), 404),
    ],
)
def test_a_refused_body_is_not_asked_for(served: Server, sent: bytes, status: int) -> None:
    answer = driver(served.port, sent)
    assert (answer.status, answer.interim) == (status, ())


@pytest.mark.http1("the server sends no 100 in HTTP/2")
def test_a_welcome_body_is_asked_for(served: Server) -> None:
    body = b'{"model": "gpt-expected"}'
    with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
        connection.sendall(expecting(length=len(body)))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(body)
        assert read_answer(connection).status == 200


def seen_headers(mock: Server) -> list[tuple[str, str]]:
    (record,) = received_by(mock)
    return [(name, value) for name, value in record["headers"]]


def test_connection_cannot_remove_the_credential(
    served: Server, quiet: Server, canaries: dict[str, str]
) -> None:
    sent = plain("listed", "connection: authorization, x-api-key", "x-api-key: sk-foreign")
    assert driver(served.port, sent).status == 200
    values = [v for name, v in seen_headers(quiet) if name in ("authorization", "x-api-key")]
    assert values == [f"Bearer {canaries['OPENAI_API_KEY']}"]


def test_engine_headers_are_the_engines(served: Server, quiet: Server) -> None:
    answer = driver(served.port, plain("spoof", "x-engine-request-id: req_spoofed"))
    assert answer.status == 200
    assert answer.count("x-engine-request-id") == 1
    assert answer.header("x-engine-request-id") != "req_spoofed"
    assert not [name for name, _ in seen_headers(quiet) if name.startswith("x-engine")]


def test_the_target_never_names_the_upstream(served: Server, mock: Server) -> None:
    clear(mock)
    sent = plain("elsewhere", target=f"http://evil.example:1{CHAT}")
    assert driver(served.port, sent).status == 200
    (record,) = received_by(mock)
    assert record["target"] == CHAT
    assert ["host", f"127.0.0.1:{mock.port}"] in record["headers"]


def test_a_length_beside_chunks_smuggles_nothing(served: Server, quiet: Server) -> None:
    hidden = request(b'{"model": "gpt-smuggled"}')
    body = chunked([b'{"model": "gpt-outer"}']) + hidden
    answer = driver(served.port, request(body, CHUNKED))
    assert answer.status == 200
    assert [record["model"] for record in received_by(quiet)] == ["gpt-outer"]


@pytest.mark.parametrize("lines", [(CHUNKED, CHUNKED), (f"{CHUNKED}, chunked",)], ids=len)
def test_a_body_chunked_twice_ends_the_connection(served: Server, lines: tuple[str, ...]) -> None:
    """The sender may not (RFC 9112, 6.1), so nobody knows where the next request begins."""
    body = chunked([b'{"model": "gpt-outer"}'])
    answer = driver(served.port, request(body, *lines, length=None))
    assert (answer.status, answer.header("connection")) == (400, "close")


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("length", [0, 1, 22, 23, 24])
def test_a_length_beside_chunks_ends_nothing(
    served: Server, quiet: Server, length: int, is_first: bool
) -> None:
    """The first chunk is a whole document of 22 bytes: what follows must not be left out.

    A declared length ends a body, so this depends on the server, which drops one beside chunks.
    """
    body = chunked([b'{"model": "gpt-outer"}', b" ", b", no JSON any more"])
    lines = [f"content-length: {length}", CHUNKED]
    lines = lines if is_first else lines[::-1]
    answer = driver(served.port, request(body, *lines, length=None))
    assert answer.status == 400
    assert received_by(quiet) == []


@pytest.mark.http1("responses in HTTP/2 have no order")
def test_requests_sent_in_one_go_are_answered_in_order(served: Server, quiet: Server) -> None:
    bodies = [b'{"model": "gpt-one"}', b'{"model": 3}', b'{"model": "gpt-two"}']
    last = request(bodies[2], "connection: close")
    answers = b""
    with socket.create_connection(("127.0.0.1", served.port), 5) as connection:
        connection.sendall(request(bodies[0]) + request(bodies[1]) + last)
        while chunk := connection.recv(65536):
            answers += chunk
    statuses = [int(each[:3]) for each in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200, 400, 200]
    assert [record["model"] for record in received_by(quiet)] == ["gpt-one", "gpt-two"]


STREAMED = {
    "no terminator": form(NAMED, SOUND).removesuffix(b"--\r\n"),
    "ends in a part": form(NAMED, SOUND)[:-30],
    "1100 parts": form(NAMED, SOUND, *[part("x", b"y")] * 1100),
    "duplicate": form(NAMED, SOUND, part("model", b"gpt-b")),
    "second form": form(NAMED, SOUND) + form(part("model", b"gpt-b")),
}


@pytest.mark.parametrize("body", STREAMED.values(), ids=STREAMED.keys())
def test_a_form_that_breaks_while_it_is_passed_on_never_ends_upstream(
    served: Server, quiet: Server, body: bytes
) -> None:
    answer = driver(served.port, request(body, kind=FORM, target=AUDIO))
    assert answer.status == 400
    assert answer.header("x-engine-error") in ("invalid_form", "duplicate_field")
    assert all(broken_off(quiet))


def broken_off(mock: Server) -> list[bool]:
    """Whether each call the mock got ended before its body did."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        gone = [record["disconnected_at"] is not None for record in received_by(mock)]
        if all(gone):
            return gone
        time.sleep(0.01)
    return gone

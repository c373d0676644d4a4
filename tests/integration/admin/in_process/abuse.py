"""Requests that somebody with bad intent sends to the admin listener, as a table.

A row is refused with its status, and changes nothing in the store. `<name>` in a target, a header or a body stands for
an id, a key, or something of the session of `who`: see `filled`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from engine.admin.api.operations import OPERATIONS
from engine.admin.app import PAGES
from engine.admin.request import Access, Page
from engine.admin.security import MAX_BODY, MAX_PATH, MAX_QUERY
from tests.integration.admin.in_process.listener import HOST, ORIGIN

Headers = tuple[tuple[str, str], ...]
FORM = ("content-type", "application/x-www-form-urlencoded")
JSON = ("content-type", "application/json")
OURS: Headers = (("sec-fetch-site", "same-origin"), ("origin", ORIGIN))
NEVER = "never-made"  # a text that no row makes part of the store

# What stands for a parameter of a path, so that it is somebody else's.
FOREIGN = {
    "key_id": "<id theirs-key-use>",
    "session_id": "<session theirs-owner>",
    "person_id": "<id theirs-member>",
    "invite_id": "<invite theirs>",
    "provider": "groq",
    "name": "no-such-provider",
}


@dataclass(frozen=True)
class Row:
    """A request, and the status with which it is refused. `who` is whose session cookie it carries."""

    why: str
    method: str
    target: str
    status: int
    headers: Headers = ()
    body: str | bytes = b""
    who: str | None = None
    host: str | None = HOST
    chunks: int = 1


def at(path: str) -> str:
    """`path` with somebody else's ids in it."""
    for name, value in FOREIGN.items():
        path = path.replace("{" + name + "}", value)
    return path


def form(**fields: str) -> str:
    return urlencode(fields, quote_via=quote, safe="<> ")


def every_post() -> Iterator[tuple[Page, str]]:
    """Each page that changes something, and the session of somebody who may: with the right form it would."""
    for page in PAGES:
        if page.method == "POST":
            yield page, "operator" if page.access is Access.OPERATOR else "ours-owner"


# Of a page that another site has made: each header that a browser sends with its form.
CROSS_SITE: dict[str, Headers] = {
    "cross-site": (("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")),
    "same-site": (("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9999")),
    "an old browser": (("origin", "https://evil.example"),),
    "a sandboxed frame": (("origin", "null"),),
    "no header at all": (),
    "another origin, whatever the site says": (("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")),
    "two sites": (("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site"), ("origin", ORIGIN)),
    "two origins": (("origin", ORIGIN), ("origin", "https://evil.example")),
    "an unknown site": (("sec-fetch-site", "SAME-ORIGIN"), ("origin", ORIGIN)),
    "another scheme": (("sec-fetch-site", "same-origin"), ("origin", ORIGIN.replace("http:", "https:"))),
    "an origin with a path": (("sec-fetch-site", "same-origin"), ("origin", ORIGIN + "/x")),
    "an origin as prefix": (("origin", ORIGIN + ".evil.example"),),
    "only a referer": (("referer", ORIGIN + "/keys"),),
}  # fmt: skip


def csrf_by_origin() -> Iterator[Row]:
    for page, who in every_post():
        for why, headers in CROSS_SITE.items():
            body = form(csrf="<csrf>", name=NEVER)
            yield Row(f"csrf: {why}", "POST", at(page.path), 403, (*headers, FORM), body, who)


def csrf_by_token() -> Iterator[Row]:
    bodies = {
        "no token": form(name=NEVER),
        "an empty token": form(csrf="", name=NEVER),
        "another session's token": form(csrf="<csrf theirs-owner>", name=NEVER),
        "the session cookie as token": form(csrf="<cookie>", name=NEVER),
        "a guessed token": form(csrf="0" * 64, name=NEVER),
        "text that is not ASCII": "csrf=%C3%A9&name=x",
    }
    for page, who in every_post():
        for why, body in bodies.items():
            yield Row(f"csrf: {why}", "POST", at(page.path), 403, (*OURS, FORM), body, who)
        twice = "csrf=<csrf>&csrf=<csrf>"
        yield Row("csrf: a token twice", "POST", at(page.path), 400, (*OURS, FORM), twice, who)


def forms_in_disguise() -> Iterator[Row]:
    for page, who in every_post():
        for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json", ""):
            headers = (*OURS, ("content-type", kind))
            body = form(csrf="<csrf>", name=NEVER)
            yield Row(f"a form as {kind}", "POST", at(page.path), 415, headers, body, who)
        target = f"{at(page.path)}?csrf=<csrf>&name={NEVER}"
        if not any(p.path == page.path and p.method == "GET" for p in PAGES):
            yield Row("a form by GET", "GET", target, 405, who=who)
        for method in ("PUT", "PATCH", "DELETE"):
            body = form(csrf="<csrf>")
            yield Row(f"a form by {method}", method, at(page.path), 405, (*OURS, FORM), body, who)


LOWER = {
    Access.MEMBER: ("ours-viewer",),
    Access.OWNER: ("ours-viewer", "ours-member"),
    Access.OPERATOR: ("ours-viewer", "ours-member", "ours-owner"),
}


def roles() -> Iterator[Row]:
    """Pages opened by people whose role is too low, and by nobody."""
    for page in PAGES:
        body = form(csrf="<csrf>", name=NEVER) if page.method == "POST" else b""
        headers = (*OURS, FORM) if page.method == "POST" else ()
        for who in LOWER.get(page.access, ()):
            yield Row(f"role: {who}", page.method, at(page.path), 403, headers, body, who)
        if page.access is not Access.PUBLIC:
            body = form(csrf="x", name=NEVER) if body else b""
            status = 401 if page.method == "POST" else 303
            yield Row("role: nobody", page.method, at(page.path), status, headers, body)


def foreign_pages() -> Iterator[Row]:
    """Entries of the other account, opened by an owner of this one."""
    for page in PAGES:
        if "{" in page.path and page.access is not Access.OPERATOR:
            headers = (*OURS, FORM) if page.method == "POST" else ()
            body = form(csrf="<csrf>", name="x", role="viewer") if page.method == "POST" else b""
            yield Row("idor", page.method, at(page.path), 404, headers, body, "ours-owner")
    for account in ("<id theirs>", "", "x", "<id theirs> ", "' or 1=1 --"):
        body = form(csrf="<csrf>", account=account)
        yield Row(
            "idor: switch account", "POST", "/account", 404, (*OURS, FORM), body, "ours-owner"
        )
    body = form(csrf="<csrf>", account="<id theirs>")
    yield Row(
        "idor: a person without account", "POST", "/account", 404, (*OURS, FORM), body, "loner"
    )


def bearer(key: str) -> Headers:
    return (("authorization", f"Bearer {key}"),)


# A right body for each operation that takes one, so that nothing but the rule in question refuses it.
BODIES = {
    "create_key": {"name": NEVER},
    "change_key": {"name": NEVER},
    "rotate_key": {"grace_seconds": 60},
    "save_provider": {"provider": "openai", "api_key": NEVER},
}


def operations() -> Iterator[Row]:
    """Each operation of the API with a wrong key, and with the ids of another account."""
    headers: Headers
    for operation in OPERATIONS:
        body = json.dumps(BODIES[operation.id]) if operation.id in BODIES else b""
        kind: Headers = (JSON,) if body else ()
        for path in operation.paths:
            yield Row("api: no key", operation.method, at(path), 401, kind, body)
            yield Row("api: a session in place of a key", operation.method, at(path), 401, (*OURS, *kind), body, "ours-owner")  # fmt: skip
            if operation.scope == "manage":
                headers = (*bearer("<key ours-use>"), *kind)
                yield Row("api: scope use", operation.method, at(path), 403, headers, body)
            if "{" in path:
                headers = (*bearer("<key ours-manage>"), *kind)
                yield Row("api: idor", operation.method, at(path), 404, headers, body)
        if body:
            headers = (("content-type", "text/plain"), *bearer("<key ours-manage>"))
            yield Row("api: not JSON", operation.method, at(operation.path), 415, headers, body)


HOSTS = (
    None, "", "evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8081.evil.example", "127.0.0.1:08081",
    "evil.example:8081", "user@127.0.0.1:8081", "127.0.0.1:8081@evil.example", "127.0.0.1:8081, evil.example",
    "localhost.:8081", "127.0.0.1:8081\\@evil.example", "127.1:8081", "0x7f.0.0.1:8081", "[::ffff:127.0.0.1]:8081",
    "0.0.0.0:8081", " 127.0.0.1:8081", "http://127.0.0.1:8081", "127.0.0.1:8081/", "127.0.0.1:8081#", "xn--localhost:8081",
)  # fmt: skip


def hosts() -> Iterator[Row]:
    for host in HOSTS:
        yield Row(f"host: {host}", "GET", "/signin", 421, host=host)
        yield Row(f"host: {host}", "GET", "/v1/account", 421, bearer("<key ours-use>"), host=host)
    twice = (("host", "evil.example"),)
    yield Row("host: two", "GET", "/signin", 421, twice)
    for name in ("x-forwarded-host", "x-host", "forwarded", "x-original-host"):
        headers = ((name, "127.0.0.1:8081"),)
        yield Row(f"host: by {name}", "GET", "/signin", 421, headers, host="evil.example")


def oversize() -> Iterator[Row]:
    manage = bearer("<key ours-manage>")
    large = b"x" * (MAX_BODY + 1)
    for target, headers in (("/v1/account/keys", (*manage, JSON)), ("/signin", (*OURS, FORM))):
        length: Headers = (("content-length", str(len(large))),)
        yield Row("oversize: declared", "POST", target, 413, (*headers, *length), large)
        yield Row("oversize: chunked", "POST", target, 413, headers, large, chunks=9)
        yield Row(
            "oversize: a lie", "POST", target, 413, (*headers, ("content-length", "5")), large
        )
        for text in ("99999999999999999999", "-1", "1e3", "0x10", "\xd9\xa3", "5, 5", ""):
            length = (("content-length", text),) if text else (("content-length", "1"),) * 2
            yield Row(f"oversize: length {text}", "POST", target, 413, (*headers, *length), large)
    yield Row("oversize: path", "GET", "/" + "a" * MAX_PATH, 414)
    yield Row("oversize: query", "GET", "/signin?" + "a" * (MAX_QUERY + 1), 414)
    fields = "&".join(f"a{number}=" for number in range(1001))
    yield Row("oversize: fields", "POST", "/signin", 400, (*OURS, FORM), fields)
    yield Row("oversize: query fields", "GET", "/signin?" + "&".join("a" for _ in range(1500)), 400)
    names = {"name": ["x"] * 201, "models": ["x"] * 201, "endpoints": ["x"] * 201}
    for name, value in names.items():
        body = json.dumps({"name": "x", name: value})
        yield Row(f"oversize: {name}", "POST", "/v1/account/keys", 400, (*manage, JSON), body)
    for body in (
        '{"name": "' + "a" * 101 + '"}',
        '{"name": ' + "[" * 30000,
        "[" * 60000,
        '{"a":' * 5000,
    ):
        yield Row("oversize: JSON", "POST", "/v1/account/keys", 400, (*manage, JSON), body)
    body = json.dumps({"provider": "openai", "api_key": "x" * 20000})
    yield Row("oversize: secret", "PUT", "/v1/account/providers", 400, (*manage, JSON), body)
    yield Row("oversize: key", "GET", "/v1/account", 401, bearer("sk-orq-" + "a" * 5000))


def methods() -> Iterator[Row]:
    for method in (
        "TRACE",
        "CONNECT",
        "OPTIONS",
        "PROPFIND",
        "get",
        "Post",
        "BREW",
        "GET ",
        "PURGE",
    ):
        for target in ("/signin", "/v1/account/keys"):
            yield Row(
                f"method: {method!r}", method, target, 405, (*OURS, *bearer("<key ours-manage>"))
            )
    for name in ("x-http-method-override", "x-http-method", "x-method-override"):
        target = "/v1/account/keys/<id ours-key-use>"
        headers = (*bearer("<key ours-manage>"), (name, "DELETE"))
        yield Row(f"method: {name}", "POST", target, 405, headers)
    target = "/v1/account/keys/<id ours-key-use>?_method=DELETE"
    yield Row("method: by query", "POST", target, 405, bearer("<key ours-manage>"))
    yield Row("method: HEAD for POST", "HEAD", "/signout", 405, who="ours-owner")


def cookies() -> Iterator[Row]:
    """Cookies that are no session: each leads to the page to sign in."""
    token = "<cookie ours-owner>"
    for why, headers in {
        "two of one name": [f"orqen_session={token}; orqen_session=x"],
        "two headers": [f"orqen_session={token}", "orqen_session=x"],
        "the same twice": [f"orqen_session={token}; orqen_session={token}"],
        "another name": [f"session={token}"],
        "the name for https": [f"__Host-orqen-session={token}"],
        "another case": [f"ORQEN_SESSION={token}"],
        "a prefix": [f"xorqen_session={token}"],
        "quoted": [f'orqen_session="{token}"'],
        "made longer": [f"orqen_session={token}x"],
        "made shorter": ["orqen_session=" + "a" * 42],
        "the id of a session": ["orqen_session=<session ours-owner>"],
        "the digest of a token": ["orqen_session=<digest ours-owner>"],
        "a key": ["orqen_session=<key ours-manage>"],
        "SQL": ["orqen_session=' OR '1'='1"],
        "not ASCII": ["orqen_session=\xff\xfe"],
        "NUL": ["orqen_session=\x00"],
        "nothing": ["orqen_session="],
        "long": ["orqen_session=" + "a" * 60000],
        "signed out": ["orqen_session=<cookie signed-out>"],
        "too old": ["orqen_session=<cookie too-old>"],
        "idle": ["orqen_session=<cookie idle>"],
        "of a disabled person": ["orqen_session=<cookie disabled>"],
    }.items():
        sent = tuple(("cookie", header) for header in headers)
        yield Row(f"cookie: {why}", "GET", "/you", 303, sent)
    yield Row("cookie: in the query", "GET", f"/you?orqen_session={token}", 303)
    yield Row("cookie: as Bearer", "GET", "/you", 303, bearer(token))
    yield Row("cookie: as Bearer for the API", "GET", "/v1/account", 401, bearer(token))


def keys() -> Iterator[Row]:
    key = "<key ours-manage>"
    for why, values in {
        "basic": [f"Basic {key}"],
        "no scheme": [key],
        "no key": ["Bearer"],
        "empty": [""],
        "two keys": [f"Bearer {key} {key}"],
        "two headers": [f"Bearer {key}", f"Bearer {key}"],
        "padded": [f"Bearer  {key}"],
        "trailing space": [f"Bearer {key} "],
        "upper case": ["Bearer <KEY ours-manage>"],
        "one character less": [f"Bearer {key}"[:-1]],
        "one character more": [f"Bearer {key}0"],
        "digest": ["Bearer <keydigest ours-manage>"],
        "id": ["Bearer <id ours-key-manage>"],
        "SQL": ["Bearer x'OR'1'='1"],
        "NUL": ["Bearer \x00"],
        "not ASCII": ["Bearer \xe9\xff"],
        "revoked": ["Bearer <key revoked>"],
        "expired": ["Bearer <key expired>"],
        "of a disabled account": ["Bearer <key disabled>"],
        "a template": ["Bearer {{7*7}}"],
    }.items():
        sent = tuple(("authorization", value) for value in values)
        yield Row(f"key: {why}", "GET", "/v1/account", 401, sent)
    yield Row("key: in the query", "GET", f"/v1/account?api_key={key}", 401)
    yield Row("key: in a cookie", "GET", "/v1/account", 401, (("cookie", f"authorization=Bearer {key}"),))  # fmt: skip
    yield Row("key: as x-api-key", "GET", "/v1/account", 401, (("x-api-key", key),))


def json_bodies() -> Iterator[Row]:
    """Bodies that two readers could understand differently, or that try to reach beyond their fields."""
    headers = (*bearer("<key ours-manage>"), JSON)
    texts: dict[str, str | bytes] = {
        "an empty body": b"",
        "a name twice": '{"name": "a", "name": "b"}',
        "a number that is none": '{"name": "a", "rate_limit_rpm": NaN}',
        "infinity": '{"name": "a", "rate_limit_rpm": Infinity}',
        "a byte order mark": b'\xef\xbb\xbf{"name": "a"}',
        "UTF-16": '{"name": "a"}'.encode("utf-16"),
        "Latin-1": '{"name": "é"}'.encode("latin-1"),
        "half a character": r'{"name": "\ud800"}',
        "something behind it": '{"name": "a"} {}',
        "a comment": '{"name": "a" /* b */}',
        "a comma too much": '{"name": "a",}',
        "single quotes": "{'name': 'a'}",
        "a list": '[{"name": "a"}]',
        "null": "null",
        "a text": '"name"',
        "a form": "name=a",
        "another account": '{"name": "a", "account_id": "<id theirs>"}',
        "an id": '{"name": "a", "id": "x"}',
        "a digest": '{"name": "a", "digest": "00"}',
        "a key of one's own": '{"name": "a", "key": "sk-orq-1"}',
        "a prototype": '{"name": "a", "__proto__": {"scopes": ["manage"]}}',
        "an unknown scope": '{"name": "a", "scopes": ["admin"]}',
        "no scope": '{"name": "a", "scopes": []}',
        "a scope twice": '{"name": "a", "scopes": ["use", "use"]}',
        "a scope as text": '{"name": "a", "scopes": "manage"}',
        "no models": '{"name": "a", "models": []}',
        "a model that is a number": '{"name": "a", "models": [1]}',
        "a name of control characters": r'{"name": "a\u0000b"}',
        "a line break in a name": r'{"name": "a\nb"}',
        "an escape sequence": r'{"name": "\u001b[31m"}',
        "an empty name": '{"name": ""}',
        "a blank name": '{"name": "   "}',
        "a name that is a number": '{"name": 1}',
        "a name that is a list": '{"name": ["a"]}',
        "an end in the past": '{"name": "a", "expires_at": "1999-01-01T00:00:00Z"}',
        "an end without offset": '{"name": "a", "expires_at": "2099-01-01T00:00:00"}',
        "an end that is no date": '{"name": "a", "expires_at": "2099-02-30T00:00:00Z"}',
        "an end far away": '{"name": "a", "expires_at": "9999-12-31T23:59:59-23:59"}',
        "an end as number": '{"name": "a", "expires_at": 4102444800}',
        "a limit of none": '{"name": "a", "daily_token_budget": 0}',
        "true for null": '{"name": "a", "rate_limit_rpm": true}',
    }
    for why, text in texts.items():
        yield Row(f"json: {why}", "POST", "/v1/account/keys", 400, headers, text)
    providers = {
        "an unknown provider": {"provider": "../openai", "api_key": "x"},
        "a field of another": {"provider": "openai", "fields": {"aws_region": "x"}},
        "a host": {"provider": "openai", "fields": {"api_key": "x", "host": "evil.example"}},
        "a header": {"provider": "openai", "api_key": "x\r\nx-evil: 1"},
        "a space": {"provider": "openai", "api_key": " x"},
        "an empty key": {"provider": "openai", "api_key": ""},
        "both": {"provider": "openai", "api_key": "x", "fields": {"api_key": "y"}},
        "no key": {"provider": "openai"},
        "another account": {"provider": "openai", "api_key": "x", "account_id": "<id theirs>"},
    }
    for why, value in providers.items():
        yield Row(f"json: {why}", "PUT", "/v1/account/providers", 400, headers, json.dumps(value))
    queries = ("limit=0", "limit=101", "limit=-1", "limit=1e1", "limit=%D9%A3", "limit=\xd9\xa3", "limit=1&limit=2", "after=", "x=1", "limit", "account_id=<id theirs>", "after=%ff")  # fmt: skip
    for query in queries:
        yield Row(f"query: {query}", "GET", f"/v1/account/keys?{query}", 400, headers[:1])


def paths() -> Iterator[Row]:
    key = bearer("<key ours-manage>")
    for path in (
        "/v1/account/", "/v1//account", "/v1/account/keys/", "/V1/account", "/v1/ACCOUNT", "/v1/account;x", "/v1/account%00",
        "/v1/account/../account", "/v1/./account", "/v1/%2e%2e/v1/account", "/v1/account%2fkeys%2f", "/v1/accounts",
        "/v1/account/keys/%2e%2e/keys", "/v1/account/keys/<id ours-key-use>/", "/v1/account/keys/<id ours-key-use>/rotate/",
        "/v1/people", "/v1/audit", "/v1/", "/v1/chat/completions",
    ):  # fmt: skip
        yield Row(f"path: {path}", "GET", path, 404, key)
    for path in (
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/....//app.py", "/static/",
        "/static/dashboard.css%00.js", "/static/..\\app.py", "/static//etc/passwd", "/templates/base.html", "/app.py",
        "//evil.example/", "/signin/", "/signin%2f", "/.env", "/.git/config", "/healthz/", "/openapi.json/", "/admin",
    ):  # fmt: skip
        yield Row(f"path: {path}", "GET", path, 404)


def embedding() -> Iterator[Row]:
    """Another site that loads, frames or reads a page of ours in somebody's browser."""
    for mode, target in (
        ("navigate", "iframe"), ("navigate", "embed"), ("navigate", "object"), ("navigate", "frame"), ("no-cors", "image"),
        ("no-cors", "script"), ("no-cors", "style"), ("cors", "empty"), ("no-cors", "empty"), ("same-origin", "empty"),
    ):  # fmt: skip
        for site in ("cross-site", "same-site"):
            headers = (
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", target),
            )
            yield Row(
                f"embedding: {site} {mode} {target}", "GET", "/you", 403, headers, who="ours-owner"
            )


def signing_in() -> Iterator[Row]:
    post = (*OURS, FORM)
    for why, fields in {
        "no password": {"email": "ours-owner@example.com"},
        "an empty password": {"email": "ours-owner@example.com", "password": ""},
        "SQL": {"email": "' OR 1=1 --", "password": "' OR 1=1 --"},
        "a wildcard": {"email": "%", "password": "%"},
        "a person without password": {"email": "loner@example.com", "password": "None"},
        "a disabled person": {"email": "disabled@example.com", "password": "correct horse battery"},
        "a password in another case": {
            "email": "ours-owner@example.com",
            "password": "CORRECT HORSE BATTERY",
        },
        "a password with a space": {
            "email": "ours-member@example.com",
            "password": "correct horse battery ",
        },
        "a template": {"email": "{{7*7}}@example.com", "password": "{{7*7}}"},
    }.items():
        yield Row(f"sign in: {why}", "POST", "/signin", 403, post, form(**fields))
    twice = "email=ours-viewer@example.com&password=x&password=correct+horse+battery"
    yield Row("sign in: two passwords", "POST", "/signin", 403, post, twice)
    yield Row(
        "sign in: two people", "POST", "/signin", 400, post, "email=a@b.c&email=c@d.e&password=x"
    )
    for token in (
        "",
        "x",
        "<cookie ours-owner>",
        "' OR 1=1 --",
        "{{7*7}}",
        "<link used>",
        "<link old>",
    ):
        yield Row("sign in: a link", "POST", "/signin/link", 403, post, form(token=token))
        yield Row("sign in: an invite", "GET", f"/invite?token={token}".replace(" ", "+"), 404)
    body = form(token="<invite-token theirs>", csrf="<csrf>")
    yield Row("sign in: somebody else's invite", "POST", "/invite", 403, post, body, "ours-owner")
    body = form(token="<invite-token theirs>", name="x", password="short")
    yield Row("sign in: an invite with a weak password", "POST", "/invite", 400, post, body)
    body = form(token="<invite-token known>", name="x", password="correct horse battery")
    yield Row("sign in: an invite of somebody known", "POST", "/invite", 409, post, body)
    yield Row("oidc: not set up", "GET", "/signin/oidc", 404)
    yield Row("oidc: not set up", "GET", "/signin/oidc/callback?state=x&code=y", 400)
    for why, fields in {
        "no current password": {"name": "x", "email": "ours-owner@example.com", "password": "another horse battery"},
        "a wrong one": {"name": "x", "email": "ours-owner@example.com", "password": "another horse battery", "current": "no"},
        "another address": {"name": "x", "email": "evil@example.com"},
        "somebody's address": {"name": "x", "email": "theirs-owner@example.com", "current": "correct horse battery"},
        "no address": {"name": "x", "email": "x", "current": "correct horse battery"},
        "no name": {"name": "", "email": "ours-owner@example.com"},
        "a name with a line break": {"name": "a\nb", "email": "ours-owner@example.com"},
    }.items():  # fmt: skip
        yield Row(
            f"you: {why}", "POST", "/you", 400, post, form(csrf="<csrf>", **fields), "ours-owner"
        )


TABLES: Mapping[str, tuple[Row, ...]] = {
    table.__name__: tuple(table())
    for table in (
        csrf_by_origin, csrf_by_token, forms_in_disguise, roles, foreign_pages, operations, hosts, oversize, methods, cookies,
        keys, json_bodies, paths, embedding, signing_in,
    )
}  # fmt: skip
ROWS: tuple[Row, ...] = tuple(row for table in TABLES.values() for row in table)

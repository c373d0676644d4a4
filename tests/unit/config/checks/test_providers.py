"""What is said of a provider where a small difference decides it."""

from pathlib import Path

from engine.config.checks.urls import is_url
from tests.tables import each
from tests.unit.config.folders import ENVIRON, MINIMAL, codes, only, provider, read, write


@each(
    ("own", "covered"),
    [
        ("x-own-key", "`x-http-method`, `x-http-method-override`"),
        ("x-http-key", "`x-http-key`, `x-http-method` and 1 more"),
    ],
)
def test_two_of_the_headers_that_are_withheld_are_named(
    own: str, covered: str, tmp_path: Path
) -> None:
    text = provider(
        credentials={"api_key": {"env": "OPENAI_API_KEY"}},
        headers={"authorization": "Bearer {{ credentials.api_key }}"},
        caller_credentials={"headers": {own: "api_key"}},
        forward_headers=["x-http-*"],
    )
    found = only(read(write(tmp_path, providers=text)))
    assert found.message == f"`x-http-*` covers {covered}, which the gateway never forwards"


GOOGLE = {"with": "google_oauth", "scope": "s"}
AMAZON = {"with": "aws_sigv4", "service": "s", "region": "r"}


@each(
    ("sign", "names", "found"),
    [
        (GOOGLE, ["credentials_file"], []),
        (AMAZON, ["access_key_id", "secret_access_key"], ["X272"]),
    ],
)
def test_a_path_is_a_credential_where_the_signer_reads_a_file(
    sign: dict[str, str], names: list[str], found: list[str], tmp_path: Path
) -> None:
    environ = {**ENVIRON, "OTHER_API_KEY": "/run/secrets/key.json"}
    credentials = {name: {"env": "OPENAI_API_KEY"} for name in names}
    credentials[names[-1]] = {"env": "OTHER_API_KEY"}
    text = provider(sign=sign, credentials=credentials)
    assert codes(read(write(tmp_path, providers=text), environ)) == found


def test_a_field_that_drop_unknown_removes_again_is_reported(tmp_path: Path) -> None:
    providers = (MINIMAL / "providers.yaml").read_text("utf-8")
    providers = providers.replace(
        "chat_completions: /chat/completions", "chat_completions: {path: /x, takes: [messages]}"
    )
    body = "{drop_unknown: true, set: {n: 2, messages: []}, default: {/x/b: 1}}"
    routes = (MINIMAL / "routes.yaml").read_text("utf-8")
    routes += f"  - {{model: d, provider: openai, endpoint: chat_completions, body: {body}}}\n"
    found = read(write(tmp_path, routes=routes, providers=providers))
    assert [(d.code, d.path[-1]) for d in found.diagnostics] == [("X277", "n"), ("X277", "/x/b")]


@each("where", ["query", "headers"])
def test_a_placeholder_elsewhere_than_in_a_header_leaves_a_credential_unused(
    where: str, tmp_path: Path
) -> None:
    endpoint = {"path": "/embeddings", "query": {"headers": "${TENANT}"}}
    text = provider(
        credentials={"api_key": {"env": "OPENAI_API_KEY"}},
        **{"headers": {"x-tenant": "${TENANT}"}}
        if where == "headers"
        else {"endpoints": {"chat_completions": "/chat/completions", "embeddings": endpoint}},
    )
    found = {"query": {"X270", "X271"}, "headers": {"X271"}}
    assert set(codes(read(write(tmp_path, providers=text)))) == found[where]


@each(
    ("path", "wanted"),
    [
        (("base_url",), True),
        (("endpoints", "embeddings"), True),
        (("endpoints", "embeddings", "path"), True),
        (("endpoints", "embeddings", "query", "api-version"), False),
        (("headers", "authorization"), False),
        (("query", "base_url"), False),
    ],
)
def test_what_of_a_provider_is_a_url(path: tuple[str, ...], *, wanted: bool) -> None:
    assert is_url(("providers", "openai", *path)) is wanted

"""A provider with an account's credentials has those and nothing of the operator's."""

import json
from dataclasses import replace

import pytest

from engine.config.load import load
from engine.gateway.outbound.account_keys import with_credentials
from engine.gateway.outbound.credentials import not_configured
from engine.plan.limits import CallerLimits
from engine.plan.plan import CallerCredentials, Provider
from tests.tables import each
from tests.unit.config.folders import NOW, write

ROUTES = """
version: 1
endpoints: {chat_completions: {path: /v1/chat/completions}, embeddings: {path: /v1/embeddings}}
models:
  - {prefix: gpt-, provider: openai}
  - {prefix: regional-, provider: regional}
  - {prefix: amazon-, provider: amazon}
  - {prefix: google-, provider: google}
  - {prefix: local-, provider: local}
"""
PROVIDERS = """
version: 1
providers:
  openai:
    base_url: https://api.openai.com/v1
    credentials: {key: {env: OPERATOR}, org: {env: OPERATOR_ORG, optional: true}}
    headers: {authorization: "Bearer {{ credentials.key }}", organization: "{{ credentials.org }}", x-model: "{{ credentials.key }} {{ model }}", x-fixed: always}
    endpoints: {chat_completions: /chat, embeddings: /embeddings}
  regional:
    base_url: "https://{{ variables.region }}.example.com"
    variables: {region: {env: REGION, choices: [eu, us]}}
    caller_variables: {headers: {x-region: region}}
    credentials: {key: {env: OPERATOR}}
    headers: {x-key: "{{ credentials.key }}"}
    endpoints: {chat_completions: /chat}
  amazon:
    base_url: https://bedrock.example.com
    credentials:
      access_key_id: {env: OPERATOR}
      secret_access_key: {env: OPERATOR}
      session_token: {env: OPERATOR, optional: true}
    sign: {with: aws_sigv4, service: bedrock, region: eu-west-1}
    endpoints: {chat_completions: /chat}
  google:
    base_url: https://google.example.com
    credentials: {access_token: {env: OPERATOR, optional: true}, credentials_file: {env: NOT_SET, optional: true}}
    headers: {authorization: "Bearer {{ credentials.access_token }}"}
    sign: {with: google_oauth, scope: all}
    endpoints: {chat_completions: /chat}
  local:
    base_url: https://local.example.com
    endpoints: {chat_completions: /chat}
"""


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Provider]:
    folder = write(tmp_path_factory.mktemp("folder"), routes=ROUTES, providers=PROVIDERS)
    loaded = load(
        folder,
        {"OPERATOR": "operators-secret", "OPERATOR_ORG": "operators-org", "REGION": "eu"},
        NOW,
    )
    assert loaded.plan is not None, loaded.diagnostics
    return dict(loaded.plan.providers)


def headers(provider: Provider, **context: str) -> dict[str, str | None]:
    return {
        h.name.decode(): h.value.decode() if isinstance(h.value, bytes) else h.value(context)
        for h in provider.headers
    }


def test_headers_have_the_accounts_values_and_optional_ones_only_if_it_has_them(
    providers: dict[str, Provider],
) -> None:
    limited = replace(providers["openai"], credential_limits=CallerLimits(concurrent=1))
    bound = with_credentials(limited, {"key": "accounts"})
    assert bound.credential_limits is None, "those are of the operator's credentials"
    assert headers(bound, model="m") == {
        "authorization": "Bearer accounts",
        "x-model": "accounts m",
        "x-fixed": "always",
    }
    assert bound.missing == ()
    assert isinstance(bound.headers[0].value, bytes), "rendered once, not for each request"
    both = with_credentials(providers["openai"], {"key": "accounts", "org": "theirs"})
    assert headers(both, model="m")["organization"] == "theirs"


@pytest.mark.parametrize("values", [{}, {"org": "theirs"}, {"key": "with\nline"}, {"key": "é"}])
def test_what_is_incomplete_or_unusable_is_missing_and_never_completed_by_the_operators(
    providers: dict[str, Provider], values: dict[str, str]
) -> None:
    bound = with_credentials(providers["openai"], values)
    assert bound.missing
    assert "operators" not in repr(headers(bound, model="m"))


def test_every_choice_is_bound(providers: dict[str, Provider]) -> None:
    bound = with_credentials(providers["regional"], {"key": "accounts"})
    assert bound.choices is not None
    every = [bound, *bound.choices.providers.values()]
    assert [headers(one)["x-key"] for one in every] == ["accounts"] * 3


def test_a_choice_of_the_account_counts_until_a_caller_makes_another(
    providers: dict[str, Provider],
) -> None:
    def host(provider: Provider) -> str:
        upstream = provider.upstreams["chat_completions"]
        return upstream.origin.host if upstream else ""

    bound = with_credentials(providers["regional"], {"key": "accounts", "region": "us"})
    assert bound.choices is not None
    assert host(bound) == host(bound.choices.choose({})) == "us.example.com"
    assert host(bound.choices.choose({"region": "eu"})) == "eu.example.com"
    refused = with_credentials(providers["regional"], {"key": "accounts", "region": "elsewhere"})
    assert host(refused) == "eu.example.com"


def test_a_signer_gets_the_accounts_credentials_alone(providers: dict[str, Provider]) -> None:
    bound = with_credentials(
        providers["amazon"], {"access_key_id": "id", "secret_access_key": "secret", "more": "x"}
    )
    assert bound.sign is not None
    assert bound.sign.credentials == {"access_key_id": "id", "secret_access_key": "secret"}
    assert bound.sign.settings == {"service": "bedrock", "region": "eu-west-1"}
    assert bound.missing == ()
    assert with_credentials(providers["amazon"], {"access_key_id": "id"}).missing


def test_a_text_is_signed_with_although_the_operator_has_a_token_in_a_header(
    providers: dict[str, Provider],
) -> None:
    assert providers["google"].sign is None
    bound = with_credentials(providers["google"], {"credentials_file": json.dumps({})})
    assert bound.sign is not None
    assert bound.sign.is_of_account
    assert bound.headers == ()
    token = with_credentials(providers["google"], {"access_token": "theirs"})
    assert token.sign is None
    assert headers(token) == {"authorization": "Bearer theirs"}
    assert with_credentials(providers["google"], {}).missing


def test_a_provider_without_credentials_needs_none(providers: dict[str, Provider]) -> None:
    assert with_credentials(providers["local"], {}).missing == ()


SAYS_HOW_TO_SEND_ONE = "; send your own in the header `x-provider-key`, or "


@each(
    "headers, is_of_account, ending",
    [
        ({b"x-provider-key": "key"}, True, f"{SAYS_HOW_TO_SEND_ONE}save one in the dashboard"),
        ({b"x-provider-key": "key"}, False, f"{SAYS_HOW_TO_SEND_ONE}ask the operator"),
        (
            {},
            True,
            "this account has no usable key for provider `local`; save one in the dashboard",
        ),
        ({}, False, "provider `local` has no credential on this gateway"),
    ],
)
def test_a_caller_reads_what_can_be_done_about_a_key_that_is_missing(
    providers: dict[str, Provider], headers: dict[bytes, str], is_of_account: bool, ending: str
) -> None:
    taken = CallerCredentials(headers, {})
    provider = replace(providers["local"], caller_credentials=taken, is_of_account=is_of_account)
    error = not_configured(provider)
    assert error.code == "provider_key_missing"
    assert error.message.endswith(ending)

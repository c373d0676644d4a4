"""What is right and looks like a slip: headers that name a credential, and secrets, without a finding."""

from engine.config.checks.headers import header_problem
from engine.config.checks.values import is_unfilled, secret_problem
from tests.tables import each


@each(
    "text",
    [
        "Bearer {{ credentials.a }}",
        "bearer  {{credentials.a}}",
        "Basic {{ credentials.a | b64encode }}",
        "Api-Key {{ credentials.a }}",
        "key={{ credentials.a }}",
        'Token token="{{ credentials.a }}"',
        'MediaBrowser Token="{{ credentials.a }}", Version="1"',
        "sso-key {{ credentials.a }}:{{ credentials.b }}",
        '{"key":"{{ credentials.a }}"}',
    ],
)
def test_headers_as_providers_want_them(text: str) -> None:
    assert header_problem(text) == ""


@each(
    "secret",
    ["/aB3+def/xyz0123", "sk-or-v1-0a", '{"type": "service_account", "x": "{y}"}', "nonesuch"],
)
def test_secrets_as_providers_make_them(secret: str) -> None:
    assert secret_problem(secret, adds_scheme=True) == ""


def test_the_path_of_a_file_is_right_where_a_signer_reads_it() -> None:
    path = "/run/secrets/account.json"
    assert secret_problem(path, adds_scheme=True)
    assert secret_problem(path, adds_scheme=True, is_file=True) == ""


def test_names_that_only_begin_as_a_placeholder_does() -> None:
    assert not any(map(is_unfilled, ["yourcompany", "my-resource", "https://gpu1.example:8000/v1"]))

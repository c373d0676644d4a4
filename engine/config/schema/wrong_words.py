"""Words of other programs for keys and values of ours, which no edit distance finds."""

# Other names for known keys, which no edit distance finds.
WRONG_WORDS = {
    "url": "base_url", "api_base": "base_url", "base": "base_url", "host": "base_url",
    "auth": "credentials", "api_key": "credentials", "key": "credentials", "keys": "credentials",
    "route": "path", "uri": "path", "routes": "endpoints", "verb": "method", "methods": "method",
    "rules": "models", "model_list": "models", "name": "model", "alias": "as", "rename": "as",
    "timeout": "timeouts", "request_timeout": "timeouts", "stream_timeout": "timeouts", "ttfb": "first_byte", "read": "idle", "env_var": "env",
    "pass_headers": "forward_headers", "params": "query", "max_size": "max_body",
    "ssl": "tls", "ca_bundle": "ca", "ca_file": "ca", "ca_cert": "ca", "cacert": "ca", "cafile": "ca",
    "origin": "origins", "allow_origin": "origins", "allow_origins": "origins",
    "cert": "certificate", "cert_file": "certificate", "certfile": "certificate", "ssl_certificate": "certificate",
    "key_file": "key", "keyfile": "key", "ssl_certificate_key": "key", "rpm": "requests", "rps": "requests",
    "tpm": "tokens", "max_parallel_requests": "concurrent", "max_budget": "budgets", "pattern": "prefix",
    "upstream_model": "as", "proxy_pass": "base_url", "prices": "providers",
    "allowed_origins": "origins", "hash": "sha256", "digest": "sha256", "expiry": "expires", "expires_at": "expires",
}  # fmt: skip
# The same for values of which there is a fixed list.
WRONG_VALUES = {
    "multipart": "form", "multipart/form-data": "form", "form-data": "form", "multipart_form": "form",
    "application/json": "json",
}  # fmt: skip
# Settings that others give to a model, and where they belong here; none is a key that only needs another name.
_RETRY = "the provider in providers.yaml has it: `retry: {attempts: 3}`"
_ACCESS = "the provider in providers.yaml has it, under `credentials:`"
_URL = "the provider in providers.yaml has it: `base_url`"
_CALLER = "the key in keys.yaml has it, under `limits:`"
_TARGET = (
    "write `targets: [{provider: NAME}, {provider: NAME, as: MODEL}]` in place of `provider`; "
)
_ORDER = _TARGET + "they are tried in this order"
_BODY = "write `body: {set: {%s: ...}}`, or `default` in place of `set` where the caller's own value wins"
OF_MODELS = {
    **dict.fromkeys(("num_retries", "max_retries", "retries", "retry"), _RETRY),
    **dict.fromkeys(("api_key", "credentials"), _ACCESS),
    **dict.fromkeys(("api_base", "base_url"), _URL),
    **dict.fromkeys(
        ("rpm", "tpm", "rps", "limits", "max_budget", "max_parallel_requests"), _CALLER
    ),
    **dict.fromkeys(("fallbacks", "fallback", "order"), _ORDER),
    "weight": _TARGET + "a target has the weight, as in `{provider: NAME, weight: 3}`",
    **{
        name: _BODY % name
        for name in (
            "temperature",
            "top_p",
            "max_tokens",
            "max_completion_tokens",
            "seed",
            "reasoning_effort",
        )
    },
}

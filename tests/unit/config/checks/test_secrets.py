"""X218 against labelled values: what is a secret is found, what only looks like one is left alone.

No secret here is one; each is put together, so that no scanner takes this file for a leak.
"""

import hashlib
from pathlib import Path

from tests.tables import each
from tests.unit.config.folders import MINIMAL, codes, provider, read, report, write

HEX = hashlib.sha256(b"an example").hexdigest()
MIXED = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5bC7dE9fG1hJ3"
UUID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
BASE = "https://api.example.com/v1"

# Where it stands, and what: `url`, `path`, `query:NAME`, `header:NAME`, `default:NAME`, `variable:NAME`, `text`.
HARMLESS = [
    ("url", "https://us-central1-aiplatform.googleapis.com/v1/projects/my-company-ml-prod-2025-417309/locations/us-central1"),
    ("url", f"https://api.cloudflare.com/client/v4/accounts/{HEX[:32]}/ai/v1"),
    ("url", f"https://gateway.ai.cloudflare.com/v1/{HEX[:32]}/my-gateway/openai"),
    ("url", "https://my-foundry-resource-eastus2-2025.services.ai.azure.com/api/projects/my-project-name-for-team1-2025"),
    ("url", "https://my-foundry-resource-eastus2-2025.services.ai.azure.com/models"),
    ("url", "https://k8s-inference-vllm-a1b2c3d4e5-0123456789abcdef.elb.us-east-1.amazonaws.com"),
    ("url", "https://adb-1234567890123456.7.azuredatabricks.net/serving-endpoints"),
    ("url", "https://abcdefghij1234567890.us-east-1.aws.endpoints.huggingface.cloud/v1"),
    ("url", "https://api.runpod.ai/v2/abc123def456gh/openai/v1"),
    ("url", "https://my-workspace-2025--vllm-openai-compatible-serve.modal.run/v1"),
    ("url", "https://model-abcdefgh.api.baseten.co/environments/production/sync/v1"),
    ("url", "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/jumpstart-dft-meta-textgeneration-llama-3-8b-2025/invocations"),
    ("url", f"https://ai-gateway.example.com/tenants/{UUID}/v1"),
    ("url", f"https://{HEX[:32]}.gateway.internal.example.com/v1"),
    ("url", "https://inference.generativeai.us-chicago-1.oci.oraclecloud.com/20231130/actions/v1"),
    ("url", "https://dedicated-llama-33-70b-instruct-fp8-2025-11.eu-west-4.inference.example-cloud.com/v1"),
    ("path", "/publishers/anthropic/models/claude-3-5-sonnet-v2-20241022:rawPredict"),
    ("path", "/endpoints/1234567890123456789/chat/completions"),
    ("path", "/serving-endpoints/databricks-meta-llama-3-3-70b-instruct/invocations"),
    ("path", f"/deployments/{UUID}/chat/completions"),
    ("path", "/inference-profiles/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
    ("query:api-version", "2025-04-01-preview"),
    ("query:deployment", "gpt-4o-mini-2024-07-18-global-standard-eastus2"),
    ("query:tenant", UUID),
    ("header:anthropic-beta", "fine-grained-tool-streaming-2025-05-14"),
    ("header:anthropic-beta", "interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14,context-1m-2025-08-07"),
    ("header:anthropic-beta", "token-efficient-tools-2025-02-19,output-128k-2025-02-19,prompt-caching-2024-07-31"),
    ("header:anthropic-version", "2023-06-01"),
    ("header:openai-beta", "assistants=v2,realtime=v1"),
    ("header:openai-organization", "org-AbCdEfGhIjKlMnOpQr3tUvWx"),
    ("header:openai-project", "proj_AbCdEfGhIjKlMnOpQr3tUvWx"),
    ("header:x-goog-user-project", "my-company-ml-prod-2025-417309"),
    ("header:x-amzn-bedrock-guardrailidentifier", "arn:aws:bedrock:us-east-1:123456789012:guardrail/abcdef123456"),
    ("header:http-referer", "https://my-application-2025.internal.example.com/chat/assistant"),
    ("header:user-agent", "my-gateway-of-the-platform-team/2025.11.3 (linux; x86_64)"),
    ("header:x-title", "Internal assistant for the platform team 2025"),
    ("header:x-tenant-id", UUID),
    ("header:x-client-id", "123456789012-abc123def456ghi789jkl012mno345pq.apps.googleusercontent.com"),
    ("header:x-image-digest", f"sha256:{HEX}"),
    ("header:x-environment", "production-eu-central-1-kubernetes-cluster-07"),
    ("header:authorization", "Bearer {{ credentials.api_key }}"),
    ("header:authorization", "Bearer not-needed"),
    ("header:authorization", "Basic internal1"),
    ("header:authorization", "Bearer sk-no-key-required"),
    ("header:authorization", "Bearer lm-studio"),
    ("header:authorization", "Basic {{ credentials.api_key | b64encode }}"),
    ("header:x-max-tokens", "4096"),
    ("header:x-cache-key", "team-a-prod-2025-0001"),
    ("default:x-request-class", "batch-processing-low-priority-2025-q4"),
    ("variable:model_arn", "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abcdefghij12"),
    ("variable:model_arn", "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123def456"),
    ("variable:profile", "arn:aws:iam::123456789012:role/orqen-bedrock-invocation-role-production-2025"),
    ("variable:ocid", "ocid1.generativeaimodel.oc1.us-chicago-1.amaaaaaask7dceyarleil5jr7k2rykljkhapnvhrqvzx4cwuvtfedlfxet4q"),
    ("variable:account", HEX[:32]),
    ("variable:subscription", UUID),
    ("variable:project", "my-company-ml-prod-2025-417309"),
    ("variable:deployment", "gpt-4o-mini-2024-07-18-global-standard-eastus2"),
    ("variable:host", "dashscope-intl-workspace-01.ap-southeast-1.maas.aliyuncs.com"),
    ("variable:model", "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8"),
    ("variable:model", "accounts/fireworks/models/llama-v3p1-405b-instruct-long-2025"),
    ("variable:workspace", "wrkspc_01JwQvzr7rXLA5AGx3HKfFUJ"),
    ("variable:model", "@cf/meta/llama-3.3-70b-instruct-fp8-fast"),
    ("variable:model", "us.anthropic.claude-3-7-sonnet-20250219-v1:0"),
    ("variable:model", "ft:gpt-4o-mini-2024-07-18:my-org:custom-suffix:AbCd1234"),
    ("variable:model", "sk-learn-text-embedding-model"),
    ("text", "our own vLLM; keys begin with sk- and live in the vault under kv/ai/openai-prod-2025"),
    ("text", f"digest {HEX}, tenant {UUID}, account {HEX[:32]}"),
    ("text", "pa-, xai-, pplx- and gsk_ are how keys of other providers begin"),
]  # fmt: skip

SECRETS = [
    ("header:authorization", "Basic " + "dXNlcjpwYXNzd29yZA=="),
    ("header:authorization", "basic " + "YWRtaW46YWRtaW4="),
    ("header:proxy-authorization", "Basic " + "c3ZjOnMzY3IzdA=="),
    ("header:x-upstream", "Basic " + "dXNlcjpwYXNzd29yZA=="),
    ("header:authorization", "Bearer sk-" + MIXED),
    ("header:authorization", "Bearer sk-proj-" + MIXED + "_" + MIXED),
    ("header:authorization", "Bearer sk-svcacct-" + MIXED),
    ("header:x-api-key", "sk-ant-api03-" + MIXED + "-" + MIXED[:30] + "AA"),
    ("header:authorization", "Bearer sk-or-v1-" + HEX),
    ("header:authorization", "Bearer sk-lf-" + UUID.replace("-", "")),
    ("header:authorization", "Bearer sk_" + HEX[:48]),
    ("header:authorization", "Bearer sk_live_" + MIXED[:24]),
    ("header:authorization", "Bearer gsk_" + MIXED),
    ("header:authorization", "Bearer hf_" + MIXED[:34]),
    ("header:authorization", "Bearer r8_" + MIXED[:37]),
    ("header:authorization", "Bearer xai-" + MIXED),
    ("header:authorization", "Bearer pplx-" + MIXED),
    ("header:authorization", "Bearer nvapi-" + MIXED),
    ("header:authorization", "Bearer fw_" + MIXED[:24]),
    ("header:authorization", "Bearer tgp_v1_" + MIXED[:43]),
    ("header:authorization", "Bearer jina_" + MIXED),
    ("header:authorization", "Bearer pa-" + MIXED[:43]),
    ("header:authorization", "Bearer csk-" + MIXED.lower()),
    ("header:authorization", "Bearer " + "dapi" + HEX[:32]),
    ("header:authorization", "Bearer " + MIXED[:40]),
    ("header:authorization", "Bearer " + HEX[:32]),
    ("header:authorization", "Bearer " + HEX),
    ("header:authorization", "Bearer " + UUID),
    ("header:authorization", "Key " + UUID + ":" + HEX[:32]),
    ("header:authorization", "Token " + HEX[:40]),
    ("header:authorization", "Api-Key " + MIXED[:40]),
    ("header:api-key", HEX[:32]),
    ("header:api-key", MIXED[:43] + "1="),
    ("header:x-api-key", MIXED[:32]),
    ("header:ocp-apim-subscription-key", HEX[:32]),
    ("header:x-functions-key", MIXED + "=="),
    ("header:x-auth-token", HEX[:40]),
    ("header:x-goog-api-key", "AIza" + MIXED[:35]),
    ("header:x-amz-security-token", "IQoJb3JpZ2luX2VjEJr//////////wEa" + MIXED),
    ("header:x-secret", MIXED[:20]),
    ("header:cookie", "session=" + MIXED[:32]),
    ("header:x-anything", MIXED[:40]),
    ("header:authorization", "Bearer ya29." + MIXED),
    ("header:authorization", "Bearer eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxIn0." + MIXED[:43]),
    ("default:x-api-key", MIXED[:32]),
    ("query:key", "AIza" + MIXED[:35]),
    ("query:api_key", HEX[:32]),
    ("query:access_token", MIXED[:32]),
    ("query:sig", MIXED[:43] + "="),
    ("path", "/bot/" + MIXED[:40] + "/chat"),
    ("variable:anything", "AK" + "IA" + "IOSFODNN7EXAMPLE"),
    ("variable:anything", "AS" + "IA" + "IOSFODNN7EXAMPLE"),
    ("variable:anything", "wJalrXUtnFEMI/K7MDENG" + "/bPxRfiCYEXAMPLEKEY"),
    ("variable:api_key", HEX[:32]),
    ("variable:token", MIXED[:24]),
    ("variable:anything", "ABSK" + MIXED + MIXED),
    ("variable:anything", "ghp" + "_" + MIXED[:36]),
    ("variable:anything", "github" + "_pat_" + MIXED[:22] + "_" + MIXED),
    ("variable:anything", "gho" + "_" + MIXED[:36]),
    ("variable:anything", "glpat" + "-" + MIXED[:20]),
    ("variable:anything", "xoxb" + "-123456789012-1234567890123-" + MIXED[:24]),
    ("variable:anything", "xoxp" + "-123456789012-1234567890123-" + HEX[:32]),
    ("variable:anything", "SG" + "." + MIXED[:22] + "." + MIXED[:43]),
    ("variable:anything", "hvs" + "." + MIXED[:24]),
    ("variable:anything", "dop_v1" + "_" + HEX),
    ("variable:anything", "GOCSPX" + "-" + MIXED[:28]),
    ("variable:anything", "npm" + "_" + MIXED[:36]),
    ("variable:anything", "DefaultEndpointsProtocol=https;AccountKey=" + MIXED + "=="),
    ("text", "-----BEGIN " + "PRIVATE KEY-----"),
    ("text", "-----BEGIN RSA " + "PRIVATE KEY-----"),
    ("text", "-----BEGIN OPENSSH " + "PRIVATE KEY-----"),
    ("text", "the key is sk-" + MIXED),
    ("text", "ask for glpat" + "-" + MIXED[:20]),
    ("text", "see https://user:" + "hunter2hunter2@example.com/"),
]  # fmt: skip


def placed(where: str, value: str) -> str:
    """A providers.yaml with `value` in one place."""
    kind, _, name = where.partition(":")
    endpoints = {"chat_completions": "/chat/completions", "embeddings": "/embeddings"}
    own: dict[str, object] = {
        "url": {"base_url": value},
        "path": {"endpoints": {**endpoints, "embeddings": value}},
        "query": {"endpoints": {**endpoints, "embeddings": {"path": "/e", "query": {name: value}}}},
        "header": {"headers": {name: value}},
        "default": {"default_headers": {name: value}},
        "variable": {"variables": {name: value}},
        "text": {"description": value},
    }[kind]  # type: ignore[assignment]  # a table of different values
    credentials = {"credentials": {"api_key": {"env": "OPENAI_API_KEY"}}} if "{{" in value else {}
    return provider(**{**credentials, **own})


def is_found(folder: Path, where: str, value: str) -> bool:
    loaded = read(write(folder, providers=placed(where, value)))
    assert value not in report(loaded) or "X218" not in codes(loaded), "it is shown"
    return "X218" in codes(loaded)


def test_the_lists_are_long_enough() -> None:
    assert len(HARMLESS) >= 60
    assert len(SECRETS) >= 60


@each(("where", "value"), HARMLESS)
def test_what_only_looks_like_a_secret_is_left_alone(
    where: str, value: str, tmp_path: Path
) -> None:
    assert not is_found(tmp_path, where, value)


@each(("where", "value"), SECRETS)
def test_a_secret_is_found_and_never_shown(where: str, value: str, tmp_path: Path) -> None:
    assert is_found(tmp_path, where, value)


def test_the_name_of_a_rule_that_is_a_key_is_not_shown(tmp_path: Path) -> None:
    key = "sk-live-" + MIXED[:24]
    rule = f"{{model: {key}, provider: openai}}"
    routes = f"version: 1\nendpoints: {{embeddings: {{path: /e}}}}\nmodels: [{rule}, {rule}]\n"
    loaded = read(write(tmp_path, routes=routes))
    assert {"X204", "X218"} <= set(codes(loaded))
    assert key not in report(loaded)
    assert [d.message for d in loaded.diagnostics if key in d.message] == []


def test_the_help_names_the_comment_that_silences_it(tmp_path: Path) -> None:
    loaded = read(write(tmp_path, providers=placed(*SECRETS[4])))
    assert "# engine: ignore[X218]" in report(loaded)


def test_no_message_has_a_key_that_stands_where_a_name_belongs(tmp_path: Path) -> None:
    key = "sk-live-" + "AbCdEf0123456789abcdefXYZ"
    rule = f"{{model: t, provider: openai, when: {{header: {{x-team: [{key}]}}, key: [{key}]}}}}"
    routes = f"version: 1\nendpoints: {{chat_completions: {{path: /v1/x}}}}\nmodels:\n  - {rule}\n  - {rule}\n"
    providers = (MINIMAL / "providers.yaml").read_text("utf-8") + f"  b: {{extends: {key}}}\n"
    found = read(write(tmp_path, routes=routes, providers=providers, keys="version: 1\nkeys: []\n"))
    assert {"X279", "X281", "X286"} <= set(codes(found))
    assert key not in "".join(d.message + d.help + d.label for d in found.diagnostics)

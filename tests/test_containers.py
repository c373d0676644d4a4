"""Every container that outlives a request: its key, its bound, and what empties it.

A container that is not in the list fails the first test. Containers that are only read are none.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

from engine.gateway import headers
from engine.gateway.inbound.auth import ANONYMOUS
from engine.gateway.inbound.head import CallerHead, HeadCache
from engine.gateway.inbound.payload import JsonRequestBody
from engine.gateway.record import RequestIds
from engine.gateway.routing.variants import ProviderVariants
from engine.gateway.runtime import MAX_TARGETS_BYTES, Runtime
from engine.upstream.cache import ENTRY_BYTES, BoundedCache
from engine.upstream.signers.signing import Signers
from tests.servers import ROOT
from tests.test_house import MODULES, every, tree
from tests.unit.gateway.plans import shipped_plan

KINDS = {
    "dict", "list", "set", "deque", "Counter", "defaultdict", "OrderedDict", "WeakSet", "bytearray",
    "WeakKeyDictionary", "WeakValueDictionary", "Queue", "LifoQueue", "PriorityQueue", "SimpleQueue",
    "BoundedCache", "HeaderNames", "RelayedNames", "_target_cache", "_requests",
}  # fmt: skip
CHANGES = {
    "append", "appendleft", "add", "update", "clear", "setdefault", "pop", "popleft", "popitem",
    "extend", "insert", "remove", "discard",
}  # fmt: skip
CACHES = {"lru_cache", "cache", "cached_property"}
# Whose instances serve: the load side makes values that are dropped with the Plan they were made for.
SERVING = ("gateway/", "upstream/", "server/", "accounts/", "telemetry/")


def is_container(value: ast.expr | None) -> bool:
    """Whether an expression makes a container that can be changed."""
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    if isinstance(value, ast.IfExp):
        return is_container(value.body) or is_container(value.orelse)
    if not isinstance(value, ast.Call):
        return False
    called = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    factories = [k.value for k in value.keywords if k.arg == "default_factory"]
    return name in KINDS or any(getattr(f, "id", "") in KINDS for f in factories)


def assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr | None]]:
    if isinstance(node, ast.Assign):
        yield from ((target, node.value) for target in node.targets)
    elif isinstance(node, ast.AnnAssign):
        yield node.target, node.value


def changed(module: str) -> set[str]:
    """Every name, not of an attribute, that code in `module` changes as a container."""
    methods = [call.func for call in every(module, ast.Call)]
    places = [
        *(node.target for node in every(module, ast.AugAssign)),
        *(n.value for n in every(module, ast.Subscript) if isinstance(n.ctx, ast.Store | ast.Del)),
        *(m.value for m in methods if isinstance(m, ast.Attribute) and m.attr in CHANGES),
    ]
    names = {place.attr for place in places if isinstance(place, ast.Attribute)}
    return names | {place.id for place in places if isinstance(place, ast.Name)}


@cache
def all_found() -> frozenset[str]:
    return frozenset(name for module in MODULES for name in found(module))


def found(module: str) -> Iterator[str]:
    """The containers of a module, as `module:NAME` or `module:Class.name`, and its caches."""
    for node in tree(module).body:
        for target, value in assigned(node):
            if isinstance(target, ast.Name) and is_container(value) and target.id in everywhere():
                yield f"{module}:{target.id}"
    functions: list[ast.FunctionDef | ast.AsyncFunctionDef]
    functions = [*every(module, ast.FunctionDef), *every(module, ast.AsyncFunctionDef)]
    for part in functions:
        for decorator in part.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in CACHES:
                yield f"{module}:{part.name}"
    if module.startswith(SERVING):
        for kind in every(module, ast.ClassDef):
            yield from (f"{module}:{kind.name}.{name}" for name in attributes(kind))


def attributes(kind: ast.ClassDef) -> Iterator[str]:
    """Attributes that hold containers: of the instance, of the class, and of a dataclass."""
    for node in kind.body:
        for target, value in assigned(node):
            if isinstance(target, ast.Name) and is_container(value):
                yield target.id
    for part in ast.walk(kind):
        for target, value in assigned(part):
            is_own = isinstance(target, ast.Attribute) and getattr(target.value, "id", "") == "self"
            if is_own and isinstance(target, ast.Attribute) and is_container(value):
                yield target.attr


@cache
def everywhere() -> set[str]:
    return set().union(*(changed(module) for module in MODULES))


# Key or content, bound, and what empties it. CONFIGURATION: as many as the files have entries, or
# bytes, of which a file has 1 MiB at most; nothing that callers or providers send adds any.
CONFIGURATION = "what the operator's files hold"
LISTED = {
    "accounts/passwords:_dummy": ("nothing", "1", "never"),
    "admin/oidc:_ca_certificates": ("nothing", "1", "never"),
    "admin/first_calls:_table": ("nothing", "1, of a file of the package", "never"),
    "admin/static:_files": ("nothing", "1, of the files of the package", "never"),
    "config/compile/certificates:read_certificates": ("PEM of a file", "64 files of 1 MiB", "the oldest goes"),
    "config/checks/secrets:secret_paths": ("parsed file", "8 files", "the oldest goes"),
    "config/compile/upstream:_server": ("scheme and host of a URL", f"256, {CONFIGURATION}", "the oldest goes"),
    "config/checks/registry:REGISTRY": ("check", "functions in `engine/config`", "never"),
    "config/files:parse_file": ("name and text of a file", "8 files of 1 MiB", "the oldest goes"),
    "config/files:validate_file": ("parsed file", "8 files", "the oldest goes"),
    "config/effective:_schema": ("name of a schema", "3", "never"),
    "config/examples:_data": ("nothing", "1", "never"),
    "config/checks/keys:_guessable": ("nothing", "1", "never"),
    "config/schema/schemas:_schema": ("name of a schema", "6", "never"),
    "config/schema/schemas:_validator": ("nothing", "1", "never"),
    "config/template:compile_template": ("text of a template", f"4096, {CONFIGURATION}", "the oldest goes"),
    "server/connections:Connections._heads": ("connection in the middle of a head", "connections", "at each look"),
    "gateway/response/usage_reader:_Document._further": ("count of an endpoint", f"a few, {CONFIGURATION}", "never"),
    "gateway/access_log:AccessLog._batch": ("lines", "MAX_WAITING, of bounded fields", "when written"),
    "gateway/access_log:AccessLog._lines": ("lines", "MAX_WAITING, of bounded fields", "when handed over"),
    "gateway/routing/variants:ProviderVariants._positions": ("set of credentials", "MAX_POSITIONS_BYTES", "all, when full"),
    "gateway/app:Gateway._probes": ("path", "2", "with its Plan"),
    "gateway/app:Gateway.about": ("name", "a few", "with its Plan"),
    "gateway/app:Gateway._finished": ("nothing", "MAX_FINISHED", "each tick"),
    "gateway/app:Gateway.requests": ("request under way", "connections, 4096 for each worker", "when it ends"),
    "gateway/inbound/head:CallerHead.requests": ("provider", "MAX_REQUESTS_BYTES, which count as the head's", "all, when full"),
    "gateway/inbound/head:HeadCache._known": ("head of a request, MAX_BYTES", "MAX_KNOWN_BYTES with its requests", "all, when full"),
    "gateway/runtime:Runtime.relayed_names": ("name, MAX_NAME bytes", "MAX_NAMES_BYTES", "all, when full"),
    "gateway/outbound/health:Health._recent": ("outcome", "`requests` of the breaker", "the oldest goes"),
    "gateway/inbound/lingering:Lingering._limits": ("connection that is being closed", "`places`", "within seconds"),
    "gateway/runtime:Runtime.usage": ("endpoint", "endpoints with usage", "with its Plan"),
    "gateway/runtime:Runtime.targets": ("endpoint, model of 256 characters", "MAX_TARGETS_BYTES", "all, when full"),
    "gateway/inbound/spelling:are_folded": ("names of fields", f"256, {CONFIGURATION}", "the oldest goes"),
    "gateway/inbound/spelling:folded": ("names of fields", f"256, {CONFIGURATION}", "the oldest goes"),
    "gateway/inbound/spelling:longest": ("names of fields", f"256, {CONFIGURATION}", "the oldest goes"),
    "lsp/grammar:schema_of": ("name of a file", "3", "never"),
    "mock/pattern:_CLASSES": ("letter of a class", "15", "never"),
    "mock/template:_wav": ("seconds in the mock's own templates", "a few", "never"),
    "report/text:_cell": ("character", "4096", "the oldest goes"),
    "importers/tables:table": ("table", "a few", "never"),
    "importers/tables:shipped_file": ("file", "2", "never"),
    "importers/tables:prefixes": ("nothing", "1", "never"),
    "report/view:excerpts": ("nothing", "1", "with what it is of"),
    "accounts/follower:KeyFollower._absent": ("digest", "MAX_ABSENT and one search", "each second, and by a change"),
    "accounts/follower:KeyFollower._asked": ("digest", "MAX_WAITING searches", "when read"),
    "accounts/follower:KeyFollower._waiting": ("digest", "MAX_WAITING searches", "when it has waited"),
    "accounts/key_table:KeyTable._accounts": ("account", "`key_cache`", "with its last key"),
    "accounts/key_table:KeyTable._old": ("digest", "`key_cache`", "when the young ones take half of it"),
    "accounts/key_table:KeyTable._young": ("digest", "`key_cache`", "it becomes the old one"),
    "accounts/reader:StoreReader._damaged": ("value", "MAX_DAMAGED", "never"),
    "accounts/reader:StoreReader._new_damage": ("value", "MAX_DAMAGED", "when it is reported"),
    "accounts/reader:StoreChanges.accounts": ("account", "MAX_CHANGES", "when applied"),
    "accounts/reader:StoreChanges.found": ("digest", "PAGE, or the searches that wait", "when applied"),
    "accounts/reader:StoreChanges.keys": ("digest", "MAX_CHANGES", "when applied"),
    "accounts/vault:Vault._wrapping": ("vault key", CONFIGURATION, "never"),
    "accounts/usage_writer:UsageWriter._counts": ("key, model, provider", "MAX_ROWS_PER_SECOND", "each second"),
    "accounts/usage_writer:UsageWriter._full": ("row", "MAX_ROWS", "when written"),
    "accounts/usage_writer:UsageWriter._kept": ("row", "MAX_ROWS", "when written"),
    "server/hooks/accounts:AccountHooks._bound": ("account, provider", "MAX_BOUND_BYTES", "all, when full"),
    "server/hooks/metrics:WorkerMetrics._limit_counts": ("nothing", "2", "never"),
    "server/hooks/request_counter:RequestCounter._own_keys": ("key of keys.yaml", CONFIGURATION, "with its Plan"),
    "server/hooks/request_counter:RequestCounter._keys": ("key", "MAX_KNOWN", "with its Plan"),
    "server/hooks/request_counter:RequestCounter._patterns": ("rule", CONFIGURATION, "with its Plan"),
    "server/hooks/request_counter:RequestCounter._known": ("labels of requests", "MAX_KNOWN", "with its Plan"),
    "telemetry/exposition:Exposition._templates": ("metric, labels", "series of the metrics", "never"),
    "telemetry/families:gauges": ("nothing", "1 a group", "never"),
    "telemetry/families:places": ("metric", "metrics of a group", "never"),
    "telemetry/families:width": ("nothing", "1 a group", "never"),
    "telemetry/totals:TotalsReader._blocks": ("part, group, labels", "`most` and one of each group in a part", "never"),
    "telemetry/memory:ProcessCounters._blocks": ("group, labels", "`most` and one of each group", "never"),
    "server/hooks/model_names:ModelNames._known": ("endpoint, model", "MAX_KNOWN", "all, when full; with its Plan"),
    "server/hooks/model_names:ModelNames._aliases": ("model", "models of the rules", "with its Plan"),
    "server/hooks/model_names:ModelNames._stripped": ("nothing", "rules", "with its Plan"),
    "server/hooks/cost_limits:CostReserve._known": ("endpoint, model", "MAX_KNOWN", "all, when full; with its Plan"),
    "gateway/record:RequestIds._ids": ("nothing", "256 ids", "each as it is used"),
    "gateway/headers:RelayedNames._without": ("beginnings of names", "2, MAX_NAMES_BYTES each", "never"),
    "server/hooks/limit_responses:_long": ("seconds", "1024", "the oldest goes"),
    "server/channel:WorkerChannel._unasked": ("event of a worker", "2", "when read"),
    "server/signals:SignalQueue._waiting": ("signal", "2 of each kind", "when handled"),
    "server/memory:MemoryLimit._counts": ("worker", "workers, and their successors", "at each check"),
    "server/supervisor:Supervisor._timers": ("timer", "a few, and one a replacement", "when due"),
    "server/supervisor:Supervisor._workers": ("worker", "workers, and their successors", "when it has ended"),
    "server/worker:Worker._gateways": ("Plan in use", "1, and those with requests under way", "when these end"),
    "server/worker:Worker._handlers": ("word of the parent", "9", "never"),
    "server/worker:Worker._tasks": ("task", "a few, and Plans with requests under way", "when it has ended"),
    "upstream/cache:BoundedCache._sizes": ("key of an entry", "entries, and counted with them", "with its entry"),
    "upstream/http1/pool:Http1Client._names": ("name, MAX_NAME bytes", "MAX_NAMES_BYTES", "all, when full"),
    "upstream/http1/response:ResponseReader.chunks": ("piece of a body", "READ_AHEAD and one read", "when taken; at rest"),
    "upstream/http1/response:ResponseReader.headers": ("header", "MAX_HEAD, MAX_FIELDS", "at rest"),
    "upstream/http1/response:ResponseReader._pairs": ("header", "MAX_HEAD, MAX_FIELDS", "with the head"),
    "upstream/http1/response:ResponseReader.fields": ("name of a header", "MAX_HEAD, MAX_FIELDS", "at rest"),
    "upstream/signers/google_oauth:_AccountTokens._known": ("digest of a key file, scope", "MAX_ACCOUNTS_BYTES", "all, when full"),
    "upstream/signers/google_oauth:_AccountTokens._refreshing": ("digest of a key file, scope", "requests that wait for a token", "when it is there"),
    "upstream/signers/google_oauth:_Tokens._failed_at": ("file and scope", CONFIGURATION, "never"),
    "upstream/signers/google_oauth:_Tokens._known": ("file and scope", CONFIGURATION, "never"),
    "upstream/http1/pool:Http1Client._idle": ("origin", f"{CONFIGURATION}; MAX_IDLE connections each", "by age"),
    "upstream/http1/idle:Pool._leaving": ("connection", "MAX_IDLE", "when closed, within 10 s"),
    "upstream/http1/pool:Http1Client._tls": ("certificates", CONFIGURATION, "with its Plan"),
    "upstream/httpx_client:HttpxClient._transports": ("certificates, proxy", CONFIGURATION, "with its Plan"),
    "telemetry/otlp:OtlpQueue._waiting": ("request whose spans wait", "MAX_WAITING", "when exported"),
    "server/metrics_export:MetricsExport._headers": ("name of a header", "what the environment holds", "never"),
    "telemetry/otlp:OtlpQueue._headers": ("name of a header", "what the environment holds", "never"),
    "telemetry/tracer:PlanTracer._routes": ("endpoint", CONFIGURATION, "with its Plan"),
    "upstream/limiter:Limiter._waiting": ("request that waits", "`queue` of the provider", "when it has waited"),
    "upstream/signers/signing:Signers._signers": ("signer", "2", "with its Plan"),
}  # fmt: skip
# Of one request, and gone with it.
OF_A_REQUEST = {
    "gateway/response/event_stream:EventStream._part",
    "gateway/response/usage:UsageMeter._chunks",  # MAX_KEPT, or up to MAX_WHOLE bytes
    "gateway/response/usage:UsageMeter._recent",  # MAX_RECENT of MAX_SAMPLE bytes
    "gateway/response/named_model:ResponseTrace._kept",  # MAX_BEGINNING bytes
    "gateway/inbound/form_body:FormBody._counted",
    "gateway/inbound/form_body:FormBody._value",
    "gateway/inbound/form_body:FormBody.fields",
    "gateway/inbound/form_body:FormBody.names_at",
    "gateway/inbound/form_body:FormBody.numbers",
    "gateway/inbound/form_body:FormBody.parts",
    "gateway/inbound/form_parser:FormParser.opened",
    "gateway/inbound/head:CallerHead.headers",
    "gateway/inbound/head:CallerHead.fields",  # or with the head that is kept, whose pairs they are
    *(
        f"gateway/inbound/json_edits:EditedFields.{name}"
        for name in ("_spans", "_fields", "_places", "_removed", "_names", "_values", "_added")
    ),
    "telemetry/tracer:TraceNotes.attempts",  # and then in OtlpQueue._waiting
    "gateway/response/facts:ResponseFacts._newest",
    "gateway/routing/conditions:Facts._fields",
    "gateway/routing/conditions:Facts._known",
    "upstream/httpx_client:HttpxResponse.fields",
    "upstream/httpx_client:HttpxResponse.headers",
}


def test_every_container_that_outlives_a_request_is_listed() -> None:
    names = all_found()
    assert names - set(LISTED) - OF_A_REQUEST == set(), "say what bounds it"
    assert set(LISTED) | OF_A_REQUEST == names, "what is gone leaves the list"


def test_what_is_named_as_a_bound_is_there() -> None:
    for name, row in LISTED.items():
        source = (ROOT / "engine" / f"{name.partition(':')[0]}.py").read_text("utf-8")
        names = set(re.findall(r"[A-Z]+_[A-Z_]+", " ".join(row)))
        elsewhere = {"READ_AHEAD", "MAX_IDLE", "MAX_NAME", "MAX_NAMES_BYTES"}
        assert {bound for bound in names - elsewhere if f"{bound} = " not in source} == set(), name


def test_the_collector_sees_each_kind() -> None:
    names = all_found()
    assert names >= {
        "gateway/inbound/spelling:folded",  # a decorator
        "gateway/inbound/head:HeadCache._known",  # a class of ours
        "upstream/http1/pool:Http1Client._idle",  # of an instance, annotated
        "gateway/runtime:Runtime.targets",  # of a dataclass
    }
    assert not any("STEPS" in name for name in names), "what is only read"


def test_names_of_headers_that_providers_send_are_few_and_short() -> None:
    names = headers.RelayedNames()
    for n in range(0, 6000, 100):
        for length in (20, headers.MAX_NAME + 1):
            pairs = [(b"x%d" % i + b"y" * length, b"1") for i in range(n, n + 100)]
            assert headers.response_headers(pairs, dict(pairs), names) == pairs
    assert 0 < len(names) <= headers.MAX_NAMES_BYTES // 200
    assert all(len(name) <= headers.MAX_NAME for name in names)


def test_models_are_kept_up_to_a_number_of_bytes() -> None:
    plan = shipped_plan()
    endpoint = plan.endpoints[b"/v1/chat/completions"]["POST"]
    runtime = Runtime(
        plan, {}, {}, {}, ProviderVariants(), Signers(), HeadCache(()), RequestIds(), lambda: False
    )
    head = CallerHead(endpoint, ANONYMOUS, "json", [], b"")
    body = JsonRequestBody(b"{}", endpoint.routing_fields)
    most = MAX_TARGETS_BYTES // 200
    for n in range(most):
        runtime.target(head, f"gpt-{n}", body)
    assert 0 < len(runtime.targets) < most


def test_a_cache_keeps_no_more_than_its_bytes_and_nothing_too_large() -> None:
    cache = BoundedCache[int, str](max_bytes=10 * (ENTRY_BYTES + 100), max_entry=100)
    for n in range(25):
        cache.put(n, "", 100)
        assert cache[n] == ""
        assert len(cache) == n % 10 + 1
    cache.put(25, "", 101)
    assert 25 not in cache

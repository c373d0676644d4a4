"""The chart of Helm, rendered: `make test-chart`. No cluster is asked, so admission and scaling are not tried.

A container of it is run as a process, with its arguments, its ConfigMap as the kubelet mounts it, and its probes.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from engine.config.new_key import digest
from tests import loopback
from tests.e2e.test_chart import EXAMPLES
from tests.servers import KEY, ROOT, WAIT, Server, started

if TYPE_CHECKING:  # `make test-chart` alone installs it
    from helm_python import Chart

CHART = ROOT / "deploy/helm"
VERSIONS = ("1.27", "1.29", "1.31", "1.33", "1.35", "1.37")
OPERATOR = ("ServiceMonitor", "PrometheusRule")  # of which no schemas are here
IMAGE = {"image": {"repository": "registry.example.com/orqen"}}
SECRETS = {"secrets": {"env": ["providers"]}}
FILES = {"routes.yaml": "version: 1", "providers.yaml": "version: 1", "keys.yaml": "version: 1"}
PLAIN = {**IMAGE, **SECRETS, "config": {"files": FILES}}
EVERYTHING = {
    **PLAIN,
    "image": {"repository": "a/b", "digest": f"sha256:{'0' * 64}"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": {"existingConfigMap": "ours", "restartOn": "all"},
    "allow": {"uncheckedConfig": True},
    "env": [{"name": "SSL_CERT_FILE", "value": "/ca/ca.pem"}],
    "tls": {"existingSecret": "tls", "clientCertificates": True},
    "ingress": {"enabled": True, "hosts": ["a.example", "b.example"], "tlsSecret": "tls"},
    "autoscaling": {
        "enabled": True,
        "targetCPU": 0,
        "metrics": [
            {"type": "Pods", "pods": {"metric": {"name": "in_flight"}, "target": {"type": "AverageValue", "averageValue": "50"}}}
        ],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}},
    },
    "podDisruptionBudget": {"maxUnavailable": "25%"},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "ours"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "volumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "volumeMounts": [{"name": "ca", "mountPath": "/ca"}],
}  # fmt: skip


def with_keys(text: str) -> dict[str, Any]:
    return {"config": {"files": {**FILES, "keys.yaml": text}}}


def with_server(text: str) -> dict[str, Any]:
    return {"config": {"files": {**FILES, "server.yaml": text}}}


SETS = {"plain": PLAIN, "everything": EVERYTHING} | {
    path.stem: yaml.safe_load(path.read_text("utf-8")) for path in EXAMPLES
}


@pytest.fixture(scope="module")
def chart() -> "Iterator[Chart]":
    from helm_python import Chart  # noqa: PLC0415 as above

    with Chart.load(CHART) as loaded:
        yield loaded


def rendered(chart: "Chart", values: dict[str, Any]) -> list[dict[str, Any]]:
    chart.validate_schema(values)
    texts = chart.render(values, name="gateway", namespace="ours")
    documents = [
        one
        for name, text in texts.items()
        if name.endswith(".yaml")
        for one in yaml.safe_load_all(text)
    ]
    return [document for document in documents if document]


def the(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found


@pytest.fixture(scope="module", params=SETS)
def documents(request: pytest.FixtureRequest, chart: "Chart") -> list[dict[str, Any]]:
    return rendered(chart, SETS[request.param])


@pytest.mark.parametrize("version", VERSIONS)
def test_what_it_renders_is_valid(documents: list[dict[str, Any]], version: str) -> None:
    import kubernetes_validate  # noqa: PLC0415 as above

    for document in documents:
        if document["kind"] not in OPERATOR:
            kubernetes_validate.validate(document, version, strict=True)


def test_a_manifest_with_a_typo_is_not(documents: list[dict[str, Any]]) -> None:
    import kubernetes_validate  # noqa: PLC0415 as above

    service = {**documents[0], "sepc": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, VERSIONS[-1], strict=True)


def test_its_pods_pass_the_restricted_profile(documents: list[dict[str, Any]]) -> None:
    pods = [the(documents, "Deployment")["spec"]["template"]["spec"]]
    pods += [document["spec"] for document in documents if document["kind"] == "Pod"]
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 65532
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}
        for volume in pod.get("volumes", ()):
            assert volume.keys() - {"name"} <= allowed


def test_everything_points_to_what_there_is(documents: list[dict[str, Any]]) -> None:
    deployment = the(documents, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    container = deployment["template"]["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}
    services = [document for document in documents if document["kind"] == "Service"]
    for service in services:
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    for test in [document for document in documents if document["kind"] == "Pod"]:
        assert not services[0]["spec"]["selector"].items() <= test["metadata"]["labels"].items()
    for policy in [document for document in documents if document["kind"] == "NetworkPolicy"]:
        named = {rule["ports"][0]["port"] for rule in policy["spec"]["ingress"]}
        assert named <= ports


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "image.repository is not set"),
        ({**PLAIN, "secrets": {}}, "no provider has a key"),
        ({**PLAIN, "config": {"files": {}}}, "config.files has no providers.yaml"),
        ({**PLAIN, "config": {"files": {name: FILES[name] for name in FILES if name != "keys.yaml"}}}, "nobody could call"),
        ({**PLAIN, **with_server("a: [")}, "server.yaml is no YAML"),
        ({**PLAIN, **with_keys("limits: {requests: 1/s}")}, "each admit the whole limit"),
        ({**PLAIN, **with_keys("keys: [{name: a, limits: {requests: 1/s}}]")}, "each admit the whole limit"),
        ({**PLAIN, **with_server("accounts: {database: 'postgresql://a/b'}")}, "each admit the whole limit"),
        ({**PLAIN, **with_server("accounts: {database: 'sqlite:///a.db'}")}, "accounts in SQLite are for one replica"),
        ({**PLAIN, "replicas": 1, "autoscaling": {"enabled": True}, **with_server("accounts: {database: 'sqlite:///a.db'}")}, "accounts in SQLite are for one replica"),
        ({**PLAIN, "replicas": 1, **with_server("accounts: {database: 'sqlite:////var/lib/orqen/a.db'}")}, "lost with the pod"),
        ({**PLAIN, "replicas": 1, "persistence": {"enabled": True}, **with_server("accounts: {database: 'sqlite:///a.db'}")}, "must be below /var/lib/orqen"),
        ({**PLAIN, "replicas": 1, **with_server("limits: {file: /var/lib/orqen/l}")}, "limits.file in server.yaml needs persistence"),
        ({**PLAIN, "replicas": 1, **with_server("limits: {file: limits}")}, "limits.file in server.yaml must be below"),
        ({**PLAIN, "secrets": {}, "allow": {"noSecrets": True, "limitsPerReplica": True}, **with_server("accounts: {database: 'postgresql://a/b'}")}, "need a vault key"),
        ({**PLAIN, "persistence": {"enabled": True}}, "persistence is for one replica"),
        ({**PLAIN, "config": {"existingConfigMap": "ours"}}, "set allow.uncheckedConfig"),
        ({**PLAIN, "config": {"existingConfigMap": "ours", "files": FILES}}, "give one"),
        ({**PLAIN, "metrics": {"enabled": True}}, "metrics.enabled needs metrics in server.yaml"),
        ({**PLAIN, "metrics": {"enabled": True}, **with_server("metrics: {}")}, "metrics in server.yaml listens on a loopback"),
        ({**PLAIN, "admin": {"enabled": True}, **with_server("admin: {host: 0.0.0.0, port: 9000}")}, "admin.port is not the port"),
        ({**PLAIN, "metrics": {"serviceMonitor": {"enabled": True}}}, "metrics.serviceMonitor.enabled needs metrics.enabled"),
        ({**PLAIN, "tls": {"existingSecret": "tls"}}, "tls.existingSecret needs tls in server.yaml"),
        ({**PLAIN, **with_server("tls: {certificate: a, key: b}")}, "needs tls.existingSecret"),
        ({**PLAIN, "tls": {"existingSecret": "tls"}, **with_server("tls: {client_ca: a}")}, "clientCertificates must be true"),
        ({**PLAIN, "ingress": {"enabled": True}}, "ingress.hosts is empty"),
        ({**PLAIN, "autoscaling": {"enabled": True, "targetCPU": 0}}, "nothing to go by"),
        ({**PLAIN, "autoscaling": {"enabled": True, "minReplicas": 11}}, "minReplicas is above"),
        ({**PLAIN, "autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}, "targetCPU is a share of resources.requests.cpu"),
        ({**PLAIN, "server": {"host": "127.0.0.1"}}, "server.host is a loopback address"),
        ({**PLAIN, "tls": {"existingSecret": "tls"}, **with_server("tls: {certificate: tls.crt, key: tls.key}")}, "tls.certificate in server.yaml must be below /etc/orqen-tls"),
        ({**PLAIN, "metrics": {"enabled": True, "port": 8080}, **with_server("metrics: {host: 0.0.0.0, port: 8080}")}, "the API, metrics and admin need a port each"),
        ({**PLAIN, **with_server("accounts: yes\nlimits: a\ntls: a\nadmin: []\nmetrics: a")}, "accounts in server.yaml is no mapping(.|\n)*tls in server.yaml is no mapping"),
        ({**PLAIN, **with_server("limits: {file: 5}")}, "limits.file in server.yaml is no text"),
        ({**PLAIN, **with_keys("keys: a")}, "keys in keys.yaml is no list of mappings"),
        ({**PLAIN, **with_keys("keys: [a]")}, "keys in keys.yaml is no list of mappings"),
        ({**PLAIN, "server": {"workerMemory": "700MB"}}, "workerMemory"),
        ({**PLAIN, "server": {"workerMemory": "2GiB"}}, "is not below resources.limits.memory"),
        ({**PLAIN, "server": {"workerMemory": "600MiB", "workers": 2}}, "is not below resources.limits.memory"),
        ({**PLAIN, "server": {"workerMemory": "1GiB"}, "resources": {"limits": {"memory": 1073741824}}}, "is not below resources.limits.memory"),
        ({**PLAIN, "server": {"workerMemory": "1GiB"}, "resources": {"limits": {"memory": "1.05e9"}}}, "is not below resources.limits.memory"),
        ({**PLAIN, "server": {"workerMemory": "1GiB"}, "resources": {"limits": {"memory": "1000M"}}}, "is not below resources.limits.memory"),
        ({**PLAIN, **with_server("# é".ljust(1 << 20))}, "config.files has 1048607 bytes"),
        ({**PLAIN, "replica": 2}, "additional properties 'replica' not allowed"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(values: dict[str, Any], words: str, chart: "Chart") -> None:
    from helm_python import HelmError  # noqa: PLC0415 as above

    with pytest.raises(HelmError, match=words):
        rendered(chart, values)


def test_a_refusal_lifted_by_its_value_is_none(chart: "Chart") -> None:
    limits = {"files": {**FILES, "keys.yaml": "limits: {requests: 1/s}"}}
    stated = {**PLAIN, "allow": {"limitsPerReplica": True}, "config": limits}
    assert rendered(chart, stated)
    assert rendered(chart, {**PLAIN, "secrets": {}, "allow": {"noSecrets": True}})


def test_the_limits_of_kubernetes_are_not_refused_themselves(chart: "Chart") -> None:
    full = sum(map(len, FILES.values()))
    assert rendered(chart, {**PLAIN, **with_server("#".ljust((1 << 20) - full))})
    for limit in ("1.5Gi", "1100M", 1073741825, "1073741825000m", None):
        limits = {"resources": {"limits": {"memory": limit}}}
        assert rendered(chart, {**PLAIN, **limits, "server": {"workerMemory": "1GiB"}})


def test_the_server_alone_can_read_its_secrets(chart: "Chart") -> None:
    files = {"secrets": {"files": [{"secret": "a", "mountPath": "/run/secrets/a"}]}}
    deployment = the(rendered(chart, {**EVERYTHING, **files}), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    modes = {v["name"]: v["secret"]["defaultMode"] for v in pod["volumes"] if "secret" in v}
    assert modes == {"tls": 0o440, "secret-0": 0o440}
    assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]


def test_a_pod_may_take_longer_to_stop_than_its_requests(chart: "Chart") -> None:
    for delay, timeout, least in ((5, 30, 45), (0.5, 600, 611)):
        values = {**PLAIN, "server": {"drainDelay": delay, "drainTimeout": timeout}}
        pod = the(rendered(chart, values), "Deployment")["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == least
        assert f"--drain-delay={delay}" in pod["containers"][0]["args"]


def test_a_change_of_the_configuration_replaces_pods_only_where_it_must(
    chart: "Chart",
) -> None:
    def checksum(more: dict[str, str], restart_on: str) -> str:
        config = {"files": {**FILES, **more}, "restartOn": restart_on}
        deployment = the(rendered(chart, {**PLAIN, "config": config}), "Deployment")
        return str(deployment["spec"]["template"]["metadata"]["annotations"]["checksum/config"])

    routes = {"routes.yaml": "version: 1 # changed"}
    server = {"server.yaml": "version: 1"}
    assert checksum({}, "server") == checksum(routes, "server") != checksum(server, "server")
    assert checksum({}, "all") != checksum(routes, "all")


def test_a_volume_of_one_pod_is_never_used_by_two(chart: "Chart") -> None:
    documents = rendered(chart, SETS["sqlite"])
    assert the(documents, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert the(documents, "PersistentVolumeClaim")["metadata"]["annotations"]


def test_a_rollout_takes_no_pod_away_before_there_is_another(chart: "Chart") -> None:
    strategy = the(rendered(chart, PLAIN), "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_policy_admits_to_each_port_the_peers_of_its_list_alone(chart: "Chart") -> None:
    peers = {
        name: [{"podSelector": {"matchLabels": {"is": name}}}]
        for name in ("api", "metrics", "admin")
    }
    files = with_server("metrics: {host: 0.0.0.0}\nadmin: {host: 0.0.0.0}")
    listeners = {"metrics": {"enabled": True}, "admin": {"enabled": True}}
    policies = [{}, {"metrics": peers["metrics"]}, peers]
    for policy in policies:
        values = {**PLAIN, **files, **listeners, "networkPolicy": {"enabled": True, **policy}}
        admitted = the(rendered(chart, values), "NetworkPolicy")["spec"]["ingress"]
        found = {rule["ports"][0]["port"]: rule.get("from", []) for rule in admitted}
        assert found == {"api": [], **policy}


def test_helm_finds_nothing(chart: "Chart") -> None:
    from helm_python import lint  # noqa: PLC0415 as above

    report = lint(CHART, SETS["minimal"], strict=True)
    assert [one for one in report["messages"] if one["severity"] > 1] == report["errors"] == []
    assert chart.metadata["kubeVersion"] == f">={VERSIONS[0]}.0-0"


def mounted(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files of a ConfigMap as the kubelet does: links to a folder that is replaced as a whole."""
    old = (folder / "..data").resolve() if (folder / "..data").exists() else None
    new = folder / f"..{time.monotonic_ns()}"
    new.mkdir()
    for name, text in files.items():
        (new / name).write_text(text)
        if old is None:
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").replace(folder / "..data")
    if old is not None:
        for path in old.iterdir():
            path.unlink()
        old.rmdir()


def test_a_container_starts_is_probed_loads_a_changed_configmap_and_stops_in_time(
    chart: "Chart", tmp_path: Path, mock: Server
) -> None:
    minimal = SETS["minimal"]
    files = {
        **minimal["config"]["files"],
        "keys.yaml": f"version: 1\nkeys: [{{name: a, sha256: {digest(KEY)}}}]\n",
    }
    drain = {"drainDelay": 4, "drainTimeout": 5}
    documents = rendered(chart, {**minimal, "config": {"files": files}, "server": drain})
    data = the(documents, "ConfigMap")["data"]
    pod = the(documents, "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    folder = tmp_path / "orqen"
    folder.mkdir()
    mounted(folder, data)
    arguments = [str(folder) if word == "/etc/orqen" else word for word in container["args"]]
    probes = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "readiness", "liveness")
    }
    environ = {"OPENAI_API_KEY": "a-key"}
    arguments += ["--mock-port", str(mock.port)]
    with started(tmp_path / "log", probes["startup"], *arguments, environ=environ) as server:
        assert [status(server, path) for path in probes.values()] == [200, 200, 200]
        assert (called(server, "gpt-4o-mini"), called(server, "o9")) == (200, 404)
        routes = data["routes.yaml"] + "  - {prefix: o9, provider: openai}\n"
        mounted(folder, {**data, "routes.yaml": routes})
        end = time.monotonic() + WAIT
        while called(server, "o9") != 200:
            assert time.monotonic() < end, server.text
            time.sleep(0.05)
        server.process.terminate()
        while status(server, probes["readiness"]) == 200:
            time.sleep(0.01)
        assert status(server, probes["liveness"]) == 200  # or the kubelet would kill it
        assert server.process.wait(pod["terminationGracePeriodSeconds"]) == 0


def status(server: Server, path: str) -> int:
    return loopback.get(server.url + path).status_code


def called(server: Server, model: str) -> int:
    body = {"model": model, "messages": []}
    headers = {"x-api-key": KEY}
    url = f"{server.url}/v1/chat/completions"
    return loopback.post(url, json=body, headers=headers).status_code

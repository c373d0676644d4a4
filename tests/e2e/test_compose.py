"""The compose file, as far as it can be read without Docker; `make test-compose` starts what it starts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from engine import __version__
from engine.config.load import load
from tests.processes import run_engine
from tests.servers import ROOT
from tests.tables import each

FOLDER = ROOT / "deploy/compose"
FILE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = FILE["services"]
GATEWAYS = ("gateway-one", "gateway-two")
GATEWAY = SERVICES[GATEWAYS[0]]
BALANCER = (FOLDER / "haproxy.cfg").read_text("utf-8")


def prepared(folder: Path) -> Path:
    """A copy of the configuration with the secrets that the script writes, which it names here."""
    (folder / "make_secrets.py").write_bytes((FOLDER / "make_secrets.py").read_bytes())
    subprocess.run((sys.executable, folder / "make_secrets.py"), check=True)
    config = folder / "config"
    config.mkdir(exist_ok=True)
    for path in (FOLDER / "config").iterdir():
        text = path.read_text("utf-8")
        (config / path.name).write_text(text.replace("/run/secrets", str(folder / "secrets")))
    return config


def test_its_configuration_has_no_finding(tmp_path: Path) -> None:
    loaded = load(prepared(tmp_path), {"OPENAI_API_KEY": "a-key"}, 0)
    assert loaded.diagnostics == ()


def test_each_secret_is_written_once_and_read_where_it_is_given(tmp_path: Path) -> None:
    prepared(tmp_path)
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        0o444
    }  # for the containers' users
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name: f"secrets/{name}" for name in first} == {
        name: secret["file"] for name, secret in FILE["secrets"].items()
    }
    prepared(tmp_path)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    postgres = SERVICES["postgres"]
    user, name = (postgres["environment"][f"POSTGRES_{what}"] for what in ("USER", "DB"))
    password = first["postgres-password"]
    assert first["database-url"] == f"postgresql://{user}:{password}@postgres/{name}"
    assert not re.search(r"password|secret|key", os.linesep.join(map(str, postgres["volumes"])))
    server = (FOLDER / "config/server.yaml").read_text("utf-8")
    assert sorted(re.findall(r"/run/secrets/([\w-]+)", server)) == sorted(GATEWAY["secrets"])


@each("name", [name for name in SERVICES if name not in GATEWAYS])
def test_a_service_reads_the_secrets_that_it_is_given(name: str) -> None:
    service = SERVICES[name]
    texts = [str(service.get(part, "")) for part in ("command", "environment")]
    mounted = (FOLDER / mount.split(":")[0] for mount in service.get("volumes", ()))
    texts += [path.read_text("utf-8") for path in mounted if path.is_file()]
    named = {found for text in texts for found in re.findall(r"/run/secrets/([\w-]+)", text)}
    assert named == {*service.get("secrets", ())}


def test_the_gateways_are_started_as_their_image_expects() -> None:
    usage = run_engine("serve", "--help").stdout
    assert [word for word in GATEWAY["command"] if word[:2] == "--" and word not in usage] == []
    assert GATEWAY["image"] == f"orqen:{__version__}"
    assert (ROOT / "deploy" / "compose" / GATEWAY["build"]["context"]).resolve() == ROOT
    assert (ROOT / GATEWAY["build"]["dockerfile"]).is_file()
    delays = [float(found) for found in re.findall(r"drain-[\s\S]+?default: ([\d.]+)", usage)]
    for name in ("balancer", *GATEWAYS):
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > sum(delays)
    assert all(SERVICES[name] == GATEWAY for name in GATEWAYS)


@each("name", list(SERVICES))
def test_a_service_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["healthcheck"]["test"][0] == "CMD"
    assert not service["image"].endswith(":latest")
    assert service.get("user", "its image's") != "root"
    volumes = [mount for mount in service.get("volumes", ()) if not mount.endswith(":ro")]
    assert all(mount.split(":")[0] in FILE["volumes"] for mount in volumes)
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_stores_are_reached_from_inside_alone() -> None:
    assert FILE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey", "prometheus"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "ports" not in SERVICES[name]
    assert SERVICES["balancer"]["networks"] == ["outside"]  # it needs no store
    assert GATEWAY["depends_on"].keys() == {"postgres", "valkey"}
    assert SERVICES["balancer"]["depends_on"].keys() == {*GATEWAYS}
    monitoring = {
        n for n, service in SERVICES.items() if "monitoring" in service.get("profiles", ())
    }
    assert monitoring == {"prometheus", "grafana"}


def test_the_balancer_has_the_settings_that_are_shipped_and_the_gateways_of_the_file() -> None:
    """Those of deploy/haproxy, which `make scale` runs, but for addresses."""

    def settings(text: str) -> list[str]:
        text = re.sub(r"(?m)^resolvers[\s\S]+?\n\n|^#.*\n|^    server .*\n", "", text)
        text = text.replace(" resolvers docker init-addr libc,none", "")
        return re.sub(r"bind .*:", "bind ", text).splitlines()

    shipped = (ROOT / "deploy/haproxy/haproxy.cfg").read_text("utf-8")
    assert settings(BALANCER) == settings(shipped)
    port = GATEWAY["command"][GATEWAY["command"].index("--port") + 1]
    servers = re.findall(r"(?m)^    server \w+ (\S+)", BALANCER)
    assert servers == [f"{name}:{port}" for name in GATEWAYS]
    bound = re.findall(r"bind :(\d+)", BALANCER)
    assert [mapped.split(":")[-1] for mapped in SERVICES["balancer"]["ports"]] == bound


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    service, folder = SERVICES["grafana"], FOLDER / "monitoring/grafana"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (one,) = yaml.safe_load((folder / "dashboards/orqen.yaml").read_text())["providers"]
    mounts = dict(mount.split(":")[:2] for mount in service["volumes"])
    assert mounts["./monitoring/grafana"] == "/etc/grafana/provisioning"
    assert mounts["../grafana/orqen.json"] == f"{one['options']['path']}/orqen.json"
    assert (FOLDER / "../grafana/orqen.json").is_file()


def test_prometheus_asks_each_gateway_where_it_counts() -> None:
    asked = yaml.safe_load((FOLDER / "monitoring/prometheus.yml").read_text("utf-8"))
    server = yaml.safe_load((FOLDER / "config/server.yaml").read_text("utf-8"))
    (job,) = asked["scrape_configs"]
    assert job["job_name"] == "orqen"  # which the alerts name
    assert job["static_configs"] == [{"targets": [f"{n}:{server['metrics']['port']}" for n in GATEWAYS]}]  # fmt: skip
    assert job["authorization"]["credentials_file"] == server["metrics"]["token"]["file"]
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["prometheus"]["volumes"])
    assert mounts["../prometheus/alerts.yaml"] == f"/etc/prometheus/{asked['rule_files'][0]}"
    assert (FOLDER / "../prometheus/alerts.yaml").is_file()

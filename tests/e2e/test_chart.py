"""The chart of Helm, as far as its files say what they do; `make test-chart` renders it."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from engine import __version__
from engine.config.load import load
from tests.processes import run_engine
from tests.servers import ROOT

CHART = ROOT / "deploy/helm"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))
TEMPLATES = "".join(
    path.read_text("utf-8") for path in (CHART / "templates").rglob("*") if path.is_file()
)
PAGE = (ROOT / "docs/kubernetes.md").read_text("utf-8")
VAULT_KEY = "8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a"
ENVIRON = {
    "OPENAI_API_KEY": "a-key",
    "DATABASE_URL": "postgresql://orqen@localhost/orqen",
    "LIMITS_URL": "redis://localhost:6379",
}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """What Helm makes of the defaults and a file of values."""
    both = {
        name: merged(base[name], value)
        for name, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(name), dict)
    }
    return {**base, **over, **both}


def test_the_versions_of_chart_package_and_image_are_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    image = (ROOT / "deploy/Containerfile").read_text("utf-8")
    assert chart["version"] == chart["appVersion"] == __version__
    assert f"ARG VERSION={__version__} " in image


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_valid_and_its_configuration_has_no_finding(
    path: Path, tmp_path: Path
) -> None:
    values = yaml.safe_load(path.read_text("utf-8"))
    jsonschema.validate(merged(VALUES, values), SCHEMA)
    assert f"deploy/helm/examples/{path.name}" in PAGE
    (tmp_path / "vault-2026").write_text(VAULT_KEY)
    for name, text in values["config"]["files"].items():
        # Files of Secrets are elsewhere than in a pod.
        here = text.replace("/run/secrets/orqen", str(tmp_path))
        (tmp_path / name).write_text(re.sub(r"^ *tls: .*\n", "", here, flags=re.MULTILINE))
    loaded = load(tmp_path, ENVIRON, 0)
    assert loaded.diagnostics == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {"replica": 3},
        {"replicas": 0},
        {"server": {"drainTimeout": 0}},
        {"secrets": {"files": [{"secret": "a", "mountPath": "/etc/orqen"}]}},
        *({"secrets": {"files": [{"secret": "a", "mountPath": path}]}} for path in ("/tmp", "/etc/orqen-tls", "/var/lib/orqen/")),
        {"image": {"repository": "registry.example.com/orqen@sha256:0"}},
        {"image": {"repository": "registry.example.com:5000/orqen:0.1.0"}},
        {"podLabels": {"app.kubernetes.io/name": "another"}},
        {"podAnnotations": {"checksum/config": "another"}},
        {"fullnameOverride": "Not_A_Name"},
        {"ingress": {"hosts": ["https://a.example"]}},
    ],
    ids=str,
)  # fmt: skip
def test_the_schema_refuses_what_is_none_of_the_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(merged(VALUES, wrong), SCHEMA)


def test_every_value_is_in_the_schema_and_is_used() -> None:
    jsonschema.validate(VALUES, SCHEMA)
    assert set(keys(SCHEMA)) - {"global"} == set(names(VALUES))
    unused = [
        name for name in names(VALUES) if not re.search(rf"\b{name.split('.')[-1]}\b", TEMPLATES)
    ]
    assert unused == []


def names(values: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The paths of all values, but what has no names of its own."""
    for name, value in values.items():
        yield above + name
        part = SCHEMA
        for step in (above + name).split("."):
            part = part["properties"][step]
        if "properties" in part:
            yield from names(value, f"{above}{name}.")


def keys(schema: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        yield above + name
        yield from keys(part, f"{above}{name}.")


def test_its_options_are_those_of_the_command() -> None:
    usage = run_engine("serve", "--help").stdout + run_engine("health", "--help").stdout
    options = re.findall(r"- (--[a-z-]+)=", TEMPLATES)
    assert len(options) >= 9
    assert [option for option in options if option not in usage] == []
    defaults = dict(
        re.findall(r"(--(?:drain|idle)-\w+) .+?default: (\d+)", " ".join(usage.split()))
    )
    server = VALUES["server"]
    assert server["drainDelay"] == int(defaults["--drain-delay"])
    assert server["drainTimeout"] == int(defaults["--drain-timeout"])
    assert server["idleTimeout"] == int(defaults["--idle-timeout"])


def test_no_example_has_the_digest_of_a_key_that_can_be_guessed() -> None:
    """Whoever takes it over would let everybody in."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["".join(chosen) for n in (1, 2, 3) for chosen in product(letters, repeat=n)]
    words += ["test", "secret", "password", "hello", "key", "changeme", "sk-test"]
    guessed = {hashlib.sha256(word.encode()).hexdigest() for word in words}
    files = [*(ROOT / "deploy").rglob("*.yaml"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.yaml")]  # fmt: skip
    texts = {path: path.read_text("utf-8") for path in files}
    assert [path for path, text in texts.items() if guessed & {*re.findall("[0-9a-f]{64}", text)}] == []  # fmt: skip

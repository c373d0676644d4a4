"""Every query of the Grafana dashboard gives data from a gateway under load."""

import json
import math
import runpy
from typing import Any

import pytest

from tests.prometheus.server import Prometheus
from tests.servers import ROOT

GRAFANA = ROOT / "deploy/grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "orqen.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
# What Grafana puts in place of its variables.
PICKED = {"$__rate_interval": "1m", "$instance": ".*", "$provider": ".*"}


def as_asked(query: str) -> str:
    for name, value in PICKED.items():
        query = query.replace(name, value)
    assert "$" not in query
    return query


def test_the_file_is_what_the_table_says() -> None:
    made = runpy.run_path(str(GRAFANA / "generate.py"))
    assert made["dashboard"]() == DASHBOARD, "run `make docs`"


def test_grafana_can_load_it() -> None:
    """A file is provisioned, so nothing may ask for an input, and every query names its source."""
    assert "__inputs" not in DASHBOARD
    assert DASHBOARD["schemaVersion"] >= 36
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    places = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in DASHBOARD["panels"]}
    assert len(places) == len(DASHBOARD["panels"]), "no panel hides another"


@pytest.mark.needs("prometheus")
def test_every_query_gives_data(alerting: Prometheus) -> None:
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]]
    assert len(queries) > 50
    empty = [query for query in queries if not numbers(alerting, query)]
    assert empty == []


@pytest.mark.needs("prometheus")
def test_every_variable_has_values(alerting: Prometheus) -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = variable["definition"][len("label_values(") : -1].split(", ")
        assert alerting.query(f"count by ({label}) ({metric})")


def numbers(server: Prometheus, query: str) -> list[float]:
    """What a query gives, without that which is no number: shares and quantiles of nothing."""
    found = [float(series["value"][1]) for series in server.waits_for(as_asked(query))]
    return [number for number in found if not math.isnan(number)]

"""The alerts: each fires on what it is for and not besides, and has its paragraph in the runbook."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prometheus.server import Prometheus
from tests.servers import ROOT

RULES = ROOT / "deploy/prometheus/alerts.yaml"
RUNBOOK = (ROOT / "docs/runbook.md").read_text("utf-8")
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
}  # fmt: skip
MINUTES = 30

# For each alert: series that fire it, labels it has then, and the same series as they usually are.
Series = dict[str, str]
P = 'provider="p"'
SLOW, FAST = '{provider="p",le="60"}', '{provider="p",le="10"}'
ENDS = '{provider="p",le="+Inf"}'
CASES: dict[str, tuple[Series, dict[str, str], Series]] = {
    "OrqenDown": ({'up{job="orqen"}': "0x40"}, {"job": "orqen"}, {'up{job="orqen"}': "1x40"}),
    "OrqenErrorsHigh": (
        {
            'orqen_requests_total{status="200"}': "0+90x40",
            'orqen_requests_total{status="502"}': "0+10x40",
        },
        {},
        {
            'orqen_requests_total{status="200"}': "0+96x40",
            'orqen_requests_total{status="502"}': "0+4x40",
            'orqen_requests_total{status="429"}': "0+90x40",
        },
    ),
    "OrqenProviderFailing": (
        {
            f'orqen_requests_total{{{P},status="200"}}': "0+7x40",
            f'orqen_requests_total{{{P},status="503"}}': "0+3x40",
            'orqen_requests_total{provider="q",status="200"}': "0+900x40",
        },
        {"provider": "p"},
        {
            f'orqen_requests_total{{{P},status="200"}}': "0+9x40",
            f'orqen_requests_total{{{P},status="503"}}': "0+1x40",
            'orqen_requests_total{provider="",status="503"}': "0+9x40",
        },
    ),
    "OrqenStreamsBreakOff": (
        {
            f'orqen_requests_total{{{P},status="200",outcome="ok"}}': "0+9x40",
            f'orqen_requests_total{{{P},status="200",outcome="truncated"}}': "0+1x40",
        },
        {"provider": "p"},
        {
            f'orqen_requests_total{{{P},status="200",outcome="ok"}}': "0+9x40",
            f'orqen_requests_total{{{P},status="200",outcome="client_cancelled"}}': "0+1x40",
        },
    ),
    "OrqenProviderSlow": (
        {
            f"orqen_first_byte_seconds_bucket{FAST}": "0+80x40",
            f"orqen_first_byte_seconds_bucket{SLOW}": "0+100x40",
            f"orqen_first_byte_seconds_bucket{ENDS}": "0+100x40",
            f"orqen_first_byte_seconds_count{{{P}}}": "0+100x40",
        },
        {"provider": "p"},
        {
            f"orqen_first_byte_seconds_bucket{FAST}": "0+0x40",
            f"orqen_first_byte_seconds_bucket{SLOW}": "0+1x40",
            f"orqen_first_byte_seconds_bucket{ENDS}": "0+1x40",
            f"orqen_first_byte_seconds_count{{{P}}}": "0+1x40",
        },
    ),
    "OrqenBreakerOpen": (
        {f"orqen_breaker_open{{{P}}}": "1x40"},
        {"provider": "p"},
        {f"orqen_breaker_open{{{P}}}": "0 1 1 0 0 0 1 1 0 0x31"},
    ),
    "OrqenProviderQueue": (
        {f"orqen_provider_queued_requests{{{P}}}": "3x40"},
        {"provider": "p"},
        {f"orqen_provider_queued_requests{{{P}}}": "0 9 9 0 0 9 0 0x33"},
    ),
    "OrqenRetriesHigh": (
        {f'orqen_retries_total{{{P},result="429"}}': "0+30x40"},  # all of them go elsewhere then
        {"provider": "p"},
        {
            f'orqen_retries_total{{{P},result="429"}}': "0+10x40",
            f'orqen_requests_total{{{P},status="200"}}': "0+90x40",
        },
    ),
    "OrqenInternalErrors": (
        {'orqen_requests_total{outcome="internal_error"}': "_x24 1x16"},
        {},
        {
            'orqen_requests_total{outcome="internal_error"}': "7x40",
            'orqen_requests_total{outcome="ok"}': "0+9x40",
        },
    ),
    "OrqenGatewaySlow": (
        {
            'orqen_engine_duration_seconds_bucket{le="0.05"}': "0+90x40",
            'orqen_engine_duration_seconds_bucket{le="0.1"}': "0+100x40",
            'orqen_engine_duration_seconds_bucket{le="+Inf"}': "0+100x40",
        },
        {},
        {
            'orqen_engine_duration_seconds_bucket{le="0.05"}': "0+100x40",
            'orqen_engine_duration_seconds_bucket{le="0.1"}': "0+100x40",
            'orqen_engine_duration_seconds_bucket{le="+Inf"}': "0+100x40",
            'orqen_event_loop_lag_seconds_bucket{le="0.1"}': "0+100x40",
            'orqen_event_loop_lag_seconds_bucket{le="+Inf"}': "0+100x40",
        },
    ),
    "OrqenWorkerDied": (
        {"orqen_worker_deaths_total": "0x25 1x15"},
        {},
        {"orqen_worker_deaths_total": "3x40"},
    ),
    "OrqenWorkersReplaced": (
        {"orqen_worker_replacements_total": "0+1x40"},
        {},
        {"orqen_worker_replacements_total": "0x20 1x20"},
    ),
    "OrqenConfigRefused": (
        {"orqen_config_refused": "1x40"},
        {},
        {"orqen_config_refused": "0 1 1 0x37"},
    ),
    "OrqenTlsRefused": (
        {"orqen_tls_refused": "1x40"},
        {},
        {"orqen_tls_refused": "0 1 1 0x37"},
    ),
    "OrqenCertificateEnds": (  # the tests begin at 0 of Unix time
        {"orqen_tls_certificate_expiry_timestamp_seconds": "200000x40"},
        {},
        {"orqen_tls_certificate_expiry_timestamp_seconds": "300000x40"},
    ),
    "OrqenLimitStoreErrors": (
        {"orqen_limit_store_errors_total": "0x25 2x15"},
        {},
        {"orqen_limit_store_errors_total": "7x40"},
    ),
    "OrqenLogLinesLost": (
        {"orqen_log_lines_lost_total": "0x25 9x15"},
        {},
        {"orqen_log_lines_lost_total": "9x40"},
    ),
    "OrqenTracesLost": (
        {"orqen_traces_lost_total": "0+5x40"},
        {},
        {"orqen_traces_lost_total": "5x40"},
    ),
    "OrqenSeriesOverflow": (
        {"orqen_series_overflow_total": "1x40"},
        {},
        {"orqen_series_overflow_total": "0x40"},
    ),
}


def unit_tests(alert: str) -> list[dict[str, Any]]:
    """The unit tests of an alert, as promtool takes them."""
    fires, labels, quiet = CASES[alert]
    rule = ALERTS[alert]
    seen = {"instance": "gate:1", **labels}
    notes = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: seen[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    expected = {"exp_labels": {**rule["labels"], **seen}, "exp_annotations": notes}
    return [
        {
            "interval": "1m",
            "input_series": [{"series": on_instance(s), "values": v} for s, v in series.items()],
            "alert_rule_test": [
                {"eval_time": f"{MINUTES}m", "alertname": alert, "exp_alerts": alerts}
            ],
        }
        for series, alerts in ((fires, [expected]), (quiet, []))
    ]


def on_instance(series: str) -> str:
    name, _, rest = series.partition("{")
    return f'{name}{{instance="gate:1",{rest or "}"}'.replace(",}", "}")


@pytest.mark.needs("promtool")
def test_each_alert_fires_on_what_it_is_for_and_not_besides(tmp_path: Path) -> None:
    assert set(CASES) == set(ALERTS)
    tests = {"rule_files": [str(RULES)], "tests": [t for alert in CASES for t in unit_tests(alert)]}
    (tmp_path / "tests.yaml").write_text(json.dumps(tests))
    command = ["promtool", "test", "rules", str(tmp_path / "tests.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_the_rules_pass_the_check_of_prometheus() -> None:
    command = ["promtool", "check", "rules", str(RULES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, f"{len(ALERTS)} rules found" in done.stdout) == (0, True), done


def test_each_alert_has_its_paragraph_in_the_runbook() -> None:
    assert re.findall(r"^## (\w+)\n", RUNBOOK, re.M) == list(ALERTS)
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


@pytest.mark.needs("promtool")
def test_the_configuration_of_the_page_loads_the_rules(tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(rule_files:.*?)```", RUNBOOK, re.DOTALL)
    assert block is not None
    (tmp_path / "prometheus.yml").write_text(block[1])
    (tmp_path / RULES.name).write_bytes(RULES.read_bytes())
    command = ["promtool", "check", "config", str(tmp_path / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, f"{len(ALERTS)} rules found" in done.stdout) == (0, True), done


@pytest.mark.needs("prometheus")
def test_prometheus_evaluates_every_rule(alerting: Prometheus) -> None:
    assert alerting.waits_for('up{job="orqen"} == 1')
    (group,) = alerting.get("rules")["groups"]
    assert {rule["name"] for rule in group["rules"]} == set(ALERTS)
    assert [rule["lastError"] for rule in group["rules"] if rule.get("lastError")] == []

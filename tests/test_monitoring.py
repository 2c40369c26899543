"""The dashboard and the alerts name what a server really has; its text is what Prometheus reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from prometheus_client.parser import text_string_to_metric_families

from chronos_py.model.run import Outcome
from compat_tests.mortal import MortalServer, until

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "packaging" / "grafana-dashboard.json"
ALERTS = ROOT / "packaging" / "prometheus-alerts.yaml"
NAMED = re.compile(r"\b(?:chronos|process)_[a-z_]+\b")
MATCHED = re.compile(r"\b(\w+)\s*(?:=~|!~|!=|=)\s*\"([^\"]*)\"")
BY = re.compile(r"\bby \(([^)]*)\)")
OF_THE_SCRAPE = {"job", "instance"}
JOB = {"name": "odd.name", "command": "true", "schedule": "R1//PT1M", "owner": "me@example.org"}


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], dict[str, set[str]]]]:
    """Return a server's JSON, and the labels and their values of each sample of its text, after a run has ended."""
    server = MortalServer(
        tmp_path_factory.mktemp("server"),
        "--resources",
        "cpus:1;mem:512;disk:9000",
        "--slack_url",
        "http://127.0.0.1:9/",
    )
    server.start()
    try:
        server.wait()
        server.post_job(JOB)
        server.post_job({**JOB, "name": "never", "cpus": 500, "highPriority": True})
        until(lambda: [run for run in server.all_runs("odd.name") if run["outcome"] == "success"], "it has run")
        until(lambda: server.get("/api/queue")["total"] == 1, "the other waits")
        text = requests.get(f"{server.url}/metrics", headers={"Accept": "text/plain"}, timeout=30).text
        labels: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found = labels.setdefault(sample.name, set())
                found.update(sample.labels)
                found.update(f"{name}={value}" for name, value in sample.labels.items())
                if sample.value:
                    found.add(f"value of {' '.join(sample.labels.values())}".strip())
        yield server.get("/metrics"), labels
    finally:
        server.stop()


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in panels for target in panel["targets"]] + [rule["expr"] for rule in rules]


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_names_what_there_is(expression: str, scraped: tuple[Any, dict[str, set[str]]]):
    names, known = set(NAMED.findall(expression)), scraped[1]
    assert names and names <= known.keys()
    labels = set().union(*(known[name] for name in names)) | OF_THE_SCRAPE
    for label, value in MATCHED.findall(expression):
        assert label in labels
        if label not in OF_THE_SCRAPE:
            assert {f"{label}={one}" for one in value.split("|")} <= labels
    for group in BY.findall(expression):
        assert set(re.split(r",\s*", group)) <= labels
    assert expression.count("(") == expression.count(")") and expression.count("{") == expression.count("}")


def test_the_dashboard_can_be_imported():
    board = json.loads(DASHBOARD.read_text())
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) <= variables


def test_each_alert_says_what_to_do():
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        assert len({rule["alert"] for rule in group["rules"]}) == len(group["rules"])
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"] and rule["annotations"]["description"]


def test_json_has_chronos_names(scraped: tuple[dict[str, Any], Any]):
    figures = scraped[0]
    kinds = {"version", "gauges", "counters", "histograms", "meters", "timers"}
    assert figures.keys() == kinds
    package = "org.apache.mesos.chronos.scheduler"
    assert figures["gauges"][f"{package}.jobs.TaskManager.queueSize"] == {"value": 0}
    assert figures["gauges"][f"{package}.jobs.TaskManager.highQueueSize"] == {"value": 1}
    for name in ("reviveOffersRequestCount", "reviveOffersCount"):
        assert figures["counters"][f"{package}.mesos.MesosOfferReviver.{name}"]["count"] >= 0
    assert figures["counters"]["jobs.run.success.odd.name"] == {"count": 1}
    assert figures["counters"]["jobs.run.failure.odd.name"] == {"count": 0}
    assert figures["histograms"]["jobs.run.time.odd.name"]["count"] == 1
    assert {"jvm.memory.total.used", "jvm.threads.count"} <= figures["gauges"].keys()


def test_text_has_the_figures_of_operation(scraped: tuple[Any, dict[str, set[str]]]):
    known = scraped[1]
    assert "value of no_fit" in known["chronos_queue_by_reason"]
    assert "value of 100" in known["chronos_queue_by_priority"]
    assert {f"outcome={outcome.value}" for outcome in Outcome} <= known["chronos_runs_ended_total"]
    assert "value of received" in known["chronos_offers_total"] and "value of accepted" in known["chronos_offers_total"]
    for name in ("start_delay", "attempt", "placement", "commit"):
        assert "value of" in known[f"chronos_{name}_seconds_count"]
    assert "value of" in known["chronos_launches_total"]
    assert {"name=offers", "name=connection", "name=placement", "name=jobs"} <= known["chronos_watchdog"]
    assert not any("odd" in value for values in known.values() for value in values), "a label by job"

"""/ping, /health, /metrics."""

from __future__ import annotations

import json

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chronos_py.model.view import Cause, Waiting
from tests.api.backend import JSON, a_run

PREFERS_TEXT = [
    "text/plain", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text",
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
]  # fmt: skip
TAKES_JSON = [
    "", "*/*", "application/json", "application/json, text/plain, */*", "text/html,*/*;q=0.8",
    "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
]  # fmt: skip


def submit(client, name, **fields):
    document = {"name": name, "command": "true", "schedule": "R/2090-01-01T00:00:00Z/P1D", **fields}
    assert client.post("/v1/scheduler/iso8601", json=document).status_code == 204


def test_ping(client):
    answer = client.get("/ping", headers={"Origin": "http://ui"})
    assert (answer.status_code, answer.data) == (200, b"pong\n")
    assert answer.headers["Access-Control-Allow-Origin"] == "http://ui"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
def test_health_is_ready_or_not(client, backend, ready, status):
    backend.report = {"ready": ready, "problem": "no leader"}
    answer = client.get("/health")
    assert (answer.status_code, json.loads(answer.data)) == (status, backend.report)


def test_metrics_of_a_job_that_ran(client, backend):
    submit(client, "a", successCount=3, errorCount=1)
    backend.samples["a"] = [100, 300, 200]
    backend.levels = {0: 2, 100: 1, -5: 4}
    answer = client.get("/metrics")
    figures = json.loads(answer.data)
    assert answer.headers["Content-Type"] == JSON
    assert list(figures) == ["version", "gauges", "counters", "histograms", "meters", "timers"]
    assert figures["counters"] == {"jobs.run.success.a": {"count": 3}, "jobs.run.failure.a": {"count": 1}}
    histogram = figures["histograms"]["jobs.run.time.a"]
    assert (histogram["count"], histogram["min"], histogram["max"], histogram["p50"]) == (3, 100, 300, 200.0)
    assert (histogram["mean"], histogram["stddev"]) == (200.0, 100.0)
    sizes = {name.rsplit(".", 1)[1]: gauge["value"] for name, gauge in figures["gauges"].items() if "Manager" in name}
    assert sizes == {"queueSize": 6, "highQueueSize": 1}
    assert len(client.get("/metrics?pretty=true").text.splitlines()) > 10


@pytest.mark.parametrize("accept", TAKES_JSON)
def test_metrics_are_json_for_whoever_takes_it(client, accept):
    assert client.get("/metrics", headers={"Accept": accept} if accept else {}).headers["Content-Type"] == JSON


@pytest.mark.parametrize("accept", PREFERS_TEXT)
def test_metrics_are_prometheus_text_for_whoever_prefers_it(client, accept):
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_no_label_of_prometheus_comes_from_users(client, backend):
    for number in range(200):
        submit(client, f"job-{number}", successCount=2)
    backend.levels = dict.fromkeys(range(200), 1)
    families = list(text_string_to_metric_families(client.get("/metrics?format=prometheus").text))
    samples = [sample for family in families for sample in family.samples]
    assert len(samples) < 150
    assert not [sample for sample in samples if "job-" in str(sample)]
    assert {sample.value for sample in samples if sample.name == "chronos_successes_total"} == {400.0}


def test_watchdogs_are_gauges(client, backend):
    backend.report = {"ready": True, "watchdogs": {"jobs": {"alarm": True}, "offers": {"alarm": False}}}
    text = client.get("/metrics?format=prometheus").data.decode()
    assert 'chronos_watchdog{name="jobs"} 1.0' in text
    assert 'chronos_watchdog{name="offers"} 0.0' in text


def test_a_run_that_is_launched_while_its_cause_is_looked_for_counts_nowhere(client, backend):
    """Readers see a run still queued whose reason tells already that it is being launched."""
    backend.view.runs[1] = a_run(1)
    backend.view.waiting[1] = Waiting(Cause.LAUNCHING, "")
    answer = client.get("/metrics?format=prometheus")
    assert answer.status_code == 200
    assert 'chronos_queue_by_reason{reason="next_turn"} 0.0' in answer.text

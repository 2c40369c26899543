"""/logging, what Graphite is sent, and the size of what Prometheus reads."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from chronos_py.api.system import all_figures
from chronos_py.graphite import GraphiteReporter, lines, parse_address
from chronos_py.metrics import Metrics
from chronos_py.model.job import JobState
from chronos_py.model.view import JobView
from tests.api.backend import FakeBackend
from tests.builders import a_job
from tests.fakes import FakeClock

NAME = "chronos_py.tests.levels"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger, before = logging.getLogger(NAME), logging.getLogger().level
    yield logger
    logger.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(before)


@pytest.mark.parametrize(("level", "set_to"), [("DEBUG", 10), ("warn", 30), ("FINEST", 10), ("OFF", 60), ("", 0)])
def test_levels_are_changed(client, logger: logging.Logger, level: str, set_to: int):
    answer = client.post("/logging", data={"logger": NAME, "level": level})
    assert answer.status_code == 200
    assert logger.level == set_to
    assert NAME in answer.text


def test_levels_as_json(client, logger: logging.Logger):
    answer = client.post("/logging", json={"logger": "root", "level": "ERROR"}, headers={"Accept": "application/json"})
    assert answer.json["loggers"]["root"] == "ERROR"
    assert answer.json["loggers"][NAME] is None
    assert logger.getEffectiveLevel() == logging.ERROR


@pytest.mark.parametrize(
    "values",
    [{}, {"logger": NAME}, {"logger": NAME, "level": "LOUD"}, {"logger": "root", "level": ""},
     {"logger": "nobody.has.it", "level": "INFO"}],
)  # fmt: skip
def test_what_cannot_be_set(client, logger: logging.Logger, values: dict[str, str]):
    assert client.post("/logging", data=values).status_code == 400
    assert "nobody.has.it" not in logging.root.manager.loggerDict


def test_no_other_site_sets_levels(client, logger: logging.Logger):
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/logging", data={"logger": NAME, "level": "OFF"}, headers=headers).status_code == 403
    assert logger.level == 0


# --- Graphite


def test_lines():
    figures = {
        "gauges": {"a.queueSize": {"value": 3}},
        "counters": {"jobs.run.success.my job": {"count": 4}},
        "histograms": {"jobs.run.time.b": {"count": 2, "mean": 1.5}},
    }
    assert list(lines(figures, "prod", 1000)) == [
        "prod.a.queueSize 3 1000\n",
        "prod.jobs.run.success.my-job.count 4 1000\n",
        "prod.jobs.run.time.b.count 2 1000\n",
        "prod.jobs.run.time.b.mean 1.50 1000\n",
    ]


def test_addresses():
    assert parse_address("[::1]:2003") == ("::1", 2003)
    for text in ("graphite", ":1", "h:", "h:0", "h:99999", "h:x"):
        with pytest.raises(ValueError, match="must be host:port"):
            parse_address(text)


def test_reports_reach_a_server_that_was_away_for_a_while():
    backend, clock, stopping = FakeBackend(), FakeClock(), threading.Event()
    backend.view.jobs["a"] = JobView(a_job("a"), JobState(success_count=5), None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    reporter = GraphiteReporter(("127.0.0.1", port), "", 0.05, lambda: all_figures(backend, Metrics()), clock, stopping)
    with pytest.raises(ConnectionRefusedError):
        reporter.report()
    reporter.start()
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(30)
        connection, _ = server.accept()
        stopping.set()
        with connection, connection.makefile() as stream:
            text = stream.read()
    assert f"jobs.run.success.a.count 5 {clock.now() // 1000}\n" in text
    assert "org.apache.mesos.chronos.scheduler.jobs.TaskManager.queueSize 0 " in text
    assert all(len(line.split(" ")) == 3 for line in text.splitlines())


# --- Prometheus


def test_ten_thousand_jobs(client, backend: FakeBackend):
    for number in range(10_000):
        name = f"job-{number}"
        backend.view.jobs[name] = JobView(a_job(name), JobState(success_count=1), None)
    backend.report |= {"notifications": {"mail": {"waiting": 1, "sent": 2, "retried": 3, "failed": 4}}}
    backend.levels = dict.fromkeys(range(1000), 1)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer = client.get("/metrics?format=prometheus")
        times.append(time.perf_counter() - began)
    assert len(answer.data) < 1_000_000
    assert min(times) < 0.1  # of the best: others use this machine too
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["chronos_successes"].samples[0].value == 10_000
    assert [sample.labels for sample in families["chronos_notifications_sent"].samples] == [{"channel": "mail"}]
    assert all(len(family.samples) < 200 for family in families.values())
    assert json.loads(client.get("/metrics").data)["counters"]["jobs.run.success.job-7"] == {"count": 1}

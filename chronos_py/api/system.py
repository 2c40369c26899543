"""What is asked of a node itself: /ping, /health, /api/leader, /metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import prometheus_client
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from chronos_py.api.backend import Backend
from chronos_py.api.statistics import QUANTILES, quantile
from chronos_py.api.transport import answer, prefers_prometheus
from chronos_py.metrics import Metrics
from chronos_py.model.run import Phase
from chronos_py.model.view import Cause

WAITS = (
    Cause.RETRY_DELAY, Cause.JOB_RUNNING, Cause.SET_ASIDE, Cause.DRIVER_DOWN, Cause.OTHER_AGENT, Cause.NEXT_TURN,
    Cause.NO_OFFERS, Cause.NO_FIT, Cause.QUOTA,
)  # fmt: skip
MOST_EXAMINED = 1000  # runs, in a scrape
NO_CACHE = "must-revalidate,no-cache,no-store"


class ServiceCollector(Collector):
    """The service's figures, read when asked for. No label takes a value from users, so their number is bound."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Any]:
        health = self._backend.health()
        for key, text in (
            ("jobs", "jobs that are defined"),
            ("runs", "runs under way"),
            ("queue", "runs that wait for a place"),
            ("inbox", "events that wait for the service"),
            ("historyLag", "records not yet in the history store"),
            ("quarantined", "stored records that could not be read"),
            ("sinceLastTurn", "seconds since the service's last turn began; it has one every second at least"),
        ):
            yield GaugeMetricFamily(f"chronos_{_snake(key)}", text, value=health.get(key, 0))
        yield GaugeMetricFamily("chronos_leading", "1 when this node leads", value=int(bool(health.get("leading"))))
        yield GaugeMetricFamily("chronos_ready", "1 when launches reach machines", value=int(bool(health.get("ready"))))
        alarms = GaugeMetricFamily("chronos_watchdog", "1 while a watchdog gives alarm, by its name", labels=["name"])
        for name, watch in health.get("watchdogs", {}).items():
            alarms.add_metric([name], int(bool(watch["alarm"])))
        yield alarms
        yield from _notification_families(health.get("notifications", {}))
        levels = GaugeMetricFamily("chronos_queue_by_priority", "runs that wait, by priority", labels=["priority"])
        for level, count in sorted(self._backend.queue_levels().items())[:50]:
            levels.add_metric([str(level)], count)
        yield levels
        causes = GaugeMetricFamily("chronos_queue_by_reason", "runs that wait, by why", labels=["reason"])
        for cause, count in waiting_by_cause(self._backend).items():
            causes.add_metric([cause], count)
        yield causes
        immediate = GaugeMetricFamily(
            "chronos_immediate_jobs", "immediate jobs that are known, by state", labels=["state"]
        )
        for state, count in self._backend.view.immediate.counts.items():
            immediate.add_metric([state], count)
        yield immediate
        views = list(self._backend.view.jobs.values())
        yield CounterMetricFamily("chronos_successes", "successes", value=sum(v.state.success_count for v in views))
        yield CounterMetricFamily("chronos_errors", "failures", value=sum(v.state.error_count for v in views))
        for name, value in health.get("figures", {}).items():
            yield GaugeMetricFamily(f"chronos_{_snake(name)}", name, value=value)


def waiting_by_cause(backend: Backend) -> dict[str, int]:
    """Return how many runs wait for a place or a retry, by cause, a closed list. To find the cause of a run costs some
    microseconds, so that of a long queue's end is not looked for: these runs are `not_examined`."""
    counts = dict.fromkeys([*(cause.value for cause in WAITS), "not_examined"], 0)
    view, examined = backend.view, 0
    for run in list(view.runs.values()):
        if run.phase is Phase.RETRYING:
            counts[Cause.RETRY_DELAY] += 1
        elif run.phase is Phase.QUEUED:
            examined += 1
            waiting = view.waiting.get(run.id) if examined <= MOST_EXAMINED else None
            cause = waiting.code.value if waiting is not None else Cause.NEXT_TURN.value
            found = "not_examined" if examined > MOST_EXAMINED else cause
            if found in counts:  # else it is being launched at this moment, and waits no more
                counts[found] += 1
    return counts


def _notification_families(channels: dict[str, Any]) -> Iterator[Any]:
    """Yield what each channel has done; there are as many channels as are set up."""
    waiting = GaugeMetricFamily("chronos_notifications_waiting", "notices a channel must deliver", labels=["channel"])
    sent = CounterMetricFamily("chronos_notifications_sent", "notices delivered, by channel", labels=["channel"])
    retried = CounterMetricFamily("chronos_notifications_retried", "deliveries that failed", labels=["channel"])
    failed = CounterMetricFamily("chronos_notifications_failed", "notices given up, by channel", labels=["channel"])
    for name, channel in channels.items():
        for family, key in ((waiting, "waiting"), (sent, "sent"), (retried, "retried"), (failed, "failed")):
            family.add_metric([name], channel[key])
    yield from (waiting, sent, retried, failed)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def chronos_metrics(backend: Backend) -> dict[str, Any]:
    """Return the metrics in the original's names and form."""
    gauges: dict[str, Any] = {}
    levels = backend.queue_levels()
    manager = "org.apache.mesos.chronos.scheduler.jobs.TaskManager"
    gauges[f"{manager}.queueSize"] = {"value": sum(count for level, count in levels.items() if level <= 0)}
    gauges[f"{manager}.highQueueSize"] = {"value": sum(count for level, count in levels.items() if level > 0)}
    counters, histograms = {}, {}
    for name, view in list(backend.view.jobs.items()):
        counters[f"jobs.run.success.{name}"] = {"count": view.state.success_count}
        counters[f"jobs.run.failure.{name}"] = {"count": view.state.error_count}
        histograms[f"jobs.run.time.{name}"] = _histogram(sorted(backend.histogram(name)))
    return {
        "version": "3.0.0",
        "gauges": gauges,
        "counters": counters,
        "histograms": histograms,
        "meters": {},
        "timers": {},
    }


def all_figures(backend: Backend, counted: Metrics | None) -> dict[str, Any]:
    """Return the original's metrics, and what the process has counted, in Dropwizard's form."""
    figures = chronos_metrics(backend)
    for kind, ours in counted.dropwizard().items() if counted is not None else ():
        figures[kind] |= ours
    return figures


def _histogram(ordered: list[int]) -> dict[str, Any]:
    count = len(ordered)
    mean = sum(ordered) / count if count else 0.0
    deviation = (sum((value - mean) ** 2 for value in ordered) / (count - 1)) ** 0.5 if count > 1 else 0.0
    figures: dict[str, Any] = {"count": count, "max": ordered[-1] if count else 0, "mean": mean}
    figures |= {"min": ordered[0] if count else 0, "p50": quantile(ordered, 0.5)}
    figures |= {f"p{name[:2]}": quantile(ordered, share) for name, share in QUANTILES.items()}
    return figures | {"p999": quantile(ordered, 0.999), "stddev": deviation}


def system_blueprint(backend: Backend, counted: Metrics | None = None) -> Blueprint:
    """Return the paths that belong to no dialect. `counted` is what the process has counted since its start."""
    blueprint = Blueprint("system", __name__)
    registry = CollectorRegistry()
    registry.register(ServiceCollector(backend))
    prometheus_client.ProcessCollector(registry=registry)
    if counted is not None:
        registry.register(counted)

    @blueprint.get("/ping")
    def ping() -> ResponseReturnValue:
        response = answer("pong\n", media_type="text/plain")
        response.headers["Cache-Control"] = NO_CACHE
        response.headers["Access-Control-Allow-Credentials"] = "true"
        origin = request.headers.get("Origin")
        if origin:
            response.headers["Access-Control-Allow-Origin"] = origin
        return response

    @blueprint.get("/health")
    def health() -> ResponseReturnValue:
        report = backend.health()
        response = answer(json.dumps(report), 200 if report["ready"] else 503)
        response.headers["Cache-Control"] = NO_CACHE
        return response

    @blueprint.get("/api/leader")
    def leader() -> ResponseReturnValue:
        response = answer(json.dumps(backend.standing().shown()))
        response.headers["Cache-Control"] = NO_CACHE
        return response

    @blueprint.get("/metrics")
    def metrics() -> ResponseReturnValue:
        if prefers_prometheus(request.headers.get("Accept", ""), request.args.get("format")):
            body = prometheus_client.generate_latest(registry)
            return Response(body, content_type="text/plain; version=0.0.4; charset=utf-8")
        pretty = request.args.get("pretty") == "true"
        response = answer(json.dumps(all_figures(backend, counted), indent=2 if pretty else None))
        response.headers["Cache-Control"] = NO_CACHE
        return response

    return blueprint

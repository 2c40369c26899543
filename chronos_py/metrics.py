"""What the server counts and times, in this process, since its start.

Observing costs about a microsecond and never waits for a reader. No name takes a value from users, so the number of
series is bound. Two forms come out: families for Prometheus, and the JSON of Dropwizard metrics that Chronos served.
"""

from __future__ import annotations

import gc
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import psutil
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.messages import Decline, Launch, OfferRescinded, OffersReceived, Revive
from chronos_py.model.run import Outcome

# Upper bounds of the histograms' buckets, in seconds.
SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
DELAYS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0)
TASKS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
QUANTILES = {"p50": 0.5, "p75": 0.75, "p95": 0.95, "p98": 0.98, "p99": 0.99, "p999": 0.999}
REVIVER = "org.apache.mesos.chronos.scheduler.mesos.MesosOfferReviver"  # Chronos's name: asked for, and done

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Counter:
    """A number that only grows."""

    __slots__ = ("_lock", "value")

    def __init__(self) -> None:
        self.value = 0
        self._lock = threading.Lock()

    def add(self, amount: int = 1) -> None:
        with self._lock:
            self.value += amount


class Histogram:
    """How often values fell between bounds; all times in seconds."""

    __slots__ = ("_counts", "_lock", "bounds", "greatest", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self.greatest = 0.0
        self._counts = [0] * (len(bounds) + 1)
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        index = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[index] += 1
            self.total += value
            if value > self.greatest:
                self.greatest = value

    def cumulated(self) -> list[int]:
        """Return how many values were at most each bound, and at last how many there were."""
        with self._lock:
            counts = list(self._counts)
        for index in range(1, len(counts)):
            counts[index] += counts[index - 1]
        return counts

    @property
    def count(self) -> int:
        return sum(self._counts)

    def quantile(self, share: float) -> float:
        """Estimate a quantile: the place within its bucket in proportion. 0 of no values."""
        counts = self.cumulated()
        if not counts[-1]:
            return 0.0
        wanted = share * counts[-1]
        index = bisect_left(counts, wanted)
        if index >= len(self.bounds):
            return self.greatest
        low, below = (self.bounds[index - 1], counts[index - 1]) if index else (0.0, 0)
        inside = counts[index] - below
        place = (wanted - below) / inside if inside else 1.0
        return min(low + (self.bounds[index] - low) * place, self.greatest)


class Metrics(Collector):
    """All counters and histograms of a server. Takes the service's figures (see `service.Gauges`)."""

    def __init__(self) -> None:
        self.runs = {outcome: Counter() for outcome in Outcome}
        self.attempts = {outcome: Counter() for outcome in Outcome}
        self.requests = {status: Counter() for status in ("1xx", "2xx", "3xx", "4xx", "5xx")}
        self.events, self.changes = Counter(), Counter()
        self.offers = {what: Counter() for what in ("received", "accepted", "declined", "rescinded")}
        self.launches, self.revives = Counter(), Counter()
        self.placing = Histogram(SHORT)
        self.start_delay = Histogram(DELAYS)
        self.launch = Histogram(DELAYS)
        self.duration = Histogram(TASKS)
        self.handle, self.commit, self.turn_time = Histogram(SHORT), Histogram(SHORT), Histogram(SHORT)
        self.answer = Histogram(DELAYS)
        self._histograms: dict[str, tuple[str, Histogram]] = {
            "start_delay_seconds": ("due time to start, of runs that ended in their first attempt", self.start_delay),
            "launch_seconds": ("launch to start, of attempts that ended", self.launch),
            "attempt_seconds": ("start to end, of attempts", self.duration),
            "turn_seconds": ("a turn of the service: decisions and commit", self.turn_time),
            "handle_seconds": ("the decisions of a turn", self.handle),
            "placement_seconds": ("a turn's due times and the placement of what waits", self.placing),
            "commit_seconds": ("the commit of a turn", self.commit),
            "request_seconds": ("an HTTP request, to the beginning of its answer", self.answer),
        }

    # --- taking

    def turn(self, events: int, changes: int, handled: float, committed: float) -> None:
        """Take a turn of the service, with the seconds that decisions and commit took."""
        self.events.add(events)
        self.changes.add(changes)
        self.handle.observe(handled)
        self.commit.observe(committed)
        self.turn_time.observe(handled + committed)

    def traffic(self, events: Iterable[object], effects: Iterable[object], placing: float) -> None:
        """Take what a turn had from the cluster and told it, and the seconds that placement took."""
        self.placing.observe(placing)
        for event in events:
            if isinstance(event, OffersReceived):
                self.offers["received"].add(len(event.offers))
            elif isinstance(event, OfferRescinded):
                self.offers["rescinded"].add()
        for effect in effects:
            if isinstance(effect, Launch):
                self.offers["accepted"].add(len(effect.offers))
                self.launches.add(len(effect.tasks))
            elif isinstance(effect, Decline):
                self.offers["declined"].add(len(effect.offer_ids))
            elif isinstance(effect, Revive):
                self.revives.add()

    def ended(self, records: Iterable[HistoryRecord]) -> None:
        """Take records of runs and attempts that have ended."""
        for record in records:
            if isinstance(record, AttemptRecord):
                self._attempt_ended(record)
            else:
                self._run_ended(record)

    def _attempt_ended(self, record: AttemptRecord) -> None:
        self.attempts[record.outcome].add()
        if record.started is not None:
            self.launch.observe(max(0, record.started - record.launched) / 1000)
            self.duration.observe(max(0, record.ended - record.started) / 1000)

    def _run_ended(self, record: RunRecord) -> None:
        due_times = 1
        if record.index is not None and record.last_index is not None:
            due_times += record.last_index - record.index
        self.runs[record.outcome].add(due_times)
        if record.attempts == 1 and record.started is not None:
            self.start_delay.observe(max(0, record.started - record.due) / 1000)

    def answered(self, status: int, seconds: float) -> None:
        """Take an HTTP request."""
        counter = self.requests.get(f"{status // 100}xx")
        if counter is not None:
            counter.add()
        self.answer.observe(seconds)

    # --- giving

    def collect(self) -> Iterator[Any]:
        """Yield all as families of Prometheus's client."""
        for name, text, label, counters in (
            ("runs_ended", "due times, releases and requests that have ended", "outcome", _named(self.runs)),
            ("attempts_ended", "attempts that have ended", "outcome", _named(self.attempts)),
            ("offers", "offers of resources, by what became of them", "what", self.offers),
            ("http_requests", "answers, by class of status", "status", self.requests),
        ):
            family = CounterMetricFamily(f"chronos_{name}", text, labels=[label])
            for value, counter in counters.items():
                family.add_metric([value], counter.value)
            yield family
        yield CounterMetricFamily("chronos_events", "events that the service has handled", value=self.events.value)
        yield CounterMetricFamily("chronos_changes", "records that the service has stored", value=self.changes.value)
        yield CounterMetricFamily("chronos_launches", "tasks told to start", value=self.launches.value)
        yield CounterMetricFamily("chronos_revives", "requests to the cluster for offers", value=self.revives.value)
        for name, (text, histogram) in self._histograms.items():
            bounds = [*map(str, histogram.bounds), "+Inf"]
            buckets = list(zip(bounds, histogram.cumulated(), strict=True))
            yield HistogramMetricFamily(f"chronos_{name}", text, buckets=buckets, sum_value=histogram.total)

    def dropwizard(self) -> dict[str, dict[str, Any]]:
        """Return all in the original's form; times in milliseconds, memory in bytes."""
        counters = {f"chronos.runs.{name}": counter for name, counter in _named(self.runs).items()}
        counters |= {f"chronos.attempts.{name}": counter for name, counter in _named(self.attempts).items()}
        counters |= {f"chronos.http.{name}": counter for name, counter in self.requests.items()}
        counters |= {f"chronos.offers.{name}": counter for name, counter in self.offers.items()}
        counters |= {f"{REVIVER}.{name}": self.revives for name in ("reviveOffersRequestCount", "reviveOffersCount")}
        counters |= {"chronos.launches": self.launches}
        counters |= {"chronos.events": self.events, "chronos.changes": self.changes}
        histograms = {name.removesuffix("_seconds"): histogram for name, (_, histogram) in self._histograms.items()}
        return {
            "gauges": {name: {"value": value} for name, value in _process().items()},
            "counters": {name: {"count": counter.value} for name, counter in counters.items()},
            "histograms": {f"chronos.{name}": _dropwizard(histogram) for name, histogram in histograms.items()},
        }


def _process() -> dict[str, float]:
    """Return figures of this process under the names that dashboards know from the original's virtual machine."""
    process = psutil.Process()
    collected = gc.get_stats()[-1]["collections"]
    return {
        "jvm.memory.total.used": process.memory_info().rss,
        "jvm.threads.count": process.num_threads(),
        "jvm.gc.full.count": collected,
        "chronos.uptime": round((time.time() - process.create_time()) * 1000),
    }


def _named(counters: dict[Outcome, Counter]) -> dict[str, Counter]:
    return {outcome.value: counter for outcome, counter in counters.items()}


def _dropwizard(histogram: Histogram) -> dict[str, Any]:
    count = histogram.count
    figures = {"count": count, "max": histogram.greatest * 1000, "mean": histogram.total * 1000 / count if count else 0}
    return figures | {name: histogram.quantile(share) * 1000 for name, share in QUANTILES.items()}


class Outbox(Protocol):
    """Takes committed history records."""

    def submit(self, items: Sequence[tuple[int, HistoryRecord]]) -> None: ...

    def lag(self) -> int: ...


class CountingOutbox:
    """An outbox that counts what passes; what is handed in again after a new take-over counts once."""

    def __init__(self, outbox: Outbox, metrics: Metrics) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._newest = 0

    def submit(self, items: Sequence[tuple[int, HistoryRecord]]) -> None:
        self._outbox.submit(items)
        newest = self._newest
        self._metrics.ended(record for number, record in items if number > newest)
        if items:
            self._newest = max(newest, items[-1][0])

    def lag(self) -> int:
        return self._outbox.lag()


def counting(app: Wsgi, metrics: Metrics) -> Wsgi:
    """Count and time an application's answers; a stream's time ends when it begins."""

    def counted(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        began = time.perf_counter()

        def start(status: str, *more: Any) -> Any:
            metrics.answered(int(status[:3]), time.perf_counter() - began)
            return start_response(status, *more)

        return app(environ, start)

    return counted

"""On Mesos: offers answered and tasks launched through a simulated master, and starts on real agents."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rows import Row, percentile
from benchmarks.serving import Server, post_all
from chronos_py.clock import SystemClock
from chronos_py.drivers.base import Post
from chronos_py.drivers.mesos import MesosDriver, MesosSettings
from chronos_py.drivers.mesos.sender import Call
from chronos_py.model.job import Job
from chronos_py.model.messages import Launch, RunJob, SubmitJob
from chronos_py.persistence.history import SqlHistoryStore
from chronos_py.persistence.outbox import HistoryReader, HistoryWriter
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.policy import Policy
from chronos_py.service import Service
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing
from compat_tests.servers.simulated_mesos import SimulatedMesos

WAITING, AGENTS, ROUNDS = 1000, 100, 10
CROWD = 3000
TRIVIAL = 100
PATIENCE_S = 120
ROOMY = "cpus:32;mem:32768;disk:32768"


@contextmanager
def a_server(master: str, *options: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), "--master", master, *options)
        try:
            yield server
        finally:
            server.stop()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


def document(name: str, schedule: str, **more: object) -> dict[str, object]:
    need = {"cpus": 0.01, "mem": 1, "disk": 1}
    return {"name": name, "command": "true", "schedule": schedule, "owner": "", **need, **more}


def health(server: Server) -> dict[str, int]:
    found: dict[str, int] = json.loads(server.get("/health")[1])
    return found


class Watch(MesosDriver):
    """The driver as it is, with a note of when each offer came and when the last byte of its answer had left."""

    def start(self, post: Post, framework_id: str) -> None:
        self.came: dict[str, float] = {}
        self.took: list[float] = []
        super().start(post, framework_id)
        launches, came = self._launches, self.came
        making = launches.call

        def call(launch: Launch, framework_id: Callable[[], str]) -> Call:
            made = making(launch, framework_id)

            def make() -> dict[str, object] | None:
                body = made.make()
                now = time.perf_counter()
                self.took += [now - came.pop(offer.id) for offer in launch.offers if offer.id in came]
                return body

            return Call(make, made.done)

        launches.call = call  # type: ignore[method-assign]
        link = self._link
        assert link is not None
        reading = link.sched.resourceOffers

        def offers(_: object, found: Sequence[dict[str, Any]]) -> None:
            now = time.perf_counter()
            came.update({offer["id"]["value"]: now for offer in found})
            reading(link, found)

        link.sched.resourceOffers = offers


def offer_to_accept() -> Row:
    """From an offer read to its ACCEPT handed to the connection, when a thousand tasks wait for them. In this process,
    so that the simulated master's own work is not in the figure; the service with its store is the real one."""
    names = [f"job-{number}" for number in range(WAITING)]
    with (
        tempfile.TemporaryDirectory() as folder,
        SimulatedMesos(agents=AGENTS, agent_resources=ROOMY, allocation_interval=0.05, start_latency=0.3) as master,
    ):
        driver = Watch(MesosSettings(master=master.address))
        policy = Policy(offers=OfferPolicy(keep=False))
        history = SqlHistoryStore(f"sqlite:///{folder}/history.sqlite")
        store = SqliteJobStore(Path(folder) / "state.sqlite")
        writer = HistoryWriter(history, lambda number: service.history_written(number), store.read_outbox)  # noqa: PLW0108
        service = Service(
            store=store, driver=driver, outbox=writer, history=HistoryReader(history, writer), clock=SystemClock(),
            policy=policy,
        )  # fmt: skip
        writer.start()
        service.start()
        until(lambda: bool(service.health()["ready"]))
        for name in names:
            job = Job(name=name, command="true", cpus=0.01, mem=1, disk=1, schedule="R1/2099-01-01T00:00:00Z/PT1H")
            service.call(SubmitJob(job))
        for _ in range(ROUNDS):
            master.withhold(on=True)
            for name in names:
                service.call(RunJob(name))
            master.withhold(on=False)
            until(lambda: not service.view.runs)
        service.stop()
        writer.stop()
        store.close()
        history.close()
    held = [seconds * 1000 for seconds in driver.took]
    note = f"{len(held):,} offers in {ROUNDS} rounds, p50 {percentile(held, 0.5):.0f} ms"
    return Row(
        f"offer received -> ACCEPT sent, {WAITING:,} waiting tasks, {AGENTS} agents: p99",
        percentile(held, 0.99), 50, "ms", note=note,
    )  # fmt: skip


def launches() -> Row:
    """Launches a second, durable, when thousands are due at once; their tasks run and end besides."""
    rates = []
    for _ in range(3):
        with (
            SimulatedMesos(agents=AGENTS, agent_resources=ROOMY, allocation_interval=0.01) as master,
            a_server(master.address) as server,
        ):
            due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=9)
            jobs = [document(f"job-{number}", f"R1/{due:%Y-%m-%dT%H:%M:%SZ}/PT1H") for number in range(CROWD)]
            post_all(server.port, jobs)
            assert datetime.now(UTC) < due, "posting took too long"
            time.sleep(max(0, due.timestamp() - time.time()))
            until(lambda: master.trace()["launches"] >= CROWD)
            rates.append(CROWD / (time.time() - due.timestamp()))
            until(lambda: health(server)["runs"] == 0)
            assert not master.trace()["launched_twice"]
    note = f"{CROWD:,} tasks due at once, 3 times: {', '.join(f'{rate:,.0f}' for rate in rates)}"
    return Row("launches through the simulated master, durable", median(rates), 1000, "/s", higher=True, note=note)


def starts_on_real_agents() -> Row:
    """Due time to TASK_RUNNING, by the agents' clock, of one job every two seconds on an idle cluster."""
    with (
        MesosCluster([AgentSpec(hostname=name) for name in "abc"]) as cluster,
        a_server(cluster.master_address) as server,
    ):
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
        post_all(server.port, [document("regular", f"R25/{begin:%Y-%m-%dT%H:%M:%SZ}/PT2S")])
        until(lambda: len(_ended(server)) >= 25)
        delays = [(_seconds(run["started"]) - _seconds(run["due"])) * 1000 for run in _ended(server)]
    note = f"{len(delays)} runs, p50 {percentile(delays, 0.5):.0f} ms; the tests' own executor starts in about 80 ms"
    return Row(
        "due -> task RUNNING on the real agent, idle cluster: p99", percentile(delays, 0.99), 500, "ms", note=note
    )


def trivial_tasks() -> Iterator[Row]:
    """Tasks a second on two real agents, from the due time of all to the end of the last, three rounds of each kind."""
    agents = [AgentSpec(hostname=name, resources=ROOMY) for name in "ab"]
    with (
        MesosCluster(agents) as cluster,
        a_server(cluster.master_address, "--hostname", "127.0.0.1") as server,
    ):
        for kind, executor, bar in (("command executor", "", 10), ("our executor", "chronos-py", 50)):
            rates = []
            for number in range(3):
                due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
                names = [f"{kind.split()[0]}-{number}-{count}" for count in range(TRIVIAL)]
                schedule = f"R1/{due:%Y-%m-%dT%H:%M:%SZ}/PT1H"
                post_all(server.port, [document(name, schedule, executor=executor) for name in names])
                time.sleep(max(0, due.timestamp() + 0.1 - time.time()))
                until(lambda: health(server)["runs"] == 0)
                ends = [_seconds(run["ended"]) for run in _ended(server) if run["job"] in names]
                assert len(ends) == TRIVIAL, f"{len(ends)} of {TRIVIAL} succeeded"
                rates.append(TRIVIAL / (max(ends) - due.timestamp()))
            note = f"{TRIVIAL} tasks, 3 times: {', '.join(f'{rate:.0f}' for rate in rates)}"
            yield Row(f"trivial tasks on two real agents, {kind}", median(rates), bar, "/s", higher=True, note=note)


def _ended(server: Server) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(server.get("/api/runs?limit=1000&outcome=success")[1])["runs"]
    return found


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def rows() -> Iterator[Row]:
    yield offer_to_accept()
    yield launches()
    lacking = missing()
    if lacking:
        print(f"left out: real agents; {lacking}")
        return
    yield starts_on_real_agents()
    yield from trivial_tasks()

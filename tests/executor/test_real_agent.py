"""The executor under a real Mesos agent."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chronos_py.executor import archive
from chronos_py.executor.info import Setup, executor_info, output_folder, task_data
from chronos_py.executor.runtime.surroundings import Options
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task
from compat_tests.mini_framework import PATIENCE_S, TERMINAL, MiniFramework
from compat_tests.servers.mesos import MesosCluster, missing
from tests.executor.conftest import gone, settled

pytestmark = pytest.mark.external


class _Quiet(SimpleHTTPRequestHandler):
    fetched: list[str] = []  # noqa: RUF012 - of all requests together

    def do_GET(self) -> None:
        self.fetched.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    file = archive.build().write(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{file.name}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cluster():
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    with MesosCluster(1, master_flags={"allocation_interval": "100ms"}) as running:
        yield running


class Framework(MiniFramework):
    """Launches tasks in our executor, as the user whom the agent runs as."""

    def __init__(self, cluster: MesosCluster, setup: Setup) -> None:
        killing = [{"type": "MULTI_ROLE"}, {"type": "TASK_KILLING_STATE"}]
        super().__init__(cluster.master_url, checkpoint=True, failover_timeout=60, capabilities=killing)
        self.setup = setup
        self._kept: list[dict[str, Any]] = []

    def next(self, kind: str) -> dict[str, Any]:
        """Keep offers that come while something else is waited for, unless they are taken back."""
        if kind == "OFFERS" and self._kept:
            return self._kept.pop()
        end = time.monotonic() + PATIENCE_S
        for event in self._events:
            if event["type"] == kind:
                return dict(event[kind.lower()])
            if event["type"] == "OFFERS":
                self._kept.append(event["offers"])
            if event["type"] == "RESCIND":
                gone = event["rescind"]["offer_id"]
                self._kept = [kept for kept in self._kept if all(offer["id"] != gone for offer in kept["offers"])]
            assert time.monotonic() < end, f"no {kind} within {PATIENCE_S} seconds"
        raise AssertionError(f"the stream ended before {kind}")

    @property
    def executor(self) -> dict[str, Any]:
        return executor_info(self.id, "", self.setup)

    @property
    def executor_id(self) -> str:
        return str(self.executor["executor_id"]["value"])

    def start(self, commands: dict[str, str], **more) -> None:
        (offer,) = self.offers(1).values()
        infos = []
        for name, command in commands.items():
            task = Task(name, 1, "job", command, Resources.of(cpus=0.1, mem=32), environment=(("WHO", name),))
            resources = [
                {"name": key, "type": "SCALAR", "scalar": {"value": v}} for key, v in (("cpus", 0.1), ("mem", 32))
            ]
            infos.append(
                {
                    "name": name,
                    "task_id": {"value": name},
                    "agent_id": offer["agent_id"],
                    "resources": resources,
                    "executor": self.executor,
                    "data": task_data(task),
                    **more,
                }
            )
        operation = {"type": "LAUNCH", "launch": {"task_infos": infos}}
        self.call("ACCEPT", offer_ids=[offer["id"]], operations=[operation], filters={"refuse_seconds": 0})


# An agent asks with curl how large a file is that it shall cache; the cluster's programs have none.
@pytest.fixture
def framework(cluster, uri):
    with Framework(cluster, Setup(uri=uri, cache=False, python=sys.executable)) as subscribed:
        yield subscribed
    settled("gone", lambda: not executors(cluster))


def executors(cluster) -> list[str]:
    return [executor["id"] for kind in cluster.get("/state", agent=0)["frameworks"] for executor in kind["executors"]]


def read(cluster, framework, task_id: str, name: str = "stdout") -> str:
    return str(cluster.read_sandbox(framework.executor_id, f"{output_folder(task_id)}/{name}"))


def the_worker(cluster: MesosCluster) -> int:
    """Return the executor proper: the child of a process that runs the archive."""
    for pid in cluster.processes():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if b".pyz\0--" in words and b".pyz\0--" in Path(f"/proc/{parent}/cmdline").read_bytes():
                return pid
        except OSError:
            continue
    raise AssertionError("no executor runs")


def test_many_tasks_in_one_executor(cluster, framework):
    ids = [f"ct:{number}:0:many:" for number in range(10)]
    framework.start({name: f"echo $WHO; exit {number % 2}" for number, name in enumerate(ids)})
    ended = {}
    while len(ended) < len(ids):
        status = framework.next("UPDATE")["status"]
        framework.call("ACKNOWLEDGE", **{key: status[key] for key in ("agent_id", "task_id", "uuid")})
        if status["state"] in TERMINAL:
            ended[status["task_id"]["value"]] = status["state"], status["message"]
    for number, name in enumerate(ids):
        state = "TASK_FAILED" if number % 2 else "TASK_FINISHED"
        assert ended[name] == (state, f"Command exited with status {number % 2}")
        assert read(cluster, framework, name) == f"{name}\n"
    framework.start({"next": "true"})
    assert framework.status("next", TERMINAL)["state"] == "TASK_FINISHED"
    assert executors(cluster) == [framework.executor_id]
    assert len(cluster.sandboxes(framework.executor_id)) == 1
    assert len(_Quiet.fetched) == 1


def test_a_kill_and_a_time_limit(cluster, framework):
    framework.start({"victim": "exec sleep 1000"})
    framework.status("victim", {"TASK_RUNNING"})
    framework.call("KILL", task_id={"value": "victim"})
    framework.status("victim", {"TASK_KILLING"})
    assert framework.status("victim", {"TASK_KILLED"})["message"] == "Command terminated with signal Terminated"
    framework.start({"late": "exec sleep 1000"}, max_completion_time={"nanoseconds": 100_000_000})
    assert framework.status("late", TERMINAL)["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"


def test_tasks_outlive_a_restart_of_the_agent(cluster, framework):
    framework.start(
        {
            "long": "echo > ready; while [ ! -e go ]; do sleep 0.05; done",
            "short": "while [ ! -e go ]; do sleep 0.05; done",
        }
    )
    framework.status("short", {"TASK_RUNNING"})
    folder = cluster.sandboxes(framework.executor_id)[-1]
    settled("started", (folder / output_folder("long") / "ready").exists)
    cluster.stop_agent(0, tasks=False)
    (folder / output_folder("short") / "go").touch()  # ends while there is no agent
    cluster.start_agent(0)
    assert framework.status("short", TERMINAL)["state"] == "TASK_FINISHED"
    (folder / output_folder("long") / "go").touch()
    assert framework.status("long", TERMINAL)["state"] == "TASK_FINISHED"
    assert len(cluster.sandboxes(framework.executor_id)) == 1
    framework.start({"after": "true"})
    assert framework.status("after", TERMINAL)["state"] == "TASK_FINISHED"


def test_a_crash_ends_its_tasks(cluster, framework):
    framework.start({"task": "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' &); exec sleep 1000"})
    framework.status("task", {"TASK_RUNNING"})
    folder = cluster.sandboxes(framework.executor_id)[-1]
    settled(
        "started",
        lambda: (folder / output_folder("task") / "daemon").exists() and read(cluster, framework, "task", "daemon"),
    )
    os.kill(the_worker(cluster), signal.SIGKILL)
    status = framework.status("task", {"TASK_FAILED", "TASK_LOST", "TASK_GONE"})
    assert status["reason"] == "REASON_EXECUTOR_TERMINATED"
    assert gone(int(read(cluster, framework, "task", "daemon")))
    framework.start({"again": "true"})
    assert framework.status("again", TERMINAL)["state"] == "TASK_FINISHED"


def test_the_end_of_the_framework_ends_all(cluster, uri):
    with Framework(cluster, Setup(uri=uri, cache=False, python=sys.executable)) as framework:
        framework.start({"task": "echo $$ > pid; trap '' TERM; while :; do sleep 1; done"})
        framework.status("task", {"TASK_RUNNING"})
        folder = cluster.sandboxes(framework.executor_id)[-1]
        settled("started", (folder / output_folder("task") / "pid").exists)
        worker = the_worker(cluster)
    settled("gone", lambda: gone(worker) and not executors(cluster))
    settled("gone", lambda: gone(int(read(cluster, framework, "task", "pid"))))


def test_an_idle_executor_leaves_and_another_comes(cluster, uri):
    setup = Setup(uri=uri, cache=False, python=sys.executable, options=Options(idle_exit=0.3))
    with Framework(cluster, setup) as framework:
        for name in ("one", "two"):
            framework.start({name: "true"})
            assert framework.status(name, TERMINAL)["state"] == "TASK_FINISHED"
            settled("gone", lambda: not executors(cluster))
        assert len(cluster.sandboxes(framework.executor_id)) == 2

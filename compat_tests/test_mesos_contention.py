"""More is wanted than a real Mesos cluster gives: preemption, quotas, and runs of a job that stay apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.dialects import V3, eventually
from compat_tests.mesos_jobs import Scheduler, serving
from compat_tests.servers.mesos import AgentSpec, MesosCluster, missing

pytestmark = pytest.mark.external

PATIENCE_S = 60
QUOTAS = '{"channel=film": {"running": 1}}'


@pytest.fixture(scope="module", autouse=True)
def mesos() -> None:
    lacking = missing()
    if lacking:
        pytest.skip(lacking)


@pytest.fixture(scope="module")
def scheduler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mesos: None
) -> Iterator[Scheduler]:
    agents = [
        AgentSpec(hostname=host, attributes=text, resources="cpus:2;mem:2048;disk:4096")
        for host, text in (("a", "slots:4"), ("b", "slots:8"))
    ]
    options = ("--preemption_after", "3", "--quotas", QUOTAS, "--kill_grace", "1")
    with (
        MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster,
        serving(request, tmp_path_factory.mktemp("server"), cluster, *options) as scheduler,
    ):
        yield scheduler


def test_the_urgent_get_room_and_the_others_go_on_after(scheduler: Scheduler) -> None:
    low = [
        scheduler.add(f"low-{n}", command="sleep 600", cpus=1, mem=64, preemptible=True, retries=0) for n in range(4)
    ]
    for name in low:
        scheduler.started(name, PATIENCE_S)
    urgent = scheduler.add("urgent", command="sleep 2", cpus=1, mem=64, priority=10)
    assert scheduler.ended(urgent, PATIENCE_S)["outcome"] == "success"
    stopped = eventually(  # the one that made room is launched again after the urgent one has ended
        lambda: [name for name in low if len(scheduler.attempts(name)) > 1], lambda names: len(names) == 1, PATIENCE_S
    )
    first = scheduler.attempts(stopped[0])[0]
    assert (first["outcome"], first["reason"]) == ("preempted", "preempted")
    scheduler.started(stopped[0], PATIENCE_S)
    assert [len(scheduler.runs(name)) for name in low] == [1, 1, 1, 1]
    scheduler.delete(*low)


def test_runs_of_a_job_stay_apart_and_numbers_count(scheduler: Scheduler) -> None:
    job = scheduler.add(
        "apart", command="sleep 600", cpus=0.1, mem=32, concurrent=True, constraints=[["hostname", "UNIQUE", ""]]
    )
    scheduler.started(job, PATIENCE_S)
    for number in range(2):
        answer = scheduler.session.put(f"{scheduler.url}{V3.prefix}/job/{job}?arguments={number}", timeout=60)
        assert answer.status_code == 204
        if number == 0:
            eventually(lambda: [run["state"] for run in scheduler.runs(job)], lambda found: found == ["running"] * 2)
    assert {run["host"] for run in scheduler.runs(job)[:2]} == {"a", "b"}
    text = "does not meet hostname UNIQUE beside the job's running tasks"
    eventually(lambda: scheduler.why(job), lambda why: text in why["sentence"], PATIENCE_S)
    scheduler.delete(job)
    run = scheduler.ended(scheduler.add("many", cpus=0.1, mem=32, constraints=[["slots", ">", "4"]]), PATIENCE_S)
    assert (run["outcome"], run["host"]) == ("success", "b")


def test_a_quota_holds(scheduler: Scheduler) -> None:
    fields: dict[str, Any] = {"command": "sleep 600", "cpus": 0.1, "mem": 32, "labels": {"channel": "film"}}
    names = [scheduler.add(f"film-{n}", **fields) for n in range(2)]
    scheduler.started(names[0], PATIENCE_S)
    why = eventually(lambda: scheduler.why(names[1]), lambda why: why["code"] == "quota", PATIENCE_S)
    assert why["detail"]["used"]["running"] == 1
    scheduler.delete(names[0])
    scheduler.started(names[1], PATIENCE_S)
    scheduler.delete(names[1])

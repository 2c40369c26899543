"""A run that does not run has a cause, from a list that is written down."""

from __future__ import annotations

import re
from pathlib import Path

from chronos_py.model.messages import DriverLost, KillRun, ReportResult, RunJob
from chronos_py.model.run import TaskState
from chronos_py.model.view import Cause
from tests.builders import a_job
from tests.scheduler.tight import LATER, TightBench

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"


def test_the_page_has_the_whole_list() -> None:
    text = PAGE.read_text("utf-8").partition("## Why a run does not run")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE) == [
        "retry_delay", "job_running", "set_aside", "driver_down", "other_agent", "next_turn", "no_offers", "no_fit",
        "quota", "launching", "stopping", "result_awaited", "running", "ended",
    ]  # fmt: skip
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(Cause)


def test_a_run_on_its_way() -> None:
    bench = TightBench({"x": 1.0}, failure_retry=5000)
    bench.add(a_job(schedule=LATER, cpus=1, is_async=True, retries=1))
    number = bench.ask(RunJob("a"))
    second = bench.ask(RunJob("a", "other"))

    def code(run: int = number) -> str | None:
        why = bench.service.why(run)
        return why.code if why else None

    assert (code(), code(second)) == (Cause.LAUNCHING, Cause.JOB_RUNNING)
    bench.start_all()
    assert code() is None
    task = bench.launched("a")[0]
    bench.driver.fail(task)
    bench.turn()
    assert code() is Cause.RETRY_DELAY
    assert code(second) is Cause.LAUNCHING  # it takes the room meanwhile
    bench.driver.deaf = True
    bench.ask(KillRun(second))
    assert code(second) is Cause.STOPPING
    bench.seconds(6)
    assert code() is Cause.JOB_RUNNING
    bench.driver.end(bench.launched("a")[1], TaskState.KILLED)
    bench.turn()
    assert code() is Cause.LAUNCHING
    bench.finish("a")
    assert code() is Cause.RESULT_AWAITED
    bench.ask(ReportResult(bench.launched("a")[-1].task.id, True))
    assert code() is None
    assert bench.outcomes("a") == ["killed", "success"]


def test_a_run_without_agents_or_cluster() -> None:
    bench = TightBench({"x": 1.0})
    bench.want("a", 2)
    waiting = max(bench.service.view.runs)
    bench.driver.post(DriverLost("gone"))
    bench.turn()
    why = bench.service.why(waiting)
    assert why
    assert why.code is Cause.DRIVER_DOWN

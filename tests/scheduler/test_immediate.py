"""Immediate jobs: each id is started once, whatever is sent again, whatever crashes; its result stays, then goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.errors import IdInUse, Overloaded, StoreUnavailable
from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.immediate import PREFIX, Immediate
from chronos_py.model.job import Constraint, Job, Pair
from chronos_py.model.messages import (
    Kill,
    KillRun,
    PurgeTasks,
    SetPriority,
    StatusUpdate,
    StopImmediate,
    SubmitImmediate,
)
from chronos_py.model.register import Wanted, state_of
from chronos_py.model.run import Outcome, Phase, Run, TaskState, Trigger
from chronos_py.scheduler.policy import PreemptionPolicy
from tests.bench import Bench
from tests.builders import a_job
from tests.fakes import FakeTask
from tests.scheduler.tight import TightBench


def an_immediate(name: str = "i", /, retention: float = 60, **fields: Any) -> Immediate:
    fields.setdefault("command", "true")
    group = fields.pop("name", "unnamed")
    return Immediate(name, Job(name=PREFIX + group, **fields), retention)


def submit(bench: Bench, *jobs: Immediate) -> list[int]:
    numbers: list[int] = bench.ask(SubmitImmediate(jobs))
    return numbers


def tasks_of(bench: Bench, name: str) -> list[FakeTask]:
    return [task for task in bench.driver.launched if task.task.id.endswith(f":{name}")]


def seen(bench: Bench, name: str) -> Run:
    run = bench.service.view.immediate.get(name)
    assert run is not None
    return run


def state(bench: Bench, name: str) -> str | None:
    run = bench.service.view.immediate.get(name)
    return None if run is None else state_of(run)


def finish(bench: Bench, name: str, outcome: TaskState = TaskState.FINISHED) -> None:
    task = tasks_of(bench, name)[-1]
    bench.driver.run(task)
    bench.driver.end(task, outcome, 0 if outcome is TaskState.FINISHED else 3)
    bench.turn()


@pytest.fixture
def bench() -> Bench:
    return Bench(failure_retry=1000)


def test_it_is_launched_in_the_turn_that_takes_it(bench: Bench) -> None:
    commits = bench.store.commits
    bench.step_for(SubmitImmediate([an_immediate(cpus=2.0)]))
    assert bench.reply.result(0) == [1]
    assert (len(tasks_of(bench, "i")), bench.store.commits) == (1, commits + 1)
    task = tasks_of(bench, "i")[0].task
    assert (task.command, task.resources.cpus, task.job) == ("true", 2000, "immediate:unnamed")
    assert dict(task.environment)["CHRONOS_IMMEDIATE_ID"] == "i"
    assert state(bench, "i") == "launching"


def test_one_record_is_stored_and_it_is_no_job(bench: Bench) -> None:
    submit(bench, an_immediate())
    assert bench.store.records["job"] == bench.store.records["state"] == {}
    assert list(bench.store.records["run"]) == [1]
    changed = bench.service.view.changed
    finish(bench, "i")
    assert bench.service.view.jobs == {} and bench.service.view.changed == changed
    assert list(bench.store.records["run"]) == [1]
    assert bench.service.view.runs == {}


def test_it_ends_in_history_as_every_run_does(bench: Bench) -> None:
    submit(bench, an_immediate(owner="me", name="cut"))
    finish(bench, "i")
    row, attempt = bench.rows("immediate:cut")[0], bench.attempts("immediate:cut")[0]
    assert (row.trigger, row.outcome, row.owner, row.exit_reason) == (
        Trigger.IMMEDIATE, Outcome.SUCCESS, "me", "success",
    )  # fmt: skip
    assert (attempt.owner, attempt.task_id) == ("me", row.task_id)
    assert row.task_id.endswith(":0:i")


def test_the_same_again_is_the_same(bench: Bench) -> None:
    first = submit(bench, an_immediate())
    assert submit(bench, an_immediate()) == first
    finish(bench, "i")
    assert submit(bench, an_immediate()) == first
    assert len(bench.driver.launched) == 1
    bench.boot()
    assert submit(bench, an_immediate()) == first
    assert len(bench.driver.launched) == 1


@pytest.mark.parametrize("other", [an_immediate(command="false"), an_immediate(retention=61), an_immediate(name="x")])
def test_another_content_under_a_known_id_is_refused_and_nothing_starts(bench: Bench, other: Immediate) -> None:
    submit(bench, an_immediate())
    with pytest.raises(IdInUse, match=r"\[1\].id.*'i'"):
        submit(bench, an_immediate("new"), other)
    assert state(bench, "new") is None
    with pytest.raises(IdInUse, match=r"^id"):
        submit(bench, other)
    assert len(bench.driver.launched) == 1


def test_one_request_may_name_an_id_twice_but_not_for_two_things(bench: Bench) -> None:
    assert submit(bench, an_immediate(), an_immediate("b"), an_immediate()) == [1, 2, 1]
    with pytest.raises(IdInUse):
        submit(bench, an_immediate("c"), an_immediate("c", command="false"))
    assert len(bench.driver.launched) == 2


def test_the_number_that_is_known_at_once_is_bounded() -> None:
    bench = Bench(immediate_limit=3)
    submit(bench, an_immediate("a"), an_immediate("b"))
    with pytest.raises(Overloaded, match="2 immediate jobs are kept, 2 more would exceed 3"):
        submit(bench, an_immediate("a"), an_immediate("c"), an_immediate("d"))
    assert submit(bench, an_immediate("a"), an_immediate("c")) == [1, 3]


def test_a_result_is_kept_as_long_as_it_says_and_then_gone(bench: Bench) -> None:
    submit(bench, an_immediate("short", retention=5), an_immediate("long", retention=100))
    finish(bench, "short")
    finish(bench, "long")
    bench.later(seconds=4)
    assert (state(bench, "short"), state(bench, "long")) == ("success", "success")
    bench.boot()
    bench.later(seconds=2)
    assert (state(bench, "short"), state(bench, "long")) == (None, "success")
    assert list(bench.store.records["run"]) == [2]
    assert submit(bench, an_immediate("short", command="other"))  # the id is free
    assert bench.service._engine.next_wake is not None
    bench.later(seconds=100)
    assert state(bench, "long") is None


def test_the_wake_for_forgetting_is_known_beforehand(bench: Bench) -> None:
    submit(bench, an_immediate(retention=5))
    finish(bench, "i")
    wake = bench.service._engine.next_wake
    assert wake is not None and bench.clock.at < wake <= bench.clock.at + 6000


def test_a_failure_is_tried_again_and_told_to_the_owner(bench: Bench) -> None:
    submit(bench, an_immediate(retries=1, owner="me"))
    finish(bench, "i", TaskState.FAILED)
    assert state(bench, "i") == "retrying"
    bench.later(seconds=2)
    finish(bench, "i", TaskState.FAILED)
    ended = seen(bench, "i").ended
    assert ended is not None
    assert (ended.outcome, ended.attempts, ended.exit_reason) == (Outcome.FAILED, 2, "exit 3")
    assert [(notice.event, notice.owner) for notice in bench.notices] == [("failed", "me")]


def test_a_time_limit_holds_for_it(bench: Bench) -> None:
    submit(bench, an_immediate(max_completion_time=10, retries=0))
    bench.driver.run(tasks_of(bench, "i")[0])
    bench.turn()
    bench.later(seconds=11)
    assert state(bench, "i") == "timed_out"


def test_all_is_as_it_was_after_a_crash(bench: Bench) -> None:
    submit(bench, *(an_immediate(name, labels=(Pair("k", name),)) for name in "abc"))
    finish(bench, "a")
    bench.driver.run(tasks_of(bench, "b")[0])
    bench.turn()
    before = {name: seen(bench, name) for name in "abc"}
    bench.boot()
    assert {name: state(bench, name) for name in "abc"} == {"a": "success", "b": "running", "c": "launching"}
    assert all(seen(bench, name).immediate == before[name].immediate for name in "abc")
    finish(bench, "c")
    assert len(bench.driver.launched) == 3


def test_a_request_whose_commit_fails_has_started_nothing(bench: Bench) -> None:
    def refuse(changes: Any) -> None:
        raise StoreUnavailable("full")

    bench.store.before = refuse
    with pytest.raises(StoreUnavailable):
        bench.step_for(SubmitImmediate([an_immediate()]))
    bench.store.before = lambda changes: None
    bench.boot()
    assert state(bench, "i") is None and not bench.driver.launched
    assert submit(bench, an_immediate())


def test_a_result_that_cannot_be_used_is_set_aside_alone(bench: Bench) -> None:
    submit(bench, an_immediate("a"))
    bench.store.records["run"][7] = Run(7, "x", Trigger.IMMEDIATE, 1, 1, 1, phase=Phase.ENDED)
    bench.boot()
    assert "7" in bench.service.health()["setAside"]
    finish(bench, "a")
    bench.later(seconds=90)
    assert state(bench, "a") is None
    assert list(bench.store.records["run"]) == [7]


# --- stopping


def test_ids_and_labels_say_which_to_stop(bench: Bench) -> None:
    red, blue = (Pair("colour", "red"),), (Pair("colour", "blue"),)
    submit(bench, an_immediate("a", labels=red), an_immediate("b", labels=blue), an_immediate("c", labels=red))
    finish(bench, "c")
    answer = bench.ask(StopImmediate(("b", "x"), red))
    assert (answer.stopped, answer.forgotten, answer.unknown) == (("a", "b"), (), ("x",))
    assert {name: state(bench, name) for name in "abc"} == {"a": "killed", "b": "killed", "c": "success"}


def test_what_is_forgotten_is_stopped_and_its_id_is_free_at_once(bench: Bench) -> None:
    bench.driver.deaf = True
    submit(bench, an_immediate("a"), an_immediate("b"))
    finish(bench, "b")
    answer = bench.ask(StopImmediate(("a", "b"), forget=True))
    assert (answer.stopped, answer.forgotten) == (("a",), ("a", "b"))
    assert (state(bench, "a"), state(bench, "b")) == (None, None)
    assert submit(bench, an_immediate("a", command="other")) == [3]
    bench.boot()
    assert submit(bench, an_immediate("a", command="other")) == [3]
    first, second = tasks_of(bench, "a")
    bench.driver.end(first, TaskState.KILLED)
    bench.turn()
    assert state(bench, "a") == "launching"
    assert [row.outcome for row in bench.rows("immediate:unnamed")] == [Outcome.SUCCESS, Outcome.KILLED]
    assert second.task.id != first.task.id
    finish(bench, "a")
    assert state(bench, "a") == "success"


def test_one_that_waits_ends_at_once() -> None:
    bench = TightBench({"x": 1.0})
    submit(bench, *(an_immediate(name, cpus=1.0) for name in "abc"))
    assert [state(bench, name) for name in "abc"] == ["launching", "queued", "queued"]
    bench.ask(StopImmediate(("b",)))
    bench.ask(StopImmediate(("c",), forget=True))
    assert (state(bench, "b"), state(bench, "c")) == ("killed", None)
    rows = [(row.outcome, row.reason) for row in bench.rows("immediate:unnamed")]
    assert rows == [(Outcome.KILLED, "user"), (Outcome.SKIPPED, "deleted")]


def test_what_concerns_runs_concerns_it_and_what_concerns_chronos_jobs_does_not() -> None:
    bench = TightBench({"x": 1.0})
    submit(bench, an_immediate("a", cpus=1.0), an_immediate("b", cpus=1.0), an_immediate("c", cpus=1.0))
    assert bench.ask(PurgeTasks()) == 0
    bench.ask(SetPriority(3, 5))
    why = bench.service.why(2)
    assert why is not None and why.code == "no_fit"
    bench.start_all()
    tasks = tasks_of(bench, "a")
    bench.driver.finish(tasks[0])
    bench.turn()
    assert (state(bench, "b"), state(bench, "c")) == ("queued", "launching")
    bench.ask(KillRun(2))
    assert state(bench, "b") == "killed"


def test_they_take_part_in_preemption() -> None:
    bench = TightBench({"x": 1.0}, preemption=PreemptionPolicy(1000, 60))
    submit(bench, an_immediate("low", cpus=1.0, preemptible=True))
    bench.start_all()
    submit(bench, an_immediate("high", cpus=1.0, priority=9))
    bench.seconds(5)
    assert (state(bench, "low"), state(bench, "high")) == ("queued", "launching")


def test_constraints_among_them_count_those_of_one_name() -> None:
    bench = TightBench({"x": 4.0, "y": 4.0})
    unique = (Constraint("hostname", "UNIQUE", ""),)
    submit(bench, *(an_immediate(str(n), constraints=unique, name="one") for n in range(3)))
    submit(bench, an_immediate("other", constraints=unique, name="two"))
    assert sorted(state(bench, str(n)) or "" for n in range(3)) == ["launching", "launching", "queued"]
    assert state(bench, "other") == "launching"


def test_a_task_of_one_whose_record_is_gone_is_stopped(bench: Bench) -> None:
    bench.driver.post(StatusUpdate("im:5:9:0:gone", TaskState.RUNNING, "a", "a"))
    bench.turn()
    kills = [effect.task_id for effect in bench.driver.effects if isinstance(effect, Kill)]
    assert kills == ["im:5:9:0:gone"]


def test_a_chronos_job_of_the_same_name_is_another(bench: Bench) -> None:
    bench.add(a_job("i", schedule="R/2026-01-01T01:00:00Z/PT1H"), a_job("unnamed", schedule="R/2027-01-01/P1D"))
    submit(bench, an_immediate("i"))
    finish(bench, "i")
    assert bench.state("i").success_count == bench.state("unnamed").success_count == 0
    assert bench.rows("i") == []


# --- looking for them


def test_they_are_found_by_label_owner_name_and_state_page_by_page(bench: Bench) -> None:
    pairs = (Pair("k", "even"),), (Pair("k", "odd"), Pair("more", "x"))
    jobs = [
        an_immediate(str(n), owner="me" if n < 4 else "you", labels=pairs[n % 2], name="n" if n == 5 else "m")
        for n in range(6)
    ]
    submit(bench, *jobs)
    finish(bench, "0")
    register = bench.service.view.immediate

    def found(**wanted: Any) -> tuple[int, list[str]]:
        total, runs = register.find(Wanted(**wanted))
        return total, [run.immediate.id for run in runs if run.immediate is not None]

    assert found() == (6, ["5", "4", "3", "2", "1", "0"])
    assert found(limit=2) == (6, ["5", "4"])
    assert found(limit=2, before=5) == (6, ["3", "2"])
    assert found(labels=(Pair("k", "odd"),)) == (3, ["5", "3", "1"])
    assert found(labels=(Pair("k", "odd"), Pair("more", "x")), owner="me") == (2, ["3", "1"])
    assert found(labels=(Pair("k", "none"),)) == (0, [])
    assert found(states=("success",)) == (1, ["0"])
    assert found(states=("success", "launching"), owner="me", limit=1) == (4, ["3"])
    assert found(name="n") == (1, ["5"])
    assert register.counts == {"launching": 5, "success": 1}
    bench.ask(StopImmediate(tuple("012345"), forget=True))
    assert found() == (0, []) and register.counts == {} and len(register) == 0


# --- anything at all

names = st.sampled_from(["a", "b", "c", "d"])
acts = st.one_of(
    st.tuples(st.just("submit"), st.lists(st.tuples(names, st.integers(0, 1)), min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["stop", "forget", "finish", "fail", "lose"]), names),
    st.tuples(st.just("later"), st.integers(1, 20)),
    st.tuples(st.just("crash"), st.just(0)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(acts, max_size=25))
def test_each_id_runs_once_whatever_happens(steps: list[tuple[str, Any]]) -> None:
    bench = Bench(failure_retry=1000)
    started: dict[str, tuple[Immediate, int]] = {}  # what is known, and which run it is
    for kind, what in steps:
        if kind == "submit":
            jobs = [an_immediate(name, 10, retries=1, command=str(version)) for name, version in what]
            clash = any(started.get(job.id, (job, 0))[0] != job for job in jobs)
            clash |= any(one.id == other.id and one != other for one in jobs for other in jobs)
            if clash:
                with pytest.raises(IdInUse):
                    submit(bench, *jobs)
                continue
            for job, number in zip(jobs, submit(bench, *jobs), strict=True):
                assert started.setdefault(job.id, (job, number)) == (job, number)
        elif kind in ("stop", "forget"):
            answer = bench.ask(StopImmediate((what,), forget=kind == "forget"))
            assert (answer.unknown == (what,)) == (what not in started)
            if kind == "forget":
                started.pop(what, None)
        elif kind == "later":
            bench.later(seconds=what)
        elif kind == "crash":
            bench.boot()
        else:
            for task in tasks_of(bench, what)[-1:]:
                if task.update is None:
                    ends = {"finish": TaskState.FINISHED, "fail": TaskState.FAILED, "lose": TaskState.LOST}
                    bench.driver.run(task)
                    bench.driver.end(task, ends[kind])
                    bench.turn()
        for name, (job, number) in list(started.items()):
            run = bench.service.view.immediate.get(name)
            if run is None:  # its time is over
                ends_of = [row for row in bench.rows(job.job.name) if row.run == number]
                assert len(ends_of) == 1 and ends_of[0].ended + 10_000 <= bench.clock.at
                del started[name]
                continue
            assert (run.id, run.immediate) == (number, job)
            assert (run.phase is Phase.ENDED) == (number not in bench.service.view.runs)
        assert len(bench.service.view.immediate) == len(started)
        assert sum(bench.service.view.immediate.counts.values()) == len(started)
    tries = [(record.run, record.attempt) for record in bench.store.ledger if isinstance(record, AttemptRecord)]
    rows = [record.run for record in bench.store.ledger if isinstance(record, RunRecord)]
    assert len(set(tries)) == len(tries) and len(set(rows)) == len(rows)

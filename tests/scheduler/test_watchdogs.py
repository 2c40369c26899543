"""What ought not to happen is noticed; what one job cannot do does not stop the others."""

from __future__ import annotations

from typing import Any

import pytest

from chronos_py.clock import Millis
from chronos_py.model.messages import DriverLost, DriverReady, Resubscribe, Revive, SubmitJob
from chronos_py.model.run import Phase
from chronos_py.scheduler import rounds
from chronos_py.scheduler.entry import Entry
from chronos_py.scheduler.release import Releaser
from chronos_py.scheduler.rounds import Rounds
from chronos_py.scheduler.tasks import build_task
from tests.bench import Bench
from tests.builders import a_job


def alarms(bench: Bench) -> dict[str, str]:
    return {name: watch["reason"] for name, watch in bench.service.health()["watchdogs"].items() if watch["alarm"]}


# --- offers


def test_without_offers_we_ask_again_then_connect_anew_with_growing_pauses() -> None:
    bench = Bench()
    bench.service._engine.loop.disconnected()
    bench.add(a_job(schedule="R1//P"))
    bench.driver.effects.clear()
    acts: list[tuple[int, type]] = []
    for second in range(1, 600):
        bench.later(seconds=1)
        acts += [(second, type(e)) for e in bench.driver.effects if isinstance(e, Revive | Resubscribe)]
        bench.driver.effects.clear()
        assert bool(alarms(bench)) == (second >= 30)
    assert acts == [(30, Revive), (60, Resubscribe), (120, Resubscribe), (240, Resubscribe), (480, Resubscribe)]
    assert alarms(bench) == {"offers": "tasks wait and no offer came for 480 s"}
    bench.driver.offer("a")
    bench.turn()
    assert not alarms(bench) and bench.launched("a")


def test_a_cluster_that_cannot_be_reached_gives_alarm_after_a_moment_and_is_quiet_when_it_is_back() -> None:
    bench = Bench()
    bench.driver.post(DriverLost("the master is silent"))
    bench.turn()
    assert not alarms(bench)
    wake = bench.service._engine.next_wake
    assert wake == bench.clock.now() + 5000
    bench.later(seconds=5)
    assert alarms(bench) == {"connection": "the cluster cannot be reached: the master is silent"}
    bench.driver.post(DriverReady("framework-1"))
    bench.turn()
    assert not alarms(bench)


def test_an_offer_that_is_too_small_is_an_offer_too() -> None:
    bench = Bench()
    bench.add(a_job(schedule="R1//P", cpus=1000.0))
    bench.later(minutes=10)
    assert not alarms(bench)
    assert bench.service._engine.next_wake is not None


def test_nothing_waits_nothing_is_watched() -> None:
    bench = Bench()
    bench.service._engine.loop.disconnected()
    bench.later(minutes=10)
    assert not alarms(bench)


# --- placement


def test_a_run_that_fits_and_is_not_launched_gives_alarm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench()
    monkeypatch.setattr(Rounds, "place", lambda self, loop, now, coming: None)
    bench.add(a_job(schedule="R1//P"))
    for _ in range(30):
        bench.later(seconds=1)
    assert list(alarms(bench)) == ["placement"] and "of a fits" in alarms(bench)["placement"]
    assert capsys.readouterr().out.count("watchdog") == 1
    monkeypatch.undo()
    bench.later(seconds=1)
    bench.later(seconds=5)
    assert bench.launched("a") and not alarms(bench)
    assert capsys.readouterr().out.count("watchdog is quiet again") == 1


# --- set aside


def break_job(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let the due times of a job fail as a mistake of ours would."""
    release = Releaser._release_one

    def release_or_fail(self: Releaser, entry: Entry, now: Millis) -> None:
        if entry.job.name == name:
            raise KeyError("a mistake")
        release(self, entry, now)

    monkeypatch.setattr(Releaser, "_release_one", release_or_fail)


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_whose_time_cannot_be_taken_is_set_aside_and_all_others_go_on(
    monkeypatch: pytest.MonkeyPatch, restart: bool
) -> None:
    bench = Bench()
    jobs = [a_job(name, schedule="R/2026-01-01T01:00:00Z/PT1H") for name in ("bad", "good")]
    bench.add(*jobs)
    break_job(monkeypatch, "bad")
    bench.later(hours=1)
    if restart:
        bench.boot()
        bench.end("good")
    else:
        bench.end("good")
    bench.later(hours=1)
    assert len(bench.launched("good")) == 2 and not bench.launched("bad")
    assert bench.service.health()["setAside"] == {"bad": "KeyError: 'a mistake'"}
    assert alarms(bench) == {"jobs": "1 set aside, the first: bad (KeyError: 'a mistake')"}
    monkeypatch.undo()
    bench.ask(SubmitJob(jobs[0]))
    assert not alarms(bench) and not bench.service.health()["setAside"]
    assert len(bench.launched("bad")) == 1


def test_a_run_that_cannot_be_launched_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    build = build_task

    def build_or_fail(job: Any, *more: Any) -> Any:
        if job.name == "bad":
            raise ValueError("no task")
        return build(job, *more)

    monkeypatch.setattr(rounds, "build_task", build_or_fail)
    bench.add(a_job("bad", schedule="R1//P"), a_job("good", schedule="R1//P"))
    assert bench.launched("good") and not bench.launched("bad")
    number, run = next((n, run) for n, run in bench.service.view.runs.items() if run.job == "bad")
    assert run.phase is Phase.QUEUED
    assert bench.service.health()["setAside"] == {str(number): "ValueError: no task"}
    why = bench.service.why(number)
    assert why is not None and why.code == "set_aside"
    monkeypatch.undo()
    bench.add(a_job("bad", schedule=bench.shown("bad")))
    assert bench.launched("bad")


def test_a_mistake_that_is_nobodys_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(Rounds, "place", lambda self, loop, now, coming: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bench.add(a_job(schedule="R1//P"))

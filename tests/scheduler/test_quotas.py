"""Quotas: what is guaranteed goes to those for whom it is, what they leave is lent out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.job import Constraint, Counters, Pair
from chronos_py.model.messages import ChangeJob, KillRun
from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Phase
from chronos_py.model.view import Cause
from chronos_py.scheduler.board import Request
from chronos_py.scheduler.holdings import Holdings, Use
from chronos_py.scheduler.placement import Lending, Placement, place
from chronos_py.scheduler.queue import RunQueue, Shape
from chronos_py.scheduler.quotas import BadQuotas, Gate, Quota, parse_quotas, quotas_of
from tests.scheduler.tight import TightBench

NAMES = ("t=a", "t=b", "*")


def test_what_is_said_is_read():
    quotas = parse_quotas('{"t=a": {"cpus": 0.5, "mem": 64, "running": 3, "borrow": true}, "*": {}}')
    assert quotas == {"t=a": Quota("t=a", cpus=500, mem=64_000, running=3, borrow=True), "*": Quota("*")}
    assert parse_quotas(" ") == {}
    assert quotas_of(quotas, [Pair("t", "a"), Pair("u", "b")]) == ("t=a",)
    assert quotas_of(quotas, [Pair("t", "b")]) == ("*",)
    assert quotas_of({"t=a": quotas["t=a"]}, []) == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "JSON"), ("[]", "object"), ('{"a": {}}', "'a'"), ('{"t=a": 1}', "t=a"), ('{"t=a": {"cpu": 1}}', "'cpu'"),
        ('{"t=a": {"cpus": -1}}', "t=a.cpus"), ('{"t=a": {"cpus": "1"}}', "t=a.cpus"),
        ('{"t=a": {"mem": 1e13}}', "mem"),
        ('{"t=a": {"running": 1.5}}', "running"), ('{"t=a": {"borrow": 1}}', "borrow"),
        ('{"t=a": {"mem": NaN}}', "mem"),
        ('{"t=a": {"gpus": true}}', "gpus"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    with pytest.raises(BadQuotas, match=named):
        parse_quotas(text)


# --- one round


@st.composite
def rounds(draw: st.DrawFn) -> tuple[dict[str, Quota], RunQueue, list[Offer]]:
    quotas = {
        name: Quota(name, cpus=draw(st.none() | st.integers(0, 6)), running=draw(st.none() | st.integers(0, 4)),
                    borrow=draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(NAMES)))
    }  # fmt: skip
    queue = RunQueue()
    racks = st.sampled_from([(), (Constraint("rack", "EQUALS", "r1"),), (Constraint("rack", "EQUALS", "r2"),)])
    for number in range(draw(st.integers(0, 12))):
        labels = [Pair("t", draw(st.sampled_from("abc")))]
        shape = Shape(Resources(draw(st.integers(1, 3))), draw(racks), quotas=quotas_of(quotas, labels))
        queue.push(number, shape, draw(st.integers(0, 2)), draw(st.integers(0, 5)))
    offers = [
        Offer(f"o{n}", f"agent-{n}", "h", Resources(draw(st.integers(0, 5))), Resources(5), {"rack": f"r{n}"})
        for n in range(draw(st.integers(0, 3)))
    ]
    return quotas, queue, offers


def one_round(quotas: dict[str, Quota], queue: RunQueue, offers: list[Offer]) -> Placement:
    stuck: set[Shape] = set()

    def requests(stuck: Any, among: Any = None) -> Any:
        return (Request(number, shape) for number, shape in queue.in_order(stuck, among))

    lending = Lending(
        Gate(quotas, Holdings()),
        requests,
        lambda placed: [shape for shape in queue.shapes if queue.waiting(shape) > placed.get(shape, 0)],
        lambda: False,
    )
    return place(requests(stuck), offers, stuck, lending=lending)


@given(rounds())
def test_nobody_exceeds_what_he_may_not_borrow_and_none_is_forgotten(given_: Any) -> None:
    quotas, queue, offers = given_
    placement = one_round(quotas, queue, offers)
    use = {name: Use() for name in quotas}
    room = {offer.agent_id: offer.resources.cpus for offer in offers}
    for request, where in placement.launches:
        room[where.agent] -= request.shape.need.cpus
        for name in request.shape.quotas:
            if not quotas[name].borrow:
                assert not quotas[name].exceeded(use[name], request.shape.need)
            use[name].held += request.shape.need
            use[name].running += 1
    assert all(left >= 0 for left in room.values())
    placed = [request.run for request, _ in placement.launches]
    assert len(set(placed)) == len(placed)
    waiting = {number: shape for number, shape in queue.in_order(set()) if number not in placed}
    assert set(waiting.values()) <= placement.refusals.keys()

    def fits(shape: Shape) -> bool:
        return any(
            room[offer.agent_id] >= shape.need.cpus
            and all(limit.value == offer.attributes["rack"] for limit in shape.constraints)
            for offer in offers
        )

    for shape in waiting.values():
        exceeded = [name for name in shape.quotas if quotas[name].exceeded(use[name], shape.need)]
        if not exceeded:  # nobody within his quotas waits while there is room
            assert not fits(shape)
            assert placement.refusals[shape].cause is not Cause.QUOTA
        elif fits(shape):
            excess = placement.refusals[shape].excess
            assert excess
            assert excess.waits_for or not all(quotas[name].borrow for name in exceeded)


def test_what_is_guaranteed_goes_first_whatever_the_priorities():
    quotas = parse_quotas('{"t=a": {"running": 1, "borrow": true}, "t=b": {"running": 2, "borrow": true}}')
    queue, need = RunQueue(), Resources(1)
    for number in range(4):
        queue.push(number, Shape(need, quotas=("t=a",)), 100, 0)
        queue.push(10 + number, Shape(need, quotas=("t=b",)), 0, 0)
    placement = one_round(quotas, queue, [Offer("o", "x", "h", Resources(4), Resources(4))])
    assert [request.run for request, _ in placement.launches] == [0, 10, 11, 1]


def test_nothing_is_lent_where_one_within_his_quota_waits_for_room():
    quotas = parse_quotas('{"t=a": {"running": 0, "borrow": true}, "t=b": {"cpus": 0.004}}')
    queue = RunQueue()
    queue.push(1, Shape(Resources(1), quotas=("t=a",)), 0, 0)
    queue.push(2, Shape(Resources(4), (Constraint("rack", "EQUALS", "r0"),), quotas=("t=b",)), 0, 0)
    offers = [Offer(f"o{n}", f"agent-{n}", "h", Resources(2), Resources(4), {"rack": f"r{n}"}) for n in range(2)]
    assert [where.agent for _, where in one_round(quotas, queue, offers).launches] == ["agent-1"]
    refusal = one_round(quotas, queue, offers[:1]).refusals[Shape(Resources(1), quotas=("t=a",))]
    assert refusal.sentence == (
        "quota t=a is used up: running 0 of 0 in use; what it could borrow is kept for waiting runs of t=b"
    )
    assert refusal.detail(Resources(1)) == {
        "need": "cpus:0.001;mem:0;disk:0", "quota": "t=a", "guaranteed": {"running": 0}, "borrow": True,
        "used": {"cpus": 0, "mem": 0, "disk": 0, "gpus": 0, "running": 0}, "exceeded": ["running"], "waitsFor": ["t=b"],
    }  # fmt: skip


# --- with the engine


def a_bench(text: str) -> TightBench:
    return TightBench(quotas=parse_quotas(text))


A: dict[str, Any] = {"labels": (Pair("t", "a"),)}
B: dict[str, Any] = {"labels": (Pair("t", "b"),)}


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_waits_for_its_quota_and_goes_on_when_a_task_of_it_ends(restart: bool) -> None:
    bench = a_bench('{"t=a": {"running": 2}}')
    bench.want("one", 3, **A)
    bench.want("two")
    assert bench.running() == {"one": 2, "two": 1}
    if restart:
        bench.boot()
    waiting = bench.why("one")
    assert (waiting.code, waiting.sentence) == (Cause.QUOTA, "quota t=a is used up: running 2 of 2 in use")
    assert bench.service.quotas() == [
        {"quota": "t=a", "guaranteed": {"running": 2}, "borrow": False, "waiting": 1,
         "used": {"cpus": 2, "mem": 256, "disk": 512, "gpus": 0, "running": 2}}
    ]  # fmt: skip
    bench.finish("one")
    assert bench.running() == {"one": 2, "two": 1}
    assert not any(run.phase is Phase.QUEUED for run in bench.service.view.runs.values())


def test_what_others_leave_is_borrowed_and_given_back_as_tasks_end():
    bench = a_bench('{"t=a": {"cpus": 2, "borrow": true}, "t=b": {"cpus": 2, "borrow": true}}')
    bench.want("one", 6, **A)
    assert bench.running() == {"one": 4}
    bench.want("two", 2, **B)
    waiting = bench.why("one")
    assert (waiting.code, waiting.detail["waitsFor"]) == (Cause.QUOTA, ["t=b"])
    for count in (1, 2):
        bench.finish("one")
        assert bench.running() == {"one": 4 - count, "two": count}
    bench.finish("two")
    assert bench.running() == {"one": 3, "two": 1}


def test_jobs_that_no_quota_names_may_be_borrowers_too():
    bench = a_bench('{"t=a": {"cpus": 4}, "*": {"cpus": 0, "borrow": true}}')
    bench.want("other", 4)
    bench.want("urgent", 1, priority=50)
    bench.want("one", **A)
    bench.finish("other")
    assert bench.running() == {"other": 3, "one": 1}
    bench.finish("other")
    assert bench.running() == {"other": 2, "one": 1, "urgent": 1}


def test_a_quota_that_is_used_up_gives_no_alarm_and_asks_for_no_offers():
    bench = a_bench('{"t=a": {"running": 0}}')
    bench.want("one", **A)
    bench.later(minutes=5)
    bench.later(minutes=5)
    assert not any(watch["alarm"] for watch in bench.service.health()["watchdogs"].values())
    assert bench.service._engine.rounds.placeable() == []


def test_a_job_that_changes_its_label_changes_its_quota():
    bench = a_bench('{"t=a": {"running": 1}}')
    bench.want("one", 2, **A)
    assert bench.running() == {"one": 1}
    bench.ask(ChangeJob("one", lambda job, state: (replace(job, labels=()), Counters())))
    assert bench.running() == {"one": 2}
    assert bench.service.quotas()[0]["used"]["running"] == 0


def test_killing_frees_a_quota():
    bench = a_bench('{"t=a": {"running": 1}}')
    bench.want("one", 2, **A)
    first = next(run for run in bench.service.view.runs.values() if run.on_agent)
    bench.ask(KillRun(first.id))
    assert bench.running() == {"one": 1}
    assert bench.service.quotas()[0]["used"]["running"] == 1

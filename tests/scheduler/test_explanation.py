"""Why a run is placed where it is: what decided, each rank of the list, and a text of bounded size."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.model.run import Run, Trigger
from chronos_py.model.view import EndCause
from chronos_py.scheduler.board import Request
from chronos_py.scheduler.explanation import LONGEST, Choice, Rank, explain, read, sentence
from chronos_py.scheduler.placement import place
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.retry import weights

PAGE = Path(__file__).parents[2] / "docs" / "placement.md"
TOTAL = Resources.of(4, 4000, 4000)
ONE = Shape(Resources.of(1, 10, 10))


def offers(**free: float) -> list[Offer]:
    return [Offer(f"o-{name}", name, name, Resources.of(cpus, 4000, 4000), TOTAL) for name, cpus in free.items()]


def chosen(
    request: Request, there: Sequence[Offer], suspect: Collection[str] = (), leaving: Collection[str] = ()
) -> tuple[str, Choice]:
    placement = place([request], there, suspect=suspect, leaving=leaving)
    ((_, where),) = placement.launches
    return where.agent, placement.choices[request.run]


def test_each_rank_is_named_when_it_decides() -> None:
    plain = Request(1, ONE)
    assert chosen(plain, offers(a=4)) == ("a", Choice(Rank.ONLY, 1, 0.0))
    assert chosen(plain, offers(a=4, b=2)) == ("a", Choice(Rank.BALANCE, 2, 0.0, "b", 0.5))
    assert chosen(plain, offers(a=4, b=4)) == ("a", Choice(Rank.ORDER, 2, 0.0, "b", 0.0))
    assert chosen(plain, offers(a=4, b=0.5)) == ("a", Choice(Rank.ROOM, 2, 0.0, "b", 0.875))
    assert chosen(plain, offers(a=4, b=2), suspect={"a"}) == ("b", Choice(Rank.HEALTH, 2, 0.5, "a", 0.0))
    assert chosen(plain, offers(a=4, b=2), leaving={"a"}) == ("b", Choice(Rank.MAINTENANCE, 2, 0.5, "a", 0.0))
    retry = Request(1, ONE, avoid=("a",))
    assert chosen(retry, offers(a=4, b=2)) == ("b", Choice(Rank.AVOIDANCE, 2, 0.5, "a", 0.0))
    gpus = [*offers(a=2), Offer("o-g", "g", "g", Resources.of(4, 4000, 4000, 1), Resources.of(4, 4000, 4000, 1))]
    assert chosen(plain, gpus) == ("a", Choice(Rank.SCARCITY, 2, 0.5, "g", 0.0))


def test_of_avoided_agents_the_least_avoided_is_taken() -> None:
    agent, choice = chosen(Request(1, ONE, avoid=("b", "a")), offers(a=4, b=2))
    assert (agent, choice.rank) == ("b", Rank.LAST_RESORT)


def test_avoidance_halves_with_failures_and_with_time() -> None:
    run = Run(1, "a", Trigger.MANUAL, 0, 0, 0, avoid=("x", "y", "z"), avoid_until=(1000, 1400, 1600))
    found = weights(run, 600, 1000)  # the attempts failed at 0, 400 and 600
    assert found == {"x": 2.0**-4.4, "y": 2.0**-1.8, "z": 1.0}
    assert list(found) == list(run.avoid)
    assert list(weights(Run(1, "a", Trigger.MANUAL, 0, 0, 0, avoid=("x", "y")), 5, 0).values()) == [0.5, 1.0]


def test_a_text_is_short_and_can_be_read_again() -> None:
    taken = {"*": Resources.of(1, 10, 10), "news": Resources.of(2)}
    choice = Choice(Rank.BALANCE, 7, 0.25, "other", 0.5)
    form = read(explain(choice, taken, {"bad": 1.0}, 1500, ("no_fit", "1 agent: not enough cpus free")))
    assert form is not None
    assert form["taken"] == {"*": "cpus:1;mem:10;disk:10", "news": "cpus:2;mem:0;disk:0"}
    assert (form["next"], form["waited"]) == ({"agent": "other", "share": 0.5}, 1500)
    said = "25% of it was in use, and 50% of the next, other; before, 1 agent: not enough cpus free"
    assert sentence(form) == said
    long = explain(choice._replace(other="x" * 5000), taken, {}, 1)
    assert len(long) <= LONGEST
    assert read(long) is not None
    assert read("") is read("{") is read("[]") is None
    assert all(sentence({"rank": rank}) for rank in Rank)


def test_the_page_has_both_lists() -> None:
    text = PAGE.read_text("utf-8")
    ranks = text.partition("## Why it was placed there")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", ranks, re.MULTILINE) == [rank.value for rank in Rank]
    ends = text.partition("## Why it ended")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", ends, re.MULTILINE) == [cause.value for cause in EndCause]

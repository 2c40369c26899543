"""Children are released by runs of their parents, cycle by cycle."""

from __future__ import annotations

from chronos_py.model.job import Edge, Token
from chronos_py.scheduler.dependencies import Edges, released, reparented, succeeded, unsuccessful

HOUR = 3_600_000
DAY = 24 * HOUR


class Child:
    """Plays a child's edges; `runs` are the parents' runs that each release used."""

    def __init__(self, *parents: str) -> None:
        self.edges: Edges = reparented((), parents)
        self.runs: list[tuple[int, ...]] = []

    def success(self, parent: str, run: int, due: int, *, root: int | None = None, rerun: bool = False) -> None:
        token = Token(run, due, (("root", root),) if root is not None else ((parent, run),))
        self.edges = succeeded(self.edges, parent, token, rerun=rerun)
        self.release()

    def failure(self, parent: str, due: int) -> None:
        self.edges = unsuccessful(self.edges, parent, due)

    def release(self) -> None:
        while True:
            self.edges, tokens = released(self.edges)
            if not tokens:
                return
            self.runs.append(tuple(token.run for token in tokens))


def test_one_parent_releases_on_each_success() -> None:
    child = Child("a")
    child.success("a", 1, 0)
    child.success("a", 2, DAY)
    assert child.runs == [(1,), (2,)]


def test_two_parents_release_once_a_cycle_in_either_order() -> None:
    child = Child("a", "b")
    child.success("a", 1, 0)
    assert child.runs == []
    child.success("b", 2, 0)
    child.success("b", 4, DAY)
    child.success("a", 3, DAY)
    assert child.runs == [(1, 2), (3, 4)]


def test_the_slowest_parent_decides() -> None:
    child = Child("a", "b")
    for run in range(3):
        child.success("a", run, run * DAY)
    child.success("b", 10, 0)
    child.success("b", 11, DAY)
    assert child.runs == [(0, 10), (1, 11)]


def test_a_failed_parent_does_not_shift_the_cycle_when_it_comes_first() -> None:
    child = Child("a", "b")  # b at two o'clock, a at three
    child.failure("b", 2 * HOUR)
    child.success("a", 1, 3 * HOUR)
    child.success("b", 2, DAY + 2 * HOUR)
    assert child.runs == []
    child.success("a", 3, DAY + 3 * HOUR)
    assert child.runs == [(3, 2)]


def test_a_failed_parent_does_not_shift_the_cycle_when_it_comes_last() -> None:
    child = Child("a", "b")  # a at two o'clock, b at three
    child.success("a", 1, 2 * HOUR)
    child.failure("b", 3 * HOUR)
    child.success("a", 2, DAY + 2 * HOUR)
    assert child.runs == []
    child.success("b", 3, DAY + 3 * HOUR)
    assert child.runs == [(2, 3)]


def test_a_rerun_repairs_the_cycle() -> None:
    child = Child("a", "b")
    child.success("a", 1, 0)
    child.failure("b", 0)
    child.success("b", 2, HOUR, rerun=True)
    assert child.runs == [(1, 2)]


def test_parents_of_one_root_are_paired_by_its_run() -> None:
    child = Child("a", "b")
    child.success("a", 1, 0, root=100)
    child.success("a", 2, DAY, root=101)
    child.success("b", 3, DAY, root=101)  # b missed the first cycle
    assert child.runs == [(2, 3)]


def test_new_parents_keep_the_tokens_of_those_that_stay() -> None:
    child = Child("a", "b")
    child.success("a", 1, 0)
    child.edges = reparented(child.edges, ["c", "a"])
    assert child.edges == (Edge("c"), Edge("a", (Token(1, 0, (("a", 1),)),)))
    child.edges = reparented(child.edges, ["a"])
    child.release()
    assert child.runs == [(1,)]


def test_a_parent_far_ahead_keeps_a_bounded_line() -> None:
    child = Child("a", "b")
    for run in range(1500):
        child.success("a", run, run)
    assert len(child.edges[0].tokens) == 1000
    assert child.edges[0].tokens[-1].run == 1499

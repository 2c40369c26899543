"""Which task goes on which agent: pure, so that it can be tested and measured alone.

A *place* is what one agent offers to one role: offers of equal agent and role are used together, never across roles.
Hard rules: quotas (`quotas`), constraints, room, exact to the thousandth, no agent that is down for maintenance, and no
agent that the run may not have. Preferences, the first that differs decides:

1. *avoidance*: a retry goes to an agent on which no attempt of its run failed, if any has room, else to the least
   avoided (`retry.weights`); never a veto;
2. *health*: an agent on which many attempts in a row failed, of any jobs, comes last (`health`);
3. *maintenance*: then one that is soon to go down;
4. *scarcity*: a task without GPUs takes an agent that has some only when no other has room;
5. *balance*: the place whose dominant share in use is smallest (Ghodsi et al., "Dominant Resource Fairness", 2011).

2 to 4 are steps on the same scale as the share, so that they cost nothing. What decided is noted with each launch, as a
`Choice` (`explanation`). `board` has the places and how the best is found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from chronos_py.model.offer import Offer
from chronos_py.model.resources import Resources
from chronos_py.scheduler.board import Board, Place, Refusal, Request
from chronos_py.scheduler.explanation import Choice
from chronos_py.scheduler.holdings import Holdings
from chronos_py.scheduler.queue import Shape
from chronos_py.scheduler.quotas import Gate


@dataclass(slots=True)
class Placement:
    """`launches`: (request, place) in order; `choices`: what each run's place was chosen from; `refusals`: why each
    shape that waits fits nowhere; `picky`: strict requests that found no place but, at best, one that they avoid."""

    launches: list[tuple[Request, Place]] = field(default_factory=list)
    choices: dict[int, Choice] = field(default_factory=dict)
    refusals: dict[Shape, Refusal] = field(default_factory=dict)
    picky: list[Request] = field(default_factory=list)


@dataclass(slots=True)
class Lending:
    """What quotas need of the queue: `again` yields the requests of some lines, without those that are stuck; `waiting`
    the shapes of which more wait than were placed; `cut` tells whether not all that wait were looked at."""

    gate: Gate
    again: Callable[[set[Shape], Collection[Shape]], Iterable[Request]]
    waiting: Callable[[Mapping[Shape, int]], Iterable[Shape]]
    cut: Callable[[], bool]


def place(
    requests: Iterable[Request],
    offers: Iterable[Offer],
    stuck: set[Shape] | None = None,
    *,
    down: Collection[str] = (),
    leaving: Collection[str] = (),
    suspect: Collection[str] = (),
    holdings: Holdings | None = None,
    lending: Lending | None = None,
) -> Placement:
    """Place each request, in the order given, on the best place with room.

    `down` are agents that may not be used, `leaving` those to use last, `suspect` the last of all. A shape that does
    not fit is put into `stuck` and not tried again in this round; the caller may skip its others. An unsatisfiable head
    blocks nobody else. With `lending`, quotas are kept.
    """
    board = Board(offers, down, leaving, suspect, holdings)
    stuck = set() if stuck is None else stuck
    placement = Placement()
    over: list[Shape] = []  # in order: those that are not within their quotas
    for request in requests:
        shape = request.shape
        if shape in stuck:
            continue
        if lending is not None and shape.quotas and lending.gate.exceeded(shape):
            stuck.add(shape)
            over.append(shape)
            continue
        _put(request, board, placement, stuck, lending)
    beyond = _lend(over, board, placement, stuck, lending) if lending is not None and over else {}
    for shape in stuck:
        placement.refusals[shape] = beyond.get(shape) or board.refusal(shape)
    return placement


def _put(
    request: Request, board: Board, placement: Placement, stuck: set[Shape], lending: Lending | None = None
) -> None:
    """Place one request, or note that it fits nowhere."""
    chosen = board.take(request)
    if chosen is None and request.strict:
        placement.picky.append(request)
    elif chosen is None:
        stuck.add(request.shape)
    else:
        placement.launches.append((request, chosen))
        placement.choices[request.run] = board.choice
        if lending is not None:
            lending.gate.add(request.shape)


def _lend(
    over: list[Shape], board: Board, placement: Placement, stuck: set[Shape], lending: Lending
) -> dict[Shape, Refusal]:
    """Place those that exceed their quotas and may borrow where nobody within his quotas could go; return why others
    wait."""
    placed = Counter(request.shape for request, _ in placement.launches)
    kept, owners = set[int](), set[str]()
    waiting = [shape for shape in lending.waiting(placed) if shape.quotas and not lending.gate.exceeded(shape)]
    for shape in waiting:
        if shape in stuck or lending.cut():  # else only such of it wait as are not to be placed at all
            places = board.could_go(shape)
            kept |= places
            if places:
                owners.update(shape.quotas)
    borrowers = {shape for shape in over if all(quota.borrow for quota, _ in lending.gate.exceeded(shape))}
    done = {request.run for request, _ in placement.launches} | {request.run for request in placement.picky}
    stuck -= borrowers
    if borrowers:
        for shape in borrowers:
            board.keep_off(shape, kept)
        for request in lending.again(stuck, borrowers):
            if request.run not in done and request.shape not in stuck:
                _put(request, board, placement, stuck, lending)
    return {
        shape: Refusal({}, Resources(), lending.gate.excess(shape, owners))
        for shape in over
        if shape in stuck and (shape not in borrowers or owners)
    }

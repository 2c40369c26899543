from __future__ import annotations

import pytest

from chronos_py.errors import InvalidInput
from chronos_py.model.resources import Resources
from chronos_py.simulation.agents import VirtualAgent, outages, parse_agents, renamed, several
from tests.fakes import NEW_YEAR

DAY = 86_400_000


def test_a_description():
    (agent,) = parse_agents(" cpus:4 ; mem:8192;disk:100;gpus:1;rack:r1 ")
    assert agent.id == agent.name == "agent-1"
    assert agent.total == Resources.of(4, 8192, 100, 1, ports=30_000)
    assert agent.attributes == {"rack": "r1"}


def test_several_are_numbered_through():
    assert [agent.id for agent in several(["2*cpus:1;mem:1", "3 * cpus:2;mem:1"])] == [
        f"agent-{n}" for n in range(1, 6)
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "needs cpus"),
        ("cpus:4", "needs mem"),
        ("cpus:4;mem", "not of the form"),
        ("cpus:x;mem:1", "no number"),
        ("cpus:-1;mem:1", "out of range"),
        ("cpus:nan;mem:1", "out of range"),
        ("cpus:1;cpus:2;mem:1", "twice"),
        ("0*cpus:1;mem:1", "from 1"),
        ("99999*cpus:1;mem:1", "from 1"),
    ],
)
def test_a_wrong_description_is_refused(text, reason):
    with pytest.raises(InvalidInput, match=reason) as caught:
        parse_agents(text)
    assert caught.value.field == "agents"


def test_no_more_agents_than_may_be():
    with pytest.raises(InvalidInput, match="at most"):
        several(["9000*cpus:1;mem:1", "9000*cpus:1;mem:1"])


def test_outages_are_as_frequent_as_was_asked_for_and_end():
    agents = several(["20*cpus:1;mem:1"])
    moves = outages(agents, 5, NEW_YEAR, NEW_YEAR + 30 * DAY, 0.5, 600_000)
    gone = [move for move in moves if move.agent is None]
    assert 200 < len(gone) < 400
    assert len(moves) == 2 * len(gone)
    assert [move.at for move in moves] == sorted(move.at for move in moves)
    assert outages(agents, 5, NEW_YEAR, NEW_YEAR + 30 * DAY, 0.5, 600_000) == moves
    assert outages(agents, 6, NEW_YEAR, NEW_YEAR + 30 * DAY, 0.5, 600_000) != moves
    assert outages(agents, 5, NEW_YEAR, NEW_YEAR + DAY, 0.0, 600_000) == []


def test_ids_that_nobody_has():
    agents = [VirtualAgent("a", Resources()), VirtualAgent("a", Resources()), VirtualAgent("b", Resources())]
    assert [agent.id for agent in renamed(agents, ["a"])] == ["a-2", "a-3", "b"]

"""Leadership of a node that is alone."""

from __future__ import annotations

from chronos_py.election import Leadership, SoleLeader


def test_a_sole_node_leads_from_start_to_stop():
    calls: list[str] = []
    leadership: Leadership = SoleLeader("here:8080")
    assert not leadership.is_leader()
    leadership.start(lambda: calls.append("elected"), calls.append)
    assert calls == ["elected"]
    assert leadership.is_leader()
    assert leadership.leader() == "here:8080"
    leadership.resign("tired")
    assert leadership.is_leader()
    leadership.stop()
    assert not leadership.is_leader()

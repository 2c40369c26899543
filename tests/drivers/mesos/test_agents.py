"""What the master's list of agents tells of their resources."""

from __future__ import annotations

import threading
from typing import Any

from chronos_py.drivers.mesos.agents import FRESH_S, AgentDirectory, read_agents
from chronos_py.drivers.mesos.driver import _usable_roles
from chronos_py.drivers.mesos.stream import Endpoint
from chronos_py.model.resources import Resources

ENTRY: dict[str, Any] = {
    "id": "S1", "hostname": "node1", "pid": "slave(1)@10.0.0.1:5051", "active": True, "deactivated": False,
    "attributes": {"dc": "x", "zone": 3.0},
    "resources": {"cpus": 8.0, "gpus": 0.0, "mem": 1024.0, "disk": 99.5, "ports": "[31000-31009, 32000-32000]"},
    "used_resources": {"cpus": 0.1, "mem": 32.0, "disk": 0.0, "gpus": 0.0, "ports": "[31000-31000]"},
    "reserved_resources": {"batch": {"cpus": 2.0, "mem": 512.0, "disk": 0.0, "gpus": 0.0}},
}  # fmt: skip


def test_all_that_the_report_needs_is_read() -> None:
    agent = read_agents({"slaves": [ENTRY]})["S1"]
    assert agent.total == Resources.of(8, 1024, 99.5, 0, 11)
    assert agent.used == Resources.of(0.1, 32, ports=1)
    assert agent.reserved == {"batch": Resources.of(2, 512)}
    assert agent.attributes == {"dc": "x", "zone": 3.0}
    assert (agent.host, agent.url, agent.active) == ("node1", "http://10.0.0.1:5051", True)


def test_agents_that_take_no_tasks_are_told_apart_and_nonsense_is_left_out() -> None:
    found = read_agents(
        {
            "slaves": [
                {**ENTRY, "id": "S2", "active": False},
                {**ENTRY, "id": "S3", "deactivated": True},
                {**ENTRY, "id": "S4", "resources": {"ports": "[many]"}},
                {**ENTRY, "id": "S5", "reserved_resources": []},
                {"id": "S6"},
            ]
        }
    )
    assert {name: agent.active for name, agent in found.items()} == {"S2": False, "S3": False, "S5": True, "S6": True}


def test_whoever_asks_for_what_is_old_has_it_read_again() -> None:
    readings, clock, read = threading.Semaphore(0), [100.0], 0

    def answer(endpoint: Endpoint, path: str) -> Any:
        nonlocal read
        read += 1
        readings.release()
        return {"slaves": [ENTRY] * (read % 2)}

    directory = AgentDirectory(answer, lambda: clock[0])
    assert directory.listed() == ((), 0.0)
    directory.start()
    try:
        directory.connected(Endpoint("127.0.0.1", 5050))
        assert readings.acquire(timeout=30)
        directory._read_once.wait(30)
        assert [agent.id for agent in directory.listed()[0]] == ["S1"]
        clock[0] += FRESH_S + 1
        assert directory.listed()[1] == FRESH_S + 1
        assert readings.acquire(timeout=30)
    finally:
        directory.stop()


def test_reservations_for_roles_above_ours_are_ours() -> None:
    assert _usable_roles(("*", "a/b/c", "d")) == {"*", "a", "a/b", "a/b/c", "d"}

"""What the master is told."""

from __future__ import annotations

import pytest

from chronos_py.drivers.mesos.calls import acknowledgement, duration, framework, kill, reconciliation
from chronos_py.drivers.mesos.statuses import read_status
from chronos_py.model.messages import Kill, Reconcile
from tests.drivers.mesos.messages import a_status


def test_a_framework_that_says_little() -> None:
    info = framework(name="chronos", user="root", failover_timeout=604_800)
    assert info == {
        "name": "chronos",
        "user": "root",
        "roles": ["*"],
        "failover_timeout": 604_800.0,
        "checkpoint": True,
        "capabilities": [
            {"type": "PARTITION_AWARE"},
            {"type": "TASK_KILLING_STATE"},
            {"type": "MULTI_ROLE"},
            {"type": "RESERVATION_REFINEMENT"},
        ],
    }


def test_a_framework_that_says_everything() -> None:
    info = framework(
        name="c", user="u", roles=["a", "b", "a"], failover_timeout=1.5, checkpoint=False, hostname="h", webui_url="http://h",
        principal="p", gpus=True, framework_id="f-1",
    )  # fmt: skip
    assert info["capabilities"][-1] == {"type": "GPU_RESOURCES"}
    assert info["id"] == {"value": "f-1"}
    assert info["roles"] == ["a", "b"]
    assert {key: info[key] for key in ("checkpoint", "hostname", "webui_url", "principal", "failover_timeout")} == {
        "checkpoint": False, "hostname": "h", "webui_url": "http://h", "principal": "p", "failover_timeout": 1.5,
    }  # fmt: skip


def test_an_acknowledgement_names_what_was_heard() -> None:
    status = a_status()
    assert acknowledgement(read_status(status)) == {key: status[key] for key in ("task_id", "agent_id", "uuid")}


@pytest.mark.parametrize("missing", ["uuid", "agent_id"])
def test_what_needs_no_acknowledgement_gets_none(missing: str) -> None:
    with pytest.raises(ValueError, match="needs no acknowledgement"):
        acknowledgement(read_status(a_status(**{missing: None})))


def test_a_kill_says_how_long_to_wait() -> None:
    policy = {"grace_period": {"nanoseconds": 2_500_000_000}}
    assert kill(Kill("t", "s", 2.5)) == {"task_id": {"value": "t"}, "agent_id": {"value": "s"}, "kill_policy": policy}
    assert kill(Kill("t", "", 2.5)) == {"task_id": {"value": "t"}, "kill_policy": policy}


def test_reconciliation_asks_for_some_or_for_all() -> None:
    assert reconciliation(Reconcile((("t", "s"), ("u", "")))) == {
        "tasks": [{"task_id": {"value": "t"}, "agent_id": {"value": "s"}}, {"task_id": {"value": "u"}}]
    }
    assert reconciliation(Reconcile(())) == {"tasks": []}


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"), [(0, 0), (-5, 0), (0.25, 250_000_000), (2**63, 3_153_600_000 * 10**9)]
)
def test_no_time_is_too_long_to_be_told(seconds: float, nanoseconds: int) -> None:
    assert duration(seconds) == {"nanoseconds": nanoseconds}
    assert nanoseconds < 2**63

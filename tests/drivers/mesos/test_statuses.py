"""News of tasks, and how much of it is in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from chronos_py.drivers.mesos.statuses import Ending, read_ending, read_status
from chronos_py.model.messages import StatusUpdate
from chronos_py.model.run import TaskState
from tests.drivers.mesos.fuzz import damaged
from tests.drivers.mesos.messages import a_status


def test_an_agents_word() -> None:
    assert read_status(a_status()) == StatusUpdate(
        task_id="ct:1:0:a:",
        state=TaskState.FAILED,
        agent_id="s-1",
        uuid="d29yZA==",
        at=1_700_000_000_123,
        message="Command exited with status 3",
        exit_code=3,
    )


def test_the_masters_word() -> None:
    said = a_status(
        state="TASK_GONE", message="Reconciliation: Task is unknown to the agent", source="SOURCE_MASTER",
        reason="REASON_RECONCILIATION", uuid=None, executor_id=None,
    )  # fmt: skip
    update = read_status(said)
    assert (update.state, update.reason, update.uuid) == (TaskState.GONE, "RECONCILIATION", "")


def test_hardly_anything() -> None:
    assert read_status({"task_id": {"value": "t"}, "state": "TASK_LOST"}) == StatusUpdate("t", TaskState.LOST)


@pytest.mark.parametrize("state", list(TaskState))
def test_all_states_keep_their_names(state: TaskState) -> None:
    assert read_status(a_status(state=state.value)).state is state


def test_a_state_of_another_time_is_unknown() -> None:
    update = read_status(a_status(state="TASK_PONDERING", message=None))
    assert (update.state, update.message) == (TaskState.UNKNOWN, "The state is TASK_PONDERING")
    update = read_status(a_status(state="TASK_PONDERING", message="why not"))
    assert (update.state, update.message) == (TaskState.UNKNOWN, "TASK_PONDERING: why not")


def test_a_user_whom_the_agent_does_not_know_is_the_jobs_fault() -> None:
    said = "Failed to create executor directory '/w/runs/1': Failed to chown directory to 'x': No such user 'x'"
    update = read_status(a_status(state="TASK_DROPPED", message=said, reason="REASON_EXECUTOR_TERMINATED"))
    assert (update.state, update.message) == (TaskState.FAILED, said)
    for other in ("Failed to create executor directory '/w': No space left on device", "Executor terminating", None):
        assert read_status(a_status(state="TASK_DROPPED", message=other)).state is TaskState.DROPPED


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        ("Command exited with status 0", Ending(0)),
        ("Command exited with status 137", Ending(137)),
        ("Command terminated with signal Killed", Ending(signal=9)),
        ("Command terminated with signal Segmentation fault (core dumped)", Ending(signal=11)),
        ("Command terminated with signal Terminated\n", Ending(signal=15)),
        ("Command terminated with signal SIGINT", Ending(signal=2)),
        ("Command terminated with signal 9", Ending(signal=9)),
        ("Command terminated with signal Frobnicated", Ending()),
        ("Container exited with status 125", Ending(125)),
        ("Container exited with status 137", Ending(signal=9)),
        ("Container exited with status 200", Ending(200)),
        ("Container terminated with signal Killed", Ending(signal=9)),
        ("Executor terminated", Ending()),
        ("Failed to run 'docker pull x': exited with status 1; stderr='no'", Ending()),
        ("Failed to launch container: Command exited with status 1", Ending()),
        ("Command exited with status 3x", Ending()),
        ("", Ending()),
    ],
)
def test_how_a_program_ended(said: str, ending: Ending) -> None:
    assert read_ending(said) == ending


@pytest.mark.parametrize("said", ["now", float("inf"), float("nan"), -1.0, 1e12, True, None, {}])
def test_news_with_a_senseless_time_is_taken_without_it(said: Any) -> None:
    assert read_status(a_status(timestamp=said)).at is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task_id": None}, "status.task_id.value: must be a text, is None"),
        ({"task_id": {"value": ""}}, "status.task_id: is empty"),
        ({"state": None}, "status.state: must be a text, is None"),
        ({"state": 5}, "status.state: must be a text, is 5"),
        ({"uuid": {}}, "status.uuid: must be a text"),
        ({"agent_id": {"value": 5}}, "status.agent_id.value: must be a text, is 5"),
        ({"message": []}, r"status.message: must be a text, is \[\]"),
        ({"reason": 7}, "status.reason: must be a text, is 7"),
    ],
)
def test_the_error_says_what_is_wrong(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_status(a_status(**changes))


@settings(deadline=None, max_examples=200)
@given(damaged(a_status(reason="REASON_X")))
def test_a_damaged_status_is_read_or_is_a_value_error(status: Any) -> None:
    try:
        update = read_status(status)
    except ValueError as error:
        assert str(error)
    else:
        assert update.task_id
        assert isinstance(update.state, TaskState)
        assert update.at is None or update.at >= 0

"""What is kept for an agent that does not answer, restarts, or never comes back."""

from __future__ import annotations

import pytest

from tests.executor.agent import FakeAgent
from tests.executor.conftest import settled


def test_what_was_not_acknowledged_is_told_again(agent, start):
    executing = start()
    agent.acknowledging = False
    agent.shell("ended", "true")
    agent.shell("running", "echo > ready; exec sleep 1000")
    agent.wait_state("ended", "TASK_FINISHED")
    agent.wait_state("running", "TASK_RUNNING")
    agent.down()
    agent.acknowledging = True
    agent.up()
    agent.wait("second subscription", lambda: len(agent.subscriptions) > 1)
    said = agent.subscriptions[1]
    assert {task["task_id"]["value"] for task in said["unacknowledged_tasks"]} == {"ended", "running"}
    assert all("data" in task for task in said["unacknowledged_tasks"])  # as they were launched
    told = [(u["status"]["task_id"]["value"], u["status"]["state"]) for u in said["unacknowledged_updates"]]
    assert [state for name, state in told if name == "ended"] == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    assert len(told) == 5
    agent.down()
    agent.up()
    agent.wait("third subscription", lambda: len(agent.subscriptions) > 2)
    assert agent.subscriptions[2] == {"unacknowledged_tasks": [], "unacknowledged_updates": []}
    agent.kill("running")
    agent.wait_state("running", "TASK_KILLED")
    assert executing.process.poll() is None


def test_a_task_with_one_acknowledged_update_is_known(agent, start):
    start()
    agent.acknowledging = False
    agent.shell("task", "exec sleep 1000")
    agent.wait_state("task", "TASK_RUNNING")
    agent.acknowledge(agent.statuses[0])
    agent.shell("later", "true")  # comes behind the acknowledgement
    agent.wait_state("later", "TASK_FINISHED")
    agent.down()
    agent.up()
    agent.wait("second subscription", lambda: len(agent.subscriptions) > 1)
    said = agent.subscriptions[1]
    assert [task["task_id"]["value"] for task in said["unacknowledged_tasks"]] == ["later"]
    assert said["unacknowledged_updates"][0]["status"]["state"] == "TASK_RUNNING"
    agent.acknowledging = True
    for status in agent.statuses:
        agent.acknowledge(status)


def test_tasks_end_while_the_agent_is_away(agent, start):
    executing = start()
    agent.shell("task", "echo > ready; while [ ! -e go ]; do sleep 0.01; done; echo > gone")
    agent.wait_state("task", "TASK_RUNNING")
    agent.down()
    (executing.sandbox / "tasks/task/go").touch()
    settled("ended", (executing.sandbox / "tasks/task/gone").exists)
    agent.up()
    assert agent.wait_state("task", "TASK_FINISHED")["message"] == "Command exited with status 0"
    assert agent.states("task") == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_updates_that_an_agent_refuses_are_sent_again_in_order(agent, start):
    start()
    agent.accepting = False
    agent.shell("task", "true")
    agent.wait("refused update", lambda: sum(call["type"] == "UPDATE" for call in agent.calls) >= 3)
    assert agent.states("task") == []
    agent.accepting = True
    agent.wait_state("task", "TASK_FINISHED")
    assert agent.states("task") == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_a_lost_connection_for_calls_costs_nothing(agent, start):
    start()
    agent.shell("first", "true")
    agent.wait_state("first", "TASK_FINISHED")
    for connection in agent.connections[1:]:  # all but the subscription
        connection.shutdown(2)
    agent.shell("second", "true")
    agent.wait_state("second", "TASK_FINISHED")
    assert len(agent.subscriptions) == 1


def test_without_checkpointing_the_executor_ends_with_its_agent(agent, start):
    executing = start(environment={"MESOS_CHECKPOINT": ""})
    agent.shell("task", "echo > ready; exec sleep 1000")
    agent.wait_state("task", "TASK_RUNNING")
    agent.down()
    assert executing.end() == 1
    assert "does not checkpoint" in executing.log


def test_an_agent_that_stays_away_is_given_up(agent, start):
    executing = start(environment={"MESOS_RECOVERY_TIMEOUT": "300ms"})
    agent.shell("task", "echo $$ > pid; exec sleep 1000")
    agent.wait_state("task", "TASK_RUNNING")
    agent.down()
    assert executing.end() == 1
    assert "away for 0.3 seconds" in executing.log


def test_an_agent_that_comes_up_late_is_waited_for(agent, start):
    agent.down()
    executing = start(wait=False)
    settled("running", executing.worker)
    agent.up()
    agent.wait_subscribed()


@pytest.mark.parametrize("answer", [b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b"garbage\r\n\r\n", b""])
def test_strange_answers_are_survived(agent: FakeAgent, start, answer):
    import socket

    agent.down()
    with socket.create_server(("127.0.0.1", agent.port)) as listening:
        executing = start(wait=False)
        listening.settimeout(30)
        for _ in range(2):
            connection, _ = listening.accept()
            connection.recv(65536)
            connection.sendall(answer)
            connection.close()
    agent.up()
    agent.wait_subscribed()
    agent.shell("task", "true")
    agent.wait_state("task", "TASK_FINISHED")
    assert executing.process.poll() is None

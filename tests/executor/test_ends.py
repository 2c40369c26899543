"""How an executor ends, and that nothing of its tasks is left in any case."""

from __future__ import annotations

import os
import signal

import pytest

from tests.executor.conftest import gone, settled

STUBBORN = "trap '' TERM; (setsid sh -c 'trap \"\" TERM; echo $$ > daemon; sleep 1000' &); echo $$ > pid; sleep 1000; :"


def a_stubborn_task(agent, executing):
    """Start a task that ignores TERM and has a daemon; return their process ids."""
    agent.shell("stubborn", STUBBORN)
    folder = executing.sandbox / "tasks/stubborn"
    settled("started", lambda: all((folder / n).exists() and (folder / n).read_text() for n in ("pid", "daemon")))
    return [int((folder / name).read_text()) for name in ("pid", "daemon")]


def test_told_to_shut_down_it_stops_its_tasks_and_tells(agent, start):
    executing = start(environment={"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "1secs"})
    pids = a_stubborn_task(agent, executing)
    agent.shell("easy", "exec sleep 1000")
    agent.wait_state("easy", "TASK_RUNNING")
    agent.say("SHUTDOWN")
    assert agent.wait_state("easy", "TASK_KILLED")["message"] == "Command terminated with signal Terminated"
    assert agent.wait_state("stubborn", "TASK_KILLED")["message"] == "Command terminated with signal Killed"
    assert executing.end() == 0
    assert all(gone(pid) for pid in pids)


def test_a_launch_during_the_shutdown_is_refused(agent, start):
    executing = start()
    a_stubborn_task(agent, executing)
    agent.say("SHUTDOWN")
    agent.shell("late", "true")
    assert "shutting down" in agent.wait_state("late", "TASK_FAILED")["message"]
    executing.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_shutdown(agent, start, number):
    executing = start(environment={"MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD": "500ms"})
    pids = a_stubborn_task(agent, executing)
    executing.process.send_signal(number)
    agent.wait_state("stubborn", "TASK_KILLED")
    assert executing.end() == 0
    assert all(gone(pid) for pid in pids)


def test_an_error_from_the_agent_ends_it(agent, start):
    executing = start()
    agent.say("ERROR", {"message": "no more of you"})
    assert executing.end() == 1
    assert "no more of you" in executing.log


def test_a_crash_leaves_nothing(agent, start):
    executing = start()
    pids = a_stubborn_task(agent, executing)
    os.kill(executing.worker(), signal.SIGKILL)
    assert executing.end() == 128 + signal.SIGKILL
    assert all(gone(pid) for pid in pids)


def test_a_crash_of_the_guardian_leaves_nothing_either(agent, start):
    executing = start()
    pids = [executing.worker(), *a_stubborn_task(agent, executing)]
    executing.process.kill()
    executing.process.wait()
    settled("gone", lambda: all(gone(pid) for pid in pids))


def test_it_ends_when_idle_and_not_before(agent, start):
    executing = start("--idle_exit=0.5")
    agent.shell("task", "while [ ! -e go ]; do sleep 0.05; done")
    agent.wait_state("task", "TASK_RUNNING")
    agent.acknowledging = False
    with pytest.raises(AssertionError):
        agent.wait("end", lambda: executing.process.poll() is not None, patience=1)
    (executing.sandbox / "tasks/task/go").touch()
    status = agent.wait_state("task", "TASK_FINISHED")
    with pytest.raises(AssertionError):  # its last update is not acknowledged
        agent.wait("end", lambda: executing.process.poll() is not None, patience=1)
    agent.acknowledge(status)
    assert executing.end() == 0
    assert "without a task" in executing.log


def test_it_can_be_told_never_to_end(agent, start):
    executing = start("--idle_exit=0")
    agent.shell("task", "true")
    agent.wait_state("task", "TASK_FINISHED")
    with pytest.raises(AssertionError):
        agent.wait("end", lambda: executing.process.poll() is not None, patience=0.5)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MESOS_FRAMEWORK_ID": ""}, "MESOS_FRAMEWORK_ID is not set"),
        ({"MESOS_AGENT_ENDPOINT": "nowhere"}, "not of the form host:port"),
        ({"LIBPROCESS_SSL_ENABLED": "1"}, "does not speak TLS"),
    ],
)
def test_surroundings_it_cannot_work_in(start, environment, said):
    executing = start(wait=False, environment=environment)
    assert executing.end() == 2
    assert said in executing.log


@pytest.mark.parametrize(
    "option", ["--idle_exit=-1", "--idle_exit=x", "--output_max_size=0", "--keep_tasks=1.5", "--x"]
)
def test_options_that_make_no_sense(start, option):
    executing = start(option, wait=False)
    assert executing.end() == 2
    assert option.partition("=")[0] in executing.log

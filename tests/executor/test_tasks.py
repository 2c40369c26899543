"""Tasks from launch to end: states, messages, what processes get and what they leave behind."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

from tests.executor.conftest import gone, settled

WHOLE = ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
STUBBORN = "trap '' TERM; echo ready > ready; while :; do sleep 1; done"


def test_a_task_that_succeeds(agent, start):
    executing = start()
    agent.shell("ct:1:0:job:", "echo out; echo err >&2; pwd > where")
    status = agent.wait_state("ct:1:0:job:", "TASK_FINISHED")
    assert status["message"] == "Command exited with status 0"
    assert status["source"] == "SOURCE_EXECUTOR" and "reason" not in status
    assert agent.states("ct:1:0:job:") == WHOLE
    assert executing.output("ct:1:0:job:") == "out\n"
    assert executing.output("ct:1:0:job:", "stderr") == "err\n"
    assert executing.output("ct:1:0:job:", "where").strip() == str(executing.sandbox / "tasks" / "ct:1:0:job:")


def test_the_ways_to_fail(agent, start):
    start()
    agent.shell("seven", "exit 7")
    agent.shell("signal", "kill -KILL $$")
    agent.launch("missing", ["no-such-program", "x"])
    agent.launch("nul", ["/bin/echo", "a\0b"])
    assert agent.wait_state("seven", "TASK_FAILED")["message"] == "Command exited with status 7"
    assert agent.wait_state("signal", "TASK_FAILED")["message"] == "Command terminated with signal Killed"
    assert "No such file or directory" in agent.wait_state("missing", "TASK_FAILED")["message"]
    assert "Failed to launch the command" in agent.wait_state("nul", "TASK_FAILED")["message"]


def test_a_task_without_a_readable_order_fails_and_hurts_nobody(agent, start):
    start()
    for number, data in enumerate([None, "", "%%%", "bnVsbA==", "eyJmb3JtIjoyfQ==", 5]):
        agent.say("LAUNCH", {"task": {"task_id": {"value": f"bad{number}"}, "data": data}})
        status = agent.wait_state(f"bad{number}", "TASK_FAILED")
        assert "TaskInfo.data" in status["message"] and status["reason"] == "REASON_TASK_INVALID"
    agent.say("LAUNCH", {"nonsense": True})
    agent.say("NEWER_EVENT", {})
    agent.say("HEARTBEAT")
    agent.say("LAUNCH_GROUP", {"task_group": {"tasks": [{"task_id": {"value": "grouped"}}]}})
    assert "groups" in agent.wait_state("grouped", "TASK_FAILED")["message"]
    agent.shell("good", "true")
    agent.wait_state("good", "TASK_FINISHED")


def test_arguments_and_environment(agent, start):
    executing = start(environment={"MESOS_EXECUTOR_AUTHENTICATION_TOKEN": "secret", "FROM_AGENT": "agent"})
    agent.launch("words", ["printf", "<%s>", "two words", "$HOME", ""])
    agent.launch(
        "variables",
        ["/bin/sh", "-c", "env"],
        environment=(("A", "1 2"), ("PATH", "/bin:/usr/bin"), ("odd.name", "x")),
        resources=[{"name": "cpus", "allocation_info": {"role": "batch"}}],
    )
    agent.wait_state("words", "TASK_FINISHED")
    agent.wait_state("variables", "TASK_FINISHED")
    assert executing.output("words") == "<two words><$HOME><>"
    seen = dict(line.split("=", 1) for line in executing.output("variables").splitlines())
    assert seen["A"] == "1 2" and seen["PATH"] == "/bin:/usr/bin" and seen["FROM_AGENT"] == "agent"
    assert seen["MESOS_SANDBOX"].endswith("/tasks/variables") and seen["MESOS_ALLOCATION_ROLE"] == "batch"
    assert "MESOS_EXECUTOR_AUTHENTICATION_TOKEN" not in seen
    assert set(agent.tokens) == {"Bearer secret"}


def test_what_python_adds_for_itself_is_not_for_tasks(agent, start):
    executing = start(environment={"LANG": "", "LC_ALL": "", "LC_CTYPE": ""})
    agent.shell("task", "env")
    agent.wait_state("task", "TASK_FINISHED")
    assert "LC_CTYPE" not in executing.output("task")


def test_a_kill_is_announced_and_takes_the_whole_session(agent, start):
    executing = start()
    agent.shell("victim", "set -m; sleep 1000 & echo $! > other; sleep 1000; echo survived")
    settled(
        "started", lambda: (executing.sandbox / "tasks/victim/other").is_file() and executing.output("victim", "other")
    )
    agent.kill("victim")
    status = agent.wait_state("victim", "TASK_KILLED")
    assert status["message"] == "Command terminated with signal Terminated"
    assert agent.states("victim") == ["TASK_STARTING", "TASK_RUNNING", "TASK_KILLING", "TASK_KILLED"]
    settled("gone", lambda: gone(int(executing.output("victim", "other"))))
    agent.kill("victim")  # is gone already: nothing happens
    agent.kill("nobody")


def test_without_the_capability_a_kill_is_not_announced(agent, start):
    agent.capabilities = []
    start()
    agent.shell("victim", "sleep 1000")
    agent.wait_state("victim", "TASK_RUNNING")
    agent.kill("victim")
    agent.wait_state("victim", "TASK_KILLED")
    assert "TASK_KILLING" not in agent.states("victim")


def test_a_task_that_ignores_term_is_killed_after_its_grace(agent, start):
    executing = start()
    agent.shell("policy", STUBBORN, kill_policy={"grace_period": {"nanoseconds": 100_000_000}})
    agent.shell("order", STUBBORN, kill_policy={"grace_period": {"nanoseconds": 10**15}})
    for name in ("policy", "order"):
        settled("ready", (executing.sandbox / "tasks" / name / "ready").exists)
    agent.kill("policy")
    assert agent.wait_state("policy", "TASK_KILLED")["message"] == "Command terminated with signal Killed"
    agent.kill("order")
    agent.wait_state("order", "TASK_KILLING")
    assert agent.states("order")[-1] == "TASK_KILLING"
    agent.kill("order", 0.1)  # the newer order counts
    agent.wait_state("order", "TASK_KILLED")


def test_a_task_that_ends_well_when_told_to_is_killed_all_the_same(agent, start):
    executing = start()
    agent.shell("polite", "trap 'exit 0' TERM; echo > ready; while :; do sleep 0.05; done")
    settled("ready", (executing.sandbox / "tasks/polite/ready").exists)
    agent.kill("polite", 1000)
    status = agent.wait_state("polite", "TASK_KILLED")
    assert status["message"] == "Command exited with status 0"


def test_what_a_shell_runs_has_its_grace_though_the_shell_has_none(agent, start):
    executing = start()
    careful = "trap 'sleep 0.3; echo cleaned; exit' TERM; echo $$ > ready; while :; do sleep 0.05; done"
    (executing.sandbox / "careful.sh").write_text(careful)
    (executing.sandbox / "stubborn.sh").write_text("trap '' TERM; echo $$ > ready; while :; do sleep 0.05; done")
    for name in ("careful", "stubborn"):
        agent.shell(name, f"sh ../../{name}.sh; echo after")
        settled("ready", partial(has_text, executing.sandbox / "tasks" / name / "ready"))
    agent.kill("careful", 1000)
    status = agent.wait_state("careful", "TASK_KILLED")
    assert status["message"] == "Command terminated with signal Terminated"
    assert executing.output("careful") == "cleaned\n"
    agent.kill("stubborn", 0.3)
    agent.wait_state("stubborn", "TASK_KILLED")
    settled("gone", partial(gone, int(executing.output("stubborn", "ready"))))


def has_text(path: Path) -> bool:
    return path.is_file() and bool(path.read_text().strip())


def test_the_time_limit(agent, start):
    start()
    agent.shell("late", "sleep 1000", max_completion_time={"nanoseconds": 100_000_000})
    agent.shell("early", "true", max_completion_time={"nanoseconds": 10**15})
    status = agent.wait_state("late", "TASK_FAILED")
    assert status["reason"] == "REASON_MAX_COMPLETION_TIME_REACHED"
    agent.wait_state("early", "TASK_FINISHED")


def test_nothing_of_a_task_outlives_it(agent, start):
    executing = start()
    agent.shell(
        "parent",
        "sleep 1000 & echo $! > same; set -m; sleep 1000 & echo $! > group; setsid sleep 1000 & echo $! > session;"
        " (setsid sh -c 'echo $$ > daemon; exec sleep 1000' &); while [ ! -s daemon ]; do sleep 0.01; done",
    )
    agent.shell("other", "(setsid sh -c 'echo $$ > daemon; exec sleep 1000' &); echo > ready; exec sleep 1000")
    settled("started", (executing.sandbox / "tasks/other/daemon").exists)
    agent.wait_state("parent", "TASK_FINISHED")
    for name in ("same", "group", "session", "daemon"):
        settled(f"gone: {name}", partial(gone, int(executing.output("parent", name))))
    agent.shell("more", "true")
    agent.wait_state("more", "TASK_FINISHED")
    daemon = int(executing.output("other", "daemon"))
    assert not gone(daemon)  # its task lives
    agent.kill("other")
    agent.wait_state("other", "TASK_KILLED")
    settled("gone", lambda: gone(daemon))


def test_no_task_runs_twice(agent, start):
    executing = start()
    agent.shell("once", "echo x >> ../count")
    agent.wait_state("once", "TASK_FINISHED")
    agent.shell("once", "echo x >> ../count")
    agent.wait_state("once", "TASK_FAILED")
    assert Path(executing.sandbox, "tasks/count").read_text() == "x\n"


def test_tasks_get_signals_in_their_usual_form_and_no_descriptors(agent, start):
    executing = start()
    agent.launch("plain", ["/bin/sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l"])
    agent.wait_state("plain", "TASK_FINISHED")
    *masks, descriptors = executing.output("plain").splitlines()
    for line in masks:
        assert not int(line.split()[1], 16) & (
            1 << signal.SIGTERM - 1 | 1 << signal.SIGPIPE - 1 | 1 << signal.SIGCHLD - 1
        )
    assert int(descriptors) == 4  # the three and the one of ls itself

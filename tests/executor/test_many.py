"""Many tasks: at once, one after the other, and what they may leave on the disk."""

from __future__ import annotations

from pathlib import Path

from tests.executor.conftest import settled


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_two_hundred_at_once(agent, start):
    executing = start()
    for number in range(200):
        agent.shell(f"t{number}", f"echo > ready; while [ ! -e ../go ]; do sleep 0.2; done; exit $(({number} % 3))")
    for number in range(200):
        agent.wait_state(f"t{number}", "TASK_RUNNING")
    settled("all running", lambda: len(list(executing.sandbox.glob("tasks/*/ready"))) == 200)
    (executing.sandbox / "tasks/go").touch()
    for number in range(200):
        status = agent.wait_state(f"t{number}", "TASK_FAILED" if number % 3 else "TASK_FINISHED")
        assert status["message"] == f"Command exited with status {number % 3}"


def test_thousands_leak_nothing(agent, start):
    executing = start("--keep_tasks=10")
    worker = 0
    before = (0, 0)
    for batch in range(20):
        names = [f"b{batch}n{number}" for number in range(100)]
        for name in names:
            agent.launch(name, ["/bin/true"])
        for name in names:
            agent.wait_state(name, "TASK_FINISHED")
        agent.statuses.clear()
        agent.calls.clear()
        if batch == 1:
            worker = executing.worker()
            before = descriptors(worker), memory(worker)
    assert descriptors(worker) == before[0]
    assert memory(worker) < before[1] + 4096
    assert len(Path(f"/proc/{worker}/task/{worker}/children").read_text().split()) <= 1  # what removes folders


def memory(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1])


def test_old_folders_are_removed(agent, start):
    executing = start("--keep_tasks=3")
    for number in range(8):
        agent.shell(f"t{number}", "mkdir deep; touch deep/file")
        agent.wait_state(f"t{number}", "TASK_FINISHED")
    # They go by and by, when there is time; the newest stay.
    settled("removed", lambda: len(list((executing.sandbox / "tasks").iterdir())) == 3)
    assert (executing.sandbox / "tasks/t7/deep/file").exists()


def test_output_is_bounded(agent, start):
    executing = start("--output_max_size=1")
    agent.shell("loud", "head -c 3000000 /dev/zero; echo end; while [ ! -e go ]; do sleep 0.05; done; echo after")
    folder = executing.sandbox / "tasks/loud"
    settled("rotated", (folder / "stdout.1").exists)
    settled("emptied", lambda: (folder / "stdout").stat().st_size == 0)
    (folder / "go").touch()
    agent.wait_state("loud", "TASK_FINISHED")
    assert (folder / "stdout.1").read_bytes().endswith(b"end\n")
    assert (folder / "stdout.1").stat().st_size == 1024 * 1024
    assert (folder / "stdout").read_text() == "after\n"


def test_output_that_is_a_link_is_left_alone(agent, start, tmp_path):
    other = tmp_path / "other"
    other.write_bytes(b"x" * 2_000_000)
    executing = start("--output_max_size=1")
    agent.shell(
        "odd",
        f"rm stdout; ln -s {other} stdout; mkfifo fifo; mv fifo stderr; head -c 2000000 /dev/zero > big; sleep 2.5",
    )
    agent.wait_state("odd", "TASK_FINISHED")
    assert other.stat().st_size == 2_000_000
    assert executing.process.poll() is None

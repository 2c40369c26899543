"""Which run lets which child run, and what becomes of runs that are killed or whose job is deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, V3, Api, eventually


@pytest.fixture
def out(server: Server, tmp_path: Path) -> Iterator[Path]:
    """A file that jobs append words to; it needs a server on this machine."""
    if not server.is_ours:
        pytest.skip("needs a server on this machine")
    yield tmp_path / "out"


def words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


def says(word: str, file: Path) -> str:
    return f"echo {word} >> {file}"


def run_now(api: Api, name: str) -> None:
    assert api.send("PUT", f"/job/{name}").status_code == 204


def runs(api: Api, name: str) -> int:
    job = api.job(name)
    return int(job["successCount"]) + int(job["errorCount"])


def until_runs(api: Api, name: str, count: int) -> dict[str, Any]:
    eventually(lambda: runs(api, name), lambda seen: seen >= count)
    return api.job(name)


def until_disabled(api: Api, name: str) -> dict[str, Any]:
    return eventually(lambda: api.job(name), lambda job: bool(job["disabled"]))


def state(api: Api, name: str) -> str:
    rows = (row.split(",") for row in api.get("/graph/csv").text.splitlines())
    return next(row[3] for row in rows if row[:2] == ["node", name])


def running(api: Api, name: str) -> None:
    wanted = "1 running" if api.dialect == V3 else "running"
    eventually(lambda: state(api, name), lambda seen: seen == wanted)


def never(read: Any, seconds: float = 2) -> None:
    """Watch for some time that this does not become true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert not read()
        time.sleep(0.1)


def test_a_child_runs_after_each_success_of_its_parent(api: Api, name: str, out: Path) -> None:
    api.create(name, command=says("parent", out))
    api.create(f"{name}-child", command=says("child", out), parents=[name])
    for count in (1, 2):
        run_now(api, name)
        until_runs(api, f"{name}-child", count)
    assert words(out) == ["parent", "child"] * 2


def test_a_child_of_two_parents_runs_once_after_both_in_each_cycle(api: Api, name: str, out: Path) -> None:
    a, b, c = (f"{name}-{letter}" for letter in "abc")
    schedule = "R3//PT3S"
    api.create(a, command=says("a", out), schedule=FAR)
    api.create(b, command=f"sleep 1; {says('b', out)}", schedule=FAR)
    api.create(c, command=says("c", out), parents=[a, b])
    api.create(a, command=says("a", out), schedule=schedule)
    api.create(b, command=f"sleep 1; {says('b', out)}", schedule=schedule)
    until_runs(api, c, 3)
    for parent in (a, b):
        assert until_disabled(api, parent)["successCount"] == 3
    never(lambda: runs(api, c) != 3, 1)
    seen = words(out)
    assert [seen.count(word) for word in "abc"] == [3, 3, 3]
    for cycle in range(1, 4):
        before = seen[: [index for index, word in enumerate(seen) if word == "c"][cycle - 1]]
        assert before.count("a") >= cycle
        assert before.count("b") >= cycle


def test_one_parent_of_two_is_not_enough(api: Api, name: str, out: Path) -> None:
    a, b, c = (f"{name}-{letter}" for letter in "abc")
    api.create(a)
    api.create(b)
    api.create(c, command=says("c", out), parents=[a, b])
    run_now(api, a)
    until_runs(api, a, 1)
    never(lambda: words(out))
    run_now(api, b)
    until_runs(api, c, 1)
    assert words(out) == ["c"]


def test_a_failing_parent_releases_nobody_unless_its_errors_are_soft(api: Api, name: str, out: Path) -> None:
    hard, soft = f"{name}-hard", f"{name}-soft"
    api.create(hard, command="false", retries=0)
    api.create(soft, command="false", retries=0, softError=True)
    api.create(f"{hard}-child", command=says("hard", out), parents=[hard])
    api.create(f"{soft}-child", command=says("soft", out), parents=[soft])
    run_now(api, hard)
    run_now(api, soft)
    until_runs(api, f"{soft}-child", 1)
    assert until_runs(api, hard, 1)["errorCount"] == 1
    assert until_runs(api, soft, 1)["errorCount"] == 1
    never(lambda: words(out) != ["soft"])


def test_disabled_children_are_skipped(api: Api, name: str, out: Path) -> None:
    api.create(name)
    api.create(f"{name}-off", command=says("off", out), parents=[name], disabled=True)
    api.create(f"{name}-on", command=says("on", out), parents=[name])
    run_now(api, name)
    assert until_runs(api, f"{name}-on", 1)["successCount"] == 1
    never(lambda: words(out) != ["on"], 1)


def test_marking_as_successful_lets_children_run(api: Api, name: str, out: Path) -> None:
    api.create(name)
    api.create(f"{name}-child", command=says("child", out), parents=[name])
    assert api.send("PUT", f"/job/success/{name}").status_code == 200
    until_runs(api, f"{name}-child", 1)
    assert words(out) == ["child"]


def test_states_while_a_job_runs(api: Api, name: str, out: Path) -> None:
    api.create(name, command="sleep 60")
    run_now(api, name)
    running(api, name)
    if api.dialect == V3:
        rows = {row["name"]: row for row in api.get("/jobs/summary").json()["jobs"]}
        assert (rows[name]["status"], rows[name]["state"]) == ("fresh", "1 running")
    assert api.send("DELETE", f"/task/kill/{name}").status_code == 204
    eventually(lambda: state(api, name), lambda seen: seen == "idle")


def test_kill_leaves_the_record_alone(api: Api, name: str, out: Path) -> None:
    command = f"{says('begin', out)}; sleep 60; {says('end', out)}"
    api.create(name, command=command, retries=2, retryDelay=0.5, successCount=4, errorCount=3)
    before = api.job(name)
    run_now(api, name)
    eventually(lambda: words(out), lambda seen: seen == ["begin"])
    assert api.send("DELETE", f"/task/kill/{name}").status_code == 204
    eventually(lambda: state(api, name), lambda seen: seen == "idle")
    never(lambda: words(out) != ["begin"])
    assert api.job(name) == before


def test_killed_jobs_run_again_when_told_to(api: Api, name: str, out: Path) -> None:
    api.create(name, command="sleep 60")
    run_now(api, name)
    running(api, name)
    assert api.send("DELETE", f"/task/kill/{name}").status_code == 204
    eventually(lambda: state(api, name), lambda seen: seen == "idle")
    api.create(name, command=says("x", out))
    run_now(api, name)
    until_runs(api, name, 1)
    assert words(out) == ["x"]


def test_a_killed_parent_releases_nobody(api: Api, name: str, out: Path) -> None:
    api.create(name, command="sleep 60")
    api.create(f"{name}-child", command=says("child", out), parents=[name])
    run_now(api, name)
    running(api, name)
    assert api.send("DELETE", f"/task/kill/{name}").status_code == 204
    eventually(lambda: state(api, name), lambda seen: seen == "idle")
    never(lambda: words(out))


def test_kill_reaches_what_the_command_started(api: Api, name: str, out: Path) -> None:
    api.create(name, command=f"(sleep 3; {says('late', out)}) & {says('begin', out)}; wait")
    run_now(api, name)
    eventually(lambda: words(out), lambda seen: seen == ["begin"])
    assert api.send("DELETE", f"/task/kill/{name}").status_code == 204
    never(lambda: words(out) != ["begin"], 4)


def test_deleting_a_job_kills_its_run(api: Api, name: str, out: Path) -> None:
    api.create(name, command=f"{says('begin', out)}; sleep 3; {says('end', out)}")
    run_now(api, name)
    eventually(lambda: words(out), lambda seen: seen == ["begin"])
    assert api.delete(name).status_code == 204
    assert api.find(name) is None
    never(lambda: words(out) != ["begin"], 4)


def test_an_update_does_not_touch_the_run(api: Api, name: str, out: Path) -> None:
    api.create(name, command=f"{says('begin', out)}; sleep 2; {says('end', out)}")
    run_now(api, name)
    eventually(lambda: words(out), lambda seen: seen == ["begin"])
    api.create(name, command=says("new", out))
    until_runs(api, name, 1)
    assert words(out) == ["begin", "end"]


@pytest.mark.parametrize("concurrent", [True, False])
def test_concurrent(api: Api, name: str, out: Path, concurrent: bool) -> None:
    if api.dialect != V3:
        pytest.skip("3.x only")
    api.create(name, command=f"{says('begin', out)}; sleep 1; {says('end', out)}", concurrent=concurrent)
    run_now(api, name)
    eventually(lambda: words(out), lambda seen: seen == ["begin"])
    run_now(api, name)
    until_runs(api, name, 2)
    assert words(out) == (["begin", "begin", "end", "end"] if concurrent else ["begin", "end", "begin", "end"])

"""What was decided stands, and what waits still waits for its reason, when the server was killed and came again: on a
machine of several agents, by real processes, through HTTP."""

from __future__ import annotations

import csv
import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from compat_tests.dialects import eventually
from compat_tests.placing import Placed, agents

MACHINE = (
    "name:a; cpus:1; cpus(news):1; mem:1024; disk:1024; attributes:dc:x"
    "| name:b; cpus:1; mem:1024; disk:1024; attributes:dc:y | name:c; cpus:1; mem:1024; disk:1024; attributes:dc:y"
)
QUOTAS = '{"channel=news": {"running": 1, "borrow": true}, "channel=film": {"cpus": 1}}'
OPTIONS = ("--mesos_role", "news", "--quotas", QUOTAS, "--preemption_after", "0.3", "--priority_ageing", "600",
           "--suspect_agent_after", "0")  # fmt: skip


def kill(placed: Placed) -> None:
    """Kill the server and all its processes but those of tasks, which have sessions of their own."""
    os.killpg(placed.server.pid, signal.SIGKILL)


def immediate(placed: Placed, **fields: Any) -> int:
    document = {"command": "sleep 300", "cpus": 0.1, "mem": 8, "disk": 8, "retries": 0, **fields}
    answer = placed.call("POST", "/api/jobs/immediate", json=document)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["run"])


def test_every_state_outlives_kill_9(tmp_path: Path) -> None:
    """One that runs, one that waits for room, for a retry, for its quota and for the run before it; immediate ones."""
    with agents(tmp_path, MACHINE, *OPTIONS, leave=True) as placed:
        runs = {
            "running": placed.run("runs", cpus=0.9, constraints=[["dc", "EQUALS", "y"]]),
            "retry_delay": placed.run("retried", command="exit 9", retries=1, retryDelay=900),
            "no_fit": placed.run("large", cpus=5),
            "immediate": immediate(placed, id="i1", cpus=0.9, constraints=[["dc", "EQUALS", "y"]]),
        }
        placed.add("film", concurrent=True, labels={"channel": "film"}, cpus=0.9)
        placed.running(placed.run("film"))
        runs["quota"] = placed.run("film")
        runs["job_running"] = placed.run("runs")
        for name in ("running", "immediate"):
            placed.running(runs[name])
        for code in ("retry_delay", "no_fit", "quota", "job_running"):
            placed.waits_for(runs[code], code)
        before = {name: placed.why(run) for name, run in runs.items()}
        tasks = {name: placed.detail(runs[name])["attemptList"][-1] for name in ("running", "immediate")}
        kill(placed)
    with agents(tmp_path, MACHINE, *OPTIONS) as again:
        for name, run in runs.items():
            code = before[name]["code"]
            why = again.waits_for(run, code)
            if code == "running":
                there = again.running(run)
                for key in ("taskId", "agent", "host", "placement"):
                    assert there[key] == tasks[name][key]
                assert why["sentence"] == before[name]["sentence"]
                assert why["detail"]["placement"]["rank"]
            elif code == "retry_delay":
                assert why["detail"]["notBefore"] == before[name]["detail"]["notBefore"]
        assert immediate(again, id="i1", cpus=0.9, constraints=[["dc", "EQUALS", "y"]]) == runs["immediate"]
        assert again.call("DELETE", "/api/jobs/immediate/i1").status_code == 204


def test_a_priority_that_was_changed_while_waiting_decides_and_stands(tmp_path: Path) -> None:
    with agents(tmp_path, "name:a;cpus:1;mem:100;disk:100|name:b;cpus:1;mem:100;disk:100", leave=True) as placed:
        holders = [placed.run(f"holder-{n}", cpus=1) for n in range(2)]
        for run in holders:
            placed.running(run)
        first, second, third = (placed.run(name, cpus=1) for name in ("first", "second", "third"))
        assert placed.call("PATCH", f"/api/runs/{third}", json={"priority": 5}).status_code == 204
        assert placed.call("PATCH", "/api/jobs/second", json={"priority": 3}).status_code == 204
        order = [third, second, first]
        assert [run["run"] for run in placed.get("/queue")["runs"]] == order
        kill(placed)
    with agents(tmp_path, "name:a;cpus:1;mem:100;disk:100|name:b;cpus:1;mem:100;disk:100") as again:
        assert [run["run"] for run in again.get("/queue")["runs"]] == order
        waiting = again.get("/resources")["queue"]
        assert waiting["waiting"] == 3, waiting
        for holder, run in zip(holders, order, strict=False):
            assert again.call("DELETE", f"/api/runs/{holder}").status_code == 204
            assert again.running(run)["placement"]["waited"] > 0
        assert again.why(first)["code"] == "no_fit"


def test_what_was_lent_is_taken_back_for_the_urgent_and_lent_again(tmp_path: Path) -> None:
    """A borrower is stopped for a run of higher priority, waits with the cause, and goes on when that one has ended."""
    with agents(tmp_path, "name:a;cpus:1;mem:100;disk:100|name:b;cpus:1;mem:100;disk:100", *OPTIONS) as placed:
        placed.add("news", concurrent=True, preemptible=True, labels={"channel": "news"}, cpus=1)
        news = [placed.run("news") for _ in range(2)]
        for run in news:
            placed.running(run)
        film = placed.run("film", labels={"channel": "film"}, cpus=1, priority=9)
        placed.running(film)
        stopped = eventually(lambda: [run for run in news if placed.detail(run)["state"] != "running"], bool)
        assert len(stopped) == 1
        why = eventually(lambda: placed.why(stopped[0]), lambda why: why["code"] in ("quota", "no_fit"))
        assert why["detail"]["preemptedBy"] == film
        more = placed.run("film-2", labels={"channel": "film"}, cpus=1, priority=9)
        why = placed.waits_for(more, "quota")  # it may not borrow, however urgent
        assert (why["detail"]["quota"], why["detail"]["exceeded"]) == ("channel=film", ["cpus"])
        assert sorted(placed.detail(run)["state"] for run in news) == ["queued", "running"]
        assert placed.call("DELETE", f"/api/runs/{more}").status_code == 204
        assert placed.call("DELETE", f"/api/runs/{film}").status_code == 204
        assert placed.running(stopped[0])["attempt"] == 1


def test_promises_and_csv_agree_with_what_the_tasks_wrote(tmp_path: Path) -> None:
    """Sums by label and by agent, and an error budget, against files that the tasks wrote."""
    out = tmp_path / "out"
    out.mkdir()
    with agents(tmp_path, MACHINE, *OPTIONS) as placed:
        common = {"concurrent": True, "cpus": 0.2, "labels": {"kind": "cut"}, "startWithin": 600, "finishWithin": 600}
        placed.add("good", command=f'touch "{out}/good-$HOST-$$"', **common)
        placed.add("bad", command=f'touch "{out}/bad-$HOST-$$"; exit 3', **common)
        for run in [placed.run(name) for name in ("good", "good", "good", "bad") for _ in range(2)]:
            placed.ended(run)
        wrote = [path.name.split("-") for path in out.iterdir()]

        def rows(**query: str) -> list[dict[str, str]]:
            answer = placed.call("GET", "/api/statistics", params={"format": "csv", **query})
            assert answer.status_code == 200, answer.text
            return list(csv.DictReader(io.StringIO(answer.text)))

        (cut,) = eventually(lambda: rows(by="label"), lambda rows: [row["launched"] for row in rows] == ["8"])
        assert (cut["label"], cut["success"], cut["failed"]) == ("kind=cut", "6", "2")
        assert {row["host"]: int(row["launched"]) for row in rows(by="host")} == {
            host: sum(1 for _, there, _ in wrote if there == host) for host in {there for _, there, _ in wrote}
        }
        slo = placed.get("/statistics", label="kind=cut", target="75")["total"]["slo"]
        assert (slo["startWithin"]["kept"], slo["startWithin"]["budgetLeft"]) == (8, 1.0)
        finish = slo["finishWithin"]
        assert (finish["runs"], finish["kept"], finish["budget"]) == (8, 6, 2.0)
        assert finish["budgetLeft"] == pytest.approx(0.0)
        by_exit = {row["exit"]: row["launched"] for row in rows(by="exit", job="bad", per="day")}
        assert by_exit == {"exit 3": "2"}


ODD = (
    ("statistics", "limit", "1_0"), ("statistics", "label", "news"), ("statistics", "from", "2026-13-01"),
    ("statistics", "target", "nan"), ("resources", "mem", "0"), ("resources", "cpus", "-1"), ("queue", "limit", "x"),
    ("jobs/immediate", "label", "="), ("jobs/immediate", "state", "odd"), ("runs", "cursor", "\U0001f600"),
)  # fmt: skip


def test_odd_questions_are_refused_by_name(tmp_path: Path) -> None:
    with agents(tmp_path, MACHINE) as placed:
        for path, name, value in ODD:
            answer = placed.call("GET", f"/api/{path}", params={name: value})
            assert answer.status_code == 400, (path, answer.text)
            assert answer.json()["error"]["field"] == name
        for path in ("timeline", "calendar", "statistics", "runs"):
            for end in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
                assert placed.call("GET", f"/api/{path}", params={"to": end}).status_code < 500
                assert placed.call("GET", f"/api/{path}", params={"from": end}).status_code < 500

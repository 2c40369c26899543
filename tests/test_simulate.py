"""`chronos-py simulate`."""

from __future__ import annotations

import hashlib
import json

from click.testing import CliRunner

from chronos_py.cli import main

JOBS = [
    {"name": "a", "command": "true", "schedule": "R/2025-06-01T00:00:00Z/PT1H", "cpus": 1, "mem": 100},
    {"name": "b", "command": "true", "parents": ["a"], "cpus": 1, "mem": 100},
    {"name": "c", "command": "true", "schedule": "R3/2026-01-01T00:00:00Z/PT5M", "cpus": 4, "mem": 100},
]


def simulate(*words: str):
    return CliRunner().invoke(main, ["simulate", "--from", "2026-01-01", "--to", "2026-01-02", *words])


def test_arrays_and_lines_give_the_same_summary_and_log(tmp_path):
    array, lines, log = tmp_path / "jobs.json", tmp_path / "jobs.jsonl", tmp_path / "log"
    array.write_text(json.dumps(JOBS))
    lines.write_text("\n".join(map(json.dumps, JOBS)) + "\n")
    words = ("--agents", "2*cpus:4;mem:1000", "--seed", "7", "--fail", "0.1", "--run_time", "120")
    first = simulate("--jobs", str(array), "--log", str(log), *words)
    assert first.exit_code == 0, first.output
    assert "3 jobs, 2 agents, seed 7" in first.output
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in first.output
    assert simulate("--jobs", str(lines), *words).output == first.output
    due = [
        line["due"]
        for line in map(json.loads, log.read_text().splitlines())
        if line.get("job") == "a" and "due" in line
    ]
    assert min(due) == 1_767_225_600_000  # what was due before is over


def test_what_cannot_be_used_is_told(tmp_path):
    jobs = tmp_path / "jobs"
    jobs.write_text('{"name": "a", "schedule": "R/x/PT1H"}\n')
    for words, said in (
        (("--jobs", str(tmp_path / "none")), "cannot be read"),
        (("--jobs", str(jobs)), "of job 'a' cannot be used"),
        (("--jobs", str(jobs), "--agents", "cpus:1"), "needs mem"),
        (("--jobs", str(jobs), "--to", "2020-01-01"), "later than"),
        (("--jobs", str(jobs), "--from", "soon"), "from: must be"),
    ):
        done = simulate(*words)
        assert done.exit_code == 2, done.output
        assert said in done.output
    jobs.write_text("{")
    assert "no JSON" in simulate("--jobs", str(jobs)).output
    jobs.write_text('{"command": "true"}')
    assert "line 1" in simulate("--jobs", str(jobs)).output

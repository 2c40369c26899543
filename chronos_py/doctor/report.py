"""What the doctor has found, and how it is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Level = Literal["note", "warning", "fatal"]
LEVELS: tuple[Level, ...] = ("note", "warning", "fatal")
SHOWN = 10  # names after a sentence; --json has all


@dataclass(slots=True)
class Finding:
    """One thing that somebody ought to know. `fatal`: nothing can be taken over; `names` are the jobs, nodes or tasks
    that it is about."""

    code: str
    level: Level
    text: str
    fix: str = ""
    names: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """`status` is the exit status: 0 clean, 1 warnings, 2 it cannot be taken over."""

    hosts: str
    path: str
    line: str = ""  # which Chronos wrote last: 2.x, 3.x, or empty
    framework_id: str = ""
    leader: str = ""  # host:port
    candidates: list[str] = field(default_factory=list)
    jobs: dict[str, int] = field(default_factory=dict)  # how many, by kind
    quarantined: list[dict[str, str]] = field(default_factory=list)  # kind, name, reason
    tasks: list[dict[str, str]] = field(default_factory=list)  # id, fate
    own: dict[str, Any] = field(default_factory=dict)  # what we have stored there before, if anything
    findings: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> int:
        return max((LEVELS.index(finding.level) for finding in self.findings), default=0)

    def add(self, code: str, level: Level, text: str, fix: str = "", names: list[str] | None = None) -> None:
        self.findings.append(Finding(code, level, text, fix, names or []))


def as_json(report: Report) -> str:
    return json.dumps(asdict(report) | {"status": report.status}, ensure_ascii=False, indent=2)


def as_text(report: Report) -> str:
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"ZooKeeper    {report.hosts}{report.path}"
    yield f"Written by   {'Chronos ' + report.line if report.line else 'nobody can tell'}"
    yield f"Framework    {report.framework_id or 'none: a new one would be registered'}"
    others = f" ({len(report.candidates)} in the election)" if report.candidates else ""
    yield f"Leader       {report.leader or 'nobody'}{others}"
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.jobs.items() if kind != "all")
    yield f"Jobs         {report.jobs.get('all', 0)}{': ' + kinds if kinds else ''}"
    if report.own:
        facts = ", ".join(f"{name} {value}" for name, value in report.own.items())
        yield f"Our own      {facts}"
    if report.tasks:
        yield f"Tasks        {len(report.tasks)} that Chronos had not started"
        for task in report.tasks[:SHOWN]:
            yield f"             {_plain(task['id'])}: {task['fate']}"
        if len(report.tasks) > SHOWN:
            yield f"             ... and {len(report.tasks) - SHOWN} more; --json has all"
    yield from finding_lines(report.findings)
    yield ""
    verdict = ("It can be taken over.", "It can be taken over; see the warnings.", "It cannot be taken over.")
    yield verdict[report.status]


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield findings as text, the worst first."""
    for level in reversed(LEVELS):
        for finding in findings:
            if finding.level == level:
                yield ""
                yield f"{level}: {finding.text}"
                if finding.fix:
                    yield f"  do: {finding.fix}"
                if finding.names:
                    rest = f", ... and {len(finding.names) - SHOWN} more" if len(finding.names) > SHOWN else ""
                    yield f"  at: {', '.join(map(_plain, finding.names[:SHOWN]))}{rest}"


def _plain(name: str) -> str:
    """Return a name as it can be shown on a terminal, whatever is in it."""
    shown = name if len(name) <= 120 else f"{name[:120]}..."
    return shown if shown.isprintable() and not shown.startswith(" ") and shown else repr(shown)

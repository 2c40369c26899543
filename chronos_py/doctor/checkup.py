"""What the doctor says of an installation or of jobs: facts, and findings with their fixes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from chronos_py.doctor.report import LEVELS, Finding, Level, finding_lines


@dataclass(slots=True)
class CheckUp:
    """`status` is the exit status: 0 clean, 1 warnings, 2 it cannot work."""

    facts: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> int:
        return max((LEVELS.index(finding.level) for finding in self.findings), default=0)

    def add(self, code: str, level: Level, text: str, fix: str = "", names: list[str] | None = None) -> None:
        self.findings.append(Finding(code, level, text, fix, names or []))

    def as_json(self) -> str:
        return json.dumps(asdict(self) | {"status": self.status}, ensure_ascii=False, indent=2)

    def as_text(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for name, value in self.facts.items():
            yield f"{name:<13}{value}"
        yield from finding_lines(self.findings)
        yield ""
        yield ("All is well.", "It works; see the warnings.", "It cannot work like this.")[self.status]

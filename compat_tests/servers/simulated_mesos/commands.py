"""What a fake task does: read from its command."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_SLEEP = re.compile(r"(?:exec\s+)?(?:/bin/)?sleep\s+(\d+(?:\.\d+)?|inf(?:inity)?)")
_EXIT = re.compile(r"exit\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Runs for so many seconds, then ends with that status."""

    seconds: float
    status: int


@lru_cache(maxsize=4096)
def behaviour(command: str) -> Behaviour:
    """Read `sleep S`, `exec sleep S`, `exit N`, `true`, `false`, and lists of them with `;` or `&&`.

    Anything else takes no time and succeeds.
    """
    seconds, status = 0.0, 0
    for part in re.split(r";|&&", command):
        part = part.strip()
        if match := _SLEEP.fullmatch(part):
            seconds += float(match[1])
            status = 0
            if part.startswith("exec"):
                break
        elif match := _EXIT.fullmatch(part):
            status = int(match[1]) % 256
            break
        elif part:
            status = 1 if part == "false" else 0
    return Behaviour(seconds, status)


def command_text(task: dict[str, Any]) -> str:
    """Return the command of a TaskInfo as one line; "" for one with an executor."""
    command = task.get("command") or {}
    if command.get("shell", True):
        return str(command.get("value", ""))
    return " ".join(command.get("arguments") or [command.get("value", "")])

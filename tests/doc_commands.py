"""The shell commands of README.md and docs/*.md, and a place to run them as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SERVERS = re.compile(r"\b(?:localhost|127\.0\.0\.1|chronos\.example\.org):4400\b")
PATIENCE_S = 60


def commands(page: Path) -> list[str]:
    """Return the commands of a page's shell blocks in order, each with all of its lines."""
    return [command for block in SHELL.findall(page.read_text()) for command in _split(block)]


def _split(block: str) -> list[str]:
    found: list[str] = []
    lines: list[str] = []
    for line in block.splitlines():
        lines.append(line)
        text = "\n".join(lines)
        if not text.strip():
            lines.clear()
        elif _whole(text):
            found.append(text.strip())
            lines.clear()
    assert not lines, f"no whole command: {lines}"
    return found


def _whole(text: str) -> bool:
    """Tell whether quotes are closed and no line goes on."""
    if text.endswith("\\"):
        return False
    quote = ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == "#":
            return True
    return not quote


def environment(home: Path) -> Mapping[str, str]:
    """Return an environment in which curl fails for what is refused, and our own command is the one under test."""
    (home / ".curlrc").write_text("silent\nshow-error\nfail-with-body\n")
    return {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(home)}


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, in a folder that is also its home."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment(folder), capture_output=True,
        text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip

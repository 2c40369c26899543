"""Where a task's files lie, for the executor that makes them and the server that looks for them."""

from __future__ import annotations

import hashlib
import re

FOLDER = "tasks"  # in the executor's sandbox
_LONGEST = 150
_ODD = re.compile(r"[^A-Za-z0-9._:@+=-]")


def folder_name(task_id: str) -> str:
    """Return a task's folder below FOLDER: its id, with a digest where the id could not be a name, or was changed."""
    name = _ODD.sub("_", task_id)[:_LONGEST]
    if name == task_id and name.strip("."):
        return name
    return f"{name}~{hashlib.sha256(task_id.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"

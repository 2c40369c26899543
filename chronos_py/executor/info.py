"""What Mesos is told about the executor and its tasks: pure, for whoever makes TaskInfos."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

from chronos_py.executor.runtime.names import FOLDER, folder_name
from chronos_py.executor.runtime.order import Order, encode
from chronos_py.executor.runtime.surroundings import Options
from chronos_py.model.resources import Resources
from chronos_py.model.run import Task

NAME = "chronos-py"  # as a job's `executor`


@dataclass(frozen=True, slots=True)
class Setup:
    """How agents come by the executor and start it. With `uri`, they fetch that file (see `archive`), keep it in their
    cache if told so, and run it with `python`; without, chronos-py is installed on them and `command` starts it.

    `resources` are the executor's own, beside those of its tasks; Mesos counts them once for each executor, and refuses
    a task whose offer has no room for both. None by default, then, as for Mesos's command executor: it takes 15 MiB.
    """

    uri: str = ""
    cache: bool = True
    python: str = "python3"
    command: str = "chronos-py executor"
    options: Options = field(default_factory=Options)
    resources: Resources = field(default_factory=Resources)


def uses_own_executor(task: Task, *, by_default: bool = False) -> bool:
    """Tell whether a task runs in our executor: its job asks for it by name, or none is named and `by_default`.

    What needs a container or a sandbox of its own stays with Mesos's command executor: images, fetched files, GPUs.
    """
    if not (task.executor == NAME or (by_default and not task.executor)):
        return False
    return bool(task.command) and task.container is None and not task.fetch and not task.resources.gpus


def executor_info(framework_id: str, user: str, setup: Setup) -> dict[str, Any]:
    """Return the ExecutorInfo of a user's tasks. `user` may be empty: the framework's.

    Mesos refuses a second executor of one id that differs in anything. So the id has a digest of all the rest: another
    version, address or option makes another executor, and the one before ends when it has been idle for long enough.
    """
    words = " ".join(shlex.quote(word) for word in setup.options.words())
    program = setup.command
    command: dict[str, Any] = {"shell": True}
    if setup.uri:
        file = setup.uri.rpartition("/")[2]
        program = f"{setup.python} ./{shlex.quote(file)}"
        command["uris"] = [{"value": setup.uri, "executable": False, "extract": False, "cache": setup.cache}]
    command["value"] = f"exec {program} {words}"
    if user:
        command["user"] = user
    info: dict[str, Any] = {
        "type": "CUSTOM",
        "framework_id": {"value": framework_id},
        "name": f"chronos-py for {user}" if user else "chronos-py",
        "command": command,
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": amount / 1000}}
            for name, amount in (("cpus", setup.resources.cpus), ("mem", setup.resources.mem))
            if amount
        ],
    }
    digest = hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()[:12]
    return {"executor_id": {"value": f"{NAME}.{re.sub(r'[^A-Za-z0-9_-]', '_', user)}.{digest}"}, **info}


def task_data(task: Task) -> str:
    """Return TaskInfo.data, in base64 as Mesos's JSON has it: what the executor shall run, and in which environment."""
    program = ("/bin/sh", "-c", task.command) if task.shell else (task.command, *task.arguments)
    return encode(Order(program, task.environment))


def output_folder(task_id: str) -> str:
    """Return where a task's `stdout` and `stderr` lie, relative to the executor's sandbox."""
    return f"{FOLDER}/{folder_name(task_id)}"

"""The small shell program that runs one task and outlives the server: claims, runs, writes down how it ended.

A shell, because it starts in a millisecond and needs nothing; one system call more a task than without it. It leads a
session of its own, so the task is found and stopped as a whole.
"""

from __future__ import annotations

from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.model.run import Task

# $1 the sandbox; $2 the file to add the exit status to; $3 files of cgroups to join, colon between; $4 KiB for
# RLIMIT_DATA or empty; $5 the mode mask of the output files; then the program.
# Traps rather than ignored signals: a trap is not inherited, so the task gets the signals in their usual form.
SCRIPT = r"""
cd "$1" || exit 120
record=$2
umask "$5"
set -C
command : 2> /dev/null > stdout || exit 0
set +C
: > stderr
umask 022
trap : TERM INT HUP QUIT
IFS=:; for file in $3; do echo 0 > "$file"; done; unset IFS
[ -z "$4" ] || ulimit -d "$4"
ulimit -S -n 1024
shift 5
"$@" < /dev/null >> stdout 2>> stderr
echo "exit $?" >> "$record"
"""


def program(task: Task, become: tuple[str, ...]) -> list[str]:
    """Return the argument vector of a task without container; `become` is what changes the user."""
    if task.shell:
        return [*become, "/bin/sh", "-c", task.command]
    return [*become, task.command, *task.arguments]


def shim_arguments(sandbox: Sandbox, cgroup_files: str, data_kib: str, mask: str, program: list[str]) -> list[str]:
    """Return the shim's own argument vector."""
    own = [sandbox.path, sandbox.live, cgroup_files, data_kib, mask]
    return ["sh", "-c", SCRIPT, "chronos-task", *own, *program]

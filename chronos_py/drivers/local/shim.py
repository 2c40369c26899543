"""The small shell program that runs one task and outlives the server: claims, runs, writes down how it ended.

A shell, because it starts in a millisecond and needs nothing; one system call more a task than without it. It leads a
session of its own, so the task is found and stopped as a whole.
"""

from __future__ import annotations

from chronos_py.model.run import Task

# $1 the sandbox; $2 files of cgroups to join, colon between; $3 KiB for RLIMIT_DATA or empty; then the program.
# Traps rather than ignored signals: a trap is not inherited, so the task gets the signals in their usual form.
SCRIPT = r"""
cd "$1" || exit 120
read -r stat < /proc/$$/stat
set -C
command echo "$stat" 2> /dev/null > .task/started || exit 0
set +C
trap : TERM INT HUP QUIT
IFS=:; for file in $2; do echo 0 > "$file"; done; unset IFS
[ -z "$3" ] || ulimit -d "$3"
ulimit -S -n 1024
shift 3
"$@" < /dev/null >> stdout 2>> stderr
echo $? > .task/exit
"""


def program(task: Task, become: tuple[str, ...]) -> list[str]:
    """Return the argument vector of a task without container; `become` is what changes the user."""
    if task.shell:
        return [*become, "/bin/sh", "-c", task.command]
    return [*become, task.command, *task.arguments]


def shim_arguments(sandbox: str, cgroup_files: str, data_kib: str, program: list[str]) -> list[str]:
    """Return the shim's own argument vector."""
    return ["sh", "-c", SCRIPT, "chronos-task", sandbox, cgroup_files, data_kib, *program]

"""The small shell program that runs one task and outlives the server: claims, runs, writes down how it ended.

A shell, because it starts in a millisecond and is on every machine. It leads a session of its own, so the task is found
and stopped as a whole; it ends as the task did, so a server that is its parent learns the status even on a full disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# $1 sandbox; $2 record; $3 mode mask of the output files; $4 and $5 files of cgroups to join, or empty; $6 KiB for
# RLIMIT_DATA, or empty; then the program. `exec` in a subshell costs no more than running it, and never takes a
# program's name for a builtin's. Traps rather than ignored signals, because a trap is not inherited: the task gets
# signals in their usual form.
SCRIPT = r"""
cd "$1" || exit 125
_chronos_record=$2
umask "$3"
set -C
{ command : > stdout; } 2> /dev/null || exit 125
set +C
: 2>> stderr
umask 022
trap : TERM INT HUP QUIT
echo "
run $$" >> "$_chronos_record" || exit 125
[ -z "$4" ] || echo 0 > "$4"
[ -z "$5" ] || echo 0 > "$5"
[ -z "$6" ] || ulimit -d "$6"
ulimit -S -n 1024
unset OLDPWD
shift 6
( exec "$@" ) >> stdout 2>> stderr
_chronos_status=$?
echo "
exit $_chronos_status" >> "$_chronos_record"
exit $_chronos_status
"""
NAME = "chronos-task"  # the shim's $0
WORDS = ["sh", "-c", SCRIPT, NAME]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# What a shell gives a meaning of its own, or refuses; and what could make it, which may be root's, load other code.
_ODD = re.compile(
    "ATTY|BASHOPTS|BASH_.*|ENV|EUID|FUNCNAME|HISTSIZE|IFS|LINENO|MAIL|MAILPATH|OLDPWD|OPTARG|OPTIND|PPID|PS1|PS2|PS4|PWD"
    "|RANDOM|SECONDS|SHELLOPTS|TERM|UID|_|_chronos_.*"
    "|LD_.*|GCONV_PATH|GETCONF_DIR|GLIBC_TUNABLES|LOCPATH|MALLOC_.*|NLSPATH|RES_OPTIONS|TMPDIR|TZDIR"
)


def split_environment(variables: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return what the shim gets as its environment and hands down, and what is set behind it, as words for `env`."""
    direct, behind = {}, []
    for name, value in variables.items():
        if _ODD.fullmatch(name) or not _PLAIN.fullmatch(name):
            behind.append(f"{name}={value}")
        else:
            direct[name] = value
    return direct, behind


def with_variables(program: Sequence[str], behind: Sequence[str]) -> list[str]:
    """Return the program with variables set by `env`."""
    if not behind:
        return list(program)
    if "=" in program[0]:  # env would take it for a variable
        program = ["/bin/sh", "-c", 'exec "$0" "$@"', *program]
    return ["/usr/bin/env", "--", *behind, *program]


def shim_words(sandbox: str, record: str, mask: str, joined: tuple[str, str, str], program: Sequence[str]) -> list[str]:
    """Return the shim's argument vector; `joined` are its fourth to sixth arguments."""
    return [*WORDS, sandbox, record, mask, *joined, *program]

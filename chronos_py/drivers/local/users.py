"""As whom a task runs."""

from __future__ import annotations

import os
import pwd
import shutil
from dataclasses import dataclass
from functools import lru_cache


class NoSuchUser(Exception):
    """The task's user does not exist, or this process may not become it."""


@dataclass(frozen=True, slots=True)
class Account:
    """`become` is put before the program; empty when nothing needs to change. `ids` owns the sandbox, or None.

    `take_over`, put before that, makes the present folder the user's.
    """

    name: str
    home: str
    become: tuple[str, ...] = ()
    ids: tuple[int, int] | None = None
    take_over: tuple[str, ...] = ()


@lru_cache(maxsize=1000)
def account(user: str, default: str) -> Account:
    """Return how to run as `user`, or as `default` when it is empty. Raises NoSuchUser.

    Without root only ourselves will do; the default user then means that, whatever its name.
    """
    own = os.geteuid()
    me = _entry_of(own)
    if own != 0 and user in ("", default, me.pw_name):
        return Account(me.pw_name, me.pw_dir)
    user = user or default
    if user in ("", me.pw_name):
        return Account(me.pw_name, me.pw_dir)
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        raise NoSuchUser(f"there is no user {user!r} on this machine") from None
    if own != 0:
        raise NoSuchUser(f"the server runs as {me.pw_name!r} and may not become {user!r}")
    if entry.pw_uid == 0:
        return Account(entry.pw_name, entry.pw_dir)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NoSuchUser(f"becoming {user!r} needs the program setpriv, which this machine lacks")
    become = (setpriv, f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups", "--")
    chown = shutil.which("chown") or "/bin/chown"  # not by the task's PATH: it is still root that looks
    take_over = ("/bin/sh", "-c", '"$0" "$1" . && shift && exec "$@"', chown, f"{entry.pw_uid}:{entry.pw_gid}")
    return Account(entry.pw_name, entry.pw_dir, become, (entry.pw_uid, entry.pw_gid), take_over)


def _entry_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return pwd.struct_passwd((str(uid), "x", uid, os.getegid(), "", "/", "/bin/sh"))

"""From a task to a process: environment, limits, user, the shim."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from chronos_py.drivers.local.docker import client, docker_command
from chronos_py.drivers.local.limits import NOTHING, Limits
from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.drivers.local.shim import shim_words, split_environment, with_variables
from chronos_py.drivers.local.users import Account, NoSuchUser, account
from chronos_py.model.run import Task

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SIGNALS = [
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGCHLD,
]


class CannotStart(Exception):
    """The task can never start as it is; the sentence says why."""


class Launcher:
    """Starts shims. `default_user` is whom a task without a user runs as."""

    def __init__(self, limits: Limits, default_user: str) -> None:
        self.limits = limits
        self._default_user = default_user
        self._base = {"PATH": os.environ.get("PATH") or DEFAULT_PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
        if "TZ" in os.environ:
            self._base["TZ"] = os.environ["TZ"]
        self._null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self._redirections = [(os.POSIX_SPAWN_DUP2, self._null, number) for number in (0, 1, 2)]
        self._leaks: list[tuple[int, int]] = []

    def close(self) -> None:
        os.close(self._null)

    def look_at_descriptors(self, ours: Callable[[], set[int]]) -> None:
        """Note which descriptors a task would inherit, such as a server's socket: once for each batch of launches."""
        try:
            names = os.listdir("/proc/self/fd")
        except OSError:  # none is left even for looking
            return
        known = ours()
        self._leaks = []
        for name in names:
            number = int(name)
            if number > 2 and number not in known:
                try:
                    leaks = os.get_inheritable(number)
                except OSError:
                    continue
                if leaks:
                    self._leaks.append((os.POSIX_SPAWN_CLOSE, number))

    def account(self, task: Task) -> Account:
        """Return as whom the task runs. Raises CannotStart for that and all else that is known to be impossible."""
        if task.executor:
            raise CannotStart("Custom executors need a Mesos cluster")
        if task.container is None and not task.command:
            raise CannotStart("There is no command")
        if task.container is not None and docker_command() is None:
            raise CannotStart("Containers need the docker command, which this machine lacks")
        try:
            return account(task.user, self._default_user)
        except NoSuchUser as error:
            text = str(error)
            raise CannotStart(text[0].upper() + text[1:]) from None

    def give(self, who: Account, sandbox: Sandbox) -> None:
        """Let the task's user own what was brought into its sandbox, and nobody else see that. Raises OSError.

        The sandbox itself becomes the user's once the shim has opened the outputs: as root it would follow a link
        that another process of that user put in their place.
        """
        if who.ids is None:
            return
        for folder, folders, files in os.walk(sandbox.path, topdown=False):
            for name in (*folders, *files):
                os.lchown(os.path.join(folder, name), *who.ids)
        os.chmod(sandbox.path, 0o750)
        os.chown(sandbox.path, -1, who.ids[1])

    def start(self, task: Task, who: Account, sandbox: Sandbox) -> int:
        """Start the shim of a task whose folders are ready; return its process id. Raises OSError, CannotStart."""
        variables = {**self._base, "HOME": who.home, "USER": who.name, "LOGNAME": who.name}
        joined, become = NOTHING, who.become
        try:
            if task.container is not None:
                run = client(docker_command() or "docker", task, sandbox.path, variables)
                variables, program, become = run.environment, run.words, ()
            else:
                variables.update(task.environment)
                program = ["/bin/sh", "-c", task.command] if task.shell else [task.command, *task.arguments]
                joined = self.limits.prepare(sandbox.key, task.resources)
            variables["MESOS_SANDBOX"] = variables["SANDBOX"] = sandbox.path
            direct, behind = split_environment(variables)
            mask = "022" if who.ids is None else "0"  # the output's user may open /dev/stdout again
            program = [*who.take_over, *become, *with_variables(program, behind)]
            words = shim_words(sandbox.path, sandbox.live, mask, joined, program)
            return os.posix_spawn(
                "/bin/sh",
                words,
                direct,
                file_actions=[*self._redirections, *self._leaks],
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
        except ValueError as error:  # a NUL byte, a text that no encoding has, a volume outside the sandbox
            raise CannotStart(f"The command or its environment cannot be passed on: {error}") from None

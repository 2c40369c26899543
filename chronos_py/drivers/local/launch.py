"""From a task to a process: environment, limits, user, the shim."""

from __future__ import annotations

import os

from chronos_py.drivers.local.docker import docker_command, docker_program
from chronos_py.drivers.local.limits import Limits
from chronos_py.drivers.local.sandbox import Sandbox
from chronos_py.drivers.local.shim import program, shim_arguments
from chronos_py.drivers.local.users import NoSuchUser, account
from chronos_py.model.run import Task

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NULL = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1, 2)]


class CannotStart(Exception):
    """The task can never start as it is; the sentence says why."""


class Launcher:
    """Starts shims. `default_user` is the server's `--user`."""

    def __init__(self, limits: Limits, default_user: str) -> None:
        self.limits = limits
        self._default_user = default_user
        self._base = {"PATH": PATH}
        for name in ("LANG", "LC_ALL", "TZ"):
            if name in os.environ:
                self._base[name] = os.environ[name]

    def check(self, task: Task) -> None:
        """Raise CannotStart for what is known to be impossible before anything is made."""
        try:
            account(task.user, self._default_user)
        except NoSuchUser as error:
            raise CannotStart(str(error)) from None
        if task.container is not None and docker_command() is None:
            raise CannotStart("containers need the docker command, and this machine has none")
        if task.executor:
            raise CannotStart("custom executors need a Mesos cluster")
        if not task.command and task.container is None:
            raise CannotStart("there is no command")

    def start(self, task: Task, sandbox: Sandbox) -> int:
        """Start the shim of a task whose sandbox is ready; return its process id. Raises OSError, CannotStart."""
        who = account(task.user, self._default_user)
        environment = {**self._base, "HOME": who.home, "USER": who.name, "LOGNAME": who.name}
        environment |= {"MESOS_SANDBOX": sandbox.path, "MESOS_DIRECTORY": sandbox.path}
        if task.container is not None:
            docker = docker_command() or "docker"
            words = docker_program(docker, task, sandbox.path)
            environment |= {name: os.environ[name] for name in ("DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ}
            groups, data = "", ""
        else:
            environment.update(task.environment)
            words = program(task, who.become)
            groups, data = self.limits.prepare(sandbox.key, task.resources)
            if who.ids is not None:
                os.chown(sandbox.path, *who.ids)
        mask = "022" if who.ids is None or task.container is not None else "0"  # its user may open /dev/stdout again
        arguments = shim_arguments(sandbox, groups, data, mask, words)
        try:
            return os.posix_spawn("/bin/sh", arguments, environment, file_actions=_NULL, setsid=True)
        except ValueError as error:  # a NUL byte, or a surrogate that no encoding has
            raise CannotStart(f"the command or its environment cannot be passed on: {error}") from None

"""Docker executor: runs one task as a container, with the `docker` command.

The agent's Docker containerizer starts it after it has fetched the URIs and pulled the image, with the name of the
container to be. The container's output goes to this program's own, which is the sandbox.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from binascii import b2a_base64

from .checks import probe, watch
from .command_executor import CommandExecutor
from .docker_arguments import in_container, run_arguments
from .docker_bell import Bell
from .process_tree import kill_tree
from .values import ENV, describe, duration, grace_period, log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from .checks import Result
    from .timers import Timer

NEVER = "0001-01-01T00:00:00Z"  # StartedAt of a container that was created only
PATIENCE_S = 5.0  # for one answer of Docker, and between attempts to kill
LOOK_S = 0.2
REQUIRED = ("container", "docker", "docker_socket", "sandbox_directory", "mapped_directory")


def read_flags(arguments: list[str]) -> dict[str, str]:
    flags = {}
    for argument in arguments:
        name, found, value = argument.lstrip("-").partition("=")
        flags[name] = value if found else "true"
    return flags


class DockerExecutor(CommandExecutor):
    """`pid` is that of `docker run`."""

    def __init__(self, flags: dict[str, str]) -> None:
        super().__init__()
        self._flags, self._name = flags, flags["container"]
        self._docker = [flags["docker"], "-H", f"unix://{flags['docker_socket']}"]
        shutdown_grace = duration(ENV.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), 5.0)
        self._grace = max(shutdown_grace, duration(flags.get("stop_timeout"), 0.0))
        self._null = os.open(os.devnull, os.O_RDONLY)
        self._exit_status: int | None = None  # of `docker run`
        self._settled = False  # it is known that the container started, or that it never will
        self._network: dict[str, Any] | None = None  # NetworkInfo, if the container has an address of its own
        self._wanted: float | None = None  # grace period of a kill
        self._stopping = 0  # pid of the latest `docker stop`
        if self.checkpoints:
            bell = Bell(self.calls.host)
            bell.hang()
            self._listen(bell)

    def _listen(self, bell: Bell) -> None:
        def ring() -> None:
            bell.answer()
            self._listen(bell)

        self.sockets[bell] = ring

    # --- Docker

    def _command(self, *arguments: str) -> dict[str, Any]:
        """Return `docker ...` as a CommandInfo."""
        return {"shell": False, "value": self._docker[0], "arguments": [*self._docker, *arguments]}

    def _ask(self, done: Callable[[int, str, str], object], patience: float | None, *arguments: str) -> int:
        """Run `docker ...`, killed after `patience` seconds; return its pid, 0 if it did not start.

        done(wait status, output, errors) is called at its end.
        """
        out, err = os.memfd_create("out"), os.memfd_create("err")
        timer: Timer | None = None

        def ended(status: int) -> None:
            self.timers.cancel(timer)
            texts = []
            for descriptor in (out, err):
                with open(descriptor, "rb") as file:
                    file.seek(0)
                    texts.append(file.read().decode("utf-8", "replace"))
            done(status, texts[0], texts[1].strip())

        pid, error = self.spawn(self._command(*arguments), ended, files={0: self._null, 1: out, 2: err})
        if error:
            os.write(err, error.encode())
            self.timers.add(0, lambda: ended(127 << 8))
        elif patience:
            timer = self.timers.add(patience, lambda: kill_tree(pid, signal.SIGKILL))
        return pid

    # --- the container's life

    def launch(self, task: dict[str, Any]) -> None:
        self.begin(task)
        try:
            if "check" in task:
                raise ValueError("checks (other than health checks) are not supported")
            arguments = run_arguments(task, self._flags)
        except ValueError as reason:
            self.finish("TASK_FAILED", f"Failed to create docker run options: {reason}")
            return
        self.limit_time()
        self.pid, error = self.spawn(self._command("run", *arguments), self.ended, files={0: self._null})
        if error:
            self.finish("TASK_FAILED", f"Failed to run docker container: {error}")
            return
        self._look()

    def _look(self) -> None:
        """Ask about the container until it has started, or `docker run` has ended without."""
        is_over = self._exit_status is not None

        def answer(status: int, output: str, _: str) -> None:
            found = json.loads(output)[0] if status == 0 else {}
            if found and found["State"]["StartedAt"] != NEVER:
                self._has_started(output, found)
            elif is_over:
                self._settled = True
                self._conclude()
            else:
                self.timers.add(LOOK_S, self._look)

        self._ask(answer, PATIENCE_S, "inspect", "--type=container", self._name)

    def _has_started(self, output: str, found: dict[str, Any]) -> None:
        self._settled = True
        self._network = self._network_info(found)
        if not self.killed:
            data = b2a_base64(output.encode(), newline=False).decode()
            self.update(self.task, "TASK_RUNNING", data=data)
        if self._exit_status is not None:
            self._conclude()
        elif self._wanted is not None:
            self._stop()
        else:
            watch(self, self.task, self.is_alive, self.sick, self._probe)

    def _network_info(self, found: dict[str, Any]) -> dict[str, Any] | None:
        """Return the container's addresses as a NetworkInfo, None if it has none of its own."""
        network = (found["NetworkSettings"].get("Networks") or {}).get(found["HostConfig"]["NetworkMode"]) or {}
        keys = (("IPAddress", "IPv4"), ("GlobalIPv6Address", "IPv6"))
        addresses = [{"ip_address": network[key], "protocol": protocol} for key, protocol in keys if network.get(key)]
        if not addresses:
            return None
        return {**(self.task["container"].get("network_infos") or [{}])[0], "ip_addresses": addresses}

    def update(
        self, task: dict[str, Any], state: str, message: str | None = None, reason: str | None = None, **more: Any
    ) -> None:
        if state == "TASK_RUNNING" and self._network:
            more["container_status"] = {"network_infos": [self._network]}
        super().update(task, state, message, reason, **more)

    def _probe(self, info: dict[str, Any], done: Result) -> None:
        """Have commands of health checks run in the container, others against this machine."""
        if "command" in info:
            inner = info["command"].get("command", info["command"])
            shell = ["sh"] if inner.get("shell", True) else []
            command = self._command("exec", self._name, *shell, *in_container(inner))
            info = {**info, "command": {**command, "environment": inner.get("environment")}}
        probe(self, info, done)

    # --- its end

    def kill(self, policy: dict[str, Any] | None = None, grace: float | None = None) -> None:
        if not self.pid:
            return
        if grace is None:
            grace = grace_period(self._grace, policy, self.task.get("kill_policy"))
        self._wanted = grace
        if self._settled:
            self._stop()
        elif self.escalation is None:  # Docker may not know the container yet
            self.escalation = self.timers.add(PATIENCE_S, self._stop)

    def _stop(self) -> None:
        if not self.pid or self._wanted is None:
            return
        self.timers.cancel(self.escalation)
        if not self.killed:
            self.killed = True
            if self.killing_state:
                self.update(self.task, "TASK_KILLING")
        self._stop_stopping()
        log(f"stopping container {self._name}, grace period {self._wanted:.0f} s")
        self._stopping = self._ask(self._stopped, None, "stop", "-t", str(int(self._wanted)), self._name)
        if self.unhealthy:
            self.escalation = self.timers.add(PATIENCE_S, self._stop)

    def _stopped(self, status: int, _: str, errors: str) -> None:
        if status and self.pid:
            log(f"docker stop: {errors or describe(status)}")

    def _stop_stopping(self) -> None:
        if self._stopping in self.children:
            kill_tree(self._stopping, signal.SIGKILL)

    def too_long(self) -> None:
        if self.is_alive():
            self.out_of_time = self.killed = True  # no TASK_KILLING
            self.kill(grace=0)

    def ended(self, status: int) -> None:
        self.pid, self._exit_status = 0, status
        self._stop_stopping()
        if self._settled:
            self._conclude()

    def _conclude(self) -> None:
        status = self._exit_status or 0
        self.conclude(status, describe(status, "Container"))

    def shutdown(self) -> None:
        if self.pid:
            self.kill(grace=max(0.0, self._grace - 2.0))
        else:
            super().shutdown()

    def die(self) -> NoReturn:
        if self.pid:
            os.spawnvp(os.P_WAIT, self._docker[0], [*self._docker, "stop", "-t", "0", self._name])
        sys.exit(1)


def main() -> NoReturn:
    flags = read_flags(sys.argv[1:])
    for name in REQUIRED:
        if name not in flags:
            log(f"missing option --{name}")
            sys.exit(1)
    DockerExecutor(flags).run()

"""What the agent tells its executors in their environment, and the executor's own options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "ms": 1e-3,
    "secs": 1.0,
    "mins": 60.0,
    "hrs": 3600.0,
    "days": 86400.0,
    "weeks": 604800.0,
}
TOKEN = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN"
# Of no use to tasks: a secret, and what would make a libprocess in a task take the executor's address.
PRIVATE = (TOKEN, "LIBPROCESS_IP", "LIBPROCESS_PORT")


class BadSurroundings(Exception):
    """Not started by a Mesos agent, or by one that wants what we cannot; the sentence says what."""


def seconds(text: str | None, default: float) -> float:
    """Read a duration as Mesos writes it, `1.5secs`; what is none is the default."""
    for unit, scale in UNITS.items():
        if text and text.endswith(unit):
            try:
                return float(text[: -len(unit)]) * scale
            except ValueError:
                continue
    return default


def nanoseconds(info: object, default: float) -> float:
    """Return the seconds of a DurationInfo, the default for anything else."""
    try:
        return max(0.0, int(info["nanoseconds"]) / 1e9)  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return default


@dataclass(frozen=True)
class Surroundings:
    """`address` is (host, port), or the path of a socket. Durations in seconds."""

    framework_id: str
    executor_id: str
    address: object
    host: str
    path: str
    sandbox: str
    token: str = ""
    checkpoint: bool = False
    recovery_timeout: float = 900.0
    backoff: float = 2.0
    shutdown_grace: float = 5.0

    @classmethod
    def of(cls, environment: Mapping[str, str], folder: str) -> Surroundings:
        """Read an environment; `folder` is the working directory. Raises BadSurroundings."""

        def needed(name: str) -> str:
            if not environment.get(name):
                raise BadSurroundings(f"{name} is not set: only a Mesos agent can start an executor")
            return environment[name]

        # SSL_* was the name until LIBPROCESS_SSL_*; a support downgrade lets plain HTTP in.
        for name in ("LIBPROCESS_SSL_ENABLED", "SSL_ENABLED"):
            downgrade = environment.get(name.replace("ENABLED", "SUPPORT_DOWNGRADE"), "")
            if environment.get(name, "").lower() in ("1", "true") and downgrade.lower() not in ("1", "true"):
                raise BadSurroundings(f"{name}={environment[name]}: this executor does not speak TLS with its agent")
        endpoint = needed("MESOS_AGENT_ENDPOINT")
        host, colon, port = endpoint.rpartition(":")
        if not colon or not port.isdigit():
            raise BadSurroundings(f"MESOS_AGENT_ENDPOINT={endpoint}: not of the form host:port")
        return cls(
            framework_id=needed("MESOS_FRAMEWORK_ID"),
            executor_id=needed("MESOS_EXECUTOR_ID"),
            address=environment.get("MESOS_DOMAIN_SOCKET") or (host.strip("[]"), int(port)),
            host=endpoint,
            path="/{}/api/v1/executor".format(needed("MESOS_SLAVE_PID").partition("@")[0]),
            sandbox=environment.get("MESOS_SANDBOX") or folder,
            token=environment.get(TOKEN, ""),
            checkpoint=environment.get("MESOS_CHECKPOINT") == "1",
            recovery_timeout=seconds(environment.get("MESOS_RECOVERY_TIMEOUT"), 900.0),
            backoff=seconds(environment.get("MESOS_SUBSCRIPTION_BACKOFF_MAX"), 2.0),
            shutdown_grace=seconds(environment.get("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"), 5.0),
        )


@dataclass(frozen=True)
class Options:
    """`idle_exit` and `keep_time` in seconds, 0 for never; `output_max_size` in MiB."""

    idle_exit: float = 900.0
    output_max_size: int = 10
    keep_tasks: int = 1000
    keep_time: float = 86400.0

    def words(self) -> list[str]:
        """Return them as arguments of the command."""
        return [f"--{name}={value}" for name, value in vars(self).items()]

    @classmethod
    def parse(cls, words: Sequence[str]) -> Options:
        """Read a command line. Exits with status 2 on what is wrong, as argparse does."""
        parser = argparse.ArgumentParser(
            "chronos-py executor", description="Run tasks for the Mesos agent that starts this.", allow_abbrev=False
        )
        number, natural = _at_least(float, 0), _at_least(int, 1)
        parser.add_argument("--idle_exit", type=number, default=cls.idle_exit, help="s without a task; 0: never end")
        parser.add_argument("--output_max_size", type=natural, default=cls.output_max_size, help="MiB, per stream")
        parser.add_argument("--keep_tasks", type=_at_least(int, 0), default=cls.keep_tasks, help="ended tasks' folders")
        parser.add_argument("--keep_time", type=number, default=cls.keep_time, help="s an ended task's folder stays")
        return cls(**vars(parser.parse_args(words)))


class _at_least:
    """A converter for argparse that names the bound."""

    def __init__(self, kind: type, lowest: float) -> None:
        self._kind, self._lowest = kind, lowest
        self.__name__ = f"{kind.__name__} of at least {lowest:g}"

    def __call__(self, text: str) -> float:
        value: float = self._kind(text)
        if not self._lowest <= value < 1e12:
            raise ValueError
        return value

"""Run a simulated Mesos master in this process: `python -m compat_tests.servers.simulated_mesos --help`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import os
import signal
from dataclasses import fields

from compat_tests.servers.simulated_mesos.service import Service
from compat_tests.servers.simulated_mesos.settings import Settings

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """End this process when the parent's thread that started it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit(f"the owner, {parent}, is gone")


def arguments() -> tuple[Settings, int | None]:
    """Read the command line: an option for each setting, and the owner's pid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--owner", type=int, help="end with this process, which must be the parent")
    defaults = Settings()
    for setting in fields(Settings):
        default = getattr(defaults, setting.name)
        kind = str if default is None else type(default)
        parser.add_argument(f"--{setting.name.replace('_', '-')}", type=kind, default=default)
    values = vars(parser.parse_args())
    owner = values.pop("owner")
    if values["credential"] is not None:
        principal, colon, secret = values["credential"].partition(":")
        if not colon:
            parser.error("--credential: expected principal:secret")
        values["credential"] = (principal, secret)
    return Settings(**values), owner


async def main() -> None:
    settings, owner = arguments()
    if owner is not None:
        die_with(owner)
    service = Service(settings)
    task = asyncio.ensure_future(service.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    asyncio.run(main())

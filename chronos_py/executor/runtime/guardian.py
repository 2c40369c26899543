"""The process that the agent starts: it only waits for the executor proper, its child, and ends what that left behind.

All processes of all tasks are below it, whatever they do: an orphan becomes a child of the executor, or of the guardian
when the executor has crashed. So an agent that destroys this process tree takes everything, and a crash leaves nothing.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from chronos_py.executor.runtime.loop import log
from chronos_py.executor.runtime.processes import adopt_orphans, children, end_with_parent, send

_PATIENCE = 10.0  # seconds for processes to vanish that were killed


def guarded(work: Callable[[], int]) -> int:
    """Run `work` in a child; return its exit status once nothing of it is alive."""
    adopt_orphans()
    guardian = os.getpid()
    child = os.fork()
    if child == 0:
        os._exit(_work(work, guardian))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: send([child], signal.SIGTERM))
    status = 1
    while True:
        pid, ended = os.waitpid(-1, 0)
        if pid == child:
            status = os.waitstatus_to_exitcode(ended)
            break
    if status < 0:
        log(f"the executor was ended by signal {-status}; its tasks end with it")
        status = 128 - status
    end_descendants()
    return status


def _work(work: Callable[[], int], guardian: int) -> int:
    status = 1
    try:
        adopt_orphans()
        end_with_parent(signal.SIGTERM)
        if os.getppid() == guardian:
            status = work()
    except BaseException as error:  # also SystemExit: nothing may run past this point twice
        log(f"the executor has failed: {error!r}")
    finally:
        end_descendants()
    return status


def end_descendants() -> None:
    """Kill all our descendants: each that ends makes its own children ours."""
    end = time.monotonic() + _PATIENCE
    while True:
        send(children(), signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > end:
            log("some processes cannot be ended")
            return
        time.sleep(0.005)

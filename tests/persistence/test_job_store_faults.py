"""One suite of faults over every job store: whatever becomes of any one operation of a turn, the turn is wholly there
or not at all, its caller is told, and the next one to load finds what was acknowledged.

Each case meddles with operation 0 of opening an epoch, loading and committing, then with operation 1, and so on to the
last: a statement of SQLite, a request to ZooKeeper, a change of a dictionary in memory.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, ConnectionLoss, NoNodeError, SessionExpiredError

from chronos_py.errors import StaleLeader, StoreUnavailable
from chronos_py.model.job import JobState
from chronos_py.persistence.base import JobStore
from chronos_py.persistence.memory import MemoryJobStore
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.persistence.zookeeper import ZooKeeperJobStore, keeper, pages, store, writing
from tests.persistence.faults import (
    Crash,
    Meddler,
    copy_of,
    leave_alone,
    meddle_with_memory,
    meddled_connection,
    sqlite_error,
)
from tests.persistence.test_job_store_suite import held
from tests.persistence.turns import BEFORE, TURN, State, after
from tests.persistence.zookeeper import decoder
from tests.persistence.zookeeper.faults import MeddledClient

pytestmark = pytest.mark.timeout(300)

OPERATIONS = 200  # more than any case needs


class Place(Protocol):
    """Where one store lies."""

    def open(self, meddler: Meddler | None = None) -> JobStore:
        """Open it as a new process does; `meddler` has a hand in what it does."""

    def heal(self) -> None:
        """Take the fault away, if it lasts."""

    def check(self, state: State) -> None:
        """Look whether what else lies there agrees with what the store holds."""


Arm = Callable[[Any], None]  # does something to a Place just before an operation


@dataclass(frozen=True)
class Fault:
    """An operation fails with what `error` makes, before or after it `took_effect`; or `arm` spoils the place."""

    error: Callable[[], BaseException] | None = None
    took_effect: bool = False
    arm: Arm | None = None
    lost: bool = False  # nothing of a turn may be there unless it was acknowledged: its fate is always known
    harmless: bool = False  # every single one of them is made good: the caller notices nothing


# --- memory


class MemoryPlace:
    def __init__(self) -> None:
        self.store = MemoryJobStore()

    def open(self, meddler: Meddler | None = None) -> JobStore:
        leave_alone(self.store)
        if meddler:
            meddle_with_memory(self.store, meddler)
        return self.store

    def heal(self) -> None:
        leave_alone(self.store)

    def check(self, state: State) -> None: ...


# --- SQLite


class SqlitePlace:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "state.sqlite"
        self.copies = 0
        self.other: sqlite3.Connection | None = None
        self.opened: list[SqliteJobStore] = []
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def open(self, meddler: Meddler | None = None) -> JobStore:
        connect = meddled_connection(meddler) if meddler else sqlite3.connect
        self.opened.append(SqliteJobStore(self.file, exclusive=False, timeout=0.01, make_connection=connect))
        return self.opened[-1]

    def heal(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        if self.other is not None:
            self.other.close()
            self.other = None

    def close(self) -> None:
        self.heal()
        while self.opened:
            self.opened.pop().close()

    def check(self, state: State) -> None:
        with closing(sqlite3.connect(self.file)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    # what can happen to it

    def die(self) -> BaseException:
        """kill -9: from now on there is what lay on disk at this moment."""
        self.copies += 1
        self.file = copy_of(self.file, self.file.parent / f"left-{self.copies}")
        return Crash()

    def lock(self) -> None:
        """Another process holds the file, if it gets it."""
        self.other = sqlite3.connect(self.file, isolation_level=None, timeout=0.01)
        with suppress(sqlite3.OperationalError):
            self.other.execute("BEGIN IMMEDIATE")

    def fill(self) -> None:
        """No file can grow any more."""
        log = self.file.with_name(self.file.name + "-wal")
        sizes = [part.stat().st_size for part in (self.file, log) if part.exists()]
        resource.setrlimit(resource.RLIMIT_FSIZE, (max([4096, *sizes]), self.limits[1]))

    def depose(self) -> None:
        """Another process leads, if it gets the file."""
        with suppress(StoreUnavailable):
            self.open().open_epoch()


# --- ZooKeeper


class ZooKeeperPlace:
    def __init__(self, client: KazooClient, root: str) -> None:
        self.client = client
        self.root = root

    def open(self, meddler: Meddler | None = None) -> JobStore:
        client = MeddledClient(self.client, meddler or Meddler())
        return ZooKeeperJobStore("shared", self.root, log_turns=2, patience=10, make_client=lambda *_, **__: client)

    def heal(self) -> None: ...

    def check(self, state: State) -> None:
        """Chronos's own variables say the same."""
        names = self.client.get_children(f"{self.root}/state")
        assert sorted(name for name in names if name != "frameworkId") == sorted(f"J_{name}" for name in state["job"])
        for name, job in state["job"].items():
            document = decoder.job(f"J_{name}", self.client.get(f"{self.root}/state/J_{name}")[0])
            assert document["command"] == job.command
            assert document["successCount"] == state["state"].get(name, JobState()).success_count
        framework = decoder.framework_id(self.client.get(f"{self.root}/state/frameworkId")[0])
        assert framework == state["meta"]["framework_id"]

    def depose(self) -> None:
        self.open().open_epoch()


# --- the cases

REFUSALS = [(sqlite3.SQLITE_FULL, "database or disk is full"), (sqlite3.SQLITE_IOERR, "disk I/O error"),
            (sqlite3.SQLITE_BUSY, "database is locked")]  # fmt: skip

FAULTS: dict[str, dict[str, Fault]] = {
    "memory": {"memory is full": Fault(MemoryError), "memory is full, after": Fault(MemoryError, took_effect=True)},
    "sqlite": {
        **{text: Fault(partial(sqlite_error, code, text), lost=True) for code, text in REFUSALS},
        **{f"{text}, after": Fault(partial(sqlite_error, code, text), took_effect=True) for code, text in REFUSALS},
        "killed": Fault(Crash),
        "killed, after": Fault(Crash, took_effect=True),
        "really locked": Fault(arm=SqlitePlace.lock, lost=True),
        "really full": Fault(arm=SqlitePlace.fill, lost=True),
        "deposed": Fault(arm=SqlitePlace.depose, lost=True),
    },
    "zookeeper": {
        "connection lost": Fault(ConnectionLoss, harmless=True),
        "connection lost, after": Fault(ConnectionLoss, took_effect=True, harmless=True),
        "session expired, after": Fault(SessionExpiredError, took_effect=True, harmless=True),
        # before a request is what after the last one is
        "killed, after": Fault(Crash, took_effect=True),
        "no node": Fault(NoNodeError),
        "another version": Fault(BadVersionError),
        "deposed": Fault(arm=ZooKeeperPlace.depose),
    },
}  # fmt: skip
CASES = [
    pytest.param(store, sizes, fault, id=f"{store}{'-' + sizes if sizes else ''}-{name}",
                 marks=[pytest.mark.external] if store == "zookeeper" else [])
    for store, faults in FAULTS.items()
    for sizes in (["one request", "many requests"] if store == "zookeeper" else [""])
    for name, fault in faults.items()
]  # fmt: skip

DEPOSING = (SqlitePlace.depose, ZooKeeperPlace.depose)
NewPlace = Callable[[], Any]


@contextmanager
def places(kind: str, request: pytest.FixtureRequest) -> Iterator[NewPlace]:
    """Give what makes places of a kind, one after the other."""
    numbers = iter(range(10**6))
    if kind == "memory":
        yield MemoryPlace
    elif kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        made: list[SqlitePlace] = []

        def another() -> SqlitePlace:
            if made:
                made[-1].close()
            (place := folder / str(next(numbers))).mkdir()
            made.append(SqlitePlace(place))
            return made[-1]

        try:
            yield another
        finally:
            for place in made:
                place.close()
    else:
        client = KazooClient(request.getfixturevalue("zookeeper_server").hosts)
        client.start(30)
        try:
            yield lambda: ZooKeeperPlace(client, f"/{request.node.callspec.id.replace(' ', '-')}/{next(numbers)}")
        finally:
            client.stop()
            client.close()


def small_requests(patch: pytest.MonkeyPatch) -> None:
    """Let a turn of a few kilobytes be too large for one request."""
    for module in (writing, pages, store):
        patch.setattr(module, "PACKET", 12_000, raising=False)
    patch.setattr(writing, "MARGIN", 300)
    for module in (writing, pages):
        patch.setattr(module, "PART", 2500)


def begin(place: Place) -> State:
    first = place.open()
    epoch = first.open_epoch()
    for at in range(0, len(BEFORE), 3):  # several turns
        first.commit(epoch, BEFORE[at : at + 3])
    return held(first.load())


def work(leader: JobStore) -> str:
    """Lead, and commit the turn; return what the caller was told."""
    try:
        epoch = leader.open_epoch()
        leader.load()
        leader.commit(epoch, TURN)
    except StaleLeader:
        return "deposed"
    except (StoreUnavailable, MemoryError):
        return "failed"
    except Crash:
        return "killed"
    return "done"


@pytest.mark.parametrize(("kind", "sizes", "fault"), CASES)
def test_a_turn_is_wholly_there_or_not_at_all(
    kind: str, sizes: str, fault: Fault, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "CONNECT_AGAIN_S", 0.0)  # the real connection is never away
    if sizes == "many requests":
        small_requests(monkeypatch)
    told: set[tuple[str, bool]] = set()
    with places(kind, request) as another:
        for number in range(OPERATIONS):
            place = another()
            old = begin(place)
            new = after(old)
            meddler = _armed(place, fault, number)
            leader = place.open(meddler)
            answer = work(leader)
            place.heal()
            if not meddler.fired:
                break
            where = (number, meddler.seen[number][:60], answer)
            found = held(place.open().load())
            assert found in ([new] if answer == "done" else [old] if fault.lost else [old, new]), where
            told.add((answer, found == new))
            again = leader
            if answer == "killed" or fault.arm in DEPOSING:
                again = place.open()
            else:
                assert held(leader.load()) == found, where  # the same process sees no other truth
            again.commit(again.open_epoch(), TURN)  # whatever it was, the turn can be committed anew
            assert held(place.open().load()) == held(again.load()) == new, where
            place.check(new)
        else:
            raise AssertionError("too many operations")
    assert number > 8
    _check(fault, told)


def _armed(place: Any, fault: Fault, number: int) -> Meddler:
    error = place.die if fault.error is Crash and isinstance(place, SqlitePlace) else fault.error
    arm = fault.arm
    return Meddler(number, error, fault.took_effect, (lambda: arm(place)) if arm else None)


def _check(fault: Fault, told: set[tuple[str, bool]]) -> None:
    """The faults did what they are for."""
    if fault.harmless:
        assert told == {("done", True)}
    elif fault.error is Crash:
        assert ("killed", False) in told
        assert not fault.took_effect or ("killed", True) in told
    elif fault.arm in DEPOSING:
        assert ("deposed", False) in told
    else:
        assert ("failed", False) in told

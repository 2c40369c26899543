"""The job store of a group of nodes: ZooKeeper holds it, and ZooKeeper itself refuses whoever leads no more.

A turn is one request of many operations, all or none of which ZooKeeper carries out: that the epoch is still ours; one
node of the log with all that changed; and the variables of Chronos that changed with it. A turn too large for one
request first writes its parts, which count for nothing without the node that ends them, and last the variables, which
the turn names; whoever opens the next epoch writes those that are missing. Pages are written behind, oldest first, and
the log is cut after them.

When the answer to a write is lost the same request is sent again: the log's node can be made only once, so that it is
never carried out twice. When that brings no certainty either, StoreUnavailable is raised and everything is read anew.

A variable of Chronos that someone else has written: while nobody led, theirs counts (`load` takes it over); while we
lead, ours counts, and theirs is kept below `x/quarantine` before it is overwritten. Either is logged.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from kazoo.client import KazooClient
from kazoo.exceptions import BadVersionError, NoAuthError, NodeExistsError, NoNodeError
from kazoo.hosts import collect_hosts

from chronos_py.clock import Clock, SystemClock
from chronos_py.errors import OUTCOME_UNKNOWN, StaleAndUnknown, StaleLeader, StoreUnavailable, UnknownOutcome
from chronos_py.model.documents import JobDefaults
from chronos_py.model.history import HistoryRecord
from chronos_py.model.messages import Change, Kind
from chronos_py.persistence.base import Snapshot
from chronos_py.persistence.batch import settle
from chronos_py.persistence.codec import BadRecord, dump, load
from chronos_py.persistence.collector import no_collection
from chronos_py.persistence.zookeeper.documents import ScheduleText, as_sent
from chronos_py.persistence.zookeeper.image import Unread
from chronos_py.persistence.zookeeper.keeper import (
    PACKET,
    Check,
    Create,
    Found,
    Keeper,
    Operation,
    Refused,
    Remove,
    Tls,
    Unsure,
    Write,
)
from chronos_py.persistence.zookeeper.known import Known
from chronos_py.persistence.zookeeper.layout import FORMAT, layout_of
from chronos_py.persistence.zookeeper.pages import LOG_TURNS, tidy
from chronos_py.persistence.zookeeper.reading import Holdings, read_holdings, read_log_only
from chronos_py.persistence.zookeeper.variables import Surveyor
from chronos_py.persistence.zookeeper.writing import MARGIN, Draft, draft, plan

log = structlog.get_logger(__name__)

TRIES = 4  # of one request whose answer was lost, and of one that met others' changes
ASIDES = 1000  # how many records are kept aside; further ones go to the log only


class ZooKeeperJobStore:
    """A JobStore below `path` of the ZooKeeper at `hosts` (host:port, comma-separated).

    `auth` is `user:password` or empty. `timeout` is the session's, `patience` how long any call waits for an answer,
    both in seconds; none waits for a write when `lease`, the seconds for which nobody else can
    lead, is over. `schedule_text` says what is left of a schedule, for Chronos's documents; `defaults` are for
    documents of others that leave something out. All methods may be called from any thread, one works at a time.
    """

    def __init__(
        self,
        hosts: str,
        path: str = "/chronos/state",
        *,
        auth: str = "",
        timeout: float = 10.0,
        patience: float = 10.0,
        tls: Tls | None = None,
        schedule_text: ScheduleText = as_sent,
        defaults: JobDefaults | None = None,
        clock: Clock | None = None,
        log_turns: int = LOG_TURNS,
        make_client: Callable[..., Any] = KazooClient,
        lease: Callable[[], float] = lambda: math.inf,
    ) -> None:
        """Raises ValueError for hosts or a path that cannot be."""
        collect_hosts(hosts)
        self._layout = layout_of(path)
        self._keeper = Keeper(hosts, auth, timeout, patience, tls, make_client, lease)
        self._text = schedule_text
        self._surveyor = Surveyor(self._layout, schedule_text, defaults or JobDefaults(), clock or SystemClock())
        self._log_turns = log_turns
        self._lock = threading.RLock()
        self._outbox_lock = threading.Lock()  # for readers that must not wait for a commit
        self._epoch = 0
        self._held: Holdings | None = None  # None: has to be read
        self._known = Known()
        self._tasks: tuple[str, ...] = ()  # of a Chronos 2, to be taken over
        self._asides = 0
        self._warm = False

    # --- the protocol

    def open_epoch(self) -> int:
        with self._lock:
            self._held = None
            self._prepare()
            for _ in range(TRIES):
                try:
                    epoch = self._keeper.one(self._layout.epoch).version
                    self._keeper.multi([Write(self._layout.epoch, b"", epoch)])
                except Unsure:
                    continue  # if it was carried out after all, one number is left out
                except Refused as refused:
                    if not isinstance(refused.reason, BadVersionError):  # else another node was faster: be the later
                        raise StoreUnavailable(f"{self._layout.epoch}: {refused.reason!r}") from refused
                    continue
                self._epoch = epoch + 1
                return self._epoch
            raise StoreUnavailable(f"{self._layout.epoch}: no epoch could be opened in {TRIES} tries")

    def load(self) -> Snapshot:
        """See JobStore. Once an epoch is open, what others have written meanwhile is made ours."""
        with self._lock, no_collection():
            held = self._read()
            counters = {name: theirs.read.counters for name, theirs in self._known.pending.items()}
            snapshot = Snapshot(quarantined=held.quarantined, counters=counters, pending=self._tasks)
            places: dict[Kind, dict[Any, Any]] = {
                "job": snapshot.jobs, "state": snapshot.states, "run": snapshot.runs, "outbox": snapshot.outbox,
            }  # fmt: skip
            for kind, place in places.items():
                place.update((key, value) for key, value in held.image.items(kind) if type(value) is not Unread)
            for key, value in held.image.items("meta"):
                if type(value) is not Unread:
                    snapshot.meta[key] = load(value)
        if held.unknown:
            log.warning("stored fields of a newer version are ignored", fields=sorted(held.unknown))
        return snapshot

    def commit(self, epoch: int, changes: Sequence[Change]) -> None:
        """See JobStore. Raises BadRecord when a value has no JSON form, or is too large."""
        batch = settle(changes)
        with self._lock:
            held = self._held or self._read()
            while True:
                turn = draft(batch, held.image, self._known, self._text)
                try:
                    self._write(epoch, turn)
                except _Frozen as error:
                    self._freeze(error)
                else:
                    break
            self._tidy(epoch)

    def close(self) -> None:
        self._keeper.close()

    # --- beyond the protocol

    def warm_up(self) -> None:
        """Connect, and read the log for nothing: who is elected then need not do for the first time all that reading
        takes. Its size is bounded, whatever is stored. Does nothing while somebody else uses the store, nor when an
        epoch has been opened. Raises StoreUnavailable."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._epoch or self._warm:
                self._keeper.connect()
            else:
                read_log_only(self._keeper, self._layout)
                self._warm = True
        finally:
            self._lock.release()

    def read_outbox(self, after: int, limit: int) -> list[tuple[int, HistoryRecord]]:
        """Return records with numbers above `after`, lowest first. Unreadable ones are left out. Does not wait for a
        commit, nor hold one up. Raises StoreUnavailable."""
        held = self._held
        if held is None:
            with self._lock:
                held = self._held or self._read()
        with self._outbox_lock:
            found = [item for item in held.image.items("outbox") if item[0] > after and type(item[1]) is not Unread]
        return sorted(found, key=lambda item: item[0])[:limit]

    # --- reading

    def _prepare(self) -> None:
        """Make what is missing; the format comes last. Raises StoreUnavailable when a newer version has been here."""
        layout, keeper = self._layout, self._keeper
        for _ in range(2):
            try:
                found = keeper.one(layout.format).data
            except Refused as refused:
                if not isinstance(refused.reason, NoNodeError):
                    raise StoreUnavailable(f"{layout.format} cannot be read: {refused.reason!r}") from refused
            else:
                break
            above = layout.state.split("/")
            keeper.ensure(["/".join(above[: depth + 1]) for depth in range(1, len(above))], shared=True)
            keeper.ensure([*layout.directories(), layout.epoch])
            with suppress(Refused, Unsure):  # another node was faster; or the next look tells
                keeper.multi([Create(layout.format, FORMAT)])
        else:
            raise StoreUnavailable(f"{layout.format} could not be made")
        if found != FORMAT:
            raise StoreUnavailable(
                f"{layout.own} was written by another chronos-py (format {found[:20]!r}, this one knows {FORMAT!r})"
            )

    def _read(self) -> Holdings:
        """Read everything. With an epoch, also finish what was begun, and make ours what others have written."""
        self._held = None
        held = read_holdings(self._keeper, self._layout)
        survey = self._surveyor.survey(self._keeper, held)
        self._known, self._tasks = survey.known, survey.pending
        self._asides = self._count_asides() if self._epoch else 0
        self._held = held
        turn = survey.turn
        if self._epoch and (turn.lines or turn.variables):
            try:
                self._write(self._epoch, turn)
            except _Frozen as error:
                self._freeze(error)
                self._held = None
                raise StoreUnavailable(f"{error.name} must be written, and may not: {error}") from error
        else:
            self._take(turn, held.turn)
        return held

    def _count_asides(self) -> int:
        try:
            return len(self._keeper.children(self._layout.quarantine))
        except Refused:
            return ASIDES

    # --- writing

    def _write(self, epoch: int, turn: Draft) -> None:
        """Make a turn durable, or leave no trace of it. Raises StaleLeader, StoreUnavailable, _Frozen."""
        held = self._held
        assert held is not None
        for kind, key, value in turn.asides:
            self._lay_aside(epoch, kind, key, value)
        steps = plan(turn, held.turn + 1, self._layout, held.image, self._known)
        durable = False
        try:
            for part in steps.parts:
                self._send(epoch, part, [], turn)
            self._send(epoch, steps.end, steps.together, turn)
            durable = True
            for names in steps.after:
                self._send(epoch, None, names, turn)
        except (StaleLeader, BadRecord):
            raise
        except _Frozen as error:
            if durable:  # the index would not agree with what is there: have it read again
                self._held = None
                raise StoreUnavailable(f"{error.name} must be written, and may not: {error}") from error
            raise
        except BaseException:
            self._held = None  # whatever has become of it: read everything again
            raise
        held.turns[steps.number] = (steps.paths, steps.size)
        held.turn = steps.number
        self._known.children = steps.children
        self._take(turn, steps.number)

    def _take(self, turn: Draft, number: int) -> None:
        """Note in memory what is durable now."""
        held = self._held
        assert held is not None
        with self._outbox_lock:
            image = held.image
            for kind, key in turn.deletes:
                image.delete(kind, key, number)
            if turn.outbox_up_to is not None:
                for record in image.outbox_up_to(turn.outbox_up_to):
                    image.delete("outbox", record, number)
            for kind, key, value in turn.puts:
                image.put(kind, key, value, number)
        for name in turn.jobs:
            self._known.pending.pop(name, None)

    def _send(self, epoch: int, once: Create | None, names: Sequence[str], turn: Draft) -> None:
        """Carry out one request: `once` is a node that only this request makes; `names` the variables with it."""
        left, sent, deadline = list(names), False, self._keeper.deadline()
        for _ in range(TRIES):
            operations: list[Operation] = [Check(self._layout.epoch, epoch), *([once] if once else [])]
            before = len(operations)
            targets = [(name, self._operation(name, turn)) for name in left]
            targets = [(name, operation) for name, operation in targets if operation is not None]
            operations += [operation for _, operation in targets if operation is not None]
            try:
                self._keeper.multi(operations, deadline)
            except Unsure:
                sent = True
                continue
            except StoreUnavailable as error:
                raise _unknown(error) if sent else error from None
            except Refused as refused:
                if refused.index == 0:
                    raise self._deposed(epoch, refused, sent=sent) from refused
                if refused.index < before:
                    assert once is not None
                    if sent and self._is_there(once):
                        left = self._meet(epoch, left, turn)
                        return
                    raise StoreUnavailable(f"{once.path} cannot be made: {refused.reason!r}") from refused
                name = targets[refused.index - before][0]
                if isinstance(refused.reason, NoAuthError):
                    raise _Frozen(name, refused.reason) from refused
                left = self._meet(epoch, left, turn)
                continue
            for name, _ in targets:
                self._written(name, turn)
            return
        raise _unknown(f"{self._layout.root}: no certain answer to a write in {TRIES} tries")

    def _operation(self, name: str, turn: Draft) -> Operation | None:
        path, version, variable = self._layout.node(name), self._known.versions.get(name), turn.variables[name]
        if variable is None:
            return None if version is None else Remove(path, version)
        return Create(path, variable.data) if version is None else Write(path, variable.data, version)

    def _written(self, name: str, turn: Draft) -> None:
        known, variable = self._known, turn.variables[name]
        if variable is None:
            known.versions.pop(name, None)
            known.digests.pop(name, None)
            known.forms.pop(name, None)
            known.uuids.pop(name, None)
        else:
            known.uuids.pop(name, None)
            known.versions[name] = known.versions.get(name, -1) + 1
            known.digests[name] = variable.digest
            if variable.form is not None:
                known.forms[name] = variable.form
            else:
                known.forms.pop(name, None)

    def _is_there(self, node: Create) -> bool:
        try:
            return self._keeper.one(node.path).data == node.data
        except Refused:
            return False

    def _meet(self, epoch: int, names: Sequence[str], turn: Draft) -> list[str]:
        """Look at variables that are not as we knew them; return those that are still to be written.

        What others have written meanwhile is kept aside: we lead, so what our callers were told counts.
        """
        left = []
        paths = {self._layout.node(name): name for name in names}
        for path, found in list(self._keeper.read(paths)):
            name, variable = paths[path], turn.variables[paths[path]]
            if not isinstance(found, Found):
                if isinstance(found, NoAuthError):
                    raise _Frozen(name, found)
                if self._known.versions.pop(name, None) is not None and variable is not None:
                    log.warning("someone else has deleted a variable while we lead: it is written again", name=name)
                if variable is not None:
                    left.append(name)
                continue
            if variable is not None and found.data == variable.data:
                self._known.versions[name] = found.version - 1
                self._written(name, turn)
                continue
            if self._known.versions.get(name) != found.version:
                log.warning("a variable is not as we knew it: it is kept aside and overwritten", name=name)
                self._lay_aside(epoch, "node", name, found.data)
                self._known.versions[name] = found.version
                self._known.digests.pop(name, None)
            left.append(name)
        if len(left) == len(names):
            self._keeper.ensure([self._layout.state], shared=True)
        return left

    def _lay_aside(self, epoch: int, kind: str, key: Any, data: bytes) -> None:
        """Keep bytes that are about to go."""
        digest = hashlib.blake2b(f"{kind} {key}".encode() + data, digest_size=16).hexdigest()
        text = dump({"kind": kind, "key": str(key)}) + b"\n" + data
        if self._asides >= ASIDES or len(text) > PACKET - MARGIN:
            log.error("a record goes without being kept aside", kind=kind, key=str(key), data=repr(data[:2000]))
            return
        try:
            self._request(epoch, [Create(f"{self._layout.quarantine}/{digest}", text)])
        except Refused as refused:
            if not isinstance(refused.reason, NodeExistsError):
                raise StoreUnavailable(f"{self._layout.quarantine}: {refused.reason!r}") from refused
        else:
            self._asides += 1

    def _request(self, epoch: int, operations: Sequence[Operation]) -> None:
        """Do all in the epoch, again when the answer is lost. Raises StaleLeader, StoreUnavailable, Refused."""
        sent, deadline = False, self._keeper.deadline()
        for _ in range(TRIES):
            try:
                self._keeper.multi([Check(self._layout.epoch, epoch), *operations], deadline)
            except Unsure:
                sent = True
                continue
            except Refused as refused:
                if refused.index == 0:
                    raise self._deposed(epoch, refused) from refused
                if sent and refused.index == 1:
                    return  # each begins with what can be done only once
                raise
            return
        raise StoreUnavailable(f"{self._layout.root}: no certain answer to a write in {TRIES} tries")

    def _tidy(self, epoch: int) -> None:
        """Write pages behind. The turn is durable: what fails here concerns the next one."""
        held = self._held
        assert held is not None
        try:
            tidy(lambda operations: self._request(epoch, operations), self._layout, held, turns=self._log_turns)
        except (StoreUnavailable, Refused) as error:
            log.warning("pages could not be written; reading everything again", reason=str(error))
            self._held = None

    def _deposed(self, epoch: int, refused: Refused, *, sent: bool = False) -> StoreUnavailable:
        """Return what to raise when the epoch is not ours; `sent`: an earlier request may have been carried out."""
        if isinstance(refused.reason, BadVersionError | NoNodeError):
            try:
                current = self._keeper.one(self._layout.epoch).version
            except Refused:
                current = -1
            if current > epoch:
                stale = f"epoch {epoch} is over: {self._layout.root} is in epoch {current}"
                return StaleAndUnknown(f"{stale}; {OUTCOME_UNKNOWN}") if sent else StaleLeader(stale)
            self._held = None
            return StoreUnavailable(f"{self._layout.root} was replaced by an older one: it is in epoch {current}")
        return StoreUnavailable(f"{self._layout.epoch}: {refused.reason!r}")

    def _freeze(self, error: _Frozen) -> None:
        log.error("a variable may not be written, and is left as it is", name=error.name, reason=str(error))
        self._known.frozen.add(error.name)


def _unknown(error: object) -> UnknownOutcome:
    return UnknownOutcome(f"{error}; {OUTCOME_UNKNOWN}")


class _Frozen(Exception):
    """We may not write a variable."""

    def __init__(self, name: str, reason: Exception) -> None:
        super().__init__(repr(reason))
        self.name = name

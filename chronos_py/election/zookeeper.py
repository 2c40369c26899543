"""The election in ZooKeeper, in Chronos's own form, so that nodes of ours and of Chronos can stand in one group.

One thread makes and watches nodes; kazoo's thread tells it of the connection. A connection that is in doubt ends our
leadership at once, long before ZooKeeper gives our node up. Nothing here ends the process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import structlog
from kazoo.client import KazooState
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol.states import KeeperState

from chronos_py.clock import Millis
from chronos_py.election.base import Role, Session, Standing
from chronos_py.election.latch import Candidate, candidates, new_prefix, read_address
from chronos_py.zookeeper import end_session

log = structlog.get_logger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0  # after something went wrong with a client as a whole
LONGEST_REST_S = 1.0  # after a question without an answer: nobody may be leading
LOOK_AGAIN_S = 30.0  # even when no watch says so: what was missed is found within this time
MOMENT_S = 1.0  # from stepping down to standing again: others had their chance
HAND_OVER_S = 2.0  # for deleting our node at the end; then the session's end does it
END_S = 5.0  # until a session that does not end is left to ZooKeeper
LOOKS = 4  # that a leader takes while a session lasts, so that it knows of itself that it still leads
LONGEST_LEASE_S = 10.0  # ZooKeeper may give a session less time than was asked for
FORMER = 64  # prefixes of earlier nodes of ours that are remembered


class ZooKeeperLeadership:
    """Takes part in the election below `path`, as `address`.

    `connect` makes a client that was not started; `acl` is for the nodes made here; `timeout` is the session's, in
    seconds; `now` gives the time for `since`, `monotonic` that by which a leader knows that it still is one.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        path: str,
        address: str,
        *,
        acl: Any = None,
        timeout: float = 10.0,
        now: Callable[[], Millis] | None = None,
        monotonic: Callable[[], float] | None = None,
    ) -> None:
        self._connect = connect
        self._path = path
        self._data = address.encode()
        self._acl = acl
        self._timeout = timeout
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._monotonic = monotonic or time.monotonic
        self._elected: Callable[[], None] = lambda: None
        self._resigned: Callable[[str], None] = lambda reason: None
        self._lock = threading.RLock()  # never held while ZooKeeper is asked
        self._client: Any = None
        self._standing = Standing(address, "", "none", self._now(), "connecting", 0)
        self._drops = 0  # how often the connection was in doubt, or we stepped down
        self._prefix = new_prefix()
        self._former: deque[str] = deque(maxlen=FORMER)
        self._unsure = False  # whether the last creation of a node was carried out
        self._pause = FIRST_PAUSE_S
        self._lease = 0.0  # until when nobody else can have been elected; of the clock that runs while we are frozen
        self._not_before = 0.0  # no new node until then
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    # --- the protocol

    def start(self, on_elected: Callable[[], None], on_resigned: Callable[[str], None]) -> None:
        self._elected, self._resigned = on_elected, on_resigned
        self._thread = threading.Thread(target=self._run, name="election", daemon=True)
        self._thread.start()

    def leader(self) -> str:
        return self._standing.leader

    def is_leader(self) -> bool:
        """See Leadership. A process that was frozen does not believe itself, until it has asked ZooKeeper."""
        return self._standing.role == "leader" and self._monotonic() < self._lease

    def lease(self) -> float:
        return max(0.0, self._lease - self._monotonic())

    def standing(self) -> Standing:
        return self._standing

    def resign(self, reason: str) -> None:
        with self._lock:
            if self._standing.role != "leader":
                return
            self._step_down(reason)
            self._renew()
            self._not_before = time.monotonic() + MOMENT_S
        self._wake.set()

    def stop(self) -> None:
        with self._lock:
            self._stopping.set()
            self._drops += 1
            self._change(role="none", **({"leader": ""} if self._standing.role == "leader" else {}))
        self._wake.set()
        if self._thread is not None:
            self._thread.join(HAND_OVER_S + END_S)
            if self._thread.is_alive():
                log.error("the election's thread does not end; ZooKeeper will end our session")

    # --- what kazoo's thread tells

    def _on_state(self, client: Any, state: str) -> None:
        with self._lock:
            if self._stopping.is_set() or client is not self._client:
                return
            if state == KazooState.CONNECTED:
                self._change(session="connected")
            else:
                lost = state == KazooState.LOST
                if lost and client.client_state == KeeperState.AUTH_FAILED:
                    session: Session = "refused"
                else:
                    session = "lost" if lost else "suspended"
                self._change(session=session)
                self._step_down(f"the connection to ZooKeeper is {session}")
                if lost:
                    self._lease = 0.0
                    self._change(leader="", node="")
        self._wake.set()

    def _on_watch(self, event: Any) -> None:
        self._wake.set()

    # --- changes of standing; under the lock

    def _change(self, **values: Any) -> None:
        before = self._standing
        after = replace(before, **values)
        if (after.role, after.leader) != (before.role, before.leader):
            after = replace(after, since=self._now())
        self._standing = after
        if after.leader != before.leader:
            log.info("the leader", leader=after.leader or "none")

    def _step_down(self, reason: str) -> None:
        """Lead no longer, at once. A look that is under way must not elect us on what it saw before."""
        self._drops += 1
        led = self._standing.role == "leader"
        self._change(role="none", **({"leader": ""} if led else {}))
        if led:
            self._resigned(reason)

    def _renew(self) -> None:
        self._former.append(self._prefix)
        self._prefix = new_prefix()

    # --- our own thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            client = None
            try:
                client = self._connect()
                with self._lock:
                    self._client = client
                    self._change(session="connecting")
                client.add_listener(lambda state, client=client: self._on_state(client, state))
                client.start_async()
                self._take_part(client)
            except Exception:
                log.exception("the election failed; it begins again")
            self._end(client)
            if not self._stopping.is_set():
                self._rest()

    def _take_part(self, client: Any) -> None:
        """Return when the client is of no use any more, or this node is to stop."""
        quiet_since = time.monotonic()
        begun = False  # a client's state is CLOSED until its thread has begun
        while not self._stopping.is_set():
            self._wake.clear()
            state = client.client_state
            begun = begun or state != KeeperState.CLOSED or time.monotonic() - quiet_since > self._timeout
            if begun and state in (KeeperState.AUTH_FAILED, KeeperState.CLOSED):
                log.error("the session with ZooKeeper was refused or has ended", state=str(state))
                return
            if not client.connected:
                if time.monotonic() - quiet_since > 6 * self._timeout + LOOK_AGAIN_S:
                    log.warning("ZooKeeper does not answer; a new client tries")
                    return
                self._wake.wait(self._timeout if begun else 0.05)
                continue
            quiet_since = time.monotonic()
            try:
                wait = self._look(client)
                self._pause = FIRST_PAUSE_S
            except (KazooException, KazooTimeoutError) as error:
                if isinstance(error, NoAuthError):
                    log.error("ZooKeeper does not let us stand for election: see --zk_auth", path=self._path)
                else:
                    log.warning("ZooKeeper could not be asked about the election", reason=repr(error))
                self._wake.wait(min(self._pause, LONGEST_REST_S))  # not when the connection has news
                self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
                continue
            self._wake.wait(wait)

    def _rest(self) -> None:
        """Wait before the next attempt, longer each time."""
        self._stopping.wait(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE_S)

    def _ask(self, request: Any) -> Any:
        """Wait for an answer. Raises KazooException, KazooTimeoutError."""
        return request.get(timeout=self._timeout)

    def _look(self, client: Any) -> float:
        """See to it that we have a node, and who leads. Return for how many seconds that will do if no watch calls.

        What is found counts only if the connection was not in doubt meanwhile.
        """
        with self._lock:
            drops, prefix = self._drops, self._prefix
        asked = self._monotonic()
        session = client.client_id
        if session is None:
            return 0.0
        if self._unsure:  # what we asked for may be done on another server than the one that we are asking now
            self._ask(client.sync_async(self._path))
        group = self._group(client)
        group, left = self._clear(client, group)
        if not left:
            self._unsure = False
        own = next((one for one in group if one.name.startswith(prefix)), None)
        if own is None:
            self._lose("our node in ZooKeeper is gone")
            wait = self._not_before - time.monotonic()
            if wait > 0:
                self._follow(client, group, drops)
                return wait
            self._stand(client, prefix)
            return 0.0
        if not self._is_ours(client, own, session[0]):
            with self._lock:
                self._renew()
            return 0.0
        place = group.index(own)
        if place == 0:
            return self._win(own, len(group), drops, asked)
        if place > 1 and self._ask(client.exists_async(self._at(group[place - 1]), watch=self._on_watch)) is None:
            return 0.0
        return self._follow(client, group, drops, own)

    def _group(self, client: Any) -> list[Candidate]:
        try:
            return candidates(self._ask(client.get_children_async(self._path)))
        except NoNodeError:
            self._ask(client.ensure_path_async(self._path.rpartition("/")[0]))  # others have nodes there as well
            self._ask(client.ensure_path_async(self._path, acl=self._acl))
            return candidates(self._ask(client.get_children_async(self._path)))

    def _clear(self, client: Any, group: list[Candidate]) -> tuple[list[Candidate], bool]:
        """Delete nodes that were ours: of an earlier session, or from before we stepped down. An answer that was lost
        is no matter, the next look sees whether they are gone. Return the others, and whether any were there."""
        with self._lock:
            former = tuple(self._former)
        stale = [one for one in group if former and one.name.startswith(former)]
        for one in stale:
            self._delete(client, one.name)
        return [one for one in group if one not in stale], bool(stale)

    def _delete(self, client: Any, name: str) -> None:
        with suppress(NoNodeError):
            self._ask(client.delete_async(f"{self._path}/{name}"))

    def _stand(self, client: Any, prefix: str) -> None:
        """Make our node. If the answer is lost, the next look finds it by its prefix."""
        self._unsure = True
        path = f"{self._path}/{prefix}"
        self._ask(client.create_async(path, self._data, acl=self._acl, ephemeral=True, sequence=True))
        self._unsure = False

    def _is_ours(self, client: Any, own: Candidate, session: int) -> bool:
        """Tell whether the node lives and dies with this session; watch it, for somebody may delete it."""
        try:
            _, stat = self._ask(client.get_async(self._at(own), watch=self._on_watch))
        except NoNodeError:
            return False
        return bool(stat.ephemeralOwner == session)

    def _win(self, own: Candidate, count: int, drops: int, asked: float) -> float:
        """Lead: our node is there for as long as the session lasts, counted from when ZooKeeper was asked about it."""
        with self._lock:
            if self._drops != drops or self._stopping.is_set():
                return 0.0
            fresh = self._standing.role != "leader"
            self._lease = asked + min(self._timeout, LONGEST_LEASE_S)
            address = self._standing.address
            self._change(role="leader", leader=address, candidates=count, node=own.name)
            if fresh:
                log.info("elected", node=own.name, candidates=count)
                self._elected()
        return min(self._timeout, LONGEST_LEASE_S) / LOOKS

    def _follow(self, client: Any, group: list[Candidate], drops: int, own: Candidate | None = None) -> float:
        """Learn who leads, and watch that node."""
        address = ""
        if group:
            try:
                data, _ = self._ask(client.get_async(self._at(group[0]), watch=self._on_watch))
            except NoNodeError:
                return 0.0
            address = read_address(data)
            if not address:
                log.warning("the leader's node in ZooKeeper holds no address", node=group[0].name)
        with self._lock:
            if self._drops != drops or self._stopping.is_set():
                return 0.0
            if self._standing.role == "leader":
                self._lease = 0.0
                self._step_down("another node leads")
            name = own.name if own is not None else ""
            role: Role = "follower" if own is not None else "none"
            self._change(role=role, leader=address, candidates=len(group), node=name)
        return LOOK_AGAIN_S

    def _lose(self, reason: str) -> None:
        with self._lock:
            if self._standing.role == "leader":
                self._lease = 0.0
                self._step_down(reason)
            self._change(role="none", node="")

    def _at(self, one: Candidate) -> str:
        return f"{self._path}/{one.name}"

    # --- the end of a client

    def _end(self, client: Any) -> None:
        """Delete our nodes, so that the next leader need not wait, and end the session: that deletes what is left."""
        with self._lock:
            self._client = None
            self._step_down("the session with ZooKeeper ends")
            self._change(session="none" if self._stopping.is_set() else "lost", leader="", node="")
            self._renew()
        if client is None:
            return
        deadline = time.monotonic() + HAND_OVER_S
        try:
            while client.connected and time.monotonic() < deadline and self._clear(client, self._group(client))[1]:
                pass
        except (KazooException, KazooTimeoutError) as error:
            log.warning("our node in ZooKeeper was perhaps not deleted; it ends with the session", reason=repr(error))
        closer = threading.Thread(target=end_session, args=(client,), name="election-end", daemon=True)
        closer.start()
        closer.join(END_S)

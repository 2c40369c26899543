"""The subscription to a Mesos master. The only module that imports pymesos.

pymesos speaks the wire: the form of calls, and which event goes to which callback. Its own reading loop is not used: it
knows no heartbeat limit and no TLS, sleeps where it must be woken, and interrupts the main thread when anything raises.
Ours ends for no reason but `stop`: whatever happens to the stream, it is made anew with the same framework id.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from chronos_py.drivers.mesos.stream import Endpoint, EventStream, StreamError

_handler = signal.getsignal(signal.SIGINT)
from pymesos import MesosSchedulerDriver, Scheduler  # noqa: E402  # installs a handler of its own

signal.signal(signal.SIGINT, _handler)

log = structlog.get_logger(__name__)

FIRST_BACK_OFF_S = 0.1
HEARTBEAT_S = 15.0  # until the master says what it is
LONGEST_HEARTBEAT_S = 3600.0
STEADY_S = 5.0  # a stream that lasted so long is followed by another at once
USURPED_S = 60.0  # somebody else took over with our id: leave it to him for a while
REMOVED = ("framework has been removed", "completed framework", "framework has been torn down")
USURPED = "framework failed over"
ENOUGH_TO_REPORT = 20  # callbacks that failed, in detail, and events that are none; all that failed are counted


class Masters(Protocol):
    """Knows where the leading master is."""

    def start(self, moved: Callable[[], None]) -> None: ...

    def current(self) -> Endpoint | None: ...

    def redirect(self, address: str) -> None:
        """Take note that the master sends us to another one."""

    def failed(self) -> None:
        """Take note that no subscription could be had there."""

    def stop(self) -> None: ...


@dataclass(slots=True)
class LinkState:
    """What is known of the connection, for /health. Times by the monotonic clock, in seconds."""

    master: str = ""
    subscribed: bool = False
    framework_id: str = ""
    problem: str = "not connected yet"
    last_event: float = 0.0
    last_offer: float | None = None
    heartbeat: float = HEARTBEAT_S
    subscriptions: int = 0
    failed_callbacks: int = 0
    removed_ids: list[str] = field(default_factory=list)


class Link(MesosSchedulerDriver):  # type: ignore[misc]  # pymesos has no types
    """Keeps one subscription alive and hands its events to `scheduler`. Calls made with pymesos's methods are handed to
    `emit` as bodies; nothing is sent from here but SUBSCRIBE."""

    def __init__(
        self,
        scheduler: Scheduler,
        framework: dict[str, Any],
        masters: Masters,
        headers: dict[str, str],
        emit: Callable[[dict[str, Any]], None],
        *,
        call_timeout: float,
        heartbeats_missed: int,
        longest_back_off: float,
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(scheduler, framework, "", implicit_acknowledgements=False, failover=True)
        self.state = LinkState(framework_id=self.framework_id or "")
        self.headers = headers
        self.endpoint: Endpoint | None = None
        self._masters = masters
        self._emit = emit
        self._call_timeout = call_timeout
        self._heartbeats_missed = heartbeats_missed
        self._longest_back_off = longest_back_off
        self._monotonic = monotonic
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._stream: EventStream | None = None
        self._thread: threading.Thread | None = None
        self._chance = random.Random()
        self._usurped = False
        self._given_up = ""  # why we ended the stream ourselves
        self._strange = 0  # events that nobody knows

    # --- any thread

    @property
    def framework(self) -> dict[str, Any]:
        """Return the FrameworkInfo as it was given: pymesos would add to it by the master's version."""
        return dict(self._framework)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="mesos-link", daemon=True)
        self._thread.start()
        self._masters.start(self._master_moved)

    def stop(self, failover: bool = True) -> None:
        """End the subscription; the framework stays registered and its tasks run on."""
        del failover  # there is no other way here
        self._stopping.set()
        self._masters.stop()
        self.resubscribe("stopped")

    def join(self, timeout: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def resubscribe(self, reason: str) -> None:
        """Give the present stream up; a new one is made at once."""
        self._given_up = reason
        self._changed.set()
        stream = self._stream
        if stream is not None:
            stream.close()

    def _master_moved(self) -> None:
        endpoint = self._masters.current()
        if endpoint != self.endpoint:
            self.resubscribe("another master leads" if endpoint else "no master leads")

    def _send(self, body: Any, path: str = "", method: str = "POST", headers: Any = None) -> dict[str, Any]:
        """Take a call that one of pymesos's methods has made."""
        del path, method, headers
        self._emit(body)
        return {}

    # --- the thread

    def _run(self) -> None:
        back_off = FIRST_BACK_OFF_S
        while not self._stopping.is_set():
            self._changed.clear()
            self._given_up = ""
            subscriptions, began = self.state.subscriptions, self._monotonic()
            try:
                self._usurped = False
                self._subscribe_and_listen()
            except StreamError as error:
                self._lost(self._given_up or str(error))
                if error.moved_to:
                    self._masters.redirect(error.moved_to)
                elif self.state.subscriptions == subscriptions:
                    self._masters.failed()
            except Exception as error:  # whatever it is, the next stream may be better
                log.exception("the connection to Mesos failed")
                self._lost(f"a bug: {type(error).__name__}: {error}")
            if self._monotonic() - began >= STEADY_S:
                back_off = FIRST_BACK_OFF_S
            elif self.state.subscriptions > subscriptions or self._usurped:
                self._changed.clear()  # a master that takes subscriptions and nothing else is not asked all the time
            pause = USURPED_S if self._usurped else back_off * self._chance.uniform(0.5, 1)
            back_off = min(back_off * 2, self._longest_back_off)
            if not self._stopping.is_set():
                self._changed.wait(pause)
        self._lost("stopped")

    def _subscribe_and_listen(self) -> None:
        endpoint = self._masters.current()
        if endpoint is None:
            self._changed.wait(self._longest_back_off)
            raise StreamError("no leading master is known")
        self.endpoint = endpoint
        self.state.master = str(endpoint)
        body: dict[str, Any] = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.framework}}
        if self.framework_id:
            body["framework_id"] = {"value": self.framework_id}
        stream = EventStream(endpoint, body, self.headers, self._call_timeout)
        self._stream = stream
        try:
            if self._stopping.is_set() or self._masters.current() != endpoint:
                raise StreamError("another master leads" if not self._stopping.is_set() else "stopped")
            stream.patience(max(self._patience, self._call_timeout))
            for event in stream:
                if self._stopping.is_set():
                    raise StreamError("stopped")
                self.state.last_event = self._monotonic()
                self._take(event, stream)
        finally:
            self._stream = None
            stream.close()

    @property
    def _patience(self) -> float:
        return self.state.heartbeat * self._heartbeats_missed

    def _take(self, event: dict[str, Any], stream: EventStream) -> None:
        """Pass an event on. Nothing that a callback does, and nothing that a master says, ends the stream."""
        kind = str(event.get("type", "")).upper()
        try:
            if kind == "SUBSCRIBED":
                self._note_subscription(event, stream)
            elif kind == "ERROR":
                self._note_error(str((event.get("error") or {}).get("message", "")))
            if self._is_known(kind.lower(), event):
                self.on_event(event)
        except StreamError:
            raise
        except Exception as error:
            self.state.failed_callbacks += 1
            if self.state.failed_callbacks <= ENOUGH_TO_REPORT:
                log.exception("an event of Mesos could not be taken", event_type=kind)
            if kind == "SUBSCRIBED":  # nobody knows of it, so it is of no use
                raise StreamError(f"the subscription could not be taken: {error!r}") from None

    def _is_known(self, name: str, event: dict[str, Any]) -> bool:
        """Tell whether pymesos takes an event; of others it would log every one, in full."""
        if name == "heartbeat" or (name in event and hasattr(self, f"on_{name}")):
            return True
        self._strange += 1
        if self._strange <= ENOUGH_TO_REPORT:
            log.warning("not an event of Mesos, or not a whole one", event_type=name[:100])
        return False

    def _note_subscription(self, event: dict[str, Any], stream: EventStream) -> None:
        subscribed = event["subscribed"]
        new_id = str(subscribed["framework_id"]["value"])
        self.state.heartbeat = _heartbeat(subscribed.get("heartbeat_interval_seconds"))
        stream.patience(self._patience)
        self.stream_id = stream.stream_id
        self._master = str(self.endpoint)  # what pymesos tells its callbacks
        if self.framework_id and self.framework_id != new_id:
            log.error("the master gave the framework another id", before=self.framework_id, now=new_id)
        self.state.framework_id = new_id
        self.state.problem = ""
        self.state.subscriptions += 1
        self.state.subscribed = True

    def on_subscribed(self, info: dict[str, Any]) -> None:
        """Both of pymesos's callbacks tell the scheduler the same here: the id that counts is in `state`."""
        self.framework_id = info["framework_id"]["value"]
        self.sched.registered(self, info["framework_id"], info.get("master_info") or {})

    def _note_error(self, message: str) -> None:
        text = message.lower()
        if any(sign in text for sign in REMOVED):
            gone = self.framework_id or ""
            log.critical(
                "Mesos has removed the framework and killed its tasks; registering as a new one",
                framework_id=gone, reason=message,
            )  # fmt: skip
            self._framework.pop("id", None)
            self.state.framework_id = ""
            self.state.removed_ids = [*self.state.removed_ids, gone][-10:]
            self._changed.set()
        elif USURPED in text:
            log.critical("another process has subscribed with our framework id", framework_id=self.framework_id)
            self._usurped = True
        raise StreamError(f"Mesos says: {message}")

    def _lost(self, reason: str) -> None:
        was = self.state.subscribed
        self.state.subscribed = False
        self._stream_id = None
        if self.state.problem != reason:
            level = log.info if reason == "stopped" else log.warning
            level("no connection to Mesos", reason=reason, master=self.state.master)
        self.state.problem = reason
        if was:
            try:
                self.sched.disconnected(self)
            except Exception:
                log.exception("the loss of Mesos could not be told")


def _heartbeat(said: object) -> float:
    """Return the seconds between heartbeats: what the master says if that makes sense."""
    return float(said) if isinstance(said, int | float) and 0 < said <= LONGEST_HEARTBEAT_S else HEARTBEAT_S

"""Chronos's variables: what we know of each node, and what to make of one that is not as we left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from kazoo.exceptions import NoNodeError

from chronos_py.clock import Clock, Millis
from chronos_py.errors import StoreUnavailable
from chronos_py.model.documents import JobDefaults, Read
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.stored import read_stored
from chronos_py.persistence.codec import BadRecord, dump, load
from chronos_py.persistence.zookeeper.documents import (
    Foreign,
    ScheduleText,
    digest_of,
    framework_variable,
    job_variable,
    read_foreign,
    read_variable,
)
from chronos_py.persistence.zookeeper.entry import Entry, decode_framework_id
from chronos_py.persistence.zookeeper.image import Image
from chronos_py.persistence.zookeeper.keeper import Found, Keeper, Refused
from chronos_py.persistence.zookeeper.known import Form, Known
from chronos_py.persistence.zookeeper.layout import FRAMEWORK_ID, JOB_PREFIX, TASK_PREFIX, Layout
from chronos_py.persistence.zookeeper.pending import PendingTasks
from chronos_py.persistence.zookeeper.reading import Holdings
from chronos_py.persistence.zookeeper.writing import Draft

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Survey:
    """What the variables say beyond what we knew. `turn` makes it ours: what others changed, and what we had not
    finished writing. `counters` are of jobs whose schedule starts anew. `asides` are records of ours that go."""

    known: Known = field(default_factory=Known)
    turn: Draft = field(default_factory=Draft)
    counters: dict[str, Counters] = field(default_factory=dict)
    listed: bool = True
    taken: int = 0  # jobs that others have written
    tasks: PendingTasks = field(default_factory=PendingTasks)
    pending: tuple[str, ...] = ()  # tasks of a Chronos 2 that wait to be taken over


class Surveyor:
    """Reads all variables and compares them with what x says they should be."""

    def __init__(self, layout: Layout, text: ScheduleText, defaults: JobDefaults, clock: Clock) -> None:
        self._layout = layout
        self._text = text
        self._defaults = defaults
        self._clock = clock

    def survey(self, keeper: Keeper, held: Holdings) -> Survey:
        """Raises StoreUnavailable."""
        seen, now = Survey(), self._clock.now()
        names = self._names(keeper, held, seen)
        prefix = len(self._layout.state) + 1
        for path, answer in keeper.read(map(self._layout.node, names)):
            name = path[prefix:]
            if isinstance(answer, Found):
                self._compare(seen, held, name, answer, now)
            elif isinstance(answer, NoNodeError):
                self._absent(seen, held, name)
            else:
                held.report(*_shown(name), f"cannot be read: {answer!r}")
                seen.known.frozen.add(name)
        if seen.taken:
            log.info("jobs taken over as someone else has written them", jobs=seen.taken)
        self._settle_tasks(seen, held)
        return seen

    def _settle_tasks(self, seen: Survey, held: Holdings) -> None:
        tasks = seen.tasks
        for text, reason in tasks.wrong.items():
            held.report("task", text, f"is left as it is: {reason}")
        unreadable = {
            f"{JOB_PREFIX}{lost.key}" for lost in held.quarantined if lost.kind == "job"
        }  # they may be mended: then their tasks count again
        seen.pending = tasks.to_run(unreadable)
        left = len(tasks.uuids) - len(seen.pending)
        if left:
            log.info("tasks that a Chronos 2 left behind stay where they are", tasks=left)

    def _names(self, keeper: Keeper, held: Holdings, seen: Survey) -> list[str]:
        """Return our own index of the variables, and whatever else can be listed: the listing is flat, and may be too
        long for a packet."""
        names = dict.fromkeys(name for name, _ in held.image.items("node"))
        names.update(dict.fromkeys(held.behind))
        try:
            listed: Iterable[str] = keeper.children(self._layout.state)
        except Refused as refused:
            if not isinstance(refused.reason, NoNodeError):
                log.warning("jobs cannot be listed: those that others made are not seen", reason=repr(refused.reason))
            listed = ()
        except StoreUnavailable as error:
            log.warning("jobs cannot be listed: those that others made are not seen", reason=str(error))
            listed = ()
            seen.listed = False
        there = [name for name in listed if name.startswith((JOB_PREFIX, TASK_PREFIX)) or name == FRAMEWORK_ID]
        emptied = all(name.startswith(TASK_PREFIX) for name in there)
        if seen.listed and emptied and len(names) > 1:
            log.error("the directory of Chronos's jobs was emptied: writing them again", path=self._layout.state)
            held.behind.update(dict.fromkeys(names, ""))
        names.update(dict.fromkeys(there))
        return list(names)

    # --- one variable

    def _compare(self, seen: Survey, held: Holdings, name: str, found: Found, now: Millis) -> None:
        seen.known.versions[name] = found.version
        if name.startswith(TASK_PREFIX):
            self._task(seen, held, name, found)
            return
        try:
            entry = read_variable(name, found.data)
            uuid = entry.uuid.hex()
            seen.known.digests[name] = digest_of(entry.value)
            if name != FRAMEWORK_ID:
                seen.tasks.job(entry.value, found.changed)
            if held.image.is_foreign(name):
                seen.known.forms[name] = Form(entry.value, self._reader)
            if uuid == held.image.uuid(name):
                self._recount(seen, held, name, entry)
                return
            if name in held.behind and uuid == held.behind[name]:
                self._finish(seen, held, name)
            elif name == FRAMEWORK_ID:
                self._foreign_framework(seen, held, entry)
            else:
                self._foreign_job(seen, held, name[len(JOB_PREFIX) :], entry, now)
        except BadRecord as error:
            held.report(*_shown(name), str(error))
            seen.known.digests.pop(name, None)
            seen.known.versions.pop(name)  # so that it is met, and kept aside, should it ever be overwritten

    def _task(self, seen: Survey, held: Holdings, name: str, found: Found) -> None:
        uuid = seen.tasks.task(name, found.data)
        seen.known.uuids[name] = uuid
        if uuid and held.behind.get(name) == uuid:  # its run is stored
            del seen.tasks.uuids[name[len(TASK_PREFIX) :]]
            seen.turn.variables[name] = None

    def _recount(self, seen: Survey, held: Holdings, name: str, entry: Entry) -> None:
        """Read the counters of a job that was taken over once more: whoever did so ended before it had a state."""
        job = name[len(JOB_PREFIX) :]
        if name == FRAMEWORK_ID or held.image.get("job", job) is None or held.image.get("state", job) is not None:
            return
        try:
            seen.counters[job] = self._reader(entry.value).counters
        except ValueError:
            log.warning("counters cannot be read, and begin at 0", job=job)

    def _absent(self, seen: Survey, held: Holdings, name: str) -> None:
        if held.image.get("node", name) is None:
            return
        if held.behind.get(name) == "":
            self._finish(seen, held, name)
            return
        log.warning("someone else has deleted what we had stored, and it is gone", name=name)
        if name == FRAMEWORK_ID:
            seen.turn.delete(held.image, "meta", "framework_id", keep=True)
        else:
            job = name[len(JOB_PREFIX) :]
            seen.turn.delete(held.image, "job", job, keep=True)
            seen.turn.delete(held.image, "state", job, keep=True)
        seen.turn.delete(held.image, "node", name)

    def _finish(self, seen: Survey, held: Holdings, name: str) -> None:
        """Write what the last turn had to leave."""
        log.info("finishing what the last leader had begun to write", name=name)
        if held.image.get("node", name) is None:
            seen.turn.variables[name] = None
            return
        if name == FRAMEWORK_ID:
            variable = framework_variable(name, str(load(held.image.get("meta", "framework_id"))))
        else:
            job, state = _own(held.image, name[len(JOB_PREFIX) :])
            if job is None:
                return
            form = seen.known.forms.get(name) if held.image.is_foreign(name) else None
            variable = job_variable(job, state or JobState(), self._text, form)
        seen.turn.variables[name] = variable
        seen.turn.put("node", name, variable.mark)

    def _foreign_job(self, seen: Survey, held: Holdings, name: str, entry: Entry, now: Millis) -> None:
        job, state = _own(held.image, name)
        theirs: Foreign = read_foreign(name, entry.value, job, state, self._text, self._defaults, now)
        seen.taken += 1
        if job is not None:
            log.info("taking a job over as someone else has written it", job=name)
        seen.turn.put("job", name, theirs.job)
        if theirs.state is not None:
            seen.turn.put("state", name, theirs.state)
        else:
            seen.counters[name] = theirs.read.counters
            if held.image.get("state", name) is not None:
                seen.turn.delete(held.image, "state", name, keep=True)
        seen.known.forms[entry.name] = Form(entry.value, self._reader, theirs.read)
        seen.turn.put("node", entry.name, f"{entry.uuid.hex()}*")

    def _reader(self, value: bytes) -> Read:
        return read_stored(value, self._defaults, self._clock.now())

    def _foreign_framework(self, seen: Survey, held: Holdings, entry: Entry) -> None:
        framework_id = decode_framework_id(entry.value)
        log.info("taking over the framework's id", framework_id=framework_id)
        seen.turn.put("meta", "framework_id", dump(framework_id))
        seen.turn.put("node", entry.name, entry.uuid.hex())


def _own(image: Image, name: str) -> tuple[Job | None, JobState | None]:
    job, state = image.get("job", name), image.get("state", name)
    return job if isinstance(job, Job) else None, state if isinstance(state, JobState) else None


def _shown(name: str) -> tuple[str, str]:
    if name == FRAMEWORK_ID:
        return "meta", "framework_id"
    return ("task" if name.startswith(TASK_PREFIX) else "job"), name[len(JOB_PREFIX) :]

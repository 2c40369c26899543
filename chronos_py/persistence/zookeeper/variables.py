"""Chronos's variables: what we know of each node, and what to make of one that is not as we left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import structlog
from kazoo.exceptions import NoNodeError

from chronos_py.clock import Clock, Millis
from chronos_py.errors import StoreUnavailable
from chronos_py.model.documents import JobDefaults, Read
from chronos_py.model.job import Job, JobState
from chronos_py.model.stored import read_stored
from chronos_py.persistence.codec import BadRecord, dump, load
from chronos_py.persistence.zookeeper.documents import (
    Foreign,
    ScheduleText,
    framework_variable,
    job_variable,
    read_foreign,
    read_variable,
)
from chronos_py.persistence.zookeeper.entry import Entry, decode_framework_id
from chronos_py.persistence.zookeeper.form import Form
from chronos_py.persistence.zookeeper.image import Image, Mark
from chronos_py.persistence.zookeeper.keeper import Found, Keeper, Refused
from chronos_py.persistence.zookeeper.known import Known
from chronos_py.persistence.zookeeper.layout import FRAMEWORK_ID, JOB_PREFIX, TASK_PREFIX, Layout
from chronos_py.persistence.zookeeper.pending import PendingTasks
from chronos_py.persistence.zookeeper.reading import Holdings
from chronos_py.persistence.zookeeper.writing import Draft

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Survey:
    """What the variables say beyond what we knew. `turn` makes it ours: what others changed, and what we had not
    finished writing."""

    known: Known = field(default_factory=Known)
    turn: Draft = field(default_factory=Draft)
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

    def survey(self, keeper: Keeper, held: Holdings, *, whole: bool = False) -> Survey:
        """Compare; the `whole` of them, though their versions be as we left them. Raises StoreUnavailable."""
        seen, now = Survey(), self._clock.now()
        children = keeper.changes(self._layout.state)
        if children is not None and children == held.children and not held.behind and not whole:
            names = self._changed(keeper, held, seen.known)
        else:
            names = self._names(keeper, held)
        reported = len(held.quarantined)
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
        if len(held.quarantined) == reported and not seen.known.pending and not seen.tasks.uuids:
            seen.known.children = children
        return seen

    def _changed(self, keeper: Keeper, held: Holdings, known: Known) -> list[str]:
        """Return the variables that are not as we left them, when none has come or gone: their versions tell, and
        many are asked for at once, without being read. Documents of others are read: their form has to be known."""
        marks: dict[str, Mark] = {name: mark for name, mark in held.image.items("node") if isinstance(mark, Mark)}
        paths = {self._layout.node(name): name for name, mark in marks.items() if not mark.foreign}
        changed = keeper.differing([(path, marks[name].version) for path, name in paths.items()])
        known.versions.update((name, marks[name].version) for path, name in paths.items() if path not in changed)
        return [paths[path] for path in changed] + [name for name, mark in marks.items() if mark.foreign]

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

    def _names(self, keeper: Keeper, held: Holdings) -> list[str]:
        """Return our own index of the variables, and whatever else can be listed: the listing is flat, and may be too
        long for a packet."""
        names = dict.fromkeys(name for name, _ in held.image.items("node"))
        names.update(dict.fromkeys(held.behind))
        listed: Iterable[str] | None = None
        try:
            listed = keeper.children(self._layout.state)
        except Refused as refused:
            if isinstance(refused.reason, NoNodeError):
                listed = ()
            else:
                log.warning("jobs cannot be listed: those that others made are not seen", reason=repr(refused.reason))
        except StoreUnavailable as error:
            log.warning("jobs cannot be listed: those that others made are not seen", reason=str(error))
        there = [name for name in listed or () if name.startswith((JOB_PREFIX, TASK_PREFIX)) or name == FRAMEWORK_ID]
        if listed is not None and all(name.startswith(TASK_PREFIX) for name in there) and len(names) > 1:
            log.error("the directory of Chronos's jobs was emptied: writing them again", path=self._layout.state)
            held.behind.update((name, "") for name in names if not name.startswith(TASK_PREFIX))
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
            seen.known.digests[name] = hash(entry.value)
            if name != FRAMEWORK_ID:
                seen.tasks.job(entry.value, found.changed)
            if held.image.is_foreign(name):
                seen.known.forms[name] = Form(entry.value, self._reader)
            if uuid == held.image.uuid(name):
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
            seen.known.versions.pop(name, None)  # whoever writes it meets it first, and keeps what is there aside

    def _task(self, seen: Survey, held: Holdings, name: str, found: Found) -> None:
        uuid = seen.tasks.task(name, found.data)
        seen.known.uuids[name] = uuid
        if uuid and held.behind.get(name) == uuid:  # its run is stored
            del seen.tasks.uuids[name[len(TASK_PREFIX) :]]
            seen.turn.variables[name] = None

    def _absent(self, seen: Survey, held: Holdings, name: str) -> None:
        if held.image.mark(name) is None:
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
        if held.image.mark(name) is None:
            seen.turn.variables[name] = None
            return
        if name == FRAMEWORK_ID:
            variable = framework_variable(name, str(load(held.image.get("meta", "framework_id"))))
        else:
            job, state = _own(held.image, name[len(JOB_PREFIX) :])
            if job is None:
                return
            form = seen.known.forms.get(name) if held.image.is_foreign(name) else None
            variable = job_variable(job, state or JobState(), self._text, form, seen.known.documents)
        seen.turn.variables[name] = variable
        seen.turn.put("node", name, variable.mark(seen.known.versions.get(name, -1) + 1))

    def _foreign_job(self, seen: Survey, held: Holdings, name: str, entry: Entry, now: Millis) -> None:
        job, state = _own(held.image, name)
        theirs: Foreign = read_foreign(entry, job, state, self._text, self._defaults, now)
        seen.taken += 1
        if job is not None:
            log.info("taking a job over as someone else has written it", job=name)
        seen.known.forms[entry.name] = Form(entry.value, self._reader, theirs.read)
        if theirs.state is None:
            held.image.put("job", name, theirs.job, held.turn)
            held.image.delete("state", name, held.turn)
            seen.known.pending[name] = theirs
            seen.known.uuids[entry.name] = theirs.uuid
            return
        seen.turn.put("job", name, theirs.job)
        seen.turn.put("state", name, theirs.state)
        seen.turn.put("node", entry.name, Mark(theirs.uuid, seen.known.versions[entry.name], foreign=True))

    def _reader(self, value: bytes) -> Read:
        return read_stored(value, self._defaults, self._clock.now())

    def _foreign_framework(self, seen: Survey, held: Holdings, entry: Entry) -> None:
        framework_id = decode_framework_id(entry.value)
        log.info("taking over the framework's id", framework_id=framework_id)
        seen.turn.put("meta", "framework_id", dump(framework_id))
        seen.turn.put("node", entry.name, Mark(entry.uuid.hex(), seen.known.versions[entry.name]))


def _own(image: Image, name: str) -> tuple[Job | None, JobState | None]:
    job, state = image.get("job", name), image.get("state", name)
    return job if isinstance(job, Job) else None, state if isinstance(state, JobState) else None


def _shown(name: str) -> tuple[str, str]:
    if name == FRAMEWORK_ID:
        return "meta", "framework_id"
    return ("task" if name.startswith(TASK_PREFIX) else "job"), name[len(JOB_PREFIX) :]

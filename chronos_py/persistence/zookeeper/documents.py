"""Between our nouns and the variables that Chronos keeps: which bytes, and what a document of another hand means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, replace
from random import getrandbits
from typing import Any

from chronos_py.clock import Millis
from chronos_py.errors import InvalidInput
from chronos_py.model.documents import JobDefaults, Read
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.stored import StoredDocuments, read_stored
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper.entry import Entry, decode_entry, encode_entry, encode_framework_id
from chronos_py.persistence.zookeeper.form import Form
from chronos_py.persistence.zookeeper.image import Mark
from chronos_py.persistence.zookeeper.layout import JOB_PREFIX

ScheduleText = Callable[[Job, JobState], str | None]  # what is left of a job's schedule, as Chronos would keep it

LIMIT = 800_000  # bytes of a variable that we write: it has to fit into a request together with what guards it

# What Chronos does not know, and so drops when it writes a job.
_OURS = ("priority", "retry_delay", "retry_backoff", "retry_max_delay", "catch_up", "on_uncertain", "kill_grace",
         "gpus", "ports", "extra", "avoid_failed_agents", "labels", "preemptible", "start_within",
         "finish_within", "resource_order")  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    field.name: field.default if field.default is not MISSING else {} for field in fields(Job) if field.name in _OURS
}


def as_sent(job: Job, state: JobState) -> str | None:
    """Return the schedule as its owner sent it."""
    return job.schedule


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable about to be written. `digest`, good in this process only, tells whether the value is another one;
    `form` is that of a job's document where it is not ours."""

    name: str
    uuid: str
    data: bytes
    digest: int
    form: Form | None = None

    def mark(self, version: int) -> Mark:
        """Return what the index keeps of it when its node gets this version."""
        return Mark(self.uuid, version, self.form is not None)


def job_variable(
    job: Job, state: JobState, text: ScheduleText, form: Form | None, documents: StoredDocuments
) -> Variable:
    """Return a job's variable, in the form that it has where that still says what the job is. Raises BadRecord for one
    that has no place in a request."""
    schedule = text(job, state)
    amended = form.amended(job, state, schedule) if form else None
    if amended is not None:
        return replace(_variable(f"J_{job.name}", amended.value), form=amended)
    return _variable(f"J_{job.name}", documents.document(job, state, schedule))


def framework_variable(name: str, framework_id: str) -> Variable:
    return _variable(name, encode_framework_id(framework_id))


def _variable(name: str, value: bytes) -> Variable:
    if len(value) > LIMIT:
        raise BadRecord(name, f"takes {len(value)} bytes; ZooKeeper has room for {LIMIT}")
    identity = _random_uuid()
    return Variable(name, identity.hex(), encode_entry(Entry(name, identity, value)), hash(value))


def _random_uuid() -> bytes:
    """Return what uuid.uuid4().bytes would, in a tenth of the time: version 4, variant 1. It tells writes apart, and
    may be guessed."""
    return (getrandbits(128) & ~_FIXED | _VERSION).to_bytes(16, "big")


_FIXED = 0xF000 << 64 | 0xC0 << 56
_VERSION = 0x4000 << 64 | 0x80 << 56


def read_variable(name: str, data: bytes) -> Entry:
    """Read the variable of this name. Raises BadRecord."""
    entry = decode_entry(data)
    if entry.name != name:
        raise BadRecord("name", f"is {entry.name[:200]!r} in the node {name[:200]!r}")
    return entry


@dataclass(frozen=True, slots=True)
class Foreign:
    """A job as someone else wrote it, and as it was `read`. `state` None: its schedule is another one, and starts anew
    with the counters that were read."""

    job: Job
    state: JobState | None
    read: Read
    uuid: str  # of its variable


def read_foreign(
    entry: Entry,
    job: Job | None,
    state: JobState | None,
    text: ScheduleText,
    defaults: JobDefaults,
    now: Millis,
) -> Foreign:
    """Read the document of a job; `job` and `state` are what we knew of it. What Chronos cannot keep stays ours.
    Raises BadRecord."""
    name, uuid = entry.name.removeprefix(JOB_PREFIX), entry.uuid.hex()
    try:
        read = read_stored(entry.value, defaults, now)
    except (InvalidInput, UnicodeDecodeError) as error:
        raise BadRecord("", str(error)[:500]) from None
    if read.job.name != name:
        raise BadRecord("name", f"is {read.job.name[:200]!r} in the document of {name[:200]!r}")
    if job is None:
        return Foreign(read.job, None, read, uuid)
    kept = {field: getattr(job, field) for field in _OURS if getattr(read.job, field) == _DEFAULTS[field]}
    theirs = replace(read.job, **kept)
    if state is None:
        return Foreign(theirs, None, read, uuid)
    shown = text(job, state)
    if (theirs.schedule, theirs.schedule_zone, theirs.parents is None) == (
        shown,
        job.schedule_zone,
        job.parents is None,
    ):
        changed = {field.name: getattr(read.counters, field.name) for field in fields(Counters)}
        # Their task ids went up to now, and we do not know which.
        last = max(now, state.last_scheduled_id, state.last_other_id)
        state = replace(state, **changed, taken_over=now, last_scheduled_id=last, last_other_id=last)
        return Foreign(replace(theirs, schedule=job.schedule), state, read, uuid)
    return Foreign(theirs, None, read, uuid)

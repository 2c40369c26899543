"""From a turn's changes to the requests that make it durable: what goes into the log, what into Chronos's variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, cast

from chronos_py.model.job import Job, JobState
from chronos_py.persistence.batch import Batch
from chronos_py.persistence.codec import BadRecord, dump, encode_value
from chronos_py.persistence.zookeeper.documents import ScheduleText, Variable, framework_variable, job_variable
from chronos_py.persistence.zookeeper.image import Image, Mark, Unread, write_value
from chronos_py.persistence.zookeeper.keeper import OPERATION, PACKET, PART, Create
from chronos_py.persistence.zookeeper.known import Known
from chronos_py.persistence.zookeeper.layout import FRAMEWORK_ID, JOB_PREFIX, TASK_PREFIX, Layout, RecordKind, fits
from chronos_py.persistence.zookeeper.texts import delete_line, join, pieces, put_line

MARGIN = 4_000  # bytes of a request for what guards it


@dataclass(slots=True)
class Draft:
    """A turn before it is written: its lines, and the variables that change with it (None: to be deleted)."""

    lines: list[bytes] = field(default_factory=list)
    variables: dict[str, Variable | None] = field(default_factory=dict)
    jobs: set[str] = field(default_factory=set)  # those that are touched
    puts: list[tuple[RecordKind, Any, Any]] = field(default_factory=list)  # for the image
    deletes: list[tuple[RecordKind, Any]] = field(default_factory=list)
    outbox_up_to: int | None = None
    asides: list[tuple[RecordKind, Any, bytes]] = field(default_factory=list)  # values to be kept before they go

    def put(self, kind: RecordKind, key: Any, value: Any) -> None:
        """Note a new value, of meta its JSON. Raises BadRecord."""
        self.lines.append(put_line(kind, key, write_value(kind, key, value)))
        self.puts.append((kind, key, value))

    def delete(self, image: Image, kind: RecordKind, key: Any, *, keep: bool = False) -> None:
        """Note that a value goes; one to `keep` is laid aside."""
        self.lines.append(delete_line(kind, key))
        self.deletes.append((kind, key))
        value = image.get(kind, key)
        if value is not None and (keep or isinstance(value, Unread)):
            self.asides.append((kind, key, write_value(kind, key, value)))


def draft(batch: Batch, image: Image, known: Known, text: ScheduleText) -> Draft:
    """Return what a turn writes.

    Raises BadRecord when a value has no JSON form, or no room in a request.
    """
    turn = Draft(outbox_up_to=batch.outbox_up_to)
    for kind, keys in batch.deletes.items():
        for key in keys:
            turn.delete(image, kind, key)
    if batch.outbox_up_to is not None:
        turn.lines.append(delete_line("outbox", batch.outbox_up_to))
    for kind, puts in batch.puts.items():
        for key, value in puts.items():
            turn.put(kind, key, encode_value(kind, key, value) if kind == "meta" else value)
            unread = image.get(kind, key)
            if isinstance(unread, Unread):
                turn.asides.append((kind, key, unread))
    touched = {key for kind in ("job", "state") for changes in (batch.puts, batch.deletes) for key in changes[kind]}
    turn.jobs = cast(set[str], touched)
    for name in sorted(turn.jobs):
        if name in known.pending and name not in batch.deletes["job"]:
            theirs, node = known.pending[name], f"{JOB_PREFIX}{name}"
            if name not in batch.puts["job"]:
                turn.put("job", name, theirs.job)
            # As it is, it is no news the next time; should it be written with this turn, another mark follows.
            turn.put("node", node, Mark(theirs.uuid, known.versions.get(node, 0), foreign=True))
        _job(turn, batch, image, known, text, name)
    for task in batch.pending:
        node = f"{TASK_PREFIX}{task}"
        if node in known.versions and node not in known.frozen:
            turn.variables[node] = None
    if "framework_id" in batch.puts["meta"] or "framework_id" in batch.deletes["meta"]:
        _framework(turn, batch, image, known)
    return turn


def _job(turn: Draft, batch: Batch, image: Image, known: Known, text: ScheduleText, name: str) -> None:
    node = f"{JOB_PREFIX}{name}"
    if node in known.frozen or not fits(node):
        return
    job = None if name in batch.deletes["job"] else batch.puts["job"].get(name, image.get("job", name))
    if not isinstance(job, Job):  # deleted, never there, or unread: then Chronos's node is left alone
        if name in batch.deletes["job"]:
            _drop(turn, image, known, node)
        return
    state = JobState() if name in batch.deletes["state"] else batch.puts["state"].get(name, image.get("state", name))
    try:
        known_state = state if isinstance(state, JobState) else JobState()
        variable = job_variable(job, known_state, text, known.forms.get(node), known.documents)
    except BadRecord as error:
        raise error.within(f"job {name}") from None
    _replace(turn, image, known, variable)


def _framework(turn: Draft, batch: Batch, image: Image, known: Known) -> None:
    value = batch.puts["meta"].get("framework_id")
    if FRAMEWORK_ID in known.frozen:
        return
    if isinstance(value, str) and value:
        _replace(turn, image, known, framework_variable(FRAMEWORK_ID, value))
    else:
        _drop(turn, image, known, FRAMEWORK_ID)


def _replace(turn: Draft, image: Image, known: Known, variable: Variable) -> None:
    name = variable.name
    ours = image.mark(name) is not None or name.removeprefix(JOB_PREFIX) in known.pending
    if ours and known.digests.get(name) == variable.digest:
        return  # the same bytes but for the uuid
    turn.variables[name] = variable
    turn.put("node", name, variable.mark(known.versions.get(name, -1) + 1))


def _drop(turn: Draft, image: Image, known: Known, name: str) -> None:
    if image.mark(name) or name.removeprefix(JOB_PREFIX) in known.pending:
        turn.variables[name] = None
        turn.delete(image, "node", name)


# --- as requests


@dataclass(frozen=True, slots=True)
class Plan:
    """The requests of a turn: `parts` first, each by itself; then `end` with the variables `together`, which makes the
    turn durable; then the variables `after`, group by group, which the turn names as those that may be missing."""

    number: int
    parts: list[Create]
    end: Create
    together: list[str]
    after: list[list[str]]
    size: int
    children: int | None  # see Known

    @property
    def paths(self) -> list[str]:
        return [self.end.path, *(part.path for part in self.parts)]


def plan(turn: Draft, number: int, layout: Layout, image: Image, known: Known) -> Plan:
    """Return how to write a turn."""
    come_or_go = sum((variable is None) == (name in known.versions) for name, variable in turn.variables.items())
    children = None if known.children is None else known.children + come_or_go
    end, token = f"{layout.log}/{number:010}", token_hex(4)
    groups = _groups(turn, layout)
    body = join(turn.lines)
    room = PACKET - MARGIN - len(body) - sum(map(len, turn.variables))
    fits_in = len(groups) == 1 and len(body) <= PART and groups[0].size <= room
    together = groups[0].names if fits_in else []
    after = [] if together else [group.names for group in groups]
    if after:
        names = (name for group in after for name in group)
        body = join([*turn.lines, *(was_line(name, known.uuids.get(name) or image.uuid(name)) for name in names)])
    head = {"turn": number, "id": token} | ({} if after or children is None else {"children": children})
    first, *others = pieces(head, body, PART)
    parts = [Create(f"{end}-{token}-{at}", piece) for at, piece in enumerate(others)]
    return Plan(number, parts, Create(end, first), together, after, len(body), children)


def was_line(name: str, uuid: str) -> bytes:
    """Return the line that tells which uuid a variable had before this turn, empty: there was none."""
    return b"=" + dump([name, uuid])


@dataclass(slots=True)
class _Group:
    """Variables for one request, and how many bytes they take in it."""

    names: list[str] = field(default_factory=list)
    size: int = 0


def _groups(turn: Draft, layout: Layout) -> list[_Group]:
    """Return the variables in groups that fit into one request each."""
    groups: list[_Group] = []
    apiece = OPERATION + len(layout.state)
    for name, variable in turn.variables.items():
        size = apiece + 4 * len(name) + (len(variable.data) if variable else 0)
        if not groups or groups[-1].size + size > PACKET - MARGIN:
            groups.append(_Group())
        groups[-1].names.append(name)
        groups[-1].size += size
    return groups

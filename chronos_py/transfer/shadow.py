"""Follow a live Chronos without running anything: predict each launch, and tell where it did something else.

What can be seen of a Chronos from outside is its list of jobs. A launch of a scheduled job shows in its schedule, whose
start moves on to the next due time; the end of a run in the job's counters. So a scheduled job's launches are predicted
and seen to the second of the polling, a dependent job's by its end: after each of its parents has succeeded once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from chronos_py.clock import Millis, iso_utc
from chronos_py.errors import InvalidSchedule
from chronos_py.scheduler.schedule import Occurrences, parse_schedule
from chronos_py.transfer.definitions import BadDefinition, Document, name_of, parents_of

Kind = Literal["launched", "ended", "late", "early", "moved", "unreadable", "changed", "new", "gone"]
DIFFERENCES: frozenset[Kind] = frozenset({"late", "early", "moved", "unreadable"})
MOST_AT_ONCE = 1000  # launches of one job between two looks that are told one by one


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of a job. `predicted` and `seen` are instants, or None where there is none to tell.

    launched, ended: as predicted. late: due for longer than the tolerance, and not launched. early: launched before it
    was due. moved: its next due time is another than ours. changed, new, gone: somebody changed the job.
    """

    job: str
    kind: Kind
    predicted: Millis | None = None
    seen: Millis | None = None
    text: str = ""

    @property
    def differs(self) -> bool:
        return self.kind in DIFFERENCES

    def document(self) -> dict[str, Any]:
        """Return it for a log of JSON lines."""
        times = {"predicted": self.predicted, "seen": self.seen}
        return {"job": self.job, "kind": self.kind, "text": self.text} | {
            key: None if at is None else iso_utc(at) for key, at in times.items()
        }


@dataclass(slots=True)
class _Followed:
    """A job as it was last seen. `index` is the number of the due time that comes next, in our count from `origin`."""

    document: Document
    origin: Occurrences | None
    index: int = 0
    told_late: bool = False
    successes: dict[str, int] = field(default_factory=dict)  # of parents, when this job last ended
    released: Millis | None = None  # when all its parents had succeeded once more
    quiet: bool = False  # each release that was seen has ended
    settled: bool = False  # what was under way when we began to follow has ended, as far as can be told


class Shadow:
    """Looks at a list of jobs again and again. `tolerance` is by how much (ms) a launch may be late."""

    def __init__(self, tolerance: Millis) -> None:
        self.tolerance = tolerance
        self._jobs: dict[str, _Followed] = {}
        self._first = True

    def look(self, documents: Iterable[Document], now: Millis) -> list[Sighting]:
        """Compare what is there with what was predicted from the last look."""
        there = {name_of(document): document for document in documents}
        found: list[Sighting] = []
        for name in [name for name in self._jobs if name not in there]:
            del self._jobs[name]
            found.append(Sighting(name, "gone"))
        for name, document in there.items():
            known = self._jobs.get(name)
            if known is None:
                self._follow(name, document, there, found)
                if not self._first:
                    found.append(Sighting(name, "new"))
            elif "schedule" in document:
                self._scheduled(known, document, there, now, found)
            else:
                self._dependent(known, document, there, now, found)
        self._first = False
        return found

    def _follow(self, name: str, document: Document, there: Mapping[str, Document], found: list[Sighting]) -> None:
        origin = None
        if "schedule" in document:
            try:
                origin = _occurrences(document)
            except InvalidSchedule as error:
                found.append(Sighting(name, "unreadable", text=str(error)))
        self._jobs[name] = _Followed(document, origin, successes=_successes(document, there))

    def _scheduled(
        self, known: _Followed, document: Document, there: Mapping[str, Document], now: Millis, found: list[Sighting]
    ) -> None:
        name, before = name_of(document), known.document
        if _defined(before) != _defined(document) or (
            known.origin is None and before["schedule"] != document["schedule"]
        ):
            self._follow(name, document, there, found)
            found.append(Sighting(name, "changed"))
            return
        known.document = document
        if known.origin is None:
            return
        due = known.origin.at_sure(known.index)
        if document["schedule"] == before["schedule"]:
            ended = document.get("disabled") or document["schedule"].startswith("R0/")
            if not ended and due + self.tolerance < now and not known.told_late:
                known.told_late = True
                found.append(Sighting(name, "late", due, now, "not launched so far"))
            return
        try:
            next_start = _occurrences(document).at_sure(0)
        except InvalidSchedule as error:
            known.origin = None
            found.append(Sighting(name, "unreadable", text=str(error)))
            return
        self._moved_on(known, name, next_start, now, found)

    def _moved_on(self, known: _Followed, name: str, start: Millis, now: Millis, found: list[Sighting]) -> None:
        """Tell the launches between the due time that was next and the one that is."""
        assert known.origin is not None
        told = 0
        while (due := known.origin.at_sure(known.index)) < start and told < MOST_AT_ONCE:
            kind: Kind = "launched" if due <= now else "early"
            found.append(Sighting(name, kind, due, now))
            known.index += 1
            told += 1
        known.told_late = False
        if due != start:
            found.append(Sighting(name, "moved", due, start, "its next due time is not the one we would have"))
            known.origin, known.index = _occurrences(known.document), 0

    def _dependent(
        self, known: _Followed, document: Document, there: Mapping[str, Document], now: Millis, found: list[Sighting]
    ) -> None:
        name = name_of(document)
        if _defined(known.document) != _defined(document):
            self._follow(name, document, there, found)
            found.append(Sighting(name, "changed"))
            return
        ended = _ends(document) > _ends(known.document)
        parents = _successes(document, there)
        ready = bool(parents) and all(count > known.successes.get(parent, 0) for parent, count in parents.items())
        known.document = document
        if ready and known.released is None:
            known.released = now
            known.settled = known.settled or known.quiet
        if not ended:
            return
        if known.released is None:  # it has taken no success of its parents that we know of: none is counted off
            if known.settled:
                text = "ended a run before all its parents had succeeded again"
                found.append(Sighting(name, "early", None, now, text))
            known.quiet = True
            return
        found.append(Sighting(name, "ended", known.released, now))
        known.successes = {parent: known.successes.get(parent, count) + 1 for parent, count in parents.items()}
        known.released = now if parents and all(parents[p] > known.successes[p] for p in parents) else None
        known.quiet = known.released is None


def _occurrences(document: Mapping[str, Any]) -> Occurrences:
    text, zone = str(document["schedule"]), str(document.get("scheduleTimeZone") or "")
    return parse_schedule(text, zone, strict_zone=False).anchored(0)


def _defined(document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what decides when a job runs, and only people change; of the schedule that is the period."""
    period = str(document.get("schedule", "")).rpartition("/")[2]
    return period, document.get("scheduleTimeZone"), document.get("disabled"), sorted(parents_of(document))


def _count(document: Mapping[str, Any], key: str) -> int:
    """Return a counter. Raises BadDefinition."""
    value = document.get(key) or 0
    if not isinstance(value, int):
        raise BadDefinition(f"{document.get('name')}: {key} {value!r} is no whole number")
    return value


def _ends(document: Mapping[str, Any]) -> int:
    return _count(document, "successCount") + _count(document, "errorCount")


def _successes(document: Mapping[str, Any], there: Mapping[str, Document]) -> dict[str, int]:
    """Return how often each parent has succeeded, with `softError` also how often it failed."""
    found = {}
    for parent in parents_of(document):
        other = there.get(parent, {})
        found[parent] = _ends(other) if other.get("softError") else _count(other, "successCount")
    return found

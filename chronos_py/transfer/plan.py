"""What has to change on a server so that it has the jobs that files define; and doing it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from chronos_py.transfer.definitions import (
    COUNTERS,
    BadDefinition,
    Document,
    differing,
    is_dependent,
    name_of,
    ordered,
    parents_of,
    same_schedule,
)
from chronos_py.transfer.remote import Remote, RemoteError

Kind = Literal["create", "update", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One request. `fields` are those that differ; `after` is what is sent."""

    kind: Kind
    name: str
    fields: tuple[str, ...] = ()
    before: Document | None = None
    after: Document | None = None

    def lines(self) -> Iterator[str]:
        """Yield it for people: a line, and for an update its fields as a diff."""
        yield f"{self.kind} {self.name}"
        if self.kind != "update" or self.before is None or self.after is None:
            return
        for field in self.fields:
            before, after = _lines(field, self.before), _lines(field, self.after)
            yield from (f"    {line}" for line in difflib.ndiff(before, after) if line[0] in "+-")


def _lines(field: str, document: Document) -> list[str]:
    return [f"{field}: {line}" for line in json.dumps(document.get(field), ensure_ascii=False, indent=1).split("\n")]


def make_plan(definitions: Iterable[Document], remote: Sequence[Document], *, prune: bool = False) -> list[Change]:
    """Return what is to be done, in an order that a server takes. Raises BadDefinition.

    What a definition does not say stays as the server has it, and so do counters, whether the job is disabled, and how
    far a schedule has come. With `prune` jobs that no file defines are deleted, children first.
    """
    wanted, there = ordered(definitions), {name_of(document): document for document in remote}
    names = {name_of(document) for document in wanted}
    changes = []
    for local in wanted:
        name = name_of(local)
        for parent in parents_of(local):
            if parent not in names and (prune or parent not in there):
                raise BadDefinition(f"{name}: parents: {parent!r} is neither among the files nor on the server")
        present = there.get(name)
        if present is None:
            changes.append(Change("create", name, after=local))
            continue
        fields = differing(local, present)
        if is_dependent(local) != is_dependent(present):
            fields = [*fields, "parents" if is_dependent(local) else "schedule"]
        if fields:
            changes.append(Change("update", name, tuple(dict.fromkeys(fields)), present, _merged(local, present)))
    if prune:
        gone = [document for name, document in there.items() if name not in names]
        changes += [Change("delete", name_of(document)) for document in reversed(ordered(gone))]
    return changes


def _merged(local: Document, present: Document) -> Document:
    """Return the server's document with the file's fields in it: to send it whole keeps the counters."""
    merged = present | {key: value for key, value in local.items() if key not in COUNTERS}
    if is_dependent(local) != is_dependent(present):
        for key in ("parents",) if "schedule" in local else ("schedule", "scheduleTimeZone"):
            merged.pop(key, None)
    elif "schedule" in local:
        zone = str(merged.get("scheduleTimeZone") or "")
        if same_schedule(str(local["schedule"]), str(present["schedule"]), zone):
            merged["schedule"] = present["schedule"]
    if local.get("uris") and "fetch" not in local:
        merged["fetch"] = []
    elif local.get("fetch") and "uris" not in local:
        merged["uris"] = []
    return merged


def carry_out(changes: Iterable[Change], remote: Remote) -> Iterator[tuple[Change, str]]:
    """Do one after the other, and yield each with what went wrong, empty when nothing did.

    A job is not sent when one of its parents could not be.
    """
    failed: set[str] = set()
    for change in changes:
        lost = failed.intersection(parents_of(change.after)) if change.after else set()
        try:
            if lost:
                raise RemoteError(f"{change.name}: not sent, for its parent {min(lost)} could not be")
            if change.after is None:
                remote.delete(change.name)
            else:
                remote.send(change.after)
        except RemoteError as error:
            failed.add(change.name)
            yield change, str(error)
        else:
            yield change, ""

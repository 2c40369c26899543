"""Shares of the cluster that are guaranteed to the jobs of a label.

    {"channel=news": {"cpus": 10, "mem": 20480, "running": 100, "borrow": true}, "*": {"running": 50}}

A quota's name is a label and its value, or `*` for the jobs that no other quota names. An amount that is not given is
not limited. A run is *within* its quotas when with it none would be exceeded. Those go first, in the queue's order,
together with runs that no quota counts. One that is not within starts only when each quota that it exceeds may borrow,
and then only on a place that no waiting run within its quotas could use if it had room: so what is guaranteed and not
used is lent out, and what becomes free goes to those for whom it is guaranteed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from chronos_py.errors import ChronosError
from chronos_py.model.job import Pair
from chronos_py.model.resources import LARGEST, Resources, thousandths
from chronos_py.scheduler.holdings import Holdings, Use
from chronos_py.scheduler.queue import Shape

OTHERS = "*"
AMOUNTS = ("cpus", "mem", "disk", "gpus")
_NAME = re.compile(r"[^=]+=.*", re.DOTALL)


class BadQuotas(ChronosError):
    """What was said of quotas cannot be used."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"--quotas: {problem}")


@dataclass(frozen=True, slots=True)
class Quota:
    """What is guaranteed: thousandths as in Resources, and a number of running tasks; None: any amount."""

    name: str
    cpus: int | None = None
    mem: int | None = None
    disk: int | None = None
    gpus: int | None = None
    running: int | None = None
    borrow: bool = False

    def exceeded(self, use: Use, need: Resources) -> tuple[str, ...]:
        """Return what would be exceeded by a task with a need."""
        found = [
            kind
            for kind in AMOUNTS
            if (most := getattr(self, kind)) is not None and getattr(use.held, kind) + getattr(need, kind) > most
        ]
        return (*found, "running") if self.running is not None and use.running >= self.running else tuple(found)

    def form(self, use: Use) -> dict[str, Any]:
        """Return what is guaranteed and used, in cores, MiB and tasks."""
        guaranteed = {kind: most / 1000 for kind in AMOUNTS if (most := getattr(self, kind)) is not None}
        used = {kind: getattr(use.held, kind) / 1000 for kind in AMOUNTS}
        if self.running is not None:
            guaranteed["running"] = self.running
        used["running"] = use.running
        return {"quota": self.name, "guaranteed": guaranteed, "used": used, "borrow": self.borrow}


Quotas = Mapping[str, Quota]


def parse_quotas(text: str) -> dict[str, Quota]:
    """Read quotas from JSON. Raises BadQuotas."""
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadQuotas(f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadQuotas("must be a JSON object")
    return {name: _quota(name, given) for name, given in document.items()}


def _quota(name: str, given: Any) -> Quota:
    if name != OTHERS and not _NAME.fullmatch(name):
        raise BadQuotas(f"{name!r} is not of the form label=value, nor *")
    if not isinstance(given, dict):
        raise BadQuotas(f"{name}: must be an object")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if key == "borrow":
            if not isinstance(value, bool):
                raise BadQuotas(f"{name}.borrow: {value!r} is not true or false")
            values[key] = value
            continue
        if key not in (*AMOUNTS, "running"):
            raise BadQuotas(f"{name}: {key!r} is none of {', '.join(AMOUNTS)}, running, borrow")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST:
            raise BadQuotas(f"{name}.{key}: {value!r} is no number from 0 to {LARGEST:g}")
        if key == "running" and value != int(value):
            raise BadQuotas(f"{name}.running: {value!r} is no whole number")
        values[key] = int(value) if key == "running" else thousandths(value)
    return Quota(name, **values)


def quotas_of(quotas: Quotas, labels: Iterable[Pair]) -> tuple[str, ...]:
    """Return the names of the quotas for which a job with these labels counts."""
    if not quotas:
        return ()
    found = tuple(name for label in labels if (name := f"{label.key}={label.value}") in quotas)
    return found or ((OTHERS,) if OTHERS in quotas else ())


@dataclass(frozen=True, slots=True)
class Excess:
    """Why a shape waits for a quota: what it would exceed, and, where it may borrow, whose turn it is before."""

    form: Mapping[str, Any]
    exceeded: tuple[str, ...]
    waits_for: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        used, most = self.form["used"], self.form["guaranteed"]
        parts = [f"{kind} {used[kind]:g} of {most[kind]:g}" for kind in self.exceeded]
        text = f"quota {self.form['quota']} is used up: {', '.join(parts)} in use"
        if not self.form["borrow"]:
            return text
        if self.waits_for:
            return f"{text}; what it could borrow is kept for waiting runs of {', '.join(self.waits_for)}"
        return f"{text}; it may borrow, but there is no room"


class Gate:
    """The quotas in one round of placement, with what was placed in it so far."""

    def __init__(self, quotas: Quotas, holdings: Holdings) -> None:
        self.quotas = quotas
        self._use = holdings.copy_use(quotas)

    def exceeded(self, shape: Shape) -> list[tuple[Quota, tuple[str, ...]]]:
        """Return the quotas that one more run would exceed, and in what."""
        found = []
        for name in shape.quotas:
            quota = self.quotas[name]
            kinds = quota.exceeded(self._use[name], shape.need)
            if kinds:
                found.append((quota, kinds))
        return found

    def add(self, shape: Shape) -> None:
        for name in shape.quotas:
            use = self._use[name]
            use.held, use.running = use.held + shape.need, use.running + 1

    def excess(self, shape: Shape, waits_for: Collection[str] = ()) -> Excess:
        """Say which quota a shape waits for: one that may not borrow first."""
        quota, kinds = min(self.exceeded(shape), key=lambda found: found[0].borrow)
        others = tuple(sorted(set(waits_for) - {quota.name})) if quota.borrow else ()
        return Excess(quota.form(self._use[quota.name]), kinds, others)

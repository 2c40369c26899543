"""One row of figures, and how it is printed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`figure` against `bar`, both in `unit`; `higher` tells which direction is better."""

    name: str
    figure: float
    bar: float
    unit: str
    higher: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return self.figure >= self.bar if self.higher else self.figure <= self.bar

    def __str__(self) -> str:
        sign = ">=" if self.higher else "<="
        verdict = "met" if self.met else "MISSED"
        note = f"  ({self.note})" if self.note else ""
        return f"{self.name:<78} {self.figure:>10.1f} {self.unit:<8} {sign} {self.bar:g}  {verdict}{note}"


def median_ms(action: Callable[[], object], times: int = 5) -> float:
    """Return the median duration of `action` in milliseconds."""
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        durations.append((time.perf_counter() - began) * 1000)
    return sorted(durations)[times // 2]


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

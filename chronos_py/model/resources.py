"""Amounts of cpus, mem and disk, exact to the thousandth as Mesos keeps them."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 1e12  # cores or MiB


def thousandths(amount: float) -> int:
    """Return `amount` in thousandths, rounded as Mesos does; what no machine has is cut to LARGEST."""
    return round(min(amount, LARGEST) * 1000)


@dataclass(frozen=True, slots=True)
class Resources:
    """Thousandths of cores (`cpus`) and of MiB (`mem`, `disk`): integers, so that nothing is left over by rounding."""

    cpus: int = 0
    mem: int = 0
    disk: int = 0

    @classmethod
    def of(cls, cpus: float = 0, mem: float = 0, disk: float = 0) -> Resources:
        """Make from cores and MiB."""
        return cls(thousandths(cpus), thousandths(mem), thousandths(disk))

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpus + other.cpus, self.mem + other.mem, self.disk + other.disk)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpus - other.cpus, self.mem - other.mem, self.disk - other.disk)

    def covers(self, other: Resources) -> bool:
        """Tell whether `other` fits into this amount."""
        return self.cpus >= other.cpus and self.mem >= other.mem and self.disk >= other.disk

    def dominant_share(self, total: Resources) -> float:
        """Return the largest fraction of any one resource of `total` that this amount takes.

        A resource that `total` lacks counts as 0. Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.
        """
        share = self.cpus / total.cpus if total.cpus else 0.0
        if total.mem and self.mem / total.mem > share:
            share = self.mem / total.mem
        if total.disk and self.disk / total.disk > share:
            share = self.disk / total.disk
        return share

    def __str__(self) -> str:
        return f"cpus:{self.cpus / 1000:g};mem:{self.mem / 1000:g};disk:{self.disk / 1000:g}"

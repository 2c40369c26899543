"""Amounts of what agents have, exact to the thousandth as Mesos keeps them."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST = 1e12  # cores or MiB


def thousandths(amount: float) -> int:
    """Return `amount` in thousandths, rounded as Mesos does; what no machine has is cut to LARGEST."""
    return round(min(amount, LARGEST) * 1000)


@dataclass(frozen=True, slots=True)
class Resources:
    """Thousandths of cores (`cpus`), of MiB (`mem`, `disk`) and of GPUs (`gpus`), and a number of network ports
    (`ports`): integers, so that nothing is left over by rounding."""

    cpus: int = 0
    mem: int = 0
    disk: int = 0
    gpus: int = 0
    ports: int = 0

    @classmethod
    def of(cls, cpus: float = 0, mem: float = 0, disk: float = 0, gpus: float = 0, ports: int = 0) -> Resources:
        """Make from cores, MiB, MiB, GPUs, and how many ports."""
        return cls(thousandths(cpus), thousandths(mem), thousandths(disk), thousandths(gpus), ports)

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpus + other.cpus,
            self.mem + other.mem,
            self.disk + other.disk,
            self.gpus + other.gpus,
            self.ports + other.ports,
        )

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            self.cpus - other.cpus,
            self.mem - other.mem,
            self.disk - other.disk,
            self.gpus - other.gpus,
            self.ports - other.ports,
        )

    def covers(self, other: Resources) -> bool:
        """Tell whether `other` fits into this amount."""
        return (
            self.cpus >= other.cpus
            and self.mem >= other.mem
            and self.disk >= other.disk
            and self.gpus >= other.gpus
            and self.ports >= other.ports
        )

    def dominant_share(self, total: Resources) -> float:
        """Return the largest fraction of any one resource of `total` that this amount takes; ports do not count.

        A resource that `total` lacks counts as 0. Source: Ghodsi et al., "Dominant Resource Fairness", NSDI 2011.
        """
        share = self.cpus / total.cpus if total.cpus else 0.0
        if total.mem and self.mem / total.mem > share:
            share = self.mem / total.mem
        if total.disk and self.disk / total.disk > share:
            share = self.disk / total.disk
        if total.gpus and self.gpus / total.gpus > share:
            share = self.gpus / total.gpus
        return share

    def __str__(self) -> str:
        text = f"cpus:{self.cpus / 1000:g};mem:{self.mem / 1000:g};disk:{self.disk / 1000:g}"
        if self.gpus:
            text += f";gpus:{self.gpus / 1000:g}"
        return f"{text};ports:{self.ports}" if self.ports else text

"""A simulated Mesos master with fake agents: speaks the v1 scheduler API as Mesos 1.11 does, and can misbehave."""

from compat_tests.servers.simulated_mesos.process import SimulatedMesos
from compat_tests.servers.simulated_mesos.settings import Settings

__all__ = ["Settings", "SimulatedMesos"]

"""An Apache Mesos cluster as a driver, over the v1 HTTP scheduler API."""

from chronos_py.drivers.mesos.driver import MesosDriver
from chronos_py.drivers.mesos.settings import MesosSettings

__all__ = ["MesosDriver", "MesosSettings"]

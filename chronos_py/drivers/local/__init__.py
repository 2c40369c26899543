"""Tasks as processes of this machine."""

from chronos_py.drivers.base import OutputChunk
from chronos_py.drivers.local.driver import LocalDriver
from chronos_py.drivers.local.resources import detect_resources, specs

__all__ = ["LocalDriver", "OutputChunk", "detect_resources", "specs"]

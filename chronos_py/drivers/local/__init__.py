"""Tasks as processes of this machine."""

from chronos_py.drivers.local.driver import LocalDriver, detect_resources
from chronos_py.drivers.local.output import OutputChunk

__all__ = ["LocalDriver", "OutputChunk", "detect_resources"]

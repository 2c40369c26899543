"""A drop-in Python replacement for the Chronos job scheduler."""

__version__ = "0.1.0"

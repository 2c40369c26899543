"""HTTP responses, parsed as they arrive: what pymesos uses of the distribution of this name."""

__version__ = "0.9.1+chronos"

"""Measures what docs/performance.md promises. `make bench` prints a row for each; see there for the machine."""

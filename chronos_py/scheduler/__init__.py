"""Decisions, as functions of their arguments: no clock, no socket, no thread. docs/architecture.md lists them."""

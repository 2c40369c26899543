"""Tests of the driver of a group of nodes."""

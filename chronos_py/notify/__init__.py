"""Telling owners what became of their jobs."""

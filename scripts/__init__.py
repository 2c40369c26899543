"""Programs for those who work on chronos_py."""

"""A long-lived Mesos executor: many short tasks in one process per agent and user.

`runtime/` is what runs on agents: the standard library alone, Python 3.9 or later, shipped as one file. `archive` makes
that file, `info` says what Mesos is told; both are the server's.
"""

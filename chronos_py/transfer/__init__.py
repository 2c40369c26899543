"""Job definitions on their way: out of a Chronos or a chronos-py, into files, and from files into one."""

"""`python -m chronos_py` is `chronos-py`."""

from chronos_py.cli import main

main(prog_name="chronos-py")

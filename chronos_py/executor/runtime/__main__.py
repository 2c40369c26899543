"""`python -m chronos_py.executor.runtime` is `chronos-py executor`."""

import sys

from chronos_py.executor.runtime.main import main

sys.exit(main(sys.argv[1:]))

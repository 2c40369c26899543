"""Says where http-parser is: the one requirement that setup.cfg alone cannot express.

pymesos needs a distribution named http-parser, and the published one does not build on Python 3.11 and later. Ours lies
in a folder beside this file, so whatever is built from a source tree (`pip install .`, an sdist, a checkout by pip)
requires it by its place. A wheel that is to be carried elsewhere must not name a place on this machine, and must
install alone: in the one that `make dist` makes, with CHRONOS_PY_PORTABLE set, Mesos is the extra `mesos`, whose
http-parser is the wheel beside ours. An sdist has the folder in it, and needs nothing beside it.
"""

import os
from pathlib import Path
from typing import Any

from setuptools import Distribution, setup

HTTP_PARSER = Path(__file__).resolve().parent / "http-parser"
FOR_MESOS = ("http-parser", "httptools", "pymesos")


class SourceTree(Distribution):
    """A distribution that requires the http-parser of its own source tree."""

    install_requires: list[str]
    metadata: Any

    extras_require: dict[str, list[str]]

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        super().parse_config_files(*args, **kwargs)
        if os.environ.get("CHRONOS_PY_PORTABLE"):
            mesos = [text for text in self.install_requires if text.startswith(FOR_MESOS)]
            self.extras_require = {**self.extras_require, "mesos": mesos}
            self.install_requires = [text for text in self.install_requires if not text.startswith(FOR_MESOS)]
        elif HTTP_PARSER.is_dir():
            # instead of the range, not beside it: pip looks at each alone, and finds nothing for the range
            others = [text for text in self.install_requires if not text.startswith("http-parser")]
            self.install_requires = [*others, f"http-parser @ {HTTP_PARSER.as_uri()}"]
        # setuptools has copied the old lists by now
        self.metadata.install_requires = self.install_requires
        self.metadata.extras_require = self.extras_require


setup(distclass=SourceTree)

"""Says where http-parser is: the one requirement that setup.cfg alone cannot express.

pymesos needs a distribution named http-parser, and the published one does not build on Python 3.11 and later. Ours lies
in a folder beside this file, so whatever is built from a source tree (`pip install .`, an sdist, a checkout by pip)
requires it by its place. A wheel that is to be carried elsewhere must not name a place on this machine: `make dist`
sets CHRONOS_PY_PORTABLE, and lays the http-parser wheel beside ours.
"""

import os
from pathlib import Path
from typing import Any

from setuptools import Distribution, setup

HTTP_PARSER = Path(__file__).resolve().parent / "http-parser"


class SourceTree(Distribution):
    """A distribution that requires the http-parser of its own source tree."""

    install_requires: list[str]
    metadata: Any

    def parse_config_files(self, *args: Any, **kwargs: Any) -> None:
        super().parse_config_files(*args, **kwargs)
        if HTTP_PARSER.is_dir() and not os.environ.get("CHRONOS_PY_PORTABLE"):
            # instead of the range, not beside it: pip looks at each alone, and finds nothing for the range
            others = [text for text in self.install_requires if not text.startswith("http-parser")]
            self.install_requires = [*others, f"http-parser @ {HTTP_PARSER.as_uri()}"]
            self.metadata.install_requires = self.install_requires  # setuptools has copied the old list by now


setup(distclass=SourceTree)

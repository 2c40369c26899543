"""The executor as one file that a Python alone can run, for agents on which chronos-py is not installed."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import chronos_py

_MAIN = "import sys\n\nfrom chronos_py.executor.runtime.main import main\n\nsys.exit(main(sys.argv[1:]))\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Archive:
    """A zipapp. Its name has a digest of its content, so that an agent's cache never confuses two versions."""

    name: str
    content: bytes

    def write(self, folder: Path) -> Path:
        """Write it into a folder, at once or not at all; return the file. Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        file, part = folder / self.name, folder / f".{self.name}.{os.getpid()}"
        try:
            part.write_bytes(self.content)
            part.chmod(0o644)
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        return file


def build() -> Archive:
    """Return the archive of this version: the same bytes from the same sources, on any machine. Raises OSError."""
    package = Path(chronos_py.__file__).parent
    sources = [package / "__init__.py", package / "executor" / "__init__.py"]
    sources += sorted((package / "executor" / "runtime").glob("*.py"))
    raw = io.BytesIO(b"#!/usr/bin/env python3\n")
    raw.seek(0, io.SEEK_END)
    with zipfile.ZipFile(raw, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry("__main__.py"), _MAIN)
        for source in sources:
            archive.writestr(_entry(str(source.relative_to(package.parent))), source.read_bytes())
    content = raw.getvalue()
    return Archive(f"chronos-py-executor-{hashlib.sha256(content).hexdigest()[:16]}.pyz", content)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry

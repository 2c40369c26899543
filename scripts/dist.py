"""Build wheels of chronos-py and http-parser, and the source distribution, into dist/: `python -m scripts.dist`.

What is built twice from the same sources is the same, byte for byte: files carry the time in SOURCE_DATE_EPOCH, or when
that is not set the time of the last commit (reproducible-builds.org has the rule).
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
SKIPPED = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "var", "htmlcov", "chronos-data", "screenshots"
)


def epoch() -> int:
    """Return the time that files are to carry, in seconds."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return int(given)
    found = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return int(found or 315532800)  # 1980, the earliest that a zip file can say


def normalised(archive: bytes, when: int) -> bytes:
    """Return a .tar.gz with its members in order, nobody's, and of one time."""
    written = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as old,
        gzip.GzipFile(filename="", fileobj=written, mode="wb", mtime=when) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda member: member.name):
            data = old.extractfile(member) if member.isfile() else None
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime, member.pax_headers = when, {}
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            new.addfile(member, data)
    return written.getvalue()


def build(target: Path) -> list[Path]:
    """Build everything into a folder, from a copy of the sources. Raises CalledProcessError."""
    when = epoch()
    target.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(when), "CHRONOS_PY_PORTABLE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        sources, built = Path(folder) / "sources", Path(folder) / "built"
        shutil.copytree(ROOT, sources, ignore=SKIPPED)
        for path in sources.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        command = [sys.executable, "-m", "build", "--outdir", str(built)]
        for arguments in (
            ["--wheel", str(sources)],
            ["--wheel", str(sources / "http-parser")],
            ["--sdist", str(sources)],
        ):
            subprocess.run([*command, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
        made = []
        for file in sorted(built.iterdir()):
            data = file.read_bytes()
            made.append(target / file.name)
            made[-1].write_bytes(normalised(data, when) if file.name.endswith(".tar.gz") else data)
    return made


if __name__ == "__main__":
    for path in build(ROOT / "dist"):
        print(path.relative_to(ROOT))

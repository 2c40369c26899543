"""Fetcher: brings the URIs of a task into its sandbox.

The agent runs it with a FetcherInfo in MESOS_FETCHER_INFO. It knows local paths, file, http, https and ftp, the agent's
fetcher cache, `extract` (tar, compressed tar, zip, gz), `executable` and `output_file`.
"""

from __future__ import annotations

import gzip
import json
import os
import pwd
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz")
STALL_NS = 60 * 10**9


def say(text: str) -> None:
    sys.stderr.write(f"fetcher: {text}\n")
    sys.stderr.flush()


def name_of(uri: dict[str, Any]) -> str:
    """Return the name in the sandbox."""
    given: str | None = uri.get("output_file")
    return given or os.path.basename(uri["value"].split("?")[0].split("#")[0].rstrip("/"))


def download(value: str, target: str, frameworks_home: str | None, stall: float) -> None:
    """Copy what a URI names, a file or a local folder, to `target`; `stall` is in seconds."""
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    value = value.removeprefix("file://")
    if "://" in value:
        with urllib.request.urlopen(value, timeout=stall) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink)
        return
    if not value.startswith("/"):
        if not frameworks_home:
            raise ValueError(f"a relative path needs --frameworks_home: {value}")
        value = os.path.join(frameworks_home, value)
    if os.path.isdir(value):
        shutil.copytree(value, target, dirs_exist_ok=True, symlinks=True)
    else:
        shutil.copy(value, target)


def unpack(path: str, name: str, sandbox: str) -> bool:
    """Unpack an archive; tell whether the name says that it is one."""
    if name.endswith(ARCHIVES):
        with tarfile.open(path) as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # None: a Python that has no filters
            archive.extractall(sandbox)
    elif name.endswith(".zip"):
        if shutil.which("unzip"):  # the command keeps file modes, the module does not
            subprocess.run(["unzip", "-o", "-q", path, "-d", sandbox], check=True)
        else:
            with zipfile.ZipFile(path) as zipped:
                zipped.extractall(sandbox)
    elif name.endswith(".gz"):
        with gzip.open(path) as source, open(os.path.join(sandbox, name.removesuffix(".gz")), "wb") as sink:
            shutil.copyfileobj(source, sink)
    else:
        return False
    return True


def fetch(item: dict[str, Any], info: dict[str, Any]) -> None:
    """Follow one item of a FetcherInfo."""
    uri, sandbox, home = item["uri"], info["sandbox_directory"], info.get("frameworks_home")
    name = name_of(uri)
    target = source = os.path.join(sandbox, name)
    action = item.get("action", "BYPASS_CACHE")
    stall = int(info.get("stall_timeout", {}).get("nanoseconds", STALL_NS)) / 1e9
    if action != "BYPASS_CACHE":
        source = os.path.join(info["cache_directory"], item["cache_filename"])
    if action in ("BYPASS_CACHE", "DOWNLOAD_AND_CACHE"):
        download(uri["value"], source, home, stall)
    extracts = uri.get("extract", True) and not uri.get("executable", False)
    if extracts and not os.path.isdir(source) and unpack(source, name, sandbox):
        say(f"fetched and extracted {uri['value']}")
        return
    if source != target:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
    if uri.get("executable"):
        os.chmod(target, os.stat(target).st_mode | 0o111)
    say(f"fetched {uri['value']} to {target}")


def hand_over(sandbox: str, user: str | None) -> None:
    """Make the task's user the owner of all files."""
    if not user or os.geteuid() != 0:
        return
    entry = pwd.getpwnam(user)
    for folder, folders, files in os.walk(sandbox):
        for name in folders + files:
            os.chown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def main() -> int:
    text = os.environ.get("MESOS_FETCHER_INFO")
    if not text:
        say("MESOS_FETCHER_INFO is missing")
        return 1
    info = json.loads(text)
    for item in info.get("items", []):
        try:
            fetch(item, info)
        except Exception as error:  # every cause must fail the task, with its reason
            say(f"failed to fetch {item['uri'].get('value')}: {type(error).__name__}: {error}")
            return 1
    hand_over(info["sandbox_directory"], info.get("user"))
    return 0

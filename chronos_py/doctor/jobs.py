"""Jobs of a server or in files, held against what behaves differently here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from chronos_py.clock import SystemClock
from chronos_py.doctor.checkup import CheckUp
from chronos_py.doctor.constructs import CONSTRUCTS, judge
from chronos_py.errors import ChronosError
from chronos_py.model.documents import JobDefaults, read_job
from chronos_py.model.job import Job
from chronos_py.transfer.definitions import name_of
from chronos_py.transfer.files import read_definitions
from chronos_py.transfer.remote import PREFIXES, Remote, RemoteError

OF_2_ONLY = ("epsilon", "async")


def jobs_of_server(url: str, credentials: str, defaults: JobDefaults) -> CheckUp:
    """Check all jobs of a Chronos 2.x or 3.x."""
    found, remote = CheckUp({"Server": url}), Remote(url, credentials)
    try:
        documents = remote.jobs()
    except RemoteError as error:
        found.add("server", "fatal", str(error), "check --url and --credentials")
        return found
    _check(found, documents, "3.x" if remote.prefix == PREFIXES[0] else "2.x", defaults)
    return found


def jobs_of_files(place: Path, defaults: JobDefaults) -> CheckUp:
    """Check the jobs in a folder as chronos-sync has it, or in a file of JSON."""
    found = CheckUp({"Files": str(place)})
    try:
        documents = read_definitions(place)
    except (ChronosError, OSError) as error:
        found.add("files", "fatal", str(error), "docs/transfer.md says what files look like")
        return found
    old = any(field in document for document in documents for field in OF_2_ONLY)
    _check(found, documents, "2.x" if old else "3.x", defaults)
    return found


def _check(found: CheckUp, documents: Iterable[Mapping[str, Any]], line: str, defaults: JobDefaults) -> None:
    found.facts["Chronos"] = line
    now = SystemClock().now()
    jobs: dict[str, Job] = {}
    count, refused = 0, list[str]()
    for document in documents:
        count += 1
        try:
            name = name_of(document)
            jobs[name] = read_job(document, 2 if line == "2.x" else 3, defaults, now).job
        except ChronosError as error:
            refused.append(f"{document.get('name')}: {error}")
    found.facts["Jobs"] = str(count)
    if refused:
        text = "these are refused here; the sentence behind the name says why"
        found.add("refused", "warning", text, "change them before they are sent", refused)
    for code, names in judge(jobs, line, now).items():
        construct = CONSTRUCTS[code]
        found.add(code, construct.level, construct.text, construct.fix, names)

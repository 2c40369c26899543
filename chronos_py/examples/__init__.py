"""A handful of jobs to look at, loaded through the server's own REST API when it has none yet.

The documents lie beside this file, `jobs.json`: ordinary Chronos 3 documents, parents before children. Their starts are
relative (`"start"`: seconds from now, `TOMORROW`, `MONDAY`), so that something happens within the first minute, and
nothing was missed. They work on any Linux machine, without network, and write to one folder below the server's own.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import requests
import structlog
from requests.auth import HTTPBasicAuth

log = structlog.get_logger(__name__)

PATIENCE_S = 30.0


def documents(folder: Path, now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the job documents: their schedules begin soon after `now`, their files go to `folder`."""
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    text = files(__package__).joinpath("jobs.json").read_text("utf-8")
    for word, days in (("TOMORROW", 1), ("MONDAY", 7 - now.weekday())):
        text = text.replace(word, (now + timedelta(days=days)).strftime("%Y-%m-%d"))
    jobs: list[dict[str, Any]] = json.loads(text)
    for job in jobs:
        begin, period = job.pop("start", None), job.pop("period", None)
        if begin is not None:
            job["schedule"] = f"R/{(now + timedelta(seconds=begin)).strftime('%Y-%m-%dT%H:%M:%SZ')}/{period}"
        if "$FOLDER" in job["command"]:
            job["environmentVariables"] = [{"name": "FOLDER", "value": str(folder)}]
    return jobs


def load_when_empty(
    service: Any, url: str, credentials: tuple[str, str] | None, data_dir: Path, user: str = "root"
) -> None:
    """Post the examples to a server that has no jobs, once it answers. What goes wrong is only logged."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy on the way to ourselves, and no .netrc
            if credentials is not None:
                session.auth = HTTPBasicAuth(credentials[0].encode(), credentials[1].encode())
            deadline = time.monotonic() + PATIENCE_S
            while not (health := service.health())["leading"] or not _answers(session, url):
                if health.get("election", {}).get("role") == "follower":
                    return  # jobs are the leader's business
                if time.monotonic() > deadline:
                    log.warning("the examples were not loaded: the server is not ready")
                    return
                time.sleep(0.1)
            if service.view.jobs:
                return
            jobs = documents(_folder(data_dir, user))
            for job in jobs:
                path = "dependency" if "parents" in job else "iso8601"
                session.post(f"{url}/v1/scheduler/{path}", json=job, timeout=10).raise_for_status()
        log.info("example jobs loaded", jobs=len(jobs))
    except Exception:
        log.exception("the examples could not be loaded")


def _folder(data_dir: Path, user: str) -> Path:
    """Make the folder that the examples write to; it is theirs as whom they run."""
    folder = data_dir / "examples"
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        with suppress(LookupError, OSError):
            shutil.chown(folder, user)
    return folder


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(f"{url}/ping", timeout=5).ok
    except requests.RequestException:
        return False

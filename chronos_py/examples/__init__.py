"""A handful of jobs to look at, loaded through the server's own REST API when it has none yet.

The documents lie beside this file, `jobs.json`: ordinary Chronos 3 documents, parents before children. Their starts are
relative (`"start": seconds from now`), so that something happens within the first minute.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import requests
import structlog

log = structlog.get_logger(__name__)

PATIENCE_S = 30.0


def documents(now: datetime | None = None) -> list[dict[str, Any]]:
    """Return the job documents with their schedules set to begin soon after `now`."""
    now = (now or datetime.now(UTC)).replace(microsecond=0)
    jobs: list[dict[str, Any]] = json.loads(files(__package__).joinpath("jobs.json").read_text())
    for job in jobs:
        begin, period = job.pop("start", None), job.pop("period", None)
        if begin is not None:
            job["schedule"] = f"R/{(now + timedelta(seconds=begin)).strftime('%Y-%m-%dT%H:%M:%SZ')}/{period}"
    return jobs


def load_when_empty(service: Any, url: str, credentials: tuple[str, str] | None) -> None:
    """Post the examples to a server that has no jobs, once it answers. What goes wrong is only logged."""
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not service.health()["leading"] or not _answers(url):
            if time.monotonic() > deadline:
                log.warning("the examples were not loaded: the server is not ready")
                return
            time.sleep(0.1)
        if service.view.jobs:
            return
        for job in documents():
            path = "dependency" if "parents" in job else "iso8601"
            answer = requests.post(f"{url}/v1/scheduler/{path}", json=job, auth=credentials, timeout=10)
            answer.raise_for_status()
        log.info("example jobs loaded", jobs=len(documents()))
    except Exception:
        log.exception("the examples could not be loaded")


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/ping", timeout=5).status_code in (200, 401)
    except requests.RequestException:
        return False

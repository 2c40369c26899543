"""Complete job documents of both lines, as the original shows them, and what a test needs to read and show them."""

from __future__ import annotations

import json
from typing import Any

from chronos_py.model.documents import JobDefaults, Line, Read, read_job
from chronos_py.model.job import JobState
from chronos_py.model.render import render_job
from chronos_py.model.view import JobView
from tests.fakes import NEW_YEAR

DEFAULTS = JobDefaults()


def read(document: Any, line: Line = 3, defaults: JobDefaults = DEFAULTS) -> Read:
    return read_job(document, line, defaults, NEW_YEAR)


def shown(given: Read) -> JobView:
    """Return what a view holds of a job that was just sent."""
    counters = given.counters
    state = JobState(
        success_count=counters.success_count,
        error_count=counters.error_count,
        errors_since_last_success=counters.errors_since_last_success,
        last_success=counters.last_success,
        last_error=counters.last_error,
    )
    return JobView(given.job, state, given.job.schedule)


def render(document: Any, line: Line = 3, *, mirrored: bool = False) -> bytes:
    """Read a document and show it again."""
    return render_job(shown(read(document, line)), line, mirrored=mirrored)


def compact(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


SCHEDULED_2: dict[str, Any] = {
    "name": "nightly report",
    "command": "make -C /srv/report all",
    "shell": True,
    "epsilon": "PT60S",
    "executor": "",
    "executorFlags": "",
    "taskInfoData": "",
    "retries": 2,
    "owner": "ops@example.org,data@example.org",
    "ownerName": "Data team",
    "description": "Builds the report",
    "async": False,
    "successCount": 41,
    "errorCount": 1,
    "lastSuccess": "2015-09-01T02:04:11.093Z",
    "lastError": "2015-07-12T02:00:44.871Z",
    "cpus": 0.5,
    "disk": 256.0,
    "mem": 512.0,
    "disabled": False,
    "softError": False,
    "dataProcessingJobType": False,
    "errorsSinceLastSuccess": 0,
    "fetch": [],
    "uris": ["http://repo.example.org/report.tgz"],
    "environmentVariables": [{"name": "STAGE", "value": "prod"}],
    "arguments": [],
    "highPriority": False,
    "runAsUser": "root",
    "container": {
        "type": "docker",
        "image": "example/report:7",
        "network": "BRIDGE",
        "volumes": [{"hostPath": "/var/log/report", "containerPath": "/log", "mode": "RW"}],
        "forcePullImage": False,
        "parameters": [],
    },
    "constraints": [["rack", "EQUALS", "r1"]],
    "schedule": "R/2015-09-02T04:00:00.000+02:00/P1D",
    "scheduleTimeZone": "Europe/Berlin",
}

SENT_2: dict[str, Any] = {
    "name": "mail-report",
    "command": "mailit",
    "epsilon": "PT15M",
    "owner": "ops@example.org",
    "async": False,
    "parents": ["nightly report"],
}

DEPENDENT_2: dict[str, Any] = {
    "name": "mail-report", "command": "mailit", "shell": True, "epsilon": "PT15M", "executor": "", "executorFlags": "",
    "taskInfoData": "", "retries": 2, "owner": "ops@example.org", "ownerName": "", "description": "", "async": False,
    "successCount": 0, "errorCount": 0, "lastSuccess": "", "lastError": "", "cpus": 0.1, "disk": 256.0, "mem": 128.0,
    "disabled": False, "softError": False, "dataProcessingJobType": False, "errorsSinceLastSuccess": 0, "fetch": [],
    "uris": [], "environmentVariables": [], "arguments": [], "highPriority": False, "runAsUser": "root",
    "constraints": [], "parents": ["nightly report"],
}  # fmt: skip

SCHEDULED_3: dict[str, Any] = {
    "name": "nightly-report",
    "command": "make -C /srv/report all",
    "shell": True,
    "executor": "",
    "executorFlags": "",
    "taskInfoData": "",
    "retries": 2,
    "owner": "ops@example.org",
    "ownerName": "Data team",
    "description": "Builds the report",
    "successCount": 0,
    "errorCount": 0,
    "lastSuccess": "",
    "lastError": "",
    "cpus": 0.5,
    "disk": 256.0,
    "mem": 512.0,
    "disabled": False,
    "softError": False,
    "dataProcessingJobType": False,
    "errorsSinceLastSuccess": 0,
    "fetch": [
        {
            "uri": "http://repo.example.org/report.tgz",
            "executable": False,
            "cache": False,
            "extract": True,
            "output_file": "r.tgz",
        }
    ],
    "uris": [],
    "environmentVariables": [{"name": "STAGE", "value": "prod"}],
    "arguments": ["-v"],
    "highPriority": True,
    "runAsUser": "root",
    "concurrent": False,
    "maxCompletionTime": 0,
    "container": {
        "type": "MESOS",
        "image": "example/report:7",
        "network": "USER",
        "networkName": "overlay",
        "networkInfos": [
            {
                "name": "overlay",
                "protocol": "IPv4",
                "labels": [{"key": "svc", "value": "report"}],
                "portMappings": [{"hostPort": "31080", "containerPort": "80", "protocol": "tcp"}],
            }
        ],
        "volumes": [
            {"hostPath": "/var/log/report", "containerPath": "/log", "mode": "RW"},
            {
                "containerPath": "/data",
                "mode": "RO",
                "external": {"name": "vol1", "provider": "rexray", "options": [{"key": "size", "value": "5"}]},
            },
        ],
        "forcePullImage": True,
        "parameters": [{"key": "memory-swap", "value": "0"}],
    },
    "constraints": [["rack", "LIKE", "r[1-3]"]],
    "schedule": "R/2017-03-02T02:00:00Z/P1D",
    "scheduleTimeZone": "",
}

SENT_3: dict[str, Any] = {"name": "mail-report", "command": "mailit", "parents": ["nightly-report"]}

DEPENDENT_3: dict[str, Any] = {
    "name": "mail-report", "command": "mailit", "shell": True, "executor": "", "executorFlags": "", "taskInfoData": "",
    "retries": 2, "owner": "", "ownerName": "", "description": "", "successCount": 0, "errorCount": 0,
    "lastSuccess": "", "lastError": "", "cpus": 0.1, "disk": 256.0, "mem": 128.0, "disabled": False,
    "softError": False, "dataProcessingJobType": False, "errorsSinceLastSuccess": 0, "fetch": [], "uris": [],
    "environmentVariables": [], "arguments": [], "highPriority": False, "runAsUser": "root", "concurrent": False,
    "maxCompletionTime": 0, "constraints": [], "parents": ["nightly-report"],
}  # fmt: skip

"""Definitions over the whole job model, the same for the same seed."""

from __future__ import annotations

import random
from typing import Any

TEXTS = (
    "",
    "true",
    'echo "a\\b" $HOME',
    "printf 'ä/ö €'",
    "a\nb\n",
    "trailing ",
    "2014-01-01T00:00:00Z",
    "on",
    "08",
    "{}",
)
PERIODS = ("PT1M", "PT1H", "P1D", "P1W", "P1M", "P1Y", "P1DT2H30M", "PT10.5S")


def corpus(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Return definitions that no run can change: all of them are due in 2040 at the earliest."""
    chosen = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        job: dict[str, Any] = {
            "name": f"job-{number}{chosen.choice(['', '_x', '-y', '.z'])}",
            "command": chosen.choice(TEXTS[1:]),
        }
        job |= {key: value for key, value in _fields(chosen).items() if chosen.random() < 0.4}
        if made and chosen.random() < 0.3:
            parents = {chosen.choice(made)["name"] for _ in range(chosen.randint(1, 3))}
            job["parents"] = sorted(parents)
        else:
            count_text = chosen.choice(["", "", "5", "100"])
            start = f"20{chosen.randint(40, 60)}-0{chosen.randint(1, 9)}-15T0{chosen.randint(3, 9)}:30:00"
            job["schedule"] = f"R{count_text}/{start}{chosen.choice(['Z', '.250Z', '+02:00'])}/{chosen.choice(PERIODS)}"
            job["scheduleTimeZone"] = chosen.choice(["", "UTC", "Europe/Berlin", "America/New_York"])
        made.append(job)
    return made


def _fields(chosen: random.Random) -> dict[str, Any]:
    text = chosen.choice(TEXTS)
    files: dict[str, Any]
    if chosen.random() < 0.5:
        files = {"uris": ["http://files.example.org/a.tgz", "/local/b"]}
    else:
        files = {"fetch": [{"uri": "http://files.example.org/c", "extract": False, "executable": True, "cache": False}]}
    volume = {"hostPath": "/var/log", "containerPath": "/log", "mode": "RW"}
    container: dict[str, Any] = {
        "type": "DOCKER",
        "image": "example/report:7",
        "network": "BRIDGE",
        "volumes": [volume],
    }
    container |= {"forcePullImage": True, "parameters": [{"key": "memory-swap", "value": "0"}]}
    return files | {
        "shell": True, "epsilon": "PT15M", "executor": "", "executorFlags": text, "taskInfoData": text,
        "retries": chosen.randint(0, 9), "owner": chosen.choice(["", "ops@example.org", "a@example.org,b@example.org"]),
        "ownerName": text, "description": chosen.choice(TEXTS), "cpus": chosen.choice([0.1, 1, 2.5]),
        "mem": chosen.choice([32, 128.5]), "disk": 10, "disabled": chosen.random() < 0.5, "softError": True,
        "dataProcessingJobType": True, "highPriority": True, "runAsUser": chosen.choice(["root", "nobody"]),
        "environmentVariables": [{"name": "STAGE", "value": chosen.choice(TEXTS)}], "concurrent": True,
        "maxCompletionTime": chosen.randint(0, 3600), "constraints": [["rack", "LIKE", "r[1-3]"]],
        "container": container,
        "priority": chosen.randint(-5, 5), "retryDelay": 2.5, "retryBackoff": 2, "retryMaxDelay": 60, "killGrace": 1,
        "catchUp": "one", "onUncertain": "skip", "gpus": 1, "ports": 2, "avoidFailedAgents": "hard",
        "labels": {"channel": chosen.choice(["news", "film"])}, "preemptible": True, "startWithin": 5,
        "finishWithin": 60,
    }  # fmt: skip

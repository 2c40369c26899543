"""What a Chronos leaves in ZooKeeper, written and read as Chronos does, with code of its own.

    plant(client, "/chronos/state", tree("2.4", jobs=500))
    before = read(client, "/chronos/state")

Documents have each version's fields in its order. Entries are libmesos's: protobuf fields 1 (name), 2 (uuid), 3
(value).
"""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VERSIONS = ("2.3", "2.4", "2.5", "3.0.0", "3.0.2")


# --- entries


def entry(name: str, value: bytes, identity: bytes | None = None) -> bytes:
    """Return a node's data."""
    out = b""
    for tag, part in ((0x0A, name.encode()), (0x12, identity or uuid.uuid4().bytes), (0x1A, value)):
        size, length = len(part), b""
        while size >= 128:
            length += bytes([size % 128 + 128])
            size //= 128
        out += bytes([tag]) + length + bytes([size]) + part
    return out


def parts(data: bytes) -> tuple[str, bytes, bytes]:
    """Return name, uuid and value of a node's data."""
    found, at = {}, 0
    while at < len(data):
        tag, at, size, factor = data[at], at + 1, 0, 1
        while data[at] >= 128:
            size, factor, at = size + (data[at] - 128) * factor, factor * 128, at + 1
        size, at = size + data[at] * factor, at + 1
        found[tag], at = data[at : at + size], at + size
    assert at == len(data) and set(found) == {0x0A, 0x12, 0x1A} and len(found[0x12]) == 16, data[:80]
    return found[0x0A].decode(), found[0x12], found[0x1A]


# --- documents


def document(version: str, name: str, **given: Any) -> str:
    """Return a stored job: all fields that the version writes, in its order, with its defaults but for `given`; with
    `parents` a dependent one."""
    two = version.startswith("2")
    fields: dict[str, Any] = {"name": name, "command": "true", "shell": True}
    fields |= {"epsilon": "PT60S"} if two else {}
    fields |= {"executor": "", "executorFlags": ""}
    fields |= {} if version in ("2.3", "2.4") else {"taskInfoData": ""}
    fields |= {"retries": 2, "owner": "", "ownerName": "", "description": ""}
    fields |= {"async": False} if two else {}
    fields |= {"successCount": 0, "errorCount": 0, "lastSuccess": "", "lastError": ""}
    fields |= {"cpus": 0.1, "disk": 256.0, "mem": 128.0, "disabled": False, "softError": False}
    fields |= {"dataProcessingJobType": False, "errorsSinceLastSuccess": 0}
    fields |= {} if version in ("2.3", "2.4") else {"fetch": []}
    fields |= {"uris": [], "environmentVariables": [], "arguments": [], "highPriority": False, "runAsUser": "root"}
    fields |= {} if two else {"concurrent": False}
    fields |= {"container": None, "constraints": []}
    fields |= dict.fromkeys(["parents"] if "parents" in given else ["schedule", "scheduleTimeZone"], "")
    assert given.keys() <= fields.keys(), given
    fields |= given
    if fields["container"] is None:
        del fields["container"]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def container(version: str) -> dict[str, Any]:
    """Return a container with all that the version writes of one."""
    volumes = [{"hostPath": "/var/log/report", "containerPath": "/log", "mode": "RW"}]
    made: dict[str, Any] = {"type": "docker", "image": "example/report:7", "network": "BRIDGE", "volumes": volumes}
    if version != "2.3":
        made["forcePullImage"] = False
    if version not in ("2.3", "2.4"):
        made["parameters"] = [{"key": "memory-swap", "value": "0"}]
    if version == "3.0.2":
        mapping = {"hostPort": "31080", "containerPort": "80", "protocol": "tcp"}
        network = {"name": "overlay", "protocol": "IPv4", "labels": [{"key": "a", "value": "b"}]}
        made = {
            "type": "MESOS", "image": "example/report:7", "network": "USER", "networkName": "overlay",
            "networkInfos": [network | {"portMappings": [mapping]}], "volumes": volumes, "forcePullImage": True,
            "parameters": [{"key": "memory-swap", "value": "0"}],
        }  # fmt: skip
    return made


@dataclass
class Tree:
    """The variables of a Chronos, by name; `tasks` are ids of pending tasks with their jobs' documents."""

    jobs: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    framework_id: str = "20150901-020411-16842879-5050-1234-0000"


def tree(version: str, jobs: int, first_due: str, later: str, seed: int = 1) -> Tree:
    """Return `jobs` jobs of all kinds. Every fifth is due at `first_due`, the others at `later` (ISO 8601, both ending
    in Z, with milliseconds); every seventh depends on the one before."""
    chosen, made = random.Random(seed), Tree()
    for number in range(jobs):
        name = f"job {number} #{number % 3}" if version < "2.5" and number % 4 == 0 else f"job-{number}"
        more: dict[str, Any] = {
            "command": chosen.choice(["true", 'echo "a\\b"', "printf 'ä/ö €'", ""]),
            "owner": chosen.choice(["", "ops@example.org"]), "cpus": chosen.choice([0.1, 1.0, 2.5]),
            "successCount": chosen.randrange(1000), "errorCount": chosen.randrange(10),
            "lastSuccess": "2015-09-01T02:04:11.093Z", "retries": chosen.choice([0, 2]),
            "disabled": number % 11 == 10, "arguments": chosen.choice([[], ["-v", "a b"]]),
            "environmentVariables": [{"name": "STAGE", "value": "prod"}] if number % 2 else [],
            "highPriority": number % 13 == 0,
        }  # fmt: skip
        if number % 10 == 3:
            more["container"] = container(version)
        if number % 9 == 4 and version != "2.3":
            more["constraints"] = [["rack", "LIKE", "r[1-3]"]]
        if number % 7 == 6:
            more["parents"] = [list(made.jobs)[-1]]
        else:
            due = first_due if number % 5 == 0 else later
            more |= {"schedule": f"R/{due}/P1D", "scheduleTimeZone": chosen.choice(["", "UTC"])}
            if number % 25 == 5:
                more["schedule"] = f"R3/{due}/PT1H"
        made.jobs[name] = document(version, name, **more)
    return made


# --- the nodes


def plant(client: Any, path: str, made: Tree) -> None:
    """Write the variables below --zk_path, as the state library does. `client` is a kazoo client that is connected."""
    client.ensure_path(f"{path}/state")
    identity = made.framework_id.encode()
    values = {"frameworkId": bytes([0x0A, len(identity)]) + identity} if made.framework_id else {}
    values |= {f"J_{name}": text.encode() for name, text in made.jobs.items()}
    values |= {f"T_{task}": text.encode() for task, text in made.tasks.items()}
    for name, value in values.items():
        client.create(f"{path}/state/{name}", entry(name, value))


def read(client: Any, path: str) -> dict[str, bytes]:
    """Return the values of all variables by name, as Chronos would read them. Raises for what it could not read."""
    found = {}
    for name in client.get_children(f"{path}/state"):
        own, _, value = parts(client.get(f"{path}/state/{name}")[0])
        assert own == name
        found[name] = value
    return found


def differences(before: bytes, after: bytes, ran: Iterable[str]) -> dict[str, Any]:
    """Return by field how a document has changed, but for the fields `ran`; the order of fields counts as well."""
    old, new = (json.loads(text, object_pairs_hook=list) for text in (before, after))
    if [key for key, _ in old] != [key for key, _ in new]:
        return {"fields": ([key for key, _ in old], [key for key, _ in new])}
    pairs: Mapping[str, Any] = dict(new)
    return {key: (value, pairs[key]) for key, value in old if value != pairs[key] and key not in ran}

"""Chronos's form of candidates in ZooKeeper: Curator's LeaderLatch with protection.

`_c_<uuid>-latch-<10 digits>`: who made it, and the number that ZooKeeper gave. The lowest number leads; the data of a
node is its candidate's `<hostname>:<http_port>`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

_FORM = re.compile(r"_c_[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}-latch-([0-9]{10})")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@?#\[\]]+):[0-9]{1,5}")


@dataclass(frozen=True, slots=True, order=True)
class Candidate:
    number: int
    name: str


def new_prefix() -> str:
    """Return the beginning of a node's name that no other node has; ZooKeeper adds the number."""
    return f"_c_{uuid.uuid4()}-latch-"


def candidates(names: Iterable[str]) -> list[Candidate]:
    """Return the candidates among a folder's nodes, the leader first. Names of other forms are nobody's."""
    found = ((_FORM.fullmatch(name), name) for name in names)
    return sorted(Candidate(int(match[1]), name) for match, name in found if match)


def read_address(data: bytes) -> str:
    """Return a candidate's `host:port`, empty when its node holds something else: then it cannot be reached."""
    text = data.decode("utf-8", "replace").strip()
    return text if _ADDRESS.fullmatch(text) else ""

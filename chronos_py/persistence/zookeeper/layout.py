"""Where things lie in ZooKeeper. Defaults of Chronos make the word state stand twice: /chronos/state/state/J_name.

    <root>/state/J_<name>              a job, exactly as Chronos keeps it
    <root>/state/frameworkId           the framework's id, likewise
    <root>/state/T_<task id>           a task that a Chronos 2 had yet to start; we make no such nodes
    <root>/x/format                    the version of what lies below x
    <root>/x/epoch                     its ZooKeeper version is the epoch: each new leader writes it once
    <root>/x/log                       data: the first turn that counts
    <root>/x/log/<turn>                one committed turn; <turn>-<id>-<part> when it took several nodes
    <root>/x/pages/<kind>/<shard>.<turn>.<part>   all records of a shard as of that turn
    <root>/x/quarantine/<digest>       what we could not read, or others wrote, before we overwrote it

Chronos looks at the first three only. A kind has SHARDS shards, so no listing below x grows with what is stored.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

FORMAT = b"1"
SHARDS = 256
RANGE_BITS = 6  # so many consecutive numbers share a shard: runs that change together lie together
JOB_PREFIX = "J_"
TASK_PREFIX = "T_"  # Chronos 2 only
FRAMEWORK_ID = "frameworkId"

RecordKind = Literal["job", "state", "run", "meta", "outbox", "node"]  # node: which uuid we last gave a state node
RECORD_KINDS: tuple[RecordKind, ...] = ("job", "state", "run", "meta", "outbox", "node")
Key = str | int

# What ZooKeeper takes in no name. It looks at UTF-16 units, so everything beyond 16 bits is refused, too.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f/\ud800-\uf8ff\ufff0-\uffff\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below `root`, which begins with a slash and does not end with one."""

    root: str

    @property
    def state(self) -> str:
        return f"{self.root}/state"

    @property
    def own(self) -> str:
        return f"{self.root}/x"

    @property
    def format(self) -> str:
        return f"{self.own}/format"

    @property
    def epoch(self) -> str:
        return f"{self.own}/epoch"

    @property
    def log(self) -> str:
        return f"{self.own}/log"

    @property
    def quarantine(self) -> str:
        return f"{self.own}/quarantine"

    def pages(self, kind: RecordKind) -> str:
        return f"{self.own}/pages/{kind}"

    def node(self, name: str) -> str:
        """Return the path of a variable of Chronos, `J_...` or `frameworkId`."""
        return f"{self.state}/{name}"

    def directories(self) -> tuple[str, ...]:
        """Return what must exist below x, parents first, but for the epoch and the format."""
        kinds = tuple(self.pages(kind) for kind in RECORD_KINDS)
        return (self.own, self.log, f"{self.own}/pages", *kinds, self.quarantine)


def layout_of(path: str) -> Layout:
    """Return the layout below --zk_path. Raises ValueError."""
    root = "/" + path.strip("/")
    if root == "/" or "//" in root or _UNFIT.search(root.replace("/", "")) or {".", ".."} & set(root.split("/")):
        raise ValueError(f"not a path in ZooKeeper: {path!r}")
    return Layout(root)


def fits(name: str) -> bool:
    """Tell whether ZooKeeper takes a node of this name."""
    return not _UNFIT.search(name)


def shard_of(key: Key) -> int:
    if isinstance(key, int):
        return key >> RANGE_BITS & SHARDS - 1
    return _shard_of_text(key)


@lru_cache(maxsize=65_536)
def _shard_of_text(key: str) -> int:
    return zlib.crc32(key.encode("utf-8", "surrogatepass")) & SHARDS - 1

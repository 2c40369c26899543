"""What we know of Chronos's variables, as they are in ZooKeeper at present."""

from __future__ import annotations

from dataclasses import dataclass, field

from chronos_py.model.stored import StoredDocuments
from chronos_py.persistence.zookeeper.documents import Foreign
from chronos_py.persistence.zookeeper.form import Form


@dataclass(slots=True)
class Known:
    """By a variable's name: the version of its node (missing: there is none that we could read), the digest of its
    value, the uuid of those that are not ours yet or that we only delete, and its form where that is not ours.

    `frozen` ones may not be written by us. `pending` are jobs that someone else has written and whose schedule starts
    anew: they become ours with the state that is committed for them, so that their counters cannot be lost.
    `children` counts how often a node has come or gone in their directory, as far as all of that is ours; None when
    there is something else, or something that cannot be read.
    """

    versions: dict[str, int] = field(default_factory=dict)
    digests: dict[str, int] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)
    forms: dict[str, Form] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    pending: dict[str, Foreign] = field(default_factory=dict)
    children: int | None = None
    documents: StoredDocuments = field(default_factory=StoredDocuments)

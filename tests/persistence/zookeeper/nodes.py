"""Chronos's nodes, as tests read and write them."""

from __future__ import annotations

from typing import Any

from kazoo.client import KazooClient

from chronos_py.persistence.zookeeper.entry import Entry, encode_entry
from tests.persistence.zookeeper import decoder


def document(client: KazooClient, root: str, name: str) -> dict[str, Any]:
    """Return the document of a job."""
    return decoder.job(f"J_{name}", client.get(f"{root}/state/J_{name}")[0])


def variable(name: str, value: str) -> bytes:
    """Return the data of a job's node, as another program might write it."""
    return encode_entry(Entry(f"J_{name}", b"0123456789abcdef", value.encode()))

"""The jobs that a Chronos, or chronos-py, keeps in ZooKeeper; nothing is changed."""

from __future__ import annotations

import json
from contextlib import closing

from kazoo.exceptions import NoNodeError

from chronos_py.config import Settings
from chronos_py.errors import StoreUnavailable
from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper.entry import decode_entry
from chronos_py.persistence.zookeeper.keeper import Found, Keeper, Refused
from chronos_py.persistence.zookeeper.layout import JOB_PREFIX, layout_of
from chronos_py.transfer.definitions import BadDefinition, Document, unmirrored
from chronos_py.zookeeper import clean_path


def read_tree(settings: Settings) -> tuple[list[Document], list[str]]:
    """Return the jobs' documents by name, and for each node that cannot be read why. Raises StoreUnavailable."""
    address = settings.zookeeper
    if address is None:
        raise ValueError("no ZooKeeper")
    layout = layout_of(clean_path(settings.zk_path))
    keeper = Keeper(
        address.hosts, address.auth, address.timeout, address.timeout, make=lambda *_, **__: address.client()
    )
    found: list[Document] = []
    problems: list[str] = []
    with closing(keeper):
        try:
            names = keeper.children(layout.state)
        except Refused as refused:
            missing = isinstance(refused.reason, NoNodeError)
            text = "there is no such path" if missing else f"cannot be listed: {refused.reason!r}"
            raise StoreUnavailable(f"{layout.state}: {text}") from refused
        for path, answer in keeper.read(layout.node(name) for name in sorted(names) if name.startswith(JOB_PREFIX)):
            try:
                if not isinstance(answer, Found):
                    raise BadRecord("", repr(answer))
                found.append(unmirrored(_document(answer.data)))
            except (BadRecord, BadDefinition, ValueError) as error:
                problems.append(f"{path}: {error}")
    return found, problems


def _document(data: bytes) -> Document:
    document = json.loads(decode_entry(data).value)
    if not isinstance(document, dict):
        raise BadDefinition("is no JSON object")
    return document

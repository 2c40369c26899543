"""A node's answers to signed requests, without HTTP's forms: path and body in, status and body out."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from chronos_py.drivers.group.node import Node, Refused
from chronos_py.drivers.group.wire import (
    NODE_PATH,
    OUTPUT_PATH,
    Ask,
    Malformed,
    OutputWanted,
    dump,
    is_signed,
    load,
    sign,
)
from chronos_py.errors import UnknownTask

LONGEST_WAIT_S = 60.0
LARGEST_OUTPUT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """`signature` is empty when the request was not one of a node's."""

    status: int
    body: bytes
    signature: str = ""


def answer_to(node: Node, instance: str, key: bytes, path: str, body: bytes, signature: str) -> Answer:
    """Answer one request. `instance` names this process; `key` is the group's, empty while it is not known.

    The request is signed together with path and instance, the answer together with the request's signature: neither is
    of any use elsewhere, or again.
    """
    if not key or not is_signed(signature, key, instance.encode(), path.encode(), body):
        return Answer(401, b'{"error":"this request is not signed by a node of this group"}')
    status, found = _answer(node, path, body)
    return Answer(status, found, sign(key, signature.encode(), b"%d" % status, found))


def _answer(node: Node, path: str, body: bytes) -> tuple[int, bytes]:
    try:
        if path == NODE_PATH:
            ask = load(Ask, body)
            if not 0 <= ask.wait <= LONGEST_WAIT_S:
                raise Malformed(f"Ask.wait must be from 0 to {LONGEST_WAIT_S:g}")
            return 200, dump(node.exchange(ask, remote=True))
        if path == OUTPUT_PATH:
            return 200, _output(node, load(OutputWanted, body))
        return 404, _error("there is nothing here")
    except Malformed as error:
        return 400, _error(str(error))
    except UnknownTask as error:
        return 404, _error(str(error))
    except Refused as error:
        return 409, _error(str(error))


def _output(node: Node, wanted: OutputWanted) -> bytes:
    length = max(0, min(wanted.length, LARGEST_OUTPUT))
    chunk = node.output(wanted.task_id, wanted.stream, wanted.offset, length)
    data = base64.b64encode(chunk.data).decode()
    return json.dumps({"data": data, "offset": chunk.offset, "size": chunk.size, "ended": chunk.ended}).encode()


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence[:1000]}).encode()

"""What leader and nodes say to each other, as JSON, and how they know that it is one of them who says it.

Effects and events go as `{"kind": "Launch", ...}`, fields by the names of the model, those with their default left out;
bytes as Base64. Reading is strict: another type than the model says is an error, and so is a field that the model does
not have, for what a newer version means by it cannot be known. So versions can be mixed until something new is used.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from chronos_py.errors import ChronosError
from chronos_py.model.messages import DriverEffect, DriverEvent

T = TypeVar("T")

LARGEST = 64 * 1024 * 1024  # bytes of a request or an answer
TOGETHER = 4 * 1024 * 1024  # bytes of effects that are sent in one request, if there are several
EVENTS = 1000  # in one answer

NODE_PATH = "/internal/node"
OUTPUT_PATH = "/internal/output"
SIGNATURE = "X-Chronos-Signature"


class Malformed(ChronosError):
    """A message that no node of ours would send; the sentence says where."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A leader's request. `session` is its connection with this node, later ones have greater numbers; `begin` makes a
    new one.

    `effects` are to be carried out; `number` counts requests that have some, from 1. `after` says how many of the
    session's events have arrived; `wait` for how many seconds to wait for one.
    """

    epoch: int
    session: int
    begin: bool = False
    number: int = 0
    effects: tuple[DriverEffect, ...] = ()
    after: int = 0
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """A node's answer: `upto` is how many events of the session there were up to the last of `events`."""

    agent_id: str
    events: tuple[DriverEvent, ...] = ()
    upto: int = 0


@dataclass(frozen=True, slots=True)
class OutputWanted:
    task_id: str
    stream: str
    offset: int
    length: int


def dump(message: object) -> bytes:
    """Return the JSON form of a message. Raises Malformed for what JSON cannot hold."""
    try:
        return json.dumps(_plain(message), allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:  # an endless number
        raise Malformed(f"{type(message).__name__} has no JSON form: {error}") from None


def load(noun: type[T], data: bytes) -> T:
    """Read a message. Raises Malformed."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("this is not JSON") from None
    kind: Any = noun  # a class can be hashed
    found: T = _record(kind)(plain, noun.__name__)
    return found


def sign(key: bytes, *parts: bytes) -> str:
    """Return a signature (HMAC-SHA256, RFC 2104) of parts in this order; their lengths belong to it."""
    together = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.digest(key, together, "sha256").hex()


def is_signed(signature: str, key: bytes, *parts: bytes) -> bool:
    return hmac.compare_digest(signature.encode("utf-8", "replace"), sign(key, *parts).encode())


# --- to JSON

_KINDS = {noun.__name__: noun for noun in (*get_args(DriverEffect), *get_args(DriverEvent))}


@cache
def _defaults(noun: Any) -> list[tuple[str, Any]]:
    return [(f.name, f.default_factory() if f.default_factory is not MISSING else f.default) for f in fields(noun)]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        given = ((name, default, getattr(value, name)) for name, default in _defaults(type(value)))
        form = {name: _plain(item) for name, default, item in given if item is not default and item != default}
        name = type(value).__name__
        return {"kind": name, **form} if _KINDS.get(name) is type(value) else form
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, str):
        return str(value)  # a name of an enumeration, too
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    return value


# --- from JSON

_Reader = Callable[[Any, str], Any]


@cache
def _reader(hint: Any) -> _Reader:
    """Return what reads values of a type; the second argument is where the value stands."""
    if hint is Any:
        return lambda value, _: value
    if hint in (DriverEffect, DriverEvent):
        return _by_kind(frozenset(get_args(hint)))
    if isinstance(hint, type) and is_dataclass(hint):
        return _record(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and NoneType in arguments:
        (inner,) = (_reader(each) for each in arguments if each is not NoneType)
        return lambda value, at: None if value is None else inner(value, at)
    if origin in (tuple, Sequence):
        return _sequence(arguments)
    if origin is Mapping:
        return _mapping(_reader(arguments[1]))
    if hint is bytes:
        return _bytes
    if hint is float:
        return lambda value, at: float(_checked(value, (int, float), at))
    if hint in (int, str, bool):
        return lambda value, at: _checked(value, (hint,), at)
    raise TypeError(f"there is no JSON form of {hint!r}")


def _checked(value: Any, kinds: tuple[type, ...], at: str) -> Any:
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Malformed(f"{at} must be {kinds[-1].__name__}, and is {type(value).__name__}")
    return value


def _by_kind(nouns: frozenset[type]) -> _Reader:
    def read(value: Any, at: str) -> Any:
        kind = _checked(value, (dict,), at).get("kind")
        noun = _KINDS.get(kind) if isinstance(kind, str) else None
        if noun not in nouns:
            raise Malformed(f"{at}.kind: {str(kind)[:50]!r} is not known")
        return _reader(noun)(value, f"{at}.{kind}")

    return read


@cache
def _record(noun: Any) -> _Reader:
    hints = get_type_hints(noun)
    needed = {f.name for f in fields(noun) if f.default is MISSING and f.default_factory is MISSING}

    def read(value: Any, at: str) -> Any:
        given = dict(_checked(value, (dict,), at))
        if given.pop("kind", noun.__name__) != noun.__name__:
            raise Malformed(f"{at}.kind must be {noun.__name__}")
        if given.keys() - hints.keys() or needed - given.keys():
            odd = sorted((given.keys() - hints.keys()) | (needed - given.keys()))
            raise Malformed(f"{at}: fields are missing or unknown: {', '.join(odd)[:200]}")
        return noun(**{name: _reader(hints[name])(item, f"{at}.{name}") for name, item in given.items()})

    return read


def _sequence(arguments: tuple[Any, ...]) -> _Reader:
    if len(arguments) == 2 and arguments[1] is not ...:

        def read_pair(value: Any, at: str) -> Any:
            if len(_checked(value, (list,), at)) != len(arguments):
                raise Malformed(f"{at} must have {len(arguments)} parts")
            return tuple(_reader(hint)(item, at) for hint, item in zip(arguments, value, strict=True))

        return read_pair
    inner = _reader(arguments[0])
    return lambda value, at: tuple(inner(item, at) for item in _checked(value, (list,), at))


def _mapping(inner: _Reader) -> _Reader:
    return lambda value, at: {key: inner(item, f"{at}.{key}") for key, item in _checked(value, (dict,), at).items()}


def _bytes(value: Any, at: str) -> bytes:
    try:
        return base64.b64decode(_checked(value, (str,), at), validate=True)
    except ValueError:
        raise Malformed(f"{at} is not Base64") from None

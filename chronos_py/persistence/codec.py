"""The JSON form in which stores keep nouns: field names as in the model, fields that hold their default left out.

Reading is strict: a value of another type than the model says raises BadRecord, so that a damaged record is noticed
where it is read and not turns later. Fields that the model does not know, of a newer version, are ignored and reported;
a newer version that cannot live with that raises the store's schema version instead, which older ones refuse.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from math import isfinite
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from chronos_py.errors import ChronosError
from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Kind
from chronos_py.model.run import Run

T = TypeVar("T")
_Reader = Callable[[Any], Any]  # from what JSON gives to what the model has; raises BadRecord with an empty field


class BadRecord(ChronosError):
    """A stored record cannot be read, or a value cannot be stored; `field` is where: `edges[0].tokens[2].run`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason

    def within(self, place: str) -> BadRecord:
        """Return the same error as seen from outside of `place`."""
        joint = "." if self.field and not self.field.startswith("[") else ""
        return BadRecord(f"{place}{joint}{self.field}", self.reason)


class Form(Generic[T]):
    """How one dataclass is written and read. Made once for each; all work on its type hints is done here."""

    def __init__(self, noun: type[T]) -> None:
        if not is_dataclass(noun):
            raise TypeError(f"{noun!r} is no dataclass")
        described = fields(noun)
        self.noun = noun
        self._names = tuple(field.name for field in described)
        self._defaults = tuple(
            field.default_factory() if field.default_factory is not MISSING else field.default for field in described
        )
        self._values: Callable[[T], tuple[Any, ...]] = attrgetter(*self._names)
        hints = get_type_hints(noun)
        self._floats = tuple(name for name in self._names if float in (hints[name], *get_args(hints[name])))
        self._exact: dict[str, type | None] = {}  # a value of exactly this type is taken as it is
        self._readers: dict[str, _Reader] = {}
        _FORMS[noun] = self
        for name in self._names:
            self._exact[name], self._readers[name] = _reader(hints[name])

    def plain(self, value: T) -> dict[str, Any]:
        """Return the fields that differ from their default, as they are. Raises BadRecord for an endless number."""
        for name in self._floats:
            number = getattr(value, name)
            if number is not None and not isfinite(number):  # JSON has no word for it: it would come back as null
                raise BadRecord(name, f"{number} is not a finite number")
        return {
            name: item
            for name, item, default in zip(self._names, self._values(value), self._defaults, strict=True)
            if item is not default and item != default
        }

    def encode(self, value: T) -> bytes:
        """Return the JSON form. Raises BadRecord when JSON cannot hold a value."""
        return dump(self.plain(value))

    def decode(self, data: bytes | str, unknown: set[str] | None = None) -> T:
        """Return the noun. Names of ignored fields are added to `unknown`. Raises BadRecord."""
        return self.build(load(data), unknown)

    def build(self, plain: Any, unknown: set[str] | None = None) -> T:
        """Like `decode`, from parsed JSON, which is used up. Raises BadRecord."""
        if type(plain) is not dict:
            raise BadRecord("", f"must be an object, is {_shown(plain)}")
        exact = self._exact.get
        strange = []
        for name, value in plain.items():
            if type(value) is exact(name):
                continue
            reader = self._readers.get(name)
            if reader is None:
                strange.append(name)
                continue
            try:
                plain[name] = reader(value)  # no key is added, so that going on is safe
            except BadRecord as error:
                raise error.within(name) from None
        for name in strange:
            del plain[name]
        if strange and unknown is not None:
            unknown.update(strange)
        try:
            return self.noun(**plain)
        except TypeError:
            missing = self._missing(plain)
            if not missing:
                raise
            raise BadRecord(missing, "is missing") from None

    def _missing(self, plain: Mapping[str, Any]) -> str:
        pairs = zip(self._names, self._defaults, strict=True)
        return ", ".join(name for name, default in pairs if default is MISSING and name not in plain)


_FORMS: dict[type, Form[Any]] = {}


def form_of(noun: type[T]) -> Form[T]:
    """Return the form of a dataclass, made at its first use."""
    return _FORMS.get(noun) or Form(noun)


# --- JSON itself


def dump(value: Any) -> bytes:
    """Return `value` as JSON. Raises BadRecord when JSON cannot hold it."""
    try:
        return orjson.dumps(value, default=_nested, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        pass
    try:  # slower, but takes whole numbers beyond 64 bits and halves of surrogate pairs, which users can send
        return b" " + json.dumps(value, default=_nested, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRecord("", f"cannot be written as JSON: {error}") from None


def load(data: bytes | str) -> Any:
    """Return what JSON text says. Raises BadRecord."""
    if data[:1] not in (b" ", " "):  # `dump` leads with a blank what orjson would misread
        try:
            return orjson.loads(data)
        except ValueError:
            pass
    try:
        return json.loads(data, parse_constant=_no_constant)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRecord("", f"is not JSON: {error}") from None


def _nested(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return form_of(type(value)).plain(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# --- readers, made from type hints


def _reader(hint: Any) -> tuple[type | None, _Reader]:
    """Return the type that needs no work, and what to do with all others."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (str, int, bool):
        return hint, _refuse(hint)
    if hint is float:
        return float, _read_float
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return None, _enum_reader(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return None, form_of(hint).build
    if origin in (Union, UnionType) and len(arguments) == 2 and NoneType in arguments:
        exact, reader = _reader(next(argument for argument in arguments if argument is not NoneType))
        return exact, lambda value: None if value is None else value if type(value) is exact else reader(value)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return None, _tuple_reader(arguments[0])
        return None, _fixed_tuple_reader(arguments)
    if origin is Mapping:
        return dict, _refuse(dict)
    raise TypeError(f"no JSON form for {hint!r}")


_NAMES = {str: "a text", int: "a whole number", bool: "true or false", float: "a number", dict: "an object",
          list: "a list"}  # fmt: skip


def _refuse(wanted: type) -> _Reader:
    def read(value: Any) -> Any:
        raise BadRecord("", f"must be {_NAMES[wanted]}, is {_shown(value)}")

    return read


def _read_float(value: Any) -> float:
    if type(value) is not int:
        raise BadRecord("", f"must be a number, is {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise BadRecord("", f"is too big a number: {_shown(value)}") from None


def _enum_reader(enum: type[StrEnum]) -> _Reader:
    members = {member.value: member for member in enum}

    def read(value: Any) -> StrEnum:
        member = members.get(value) if type(value) is str else None
        if member is None:
            raise BadRecord("", f"must be one of {', '.join(members)}, is {_shown(value)}")
        return member

    return read


def _tuple_reader(item: Any) -> _Reader:
    exact, reader = _reader(item)
    refuse = _refuse(list)

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            refuse(value)
        position = 0
        try:
            for position, element in enumerate(value):
                if type(element) is not exact:
                    value[position] = reader(element)
        except BadRecord as error:
            raise error.within(f"[{position}]") from None
        return tuple(value)

    return read


def _fixed_tuple_reader(items: tuple[Any, ...]) -> _Reader:
    readers = tuple(_reader(item) for item in items)

    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise BadRecord("", f"must be a list of {len(readers)}, is {_shown(value)}")
        for position, (element, (exact, reader)) in enumerate(zip(value, readers, strict=True)):
            if type(element) is not exact:
                try:
                    value[position] = reader(element)
                except BadRecord as error:
                    raise error.within(f"[{position}]") from None
        return tuple(value)

    return read


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}... ({len(text)} characters)"


# --- the nouns of the stores

JOB = form_of(Job)
STATE = form_of(JobState)
RUN = form_of(Run)
RUN_RECORD = form_of(RunRecord)
ATTEMPT_RECORD = form_of(AttemptRecord)


def encode_record(record: HistoryRecord) -> bytes:
    """Return a history record's JSON form, with the field `kind` (run or attempt) before its own."""
    if type(record) is RunRecord:
        return dump({"kind": "run"} | RUN_RECORD.plain(record))
    if type(record) is AttemptRecord:
        return dump({"kind": "attempt"} | ATTEMPT_RECORD.plain(record))
    raise BadRecord("", f"is no history record: {_shown(record)}")


def decode_record(data: bytes | str, unknown: set[str] | None = None) -> HistoryRecord:
    """Return the history record. Raises BadRecord."""
    plain = load(data)
    if type(plain) is not dict:
        raise BadRecord("", f"must be an object, is {_shown(plain)}")
    kind = plain.pop("kind", None)
    if kind == "run":
        return RUN_RECORD.build(plain, unknown)
    if kind == "attempt":
        return ATTEMPT_RECORD.build(plain, unknown)
    raise BadRecord("kind", f"must be run or attempt, is {_shown(kind)}")


_FORM_OF_KIND: dict[str, tuple[Form[Any], Callable[[Any], Any]]] = {
    "job": (JOB, attrgetter("name")),
    "run": (RUN, attrgetter("id")),
}


def encode_value(kind: Kind, key: str | int, value: Any) -> bytes:
    """Return the JSON form of what a Put carries. Raises BadRecord, also when value and key do not belong together."""
    try:
        if kind == "run":
            _check(type(value) is Run and value.id == key, value)
            return RUN.encode(value)
        if kind == "state":
            _check(type(value) is JobState, value)
            return STATE.encode(value)
        if kind == "outbox":
            return encode_record(value)
        if kind == "job":
            _check(type(value) is Job and value.name == key, value)
            return JOB.encode(value)
        return dump(value)
    except BadRecord as error:
        raise error.within(f"{kind} {key}") from None


def decode_value(kind: Kind, key: str | int, data: bytes | str, unknown: set[str] | None = None) -> Any:
    """Return what was put under `key`. Raises BadRecord, also when the value names another key."""
    if kind == "state":
        return STATE.decode(data, unknown)
    if kind == "outbox":
        return decode_record(data, unknown)
    if kind == "meta":
        return load(data)
    form, key_of = _FORM_OF_KIND[kind]
    value = form.decode(data, unknown)
    if key_of(value) != key:
        raise BadRecord("", f"lies under {_shown(key)} but says it is {_shown(key_of(value))}")
    return value


def _check(right: bool, value: Any) -> None:
    if not right:
        raise BadRecord("", f"the value is of another kind or key: {_shown(value)}")

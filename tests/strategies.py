"""Hypothesis strategies for the nouns: every value that the model's types allow, fields added later included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from chronos_py.model.history import AttemptRecord, HistoryRecord, RunRecord
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Change, Delete, Put
from chronos_py.model.run import Run
from chronos_py.persistence.base import RunQuery

T = TypeVar("T")

whole_numbers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(max_size=12)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | whole_numbers | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
names = st.from_regex(r"[A-Za-z0-9_.#-]{1,12}", fullmatch=True)
few_names = st.sampled_from(["a", "b", "c"])


def every(noun: type[T], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[T]:
    """Return a strategy for all values of a dataclass; `given` are the strategies of fields that must be narrower."""
    hints = get_type_hints(noun)
    assert is_dataclass(noun)
    return st.builds(noun, **{f.name: given[f.name] if f.name in given else _of(hints[f.name]) for f in fields(noun)})


def _of(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: texts, int: whole_numbers, bool: st.booleans(), float: numbers, NoneType: st.none(),
    }  # fmt: skip
    if hint in simple:
        return simple[hint]
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and is_dataclass(hint):
        return every(hint)
    if origin in (Union, UnionType):
        return st.one_of(*map(_of, arguments))
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_of, arguments))
    if origin is Mapping:
        return st.dictionaries(texts, json_values, max_size=3)
    raise TypeError(f"no strategy for {hint!r}")


jobs = every(Job)
job_states = every(JobState)
runs = every(Run)
run_records = every(RunRecord)
attempt_records = every(AttemptRecord)
records: st.SearchStrategy[HistoryRecord] = run_records | attempt_records

# --- for stores: few keys, so that changes meet


def _small(limit: int) -> st.SearchStrategy[int]:
    return st.integers(1, limit)


_puts: st.SearchStrategy[Change] = st.one_of(
    every(Job, name=few_names).map(lambda job: Put("job", job.name, job)),
    st.builds(Put, st.just("state"), few_names, job_states),
    every(Run, id=_small(5)).map(lambda run: Put("run", run.id, run)),
    st.builds(Put, st.just("meta"), few_names, json_values),
    st.builds(Put, st.just("outbox"), _small(9), records),
)
_deletes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Delete, st.sampled_from(["job", "state", "meta"]), few_names),
    st.builds(Delete, st.just("run"), _small(5)),
    st.builds(Delete, st.just("outbox"), _small(9)),
)
changes = _puts | _deletes

_durations = st.integers(0, 50)
ledger_rows = every(
    RunRecord, run=_small(30), job=few_names, due=_durations, ended=_durations, owner=few_names,
    attempts=st.integers(0, 2), index=st.none() | _small(9), last_index=st.none(), version=_small(2),
)  # fmt: skip
tries = every(
    AttemptRecord, run=_small(30), attempt=_small(3), job=few_names, launched=_durations, ended=_durations
)  # fmt: skip
queries = st.builds(
    RunQuery,
    job=st.none() | few_names,
    outcome=st.none() | st.sampled_from(["success", "failed", "skipped"]),
    trigger=st.none() | st.sampled_from(["schedule", "manual"]),
    owner=st.none() | few_names,
    due_from=st.none() | _durations,
    due_to=st.none() | _durations,
    before_run=st.none() | _small(31),
    limit=st.integers(0, 40),
)

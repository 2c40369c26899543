import dataclasses
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.model.history import AttemptRecord, RunRecord
from chronos_py.model.job import Edge, Job, JobState, Token
from chronos_py.model.run import Outcome, Phase, Run, Trigger
from chronos_py.persistence import codec
from chronos_py.persistence.codec import BadRecord, Form
from tests import strategies

A_RUN = Run(id=7, job="a", trigger=Trigger.SCHEDULE, due=1, stamp=1, created=1)


@pytest.mark.parametrize(
    ("form", "nouns"),
    [
        (codec.JOB, strategies.jobs),
        (codec.STATE, strategies.job_states),
        (codec.RUN, strategies.runs),
        (codec.RUN_RECORD, strategies.run_records),
        (codec.ATTEMPT_RECORD, strategies.attempt_records),
    ],
    ids=lambda value: value.noun.__name__ if isinstance(value, Form) else "",
)
def test_what_is_written_is_read_again(form: Form[Any], nouns: st.SearchStrategy[Any]) -> None:
    @settings(deadline=None)
    @given(nouns)
    def check(noun: Any) -> None:
        again = form.decode(form.encode(noun))
        assert again == noun
        assert [type(getattr(again, f.name)) for f in dataclasses.fields(noun)] == [
            type(getattr(noun, f.name)) for f in dataclasses.fields(noun)
        ]

    check()


@settings(deadline=None)
@given(strategies.records)
def test_a_history_record_knows_its_kind(record: RunRecord | AttemptRecord) -> None:
    assert codec.decode_record(codec.encode_record(record)) == record


@settings(deadline=None)
@given(strategies.json_values)
def test_meta_values_are_any_json(value: Any) -> None:
    assert codec.decode_value("meta", "k", codec.encode_value("meta", "k", value)) == value


@pytest.mark.parametrize("command", ["half a pair: \ud800", "nothing: \0", "line\nbreak", "ü€😀"])
def test_every_text_that_json_can_carry_comes_back(command: str) -> None:
    data = codec.JOB.encode(Job(name="a", command=command))
    assert codec.JOB.decode(data).command == command
    assert b"\n" not in data


def test_whole_numbers_beyond_64_bits_come_back() -> None:
    assert codec.STATE.decode(codec.STATE.encode(JobState(elements_processed=2**80))).elements_processed == 2**80


def test_defaults_are_left_out() -> None:
    assert orjson.loads(codec.RUN.encode(A_RUN)) == {
        "id": 7, "job": "a", "trigger": "schedule", "due": 1, "stamp": 1, "created": 1,
    }  # fmt: skip
    assert codec.STATE.encode(JobState()) == b"{}"
    assert orjson.loads(codec.STATE.encode(JobState(edges=(Edge("p", (Token(1, 2),)),)))) == {
        "edges": [{"parent": "p", "tokens": [{"run": 1, "due": 2}]}]
    }


def test_whole_numbers_are_read_where_the_model_has_fractions() -> None:
    job = codec.JOB.decode(b'{"name":"a","mem":64}')
    assert (job.mem, type(job.mem)) == (64.0, float)


def test_fields_of_a_newer_version_are_ignored_and_reported() -> None:
    unknown: set[str] = set()
    assert codec.JOB.decode(b'{"name":"a","colour":"red","retries":3}', unknown) == Job(name="a", retries=3)
    assert unknown == {"colour"}


@pytest.mark.parametrize(
    ("form", "data", "sentence"),
    [
        (codec.JOB, b"", "is not JSON: "),
        (codec.JOB, b'{"name":"a"', "is not JSON: "),
        (codec.JOB, b'\xff{"name":"a"}', "is not JSON: "),
        (codec.JOB, b"[" * 100_000, "is not JSON: "),
        (codec.JOB, b'{"name":"a","mem":NaN}', "is not JSON: NaN"),
        (codec.JOB, b"[]", "must be an object, is []"),
        (codec.JOB, b"{}", "name: is missing"),
        (codec.RUN, b'{"id":1,"job":"a","trigger":"manual"}', "due, stamp, created: is missing"),
        (codec.JOB, b'{"name":1}', "name: must be a text, is 1"),
        (codec.JOB, b'{"name":null}', "name: must be a text, is None"),
        (codec.JOB, b'{"name":"a","retries":"2"}', "retries: must be a whole number, is '2'"),
        (codec.JOB, b'{"name":"a","retries":2.5}', "retries: must be a whole number, is 2.5"),
        (codec.JOB, b'{"name":"a","retries":true}', "retries: must be a whole number, is True"),
        (codec.JOB, b'{"name":"a","disabled":1}', "disabled: must be true or false, is 1"),
        (codec.JOB, b'{"name":"a","mem":"1"}', "mem: must be a number, is '1'"),
        (codec.JOB, b'{"name":"a","mem":true}', "mem: must be a number, is True"),
        (codec.JOB, b'{"name":"a","extra":[]}', "extra: must be an object, is []"),
        (codec.JOB, b'{"name":"a","catch_up":"never"}', "catch_up: must be one of skip, one, all, is 'never'"),
        (codec.JOB, b'{"name":"a","parents":"b"}', "parents: must be a list, is 'b'"),
        (codec.JOB, b'{"name":"a","parents":["b",1]}', "parents[1]: must be a text, is 1"),
        (codec.JOB, b'{"name":"a","fetch":[{"uri":"u","cache":0}]}', "fetch[0].cache: must be true or false, is 0"),
        (codec.JOB, b'{"name":"a","container":{}}', "container.image: is missing"),
        (codec.JOB, b'{"name":"a","container":{"image":"i","volumes":[{}]}}',
         "container.volumes[0].container_path: is missing"),
        (codec.STATE, b'{"edges":[{"parent":"p","tokens":[{"run":1,"due":2,"roots":[["a"]]}]}]}',
         "edges[0].tokens[0].roots[0]: must be a list of 2, is ['a']"),
        (codec.STATE, b'{"edges":[{"parent":"p","tokens":[{"run":1,"due":2,"roots":[["a","b"]]}]}]}',
         "edges[0].tokens[0].roots[0][1]: must be a whole number, is 'b'"),
    ],
)  # fmt: skip
def test_a_damaged_record_is_refused_with_the_place(form: Form[Any], data: bytes, sentence: str) -> None:
    with pytest.raises(BadRecord) as caught:
        form.decode(data)
    assert str(caught.value).startswith(sentence)


@settings(deadline=None)
@given(st.binary() | strategies.json_values.map(orjson.dumps))
def test_nothing_but_bad_record_is_raised_by_any_bytes(data: bytes) -> None:
    for kind in ("job", "state", "run", "outbox", "meta"):
        try:
            codec.decode_value(kind, "a", data)
        except BadRecord as error:
            assert str(error)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_endless_numbers_are_refused_when_written(value: float) -> None:
    with pytest.raises(BadRecord, match=r"^job a\.mem: (nan|inf|-inf) is not a finite number"):
        codec.encode_value("job", "a", Job(name="a", mem=value))


def test_a_value_must_belong_to_its_key() -> None:
    with pytest.raises(BadRecord, match="job b: the value is of another kind or key"):
        codec.encode_value("job", "b", Job(name="a"))
    with pytest.raises(BadRecord, match="run 8: the value is of another kind or key"):
        codec.encode_value("run", 8, A_RUN)
    with pytest.raises(BadRecord, match="lies under 'b' but says it is 'a'"):
        codec.decode_value("job", "b", b'{"name":"a"}')
    with pytest.raises(BadRecord, match="kind: must be run or attempt, is None"):
        codec.decode_record(b"{}")


def test_what_json_cannot_hold_is_refused() -> None:
    with pytest.raises(BadRecord, match="meta k: cannot be written as JSON"):
        codec.encode_value("meta", "k", {1, 2})


def test_enums_are_written_by_value() -> None:
    assert b'"phase":"running"' in codec.RUN.encode(dataclasses.replace(A_RUN, phase=Phase.RUNNING))
    assert codec.RUN.decode(codec.RUN.encode(A_RUN)).trigger is Trigger.SCHEDULE
    record = RunRecord(1, "a", Trigger.MANUAL, 1, 1, 1, Outcome.LOST)
    assert codec.RUN_RECORD.decode(codec.RUN_RECORD.encode(record)).outcome is Outcome.LOST

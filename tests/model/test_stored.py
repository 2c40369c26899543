"""The document that other stores keep: Chronos reads it, and nothing that stood in it is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from chronos_py.errors import BadDocument, InvalidInput
from chronos_py.model.documents import JobDefaults
from chronos_py.model.job import JobState
from chronos_py.model.stored import amended, read_stored, stored_document
from tests.builders import a_job
from tests.fakes import NEW_YEAR
from tests.model.documents import SCHEDULED_2, SCHEDULED_3, compact
from tests.strategies import json_values

DEFAULTS = JobDefaults()


def reread(text):
    return read_stored(text, DEFAULTS, NEW_YEAR)


def test_a_document_of_chronos_3_is_kept_byte_for_byte():
    given_job = reread(compact(SCHEDULED_3))
    assert stored_document(given_job.job, JobState()).encode() == compact(SCHEDULED_3)


def test_what_only_2x_knows_is_kept_behind():
    document = {**SCHEDULED_2, "async": True}
    text = stored_document(reread(compact(document)).job, JobState(success_count=41))
    assert list(json.loads(text))[-2:] == ["epsilon", "async"]
    assert json.loads(text)["successCount"] == 41
    job = reread(text).job
    assert (job.epsilon, job.is_async) == ("PT60S", True)


def test_fields_that_nobody_knows_are_kept():
    text = compact({**SCHEDULED_3, "zebra": {"a": [1, None, "ä"]}, "alpha": 0.5}).decode()
    job = reread(text).job
    assert job.extra == {"zebra": {"a": [1, None, "ä"]}, "alpha": 0.5}
    assert stored_document(job, JobState()) == text


@given(json_values)
def test_any_unknown_value_comes_back(value):
    job = a_job(extra={"strange": value})
    assert reread(stored_document(job, JobState())).job.extra == {"strange": value}


def test_an_unknown_field_does_not_stand_in_for_a_known_one():
    job = a_job(command="right", extra={"command": "wrong"})
    assert reread(stored_document(job, JobState())).job.command == "right"


def test_the_schedule_that_is_shown_is_the_one_that_is_kept():
    text = stored_document(a_job(), JobState(), "R/2026-01-02T00:00:00.000Z/PT1M")
    assert reread(text).job.schedule == "R/2026-01-02T00:00:00.000Z/PT1M"


def test_a_name_of_2x_is_read():
    assert reread(compact(SCHEDULED_2)).job.name == "nightly report"


@pytest.mark.parametrize(
    "text", ["", "{", "nonsense", "[]", "null", '{"command":"a"}', '{"name":NaN}', b"\xff", "[" * 10**6]
)
def test_what_is_no_job_document(text):
    with pytest.raises(BadDocument):
        reread(text)


def test_a_constraint_of_no_meaning_is_an_error_and_not_dropped():
    with pytest.raises(InvalidInput):
        reread('{"name":"a","constraints":[["a","NEAR","b"]]}')


@pytest.mark.parametrize("pattern", ["(?x)a b", "("])
def test_a_pattern_that_cannot_be_used_is_kept(pattern):
    document = json.dumps({"name": "a", "schedule": "R1//P1D", "constraints": [["rack", "LIKE", pattern]]})
    assert reread(document).job.constraints[0].value == pattern


# --- a document that someone else wrote


def changed(text: str, schedule: str | None = None, **state: Any) -> str | None:
    """Return the document after runs have changed the job's state and schedule."""
    was = read_stored(text, JobDefaults(), 0)
    counted = {name: getattr(was.counters, name) for name in was.counters.__slots__}
    job = was.job
    if "disabled" in state:
        job = replace(job, disabled=state.pop("disabled"))
    return amended(text.encode(), was, job, JobState(**(counted | state)), schedule or job.schedule)


AWKWARD = [
    '{"name":"a","schedule":"R//P1D"}',
    ' {\n "name" : "a",\t"schedule" :"R//P1D", "successCount" : "7" , "x":{"successCount":1,"y":["}",{}]}}\n',
    '{"name":"\\u0061}\\"{","schedule":"R//P1D","successCount":1,"successCount":2,"disabled":0,"lastError":null}',
    '{"schedule":"R//P1D","command":"ä\\/ö \\ud83d\\ude00","name":"a","a\\"b":1e3}',
]


@pytest.mark.parametrize("text", AWKWARD)
def test_a_document_stays_as_it_is_when_nothing_ran(text: str):
    assert changed(text) == text


@pytest.mark.parametrize("text", AWKWARD)
def test_only_what_ran_changes_in_a_document(text: str):
    new = changed(text, "R/2026-01-02T00:00:00.000Z/P1D", success_count=9, last_success="now", disabled=True)
    assert new is not None
    before, after = json.loads(text), json.loads(new)
    ran = {"schedule": "R/2026-01-02T00:00:00.000Z/P1D", "successCount": 9, "lastSuccess": "now", "disabled": True}
    assert after == before | ran
    assert list(after)[: len(before)] == list(before)


def test_a_job_that_is_another_one_by_now_has_no_place_in_the_old_document():
    was = read_stored(AWKWARD[0], JobDefaults(), 0)
    assert amended(AWKWARD[0].encode(), was, replace(was.job, command="b"), JobState(), "R//P1D") is None

"""The document that other stores keep: Chronos reads it, and nothing that stood in it is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from chronos_py.errors import BadDocument, InvalidInput
from chronos_py.model.documents import JobDefaults
from chronos_py.model.job import JobState
from chronos_py.model.stored import read_stored, stored_document
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

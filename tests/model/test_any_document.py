"""Whatever a client sends: a job, or a refusal that says why. What is shown can be sent back and means the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chronos_py.errors import InvalidInput
from chronos_py.model.documents import Line, read_job
from chronos_py.model.render import render_job
from chronos_py.model.schemas import JOB_FIELDS, ContainerSchema
from tests.fakes import NEW_YEAR
from tests.model.documents import DEFAULTS, read, shown
from tests.strategies import json_values, texts

CONTAINER_FIELDS = sorted(field.data_key or name for name, field in ContainerSchema().fields.items())
lines = st.sampled_from([2, 3])
huge = st.sampled_from([10**30, -(10**400), 1e308, "9" * 500, "1e400", "\ud800", [[]], [{}], {"a": {}}])
anything = json_values | huge
pairs = st.fixed_dictionaries({}, optional={"key": anything, "value": anything, "name": anything})
parts = st.one_of(anything, st.lists(st.one_of(pairs, anything, st.lists(texts, max_size=4)), max_size=3))
containers = st.dictionaries(st.sampled_from(CONTAINER_FIELDS), parts, max_size=4)
documents = st.fixed_dictionaries(
    {"name": st.just("a")},
    optional={field: containers if field == "container" else parts for field in sorted(JOB_FIELDS - {"name"})},
)


@pytest.mark.parametrize("field", sorted(JOB_FIELDS))
@settings(max_examples=50)
@given(value=parts, line=lines)
def test_any_value_in_any_field_is_read_or_refused(field: str, value: Any, line: Line):
    document = {"name": "a", "command": "true", field: value}
    try:
        given_job = read(document, line)
    except InvalidInput as refusal:
        assert str(refusal)
        return
    text = render_job(shown(given_job), line).decode("utf-8")
    assert "\n" not in text
    assert None not in json.loads(text).values()


@given(document=documents, line=lines)
def test_what_is_shown_means_the_same_when_it_is_sent_back(document: dict[str, Any], line: Line):
    try:
        first = read(document, line)
    except InvalidInput:
        assume(False)
    once = render_job(shown(first), line)
    again = read(json.loads(once), line)
    assert render_job(shown(again), line) == once
    assert again.counters == first.counters


@given(document=documents, line=lines)
def test_a_document_with_every_field_survives_either_line(document: dict[str, Any], line: Line):
    try:
        first = read_job(document, 3, DEFAULTS, NEW_YEAR, every_field=True)
    except InvalidInput:
        assume(False)
    shown_again = json.loads(render_job(shown(first), line, mirrored=True).decode("utf-8"))
    assert shown_again["name"] == first.job.name

"""Whether a file and a server mean the same, and in which order definitions are sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.scheduler.schedule import parse_schedule
from chronos_py.transfer.definitions import BadDefinition, differing, ordered, same_schedule, unmirrored
from chronos_py.transfer.plan import make_plan

JOB: dict[str, Any] = {
    "name": "a",
    "command": "true",
    "schedule": "R/2026-01-01T00:00:00Z/PT1H",
    "owner": "me",
    "cpus": 0.1,
    "mem": 256,
}
SHOWN = JOB | {"cpus": 0.1, "mem": 256.0, "successCount": 3, "disabled": True, "uris": ["x"], "fetch": []}


@pytest.mark.parametrize(
    ("local", "remote", "same"),
    [
        ("R/2026-01-01T00:00:00Z/PT1H", "R/2026-01-05T07:00:00.000Z/PT1H", True),
        ("R/2026-01-01T00:00:00Z/PT1H", "R/2026-01-05T07:30:00.000Z/PT1H", False),
        ("R/2026-01-01T00:00:00Z/PT1H", "R/2025-12-31T23:00:00.000Z/PT1H", False),
        ("R/2026-01-01T00:00:00Z/PT1H", "R/2026-01-05T07:00:00.000Z/PT2H", False),
        ("R5/2026-01-01T00:00:00Z/P1D", "R2/2026-01-04T00:00:00.000Z/P1D", True),
        ("R5/2026-01-01T00:00:00Z/P1D", "R6/2026-01-04T00:00:00.000Z/P1D", False),
        ("R5/2026-01-01T00:00:00Z/P1D", "R/2026-01-04T00:00:00.000Z/P1D", False),
        ("R//PT5M", "R/2026-01-04T00:00:07.123Z/PT5M", True),
        ("R/2026-01-31T00:00:00Z/P1M", "R/2026-02-28T00:00:00.000Z/P1M", True),
        ("nonsense", "R/2026-02-28T00:00:00.000Z/P1M", False),
    ],
)
def test_a_schedule_that_has_come_some_way_is_the_same(local, remote, same):
    assert same_schedule(local, remote) is same


@given(st.integers(0, 500), st.sampled_from(["PT1H", "P1D", "P1W", "P1M", "P1Y", "PT7M"]))
def test_every_later_state_of_a_schedule_is_the_same(index, period):
    text = f"R/2026-01-31T02:30:00Z/{period}"
    later = parse_schedule(text, "Europe/Berlin").anchored(0).text(None, index)
    assert same_schedule(text, later, "Europe/Berlin")


def test_only_what_the_file_says_is_compared():
    assert differing(JOB, SHOWN) == []
    assert differing(JOB | {"successCount": 9, "epsilon": "PT1M", "priority": 0}, SHOWN) == []
    assert differing(JOB | {"mem": 257, "priority": 5, "disabled": False}, SHOWN) == ["mem", "priority", "disabled"]
    assert differing(JOB | {"uris": ["y"]}, SHOWN) == ["uris"]
    assert differing({"name": "b", "parents": ["y", "x"]}, {"name": "b", "parents": ["x", "y"]}) == []
    assert differing({"name": "b", "shell": True}, {"name": "b", "shell": 1}) == ["shell"]


def test_uris_are_fetches_that_say_no_more():
    assert differing({"uris": ["x"]}, {"uris": [], "fetch": [{"uri": "x"}]}) == []
    assert differing({"uris": ["x"]}, {"uris": [], "fetch": [{"uri": "x", "extract": False}]}) == ["uris"]
    assert differing({"uris": []}, {"uris": [], "fetch": [{"uri": "x"}]}) == []


def test_a_list_shows_uris_and_fetch_from_each_other():
    fetch = [{"uri": "http://x", "extract": False}]
    assert unmirrored({"uris": ["http://x"], "fetch": fetch}) == {"uris": [], "fetch": fetch}
    assert unmirrored({"uris": ["http://x"], "fetch": []}) == {"uris": ["http://x"], "fetch": []}
    assert unmirrored({"uris": ["http://y"], "fetch": fetch}) == {"uris": ["http://y"], "fetch": fetch}


def test_parents_come_before_children_and_else_nothing_moves():
    found = ordered([{"name": "c", "parents": ["b"]}, {"name": "z"}, {"name": "b", "parents": ["a"]}, {"name": "a"}])
    assert [document["name"] for document in found] == ["z", "a", "b", "c"]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([{"name": "a", "parents": ["b"]}, {"name": "b", "parents": ["a"]}], "depend on each other"),
        ([{"name": "a"}, {"name": "a"}], "given twice"),
        ([{"name": ""}], "needs a name"),
        ([{"name": "a", "parents": "b"}], "no list of names"),
    ],
)
def test_definitions_that_cannot_be_used(documents, message):
    with pytest.raises(BadDefinition, match=message):
        ordered(documents)


def test_an_update_keeps_what_the_file_does_not_say():
    there = JOB | {"schedule": "R/2026-03-01T05:00:00.000Z/PT1H", "successCount": 7, "disabled": True, "retries": 4}
    (change,) = make_plan([JOB | {"command": "false"}], [there])
    assert (change.kind, change.fields) == ("update", ("command",))
    assert change.after == there | {"command": "false"}
    assert list(change.lines()) == ["update a", '    - command: "true"', '    + command: "false"']


def test_a_new_schedule_is_sent_as_the_file_has_it():
    there = JOB | {"schedule": "R/2026-03-01T05:00:00.000Z/PT1H"}
    (change,) = make_plan([JOB | {"schedule": "R/2026-01-01T00:00:00Z/PT2H"}], [there])
    assert change.after is not None
    assert change.after["schedule"] == "R/2026-01-01T00:00:00Z/PT2H"


def test_a_job_may_change_its_kind():
    (change,) = make_plan([{"name": "b", "parents": ["a"]}], [JOB, JOB | {"name": "b"}])
    assert change.after is not None
    assert "schedule" not in change.after
    assert change.after["parents"] == ["a"]


def test_pruning_deletes_children_first_and_needs_parents_among_the_files():
    there: list[dict[str, Any]] = [{"name": "a"}, {"name": "b", "parents": ["a"]}, JOB | {"name": "k"}]
    assert [(change.kind, change.name) for change in make_plan([JOB | {"name": "k"}], there, prune=True)] == [
        ("delete", "b"),
        ("delete", "a"),
    ]
    assert make_plan([{"name": "c", "parents": ["a"]}], there)[0].kind == "create"
    for wanted in ([{"name": "c", "parents": ["a"]}], [{"name": "c", "parents": ["nobody"]}]):
        with pytest.raises(BadDefinition, match="neither among the files"):
            make_plan(wanted, there, prune=True)

"""Which edits a turn has made, and whose they are."""

from __future__ import annotations

from dataclasses import replace

from chronos_py.edits import TurnEdits
from chronos_py.model.job import JobState
from chronos_py.model.messages import DeleteJob, RunJob, SubmitJob
from chronos_py.model.revision import Author
from chronos_py.model.view import JobView
from tests.builders import a_job

ADA, BOB, SERVER = Author("ada"), Author("", "10.0.0.2"), Author()
ONE = a_job("a", command="one")
TWO, THREE = replace(ONE, command="two"), replace(ONE, command="three")
SHOWN = {"a": JobView(ONE, JobState(), None), "child": JobView(a_job("child", parents=["a"]), JobState(), None)}


def test_each_of_several_edits_in_one_turn_has_its_author():
    edits = TurnEdits()
    edits.note(SubmitJob(TWO), ADA, SHOWN, TWO, 1)
    edits.note(SubmitJob(THREE), BOB, SHOWN, THREE, 2)
    found = edits.finish({"a"}, SHOWN, lambda _: THREE, 3)
    assert [(e.before, e.after, e.author, e.at) for e in found] == [(ONE, TWO, ADA, 1), (TWO, THREE, BOB, 2)]


def test_what_changes_nothing_is_no_edit():
    edits = TurnEdits()
    edits.note(SubmitJob(ONE), ADA, SHOWN, replace(ONE), 1)
    edits.note(RunJob("a"), ADA, SHOWN, ONE, 1)
    assert edits.finish({"a"}, SHOWN, lambda _: ONE, 2) == []


def test_the_children_of_a_deleted_job_are_the_deleters():
    edits = TurnEdits()
    edits.note(DeleteJob("a"), ADA, SHOWN, None, 1)
    orphan = replace(SHOWN["child"].job, parents=None, schedule="R//P1D")
    found = edits.finish(["a", "child"], SHOWN, {"child": orphan}.get, 1)
    assert [(e.job, e.after, e.author) for e in found] == [("a", None, ADA), ("child", orphan, ADA)]


def test_what_nobody_asked_for_is_the_servers():
    off = replace(ONE, disabled=True)
    found = TurnEdits().finish({"a"}, SHOWN, lambda _: off, 5)
    assert [(e.before, e.after, e.author) for e in found] == [(ONE, off, SERVER)]

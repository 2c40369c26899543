"""Reading job documents: kinds, defaults, coercions, refusals."""

from __future__ import annotations

import pytest

from chronos_py.errors import BadDocument, InvalidInput
from chronos_py.model.documents import JobDefaults, name_allowed
from chronos_py.model.job import Avoid, CatchUp, Constraint, OnUncertain, Pair
from tests.fakes import NEW_YEAR
from tests.model.documents import read

NOW = {"name": "a", "command": "true"}
JOB = {**NOW, "schedule": "R/2026-01-01T00:00:00Z/P1D"}
CHILD = {**NOW, "parents": ["b"]}


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (JOB, "scheduled"), (CHILD, "dependent"), (NOW, "now"), ({**JOB, "parents": ["b"]}, "dependent"),
        ({**JOB, "parents": None}, "dependent"), ({**JOB, "parents": []}, "dependent"),
        ({**NOW, "schedule": None}, "scheduled"), ({**NOW, "schedule": ""}, "scheduled"),
    ],
)  # fmt: skip
def test_the_kind_follows_from_the_keys_that_are_there(document, kind):
    given = read(document)
    assert given.kind == kind
    assert (given.job.schedule is None) == (kind == "dependent")
    assert (given.job.parents is None) == (kind != "dependent")


def test_a_job_for_now_has_a_schedule_of_one_run():
    assert read(NOW, 2).job.schedule == "R1//PT24H"
    assert read(NOW, 3).job.schedule == "R1/2026-01-01T00:00:00.000Z/PT24H"
    assert read({**NOW, "concurrent": True}, 3).job.concurrent is False
    assert NEW_YEAR == 1_767_225_600_000


def test_null_as_a_schedule_is_no_job_for_now():
    assert read({**NOW, "schedule": None}).job.schedule == "null"


@pytest.mark.parametrize(
    "field",
    ["command", "owner", "ownerName", "description", "executor", "executorFlags", "taskInfoData", "scheduleTimeZone",
     "runAsUser", "lastSuccess", "lastError"],
)  # fmt: skip
def test_null_for_a_text_counts_as_absent(field):
    without = {key: value for key, value in JOB.items() if key != field}
    assert read({**JOB, field: None}) == read(without)


@pytest.mark.parametrize("document", [None, [], "a", 5, {}, {"name": None, "command": "a"}, {"command": "a"}])
def test_what_is_no_job_at_all(document):
    with pytest.raises(BadDocument):
        read(document)


def test_null_differs_from_absent_where_the_original_says_so():
    assert read(JOB).job.shell is True
    assert read({**JOB, "shell": None}).job.shell is False
    assert read(JOB).job.retries == 2
    assert read({**JOB, "retries": None}).job.retries == 0
    assert read({**JOB, "successCount": None}).counters.success_count == 0
    assert read({**JOB, "cpus": None, "mem": 0, "disk": "x"}).job == read(JOB).job


@pytest.mark.parametrize("value", [None, "b", 5, True, {}, []])
def test_what_is_no_list_of_parents_is_an_empty_one(value):
    assert read({**NOW, "parents": value}).job.parents == ()


def test_parents_are_unique_and_keep_their_order():
    assert read({**NOW, "parents": ["c", "b", "c", 5]}).job.parents == ("c", "b", "5")


def test_defaults_are_the_servers():
    job = read(JOB, 3, JobDefaults(cpus=2.0, mem=3.0, disk=4.0, user="nobody")).job
    assert (job.cpus, job.mem, job.disk, job.run_as_user) == (2.0, 3.0, 4.0, "nobody")
    assert read({**JOB, "runAsUser": ""}).job.run_as_user == ""


def test_each_line_forgets_what_only_the_other_knows():
    both = {**JOB, "async": True, "epsilon": "PT5M", "concurrent": True, "maxCompletionTime": 9}
    two, three = read(both, 2).job, read(both, 3).job
    assert (two.is_async, two.epsilon, two.concurrent, two.max_completion_time) == (True, "PT5M", False, 0)
    assert (three.is_async, three.epsilon, three.concurrent, three.max_completion_time) == (False, None, True, 9)


@pytest.mark.parametrize(
    "changes",
    [
        {"environmentVariables": {"A": "b"}}, {"environmentVariables": "A=b"},
        {"environmentVariables": [{"name": "A"}]}, {"environmentVariables": [1]},
        {"fetch": ["/a"]}, {"fetch": [None]}, {"constraints": [["a"]]},
        {"constraints": [["a", "EQUALS"]]}, {"constraints": [["a", "LIKE", "("]]}, {"constraints": ["a"]},
        {"container": {"image": "a", "network": "host"}}, {"container": {"image": "a", "network": None}},
        {"container": {"image": "a", "volumes": [{}]}}, {"container": {"image": "a", "parameters": [{"key": "a"}]}},
        {"container": {"image": "a", "volumes": [{"containerPath": "/a", "mode": "x"}]}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", [2, 3])
def test_what_the_original_cannot_bind(line, changes):
    with pytest.raises(BadDocument):
        read({**JOB, **changes}, line)


@pytest.mark.parametrize("field", ["environmentVariables", "fetch", "constraints", "uris", "arguments"])
def test_null_in_place_of_a_list_is_an_empty_one(field):
    assert read({**JOB, field: None}) == read(JOB)


@pytest.mark.parametrize("container", [None, {}, {"type": "MESOS"}, "a", 5, []])
def test_a_container_without_an_image(container):
    assert read({**JOB, "container": container}, 3).job.container is None
    with pytest.raises(BadDocument):
        read({**JOB, "container": container}, 2)


@pytest.mark.parametrize(
    ("kind", "line", "known"),
    [(None, 3, "DOCKER"), ("docker", 3, "DOCKER"), ("mesos", 3, "MESOS"), ("mesos", 2, "DOCKER"), ("x", 2, "DOCKER")],
)
def test_container_types(kind, line, known):
    container = read({**JOB, "container": {"image": "", "type": kind}}, line).job.container
    assert container is not None
    assert container.type == known


def test_networks_by_line():
    user = {**JOB, "container": {"image": "a", "network": "USER"}}
    assert read(user, 3).job.container is not None
    with pytest.raises(BadDocument):
        read(user, 2)
    with pytest.raises(BadDocument):
        read({**JOB, "container": {"image": "a", "type": "x"}}, 3)


@pytest.mark.parametrize(("value", "force"), [("TRUE", True), (True, True), ("yes", False), (1, False), (None, False)])
def test_force_pull_is_read_as_text(value, force):
    container = read({**JOB, "container": {"image": "a", "forcePullImage": value}}).job.container
    assert container is not None
    assert container.force_pull_image is force


def test_constraints():
    given = [["rack", "EQUALS", "a"], ["host", "LIKE", "a.*"], ["n", "UNLIKE", 5], ["a", "EQUALS", "b", "more"]]
    assert read({**JOB, "constraints": given}).job.constraints == (
        Constraint("rack", "EQUALS", "a"), Constraint("host", "LIKE", "a.*"), Constraint("n", "UNLIKE", "5"),
        Constraint("a", "EQUALS", "b"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (["rack", "IS", "4"], "4"), (["rack", "UNIQUE"], ""), (["rack", "UNIQUE", ""], ""), (["rack", "CLUSTER"], ""),
        (["rack", "CLUSTER", "a"], "a"), (["rack", "GROUP_BY"], ""), (["rack", "GROUP_BY", "3"], "3"),
        (["rack", "MAX_PER", 2], "2"), (["rack", ">=", "1e3"], "1e3"), (["rack", "<", -0.5], "-0.5"),
    ],
)  # fmt: skip
def test_operators_beyond_those_of_chronos(given, value):
    assert read({**JOB, "constraints": [given]}).job.constraints == (Constraint("rack", given[1], value),)


@pytest.mark.parametrize(
    "given",
    [
        ["rack", "UNIQUE", "a"], ["rack", "GROUP_BY", "a"], ["rack", "GROUP_BY", "0"], ["rack", "MAX_PER", ""],
        ["rack", "MAX_PER", "0"], ["rack", "MAX_PER", "1.5"], ["rack", "<", "a"], ["rack", ">", "nan"],
        ["rack", "<", ""],
    ],
)  # fmt: skip
def test_a_wrong_value_of_an_operator_is_named(given):
    with pytest.raises(InvalidInput) as caught:
        read({**JOB, "constraints": [given]})
    assert (caught.value.field, caught.value.value) == ("constraints", given[2])


@pytest.mark.parametrize("operator", ["MAX_PER", "IS", "<"])
def test_an_operator_without_its_value_is_refused(operator):
    with pytest.raises(BadDocument):
        read({**JOB, "constraints": [["rack", operator]]})


def test_labels_and_the_rest_of_what_placement_asks_for():
    own = {"labels": {"team": "x", "channel": "news"}, "preemptible": True, "avoidFailedAgents": "hard"}
    job = read({**JOB, **own}).job
    assert job.labels == (Pair("channel", "news"), Pair("team", "x"))
    assert (job.preemptible, job.avoid_failed_agents) == (True, Avoid.HARD)
    assert read({**JOB, "labels": None, "preemptible": None}).job == read(JOB).job


@pytest.mark.parametrize("operator", ["NEAR", "equals", "", "group_by"])
def test_an_unknown_operator_is_refused_and_named(operator):
    with pytest.raises(InvalidInput) as caught:
        read({**JOB, "constraints": [["rack", operator, "a"]]})
    assert not isinstance(caught.value, BadDocument)
    assert (caught.value.field, caught.value.value) == ("constraints", operator)


def test_our_own_fields():
    job = read({**JOB, "priority": "5", "retryDelay": 1, "retryBackoff": 1.5, "catchUp": "all", "onUncertain": "skip",
                "retryMaxDelay": None, "gpus": "2", "ports": 3, "startWithin": "5", "finishWithin": 0}).job  # fmt: skip
    assert (job.priority, job.retry_delay, job.retry_backoff, job.retry_max_delay) == (5, 1.0, 1.5, None)
    assert (job.catch_up, job.on_uncertain) == (CatchUp.ALL, OnUncertain.SKIP)
    assert (job.gpus, job.ports) == (2.0, 3)
    assert (job.start_within, job.finish_within) == (5.0, 0.0)
    job = read({**JOB, "gpus": None}).job
    assert (job.gpus, job.ports) == (0.0, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "high"), ("priority", 1.5), ("priority", True), ("priority", 10**12), ("retryDelay", -1),
        ("retryDelay", "soon"), ("retryDelay", True), ("retryDelay", []), ("retryBackoff", 0.5), ("retryBackoff", 0),
        ("retryMaxDelay", "inf"), ("killGrace", "nan"), ("killGrace", 10**400), ("catchUp", "some"), ("catchUp", 1),
        ("startWithin", -1), ("finishWithin", "soon"),
        ("onUncertain", {}), ("onUncertain", "retry"), ("gpus", 0.5), ("gpus", -1), ("gpus", "nan"), ("gpus", True),
        ("gpus", 1001), ("labels", []), ("labels", {"a": 1}), ("labels", {"": "a"}), ("labels", {"a=b": "c"}),
        ("labels", {"a": "b" * 256}), ("labels", {str(n): "" for n in range(51)}), ("preemptible", "true"),
        ("preemptible", 1), ("avoidFailedAgents", "no"), ("avoidFailedAgents", []),
        ("gpus", 1001), ("ports", -1), ("ports", 1001), ("ports", 1.0), ("ports", [80]), ("ports", True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", [2, 3])
def test_a_wrong_value_of_ours_is_refused_with_field_and_value(line, field, value):
    with pytest.raises(InvalidInput) as caught:
        read({**JOB, field: value}, line)
    assert not isinstance(caught.value, BadDocument)
    assert caught.value.field == field
    assert caught.value.value == value


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "a\0b"},
        {"arguments": ["\0"]},
        {"runAsUser": "\0"},
        {"environmentVariables": [{"name": "A", "value": "\0"}]},
    ],
)
def test_a_nul_is_refused_where_no_program_could_be_given_one(changes):
    with pytest.raises(InvalidInput) as caught:
        read({**JOB, **changes})
    assert caught.value.field == next(iter(changes))


@pytest.mark.parametrize(
    ("name", "two", "three"),
    [
        ("a", True, True), ("a.b-c_1", True, True), ("a b", True, False), ("a#b", True, False), ("a\tb\n", True, False),
        ("", False, False), ("a/b", False, False), ("ä", False, False), ("a\u00a0b", False, False),
        ("a;b", False, False), ("a\x1cb", False, False),
    ],
)  # fmt: skip
def test_names(name, two, three):
    assert (name_allowed(name, 2), name_allowed(name, 3)) == (two, three)

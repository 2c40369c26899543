"""Documents of both lines, byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from chronos_py.model.job import Fetch
from chronos_py.model.render import render_job
from tests.model import documents
from tests.model.documents import compact, read, render, shown


@pytest.mark.parametrize(
    ("line", "sent", "answer"),
    [
        (2, documents.SCHEDULED_2, documents.SCHEDULED_2),
        (2, documents.SENT_2, documents.DEPENDENT_2),
        (3, documents.SCHEDULED_3, documents.SCHEDULED_3),
        (3, documents.SENT_3, documents.DEPENDENT_3),
    ],
)
def test_complete_documents_are_shown_byte_for_byte(line, sent, answer):
    assert render(sent, line) == compact(answer)


def test_lists_fill_fetch_from_uris():
    listed = json.loads(render(documents.SCHEDULED_2, 2, mirrored=True))
    uri = "http://repo.example.org/report.tgz"
    assert listed["fetch"] == [{"uri": uri, "executable": False, "cache": False, "extract": False}]
    assert listed["uris"] == [uri]
    three = json.loads(render({**documents.SENT_3, "uris": [uri]}, 3, mirrored=True))
    assert three["fetch"][0]["extract"] is True


def test_lists_fill_uris_from_fetch_and_forget_the_others():
    document = {**documents.SCHEDULED_3, "uris": ["/other"]}
    assert json.loads(render(document, 3, mirrored=True))["uris"] == ["http://repo.example.org/report.tgz"]
    assert json.loads(render(document, 3))["uris"] == ["/other"]


def test_a_record_is_rendered_once_for_each_form():
    view = shown(read(documents.SCHEDULED_3))
    first = render_job(view, 3)
    assert render_job(view, 3) is first
    assert render_job(view, 3, mirrored=True) is render_job(view, 3, mirrored=True)
    assert render_job(view, 3, mirrored=True) != first
    assert len(view.cache) == 2


def test_without_files_the_mirrored_form_is_the_same_bytes():
    view = shown(read(documents.SENT_3))
    assert render_job(view, 3, mirrored=True) is render_job(view, 3)


def test_a_changed_record_is_rendered_anew():
    view = shown(read(documents.SENT_3))
    before = render_job(view, 3)
    assert render_job(replace(view, job=replace(view.job, command="other"), cache={}), 3) != before


def test_our_own_fields_are_shown_only_when_set():
    own = {"priority": 7, "retryDelay": 1.5, "retryBackoff": 2.0, "retryMaxDelay": 60.0, "killGrace": 0.0}
    own |= {"catchUp": "all", "onUncertain": "skip", "gpus": 2.0, "ports": 3}  # type: ignore[dict-item]
    own |= {"avoidFailedAgents": "hard", "labels": {'a"b': "c", "d": ""}, "preemptible": True}  # type: ignore[dict-item]
    own |= {"startWithin": 5.0, "finishWithin": 60.5}
    for line in (2, 3):
        given = json.loads(render({**documents.SENT_3, **own}, line))
        assert {key: given[key] for key in own} == own
        assert not own.keys() & json.loads(render(documents.SENT_3, line)).keys()


def test_a_constraint_has_three_parts_for_those_who_cannot_read_two():
    given = [["rack", "UNIQUE"], ["rack", "GROUP_BY", "2"], ["rack", "EQUALS", ""]]
    wanted = [["rack", "UNIQUE", ""], *given[1:]]
    assert json.loads(render({**documents.SENT_3, "constraints": given}))["constraints"] == wanted


def test_asking_for_no_gpus_and_no_ports_is_not_shown():
    assert not {"gpus", "ports"} & json.loads(render({**documents.SENT_3, "gpus": 0, "ports": 0})).keys()


def test_a_job_of_the_other_line_is_shown_with_this_lines_fields():
    view = shown(read(documents.SCHEDULED_3, 3))
    two = json.loads(render_job(view, 2))
    assert "concurrent" not in two
    assert two["container"]["type"] == "docker"
    assert "networkInfos" not in two["container"]
    assert "external" not in two["container"]["volumes"][1]
    assert "output_file" not in two["fetch"][0]
    assert (two["epsilon"], two["async"]) == ("PT60S", False)


def test_the_servers_epsilon_is_shown_for_a_job_without_one():
    view = shown(read(documents.SENT_3, 3))
    assert json.loads(render_job(view, 2, default_epsilon="PT5M"))["epsilon"] == "PT5M"


def test_optional_keys_of_a_container_appear_only_when_given():
    container = {"image": "a", "volumes": [{"containerPath": "/x"}], "networkInfos": [{"name": "n"}]}
    given = json.loads(render({**documents.SENT_3, "container": container}))["container"]
    assert given == {
        "type": "DOCKER", "image": "a", "network": "HOST",
        "networkInfos": [{"name": "n", "labels": [], "portMappings": []}],
        "volumes": [{"containerPath": "/x"}], "forcePullImage": False, "parameters": [],
    }  # fmt: skip


def test_ports_are_shown_as_texts():
    network = {"name": "n", "portMappings": [{"hostPort": 8080, "containerPort": "80"}]}
    given = json.loads(render({**documents.SENT_3, "container": {"image": "a", "networkInfos": [network]}}))
    mapping = given["container"]["networkInfos"][0]["portMappings"]
    assert mapping == [{"hostPort": "8080", "containerPort": "80"}]


def test_extract_defaults_to_what_the_line_does():
    files = {**documents.SENT_3, "fetch": [{"uri": "/a"}]}
    assert read(files, 2).job.fetch == (Fetch("/a", extract=False),)
    assert read(files, 3).job.fetch == (Fetch("/a", extract=True),)
    assert read({**files, "fetch": [{"uri": "/a", "extract": None}]}, 3).job.fetch == (Fetch("/a", extract=False),)

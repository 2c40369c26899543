"""Job documents: what is stored, in which order and form, and what replaces what."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from compat_tests.dialects import FAR, JSON, V2, V3, Api, a_job

HEAD_2 = '"command":"true","shell":true,"epsilon":"PT60S","executor":"","executorFlags":"","taskInfoData":"",'
HEAD_3 = '"command":"true","shell":true,"executor":"","executorFlags":"","taskInfoData":"",'
OWNER_2 = '"retries":2,"owner":"","ownerName":"","description":"","async":false,'
OWNER_3 = '"retries":2,"owner":"","ownerName":"","description":"",'
MIDDLE = (
    '"successCount":0,"errorCount":0,"lastSuccess":"","lastError":"","cpus":0.1,"disk":256.0,"mem":128.0,'
    '"disabled":false,"softError":false,"dataProcessingJobType":false,"errorsSinceLastSuccess":0,"fetch":[],"uris":[],'
    '"environmentVariables":[],"arguments":[],"highPriority":false,"runAsUser":"root",'
)
TAIL_2 = '"constraints":[],'
TAIL_3 = '"concurrent":false,"maxCompletionTime":0,"constraints":[],'


def default_text(api: Api, name: str, ending: str) -> str:
    parts = (HEAD_3, OWNER_3, MIDDLE, TAIL_3) if api.dialect == V3 else (HEAD_2, OWNER_2, MIDDLE, TAIL_2)
    return f'{{"name":"{name}",' + "".join(parts) + ending + "}"


def stored_text(api: Api, name: str) -> str:
    """Return the job's exact bytes in a search for its name, as text."""
    text = api.get(f"/jobs/search?name={name}&limit=1").content.decode()
    assert text.startswith("[{"), text[:200]
    return text[1:-1]


def test_default_scheduled_document(api: Api, name: str) -> None:
    api.create(name)
    wanted = default_text(api, name, f'"schedule":"{FAR}","scheduleTimeZone":""')
    assert stored_text(api, name) == wanted
    assert wanted in api.get("/jobs").text
    if api.dialect == V3:
        assert api.get(f"/job/{name}").text == wanted


def test_default_dependent_document(api: Api, name: str) -> None:
    api.create(f"{name}-parent")
    api.create(f"{name}-child", parents=[f"{name}-parent"])
    wanted = default_text(api, f"{name}-child", f'"parents":["{name}-parent"]')
    assert stored_text(api, f"{name}-child") == wanted


FULL: dict[str, Any] = {
    "command": "make all", "shell": False, "executor": "e", "executorFlags": "f", "taskInfoData": "t", "retries": 5,
    "owner": "a@example.org", "ownerName": "A", "description": "d", "successCount": 41, "errorCount": 1,
    "lastSuccess": "2015-09-01T02:04:11.093Z", "lastError": "2015-07-12T02:00:44.871Z", "cpus": 0.5, "disk": 1024.0,
    "mem": 512.0, "disabled": True, "softError": True, "dataProcessingJobType": True, "errorsSinceLastSuccess": 9,
    "fetch": [{"uri": "http://example.org/r.tgz", "executable": True, "cache": True, "extract": False}],
    "uris": [], "environmentVariables": [{"name": "B", "value": "1"}, {"name": "A", "value": "2"}],
    "arguments": ["-v", "x y"], "highPriority": True, "runAsUser": "nobody", "constraints": [["rack", "EQUALS", "r1"],
    ["rack", "LIKE", "r[1-3]"], ["rack", "UNLIKE", "r9"]], "schedule": FAR, "scheduleTimeZone": "Europe/Berlin",
}  # fmt: skip


def test_every_field_is_kept(api: Api, name: str) -> None:
    extra = {"concurrent": True, "maxCompletionTime": 77} if api.dialect == V3 else {"epsilon": "PT15M", "async": True}
    assert api.post("/iso8601", {"name": name, **FULL, **extra}).status_code == 204
    assert api.job(name) == {"name": name, **FULL, **extra}


def test_a_document_that_is_sent_back_changes_nothing(api: Api, name: str) -> None:
    api.post("/iso8601", {"name": name, **FULL})
    text = stored_text(api, name)
    assert api.text("/iso8601", text).status_code == 204
    assert stored_text(api, name) == text


CONTAINER = {
    "image": "example/report:7", "network": "BRIDGE", "forcePullImage": "TRUE",
    "volumes": [{"mode": "rw", "containerPath": "/log", "hostPath": "/var/log"}, {"containerPath": "/data"}],
    "parameters": [{"value": "0", "key": "memory-swap"}],
}  # fmt: skip
VOLUMES = '"volumes":[{"hostPath":"/var/log","containerPath":"/log","mode":"RW"},{"containerPath":"/data"}],'
PARAMETERS = '"forcePullImage":true,"parameters":[{"key":"memory-swap","value":"0"}]},"constraints":[],'


def test_container(api: Api, name: str) -> None:
    api.create(name, container=CONTAINER)
    if api.dialect == V3:
        start = '"maxCompletionTime":0,"container":{"type":"DOCKER","image":"example/report:7","network":"BRIDGE",'
        wanted = f'{start}"networkInfos":[],{VOLUMES}{PARAMETERS}'
    else:
        start = '"runAsUser":"root","container":{"type":"docker","image":"example/report:7","network":"BRIDGE",'
        wanted = f"{start}{VOLUMES}{PARAMETERS}"
    assert wanted in stored_text(api, name)


def test_smallest_container(api: Api, name: str) -> None:
    api.create(name, container={"image": ""})
    kind, infos = ("DOCKER", '"networkInfos":[],') if api.dialect == V3 else ("docker", "")
    wanted = f'"container":{{"type":"{kind}","image":"","network":"HOST",{infos}"volumes":[],'
    assert f'{wanted}"forcePullImage":false,"parameters":[]}}' in stored_text(api, name)


def test_container_with_everything_of_3x(api: Api, name: str) -> None:
    if api.dialect == V2:
        pytest.skip("3.x only")
    api.create(
        name,
        container={
            "type": "mesos", "image": "i", "network": "USER", "networkName": "overlay",
            "networkInfos": [{"name": "overlay", "protocol": "IPv4", "labels": [{"key": "svc", "value": "report"}],
                "portMappings": [{"hostPort": 31080, "containerPort": "80", "protocol": "tcp"},
                    {"hostPort": 1, "containerPort": 2}]}],
            "volumes": [{"containerPath": "/d", "mode": "ro",
                "external": {"provider": "rexray", "name": "vol1", "options": [{"key": "size", "value": "5"}]}}],
            "forcePullImage": "yes",
        },
        fetch=[{"uri": "u", "output_file": "r.tgz"}, {}],
    )  # fmt: skip
    wanted = (
        '"container":{"type":"MESOS","image":"i","network":"USER","networkName":"overlay","networkInfos":[{"name":"overlay",'
        '"protocol":"IPv4","labels":[{"key":"svc","value":"report"}],"portMappings":[{"hostPort":"31080","containerPort":"80",'
        '"protocol":"tcp"},{"hostPort":"1","containerPort":"2"}]}],"volumes":[{"containerPath":"/d","mode":"RO","external":'
        '{"name":"vol1","provider":"rexray","options":[{"key":"size","value":"5"}]}}],"forcePullImage":false,"parameters":[]}'
    )
    text = stored_text(api, name)
    assert wanted in text
    entry = '"executable":false,"cache":false,"extract":true'
    assert f'"fetch":[{{"uri":"u",{entry},"output_file":"r.tgz"}},{{"uri":"",{entry}}}]' in text


def test_fetch_of_2x_does_not_extract_by_itself(api: Api, name: str) -> None:
    if api.dialect == V3:
        pytest.skip("2.x only")
    api.create(name, fetch=[{"uri": "u"}])
    assert '"fetch":[{"uri":"u","executable":false,"cache":false,"extract":false}]' in stored_text(api, name)


NUMBERS = [
    ("128", "128.0"), ("0.1", "0.1"), ("10000000", "1.0E7"), ("9999999", "9999999.0"),
    ("123456789.125", "1.23456789125E8"),
    ("0.0001", "1.0E-4"), ("0.001", "0.001"), ("0.00099", "9.9E-4"), ("1e3", "1000.0"), ("-1", "-1.0"),
    ("1e300", "1.0E300"),
    ('"0.5"', "0.5"), ('"12"', "12.0"), ("1.5", "1.5"), ("100.25", "100.25"),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "shown"), NUMBERS)
def test_numbers_have_the_form_of_java(api: Api, name: str, sent: str, shown: str) -> None:
    body = f'{{"name":"{name}","command":"true","schedule":"{FAR}","mem":{sent}}}'
    assert api.text("/iso8601", body).status_code == 204
    match = re.search(r'"mem":([^,]*),', stored_text(api, name))
    assert match is not None
    assert match[1] == shown


def test_upsert_replaces_everything(api: Api, name: str) -> None:
    api.post("/iso8601", {"name": name, "container": CONTAINER, **FULL})
    assert api.post(*a_job(name)).status_code == 204
    assert stored_text(api, name) == default_text(api, name, f'"schedule":"{FAR}","scheduleTimeZone":""')


def test_counters_are_taken_from_the_body(api: Api, name: str) -> None:
    counters = {
        "successCount": 41,
        "errorCount": 2,
        "errorsSinceLastSuccess": 1,
        "lastSuccess": "yes",
        "lastError": "no",
    }
    api.create(name)
    api.create(name, **counters)
    assert {key: api.job(name)[key] for key in counters} == counters
    api.create(name)
    assert [api.job(name)[key] for key in counters] == [0, 0, 0, "", ""]


def test_the_kind_can_change(api: Api, name: str) -> None:
    api.create(f"{name}-parent")
    api.create(name)
    api.create(name, parents=[f"{name}-parent"])
    assert "schedule" not in api.job(name)
    assert f"link,{name}-parent,{name}" in api.get("/graph/csv").text.splitlines()
    api.create(name)
    assert "parents" not in api.job(name)
    assert f"link,{name}-parent,{name}" not in api.get("/graph/csv").text.splitlines()


def test_parents_win_over_schedule_and_are_unique(api: Api, name: str) -> None:
    api.create(f"{name}-a")
    api.create(f"{name}-b")
    api.create(name, parents=[f"{name}-b", f"{name}-a", f"{name}-b"], schedule=FAR, scheduleTimeZone="UTC")
    job = api.job(name)
    assert sorted(job["parents"]) == [f"{name}-a", f"{name}-b"]
    assert not {"schedule", "scheduleTimeZone"} & job.keys()


def test_uris_and_fetch_mirror_each_other_only_in_the_list(api: Api, name: str) -> None:
    api.create(f"{name}-u", uris=["http://x/a", "b"])
    api.create(f"{name}-f", fetch=[{"uri": "http://x/c", "cache": True}])
    extract = api.dialect == V3
    mirrored = [{"uri": uri, "executable": False, "cache": False, "extract": extract} for uri in ("http://x/a", "b")]
    assert (api.job(f"{name}-u")["fetch"], api.listed(f"{name}-u")["fetch"]) == ([], mirrored)
    assert (api.job(f"{name}-f")["uris"], api.listed(f"{name}-f")["uris"]) == ([], ["http://x/c"])
    mirror = api.listed(f"{name}-u")
    assert api.post("/iso8601", {**mirror, "name": f"{name}-new"}).status_code == 400
    assert api.post("/iso8601", mirror).status_code == 204
    assert api.job(f"{name}-u") == mirror


def test_charset_of_the_body(api: Api, name: str) -> None:
    body = json.dumps({"name": name, "command": "ä€\U0001f600", "schedule": FAR}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-16-be", "utf-16-le", "utf-32-be", "utf-32-le"):
        answer = api.send("POST", "/iso8601", body.encode(encoding), {"Content-Type": JSON})
        assert answer.status_code == 204, encoding
        assert api.job(name)["command"] == "ä€\U0001f600"

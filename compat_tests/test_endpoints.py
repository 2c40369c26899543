"""Reading endpoints in detail: list, search, summary, stat, graphs, percentiles, leader."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest

from compat_tests.conftest import Server
from compat_tests.dialects import FAR, JSON, V3, Api, unique_name

FRESH_STAT = (
    '{"histogram":{"75thPercentile":0.0,"95thPercentile":0.0,"98thPercentile":0.0,"99thPercentile":0.0,'
    '"median":0.0,"mean":0.0,"count":0},"taskStatHistory":[]}'
)
PERCENTILES = ["75thPercentile", "95thPercentile", "98thPercentile", "99thPercentile", "median", "mean", "count"]


def only_v3(api: Api) -> None:
    if api.dialect != V3:
        pytest.skip("3.x only")


def found(api: Api, stem: str, query: str) -> list[str]:
    """Return the names of a search's results, without their common stem; other people's jobs left out."""
    answer = api.get(f"/jobs/search?{query}")
    assert answer.status_code == 200, answer.text[:300]
    return [job["name"].removeprefix(stem) for job in answer.json() if job["name"].startswith(stem)]


@pytest.fixture
def stem(api: Api) -> str:
    """Twelve jobs: -a0 to -a5 run `first <stem>`, -b0 to -b5 run `second <stem>`; in this order."""
    stem = unique_name("Search")
    for letter, word in (("a", "First"), ("b", "second")):
        for number in range(6):
            api.create(f"{stem}-{letter}{number}", command=f"{word} {stem}")
    return stem


def names(letters: str, *numbers: int) -> list[str]:
    return [f"-{letter}{number}" for letter in letters for number in numbers]


def test_search_by_name_and_command(api: Api, stem: str) -> None:
    lower = stem.lower()
    assert found(api, stem, f"name={stem}&limit=100") == names("ab", *range(6))
    assert found(api, stem, f"name={lower}-A&limit=100") == names("a", *range(6))
    assert found(api, stem, f"name={stem}-A3") == names("a", 3)
    assert found(api, stem, f"command=first+{lower}") == names("a", *range(6))
    assert found(api, stem, f"command=SECOND%20{stem}") == names("b", *range(6))
    assert found(api, stem, f"name={stem}-a&command=second+{stem}") == []
    assert found(api, stem, f"name={stem}-b&command=second+{stem}&limit=2") == names("b", 0, 1)
    assert found(api, stem, f"name={stem}-nobody") == []


def test_search_any_readmits_and_alone_filters_nothing(api: Api, stem: str) -> None:
    everything = api.get("/jobs/search?limit=100000").json()
    assert api.get("/jobs/search?any=no-such-text&limit=100000").json() == everything
    assert len(everything) == len(api.jobs())
    assert found(api, stem, f"name={stem}-a1&any={stem}-b2&limit=100") == names("a", 1) + names("b", 2)
    assert found(api, stem, f"name={stem}-a1&any=SECOND+{stem}&limit=100") == names("a", 1) + names("b", *range(6))
    assert found(api, stem, f"command=nothing&any={stem}-a1") == names("a", 1)
    assert found(api, stem, f"name={stem}-a1&any=") == names("a", 1)


def test_search_limit_and_offset(api: Api, stem: str) -> None:
    query = f"name={stem}"
    everything = names("ab", *range(6))
    assert found(api, stem, query) == everything[:10]
    assert found(api, stem, f"{query}&limit=") == everything[:10]
    assert found(api, stem, f"{query}&limit=3") == everything[:3]
    assert found(api, stem, f"{query}&limit=3&offset=2") == everything[2:5]
    assert found(api, stem, f"{query}&offset=") == everything[:10]
    assert found(api, stem, f"{query}&offset=5") == everything[5:]
    assert found(api, stem, f"{query}&offset=100") == []
    assert found(api, stem, f"{query}&limit=5&offset=-2") == everything[:3]
    assert found(api, stem, f"{query}&limit=5&offset=-5") == []
    assert found(api, stem, f"{query}&limit=0") == []
    assert found(api, stem, f"{query}&limit=-1") == []
    assert found(api, stem, f"{query}&limit=2&scheduled=false&owner=x&disabled=true") == everything[:2]


@pytest.mark.parametrize("query", ["limit=abc", "offset=abc", "limit=1.5", "limit=9999999999999"])
def test_search_with_numbers_that_are_none_is_404(api: Api, query: str) -> None:
    answer = api.get(f"/jobs/search?{query}")
    assert (answer.status_code, answer.content) == (404, b"")


def test_list_has_disabled_jobs_and_a_new_job_at_once(api: Api, name: str) -> None:
    assert api.post("/iso8601", {"name": name, "command": "true", "schedule": FAR, "disabled": True}).status_code == 204
    assert api.listed(name)["disabled"] is True


def test_an_update_keeps_the_place_in_the_list(api: Api, stem: str) -> None:
    order = [job["name"] for job in api.get(f"/jobs/search?name={stem}&limit=100").json()]
    api.create(f"{stem}-a2", command="changed")
    assert [job["name"] for job in api.get(f"/jobs/search?name={stem}&limit=100").json()] == order


def test_get_one_job(api: Api, name: str) -> None:
    api.create(name, command="echo 1")
    answer = api.get(f"/job/{name}")
    if api.dialect == V3:
        assert (answer.status_code, answer.json()) == (200, api.job(name))
        assert api.get(f"/job/{name.upper()}").status_code == 400
    else:
        assert (answer.status_code, answer.content) == (405, b"")


def test_a_job_called_stat(api: Api) -> None:
    if api.find("stat") is not None:
        pytest.skip("somebody's job has this name")
    api.create("stat")
    if api.dialect == V3:
        assert api.get("/job/stat").json()["name"] == "stat"
    assert api.get("/job/stat/stat").text == FRESH_STAT
    assert api.delete("stat").status_code == 204


def test_summary(api: Api, name: str) -> None:
    only_v3(api)
    api.create(name, disabled=True)
    api.create(f"{name}-child", parents=[name])
    answer = api.get("/jobs/summary")
    assert list(answer.json()) == ["jobs"]
    rows = {row["name"]: row for row in answer.json()["jobs"]}
    assert list(rows[name].items()) == [
        ("name", name), ("status", "fresh"), ("state", "idle"), ("schedule", FAR), ("parents", []), ("disabled", True),
    ]  # fmt: skip
    assert list(rows[f"{name}-child"].values()) == [f"{name}-child", "fresh", "idle", "", [name], False]


EARLY, LATE = "2016-11-15T09:51:39.560Z", "2016-11-15T09:51:39.561Z"
RESULTS = [("", "", "fresh"), (EARLY, "", "success"), ("", EARLY, "failure"), (EARLY, LATE, "failure"),
           (LATE, EARLY, "success"), (EARLY, EARLY, "failure")]  # fmt: skip


@pytest.mark.parametrize(("success", "error", "result"), RESULTS)
def test_the_later_result_counts(api: Api, name: str, success: str, error: str, result: str) -> None:
    api.create(name, lastSuccess=success, lastError=error)
    assert f"node,{name},{result},idle" in api.get("/graph/csv").text.splitlines()
    if api.dialect == V3:
        rows = {row["name"]: row for row in api.get("/jobs/summary").json()["jobs"]}
        assert rows[name]["status"] == result


def test_stat_of_a_fresh_job(api: Api, name: str) -> None:
    api.create(name)
    answer = api.get(f"/job/stat/{name}")
    assert (answer.status_code, answer.text) == (200, FRESH_STAT)
    assert answer.headers["Content-Type"] == JSON


def test_graph_csv(api: Api, name: str) -> None:
    api.create(name)
    api.create(f"{name}-b", parents=[name])
    api.create(f"{name}-c", parents=[name, f"{name}-b"])
    lines = api.get("/graph/csv").text.split("\n")
    assert lines[-1] == ""
    kinds = [line.partition(",")[0] for line in lines[:-1]]
    assert kinds == sorted(kinds, key=["node", "link"].index)
    ours = [line for line in lines if name in line]
    assert set(ours[:3]) == {f"node,{name},fresh,idle", f"node,{name}-b,fresh,idle", f"node,{name}-c,fresh,idle"}
    assert set(ours[3:]) == {f"link,{name},{name}-b", f"link,{name},{name}-c", f"link,{name}-b,{name}-c"}


def test_graph_dot(api: Api, name: str) -> None:
    api.create(name)
    api.create(f"{name}-b", parents=[name])
    text = api.get("/graph/dot").text
    assert text.startswith("digraph G {\n")
    assert text.endswith("\n}\n")
    vertices = {label: number for number, label in re.findall(r'^  (\d+) \[ label="(.*)" \];$', text, re.MULTILINE)}
    assert sorted(map(int, vertices.values())) == list(range(1, len(vertices) + 1))
    assert set(vertices) == {job["name"] for job in api.jobs()}
    assert int(vertices[name]) < int(vertices[f"{name}-b"])
    assert f"  {vertices[name]} -> {vertices[f'{name}-b']};\n" in text
    shape = r'digraph G \{\n(  \d+ \[ label=".*" \];\n)*(  \d+ -> \d+;\n)*\}\n'
    assert re.fullmatch(shape, text)


def test_an_empty_server(server: Server, api: Api) -> None:
    if api.jobs():
        assert not server.is_ours, [job["name"] for job in api.jobs()]
        pytest.skip("the server has jobs")
    assert api.get("/jobs").text == "[]"
    assert api.get("/jobs/search").text == "[]"
    assert (api.get("/graph/csv").status_code, api.get("/graph/csv").content) == (200, b"")
    assert api.get("/graph/dot").text == "digraph G {\n}\n"
    assert api.get("/stats/mean").text == "[]"
    if api.dialect == V3:
        assert api.get("/jobs/summary").text == '{"jobs":[]}'


@pytest.mark.parametrize("percentile", PERCENTILES)
def test_percentiles_have_every_job(api: Api, name: str, percentile: str) -> None:
    api.create(name)
    answer = api.get(f"/stats/{percentile}")
    assert answer.status_code == 200
    assert f'{{"jobNameLabel":"{name}","time":0.0}}' in answer.text
    rows = answer.json()
    assert len(rows) == len(api.jobs())
    assert [row["time"] for row in rows] == sorted((row["time"] for row in rows), reverse=True)


@pytest.mark.parametrize("percentile", ["50thPercentile", "Mean", "max", "x%20y"])
def test_no_such_percentile(api: Api, name: str, percentile: str) -> None:
    api.create(name)
    assert api.get(f"/stats/{percentile}").text == "[]"


def test_leader(api: Api) -> None:
    assert re.fullmatch(r'\{"leader":"[^":]*:\d+"\}', api.get("/leader").text)


def test_names_with_blanks_in_paths(api: Api, name: str) -> None:
    if api.dialect == V3:
        pytest.skip("2.x only")
    spaced = f"{name} a #1"
    api.create(spaced)
    path = quote(spaced)
    assert api.get(f"/job/stat/{path}").status_code == 200
    assert api.get(f"/job/stat/{path.replace('%20', '+')}").status_code == 400
    assert api.send("DELETE", f"/task/kill/{path}").status_code == 204
    assert api.send("DELETE", f"/job/{path}").status_code == 204
    assert api.find(spaced) is None

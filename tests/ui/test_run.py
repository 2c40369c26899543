"""One run: its attempts' times, its output by parts, colours, search, file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chronos_py.model.resources import Resources
from chronos_py.model.run import Outcome, Phase
from chronos_py.scheduler.explanation import Choice, Rank, explain
from chronos_py.ui.ansi import Look, as_html
from chronos_py.ui.run import tries_of
from tests.api.backend import a_run
from tests.fakes import NEW_YEAR
from tests.ui.conftest import ended, put
from tests.ui.pages import Page

TASK = "ct:1:0:a:"


@pytest.fixture
def written(backend):
    put(backend)
    ended(backend, 1, reason="REASON_X")

    def write(data: bytes, stream: str = "stdout") -> None:
        backend.outputs[TASK, stream] = data

    return write


def test_times_are_split(backend):
    row = ended(backend, 1)
    run = a_run(1, attempt=1, phase=Phase.RUNNING, launched=row.ended + 700, started=row.ended + 900)
    first, second = tries_of(row.due, backend.history.tries, run, row.ended + 2900)
    assert (first.waited, first.starting, first.ran) == (400, 600, 4000)
    assert (second.waited, second.starting, second.ran, second.ended) == (700, 200, 2000, None)


def test_an_ended_run(client, written):
    written(b"hello\n")
    page = Page(client.get("/ui/run/1").text)
    assert page.problems == []
    for text in ("REASON_X", "400 ms", "600 ms", "4 s", "host-1", "hello"):
        assert text in page.text
    assert "/ui/run/1/0/stdout/file" in page.links


def test_a_signal_has_its_name(backend, client):
    put(backend)
    ended(backend, 1, outcome=Outcome.FAILED)
    from dataclasses import replace

    backend.history.tries = [replace(backend.history.tries[0], signal=9, exit_code=None)]
    assert "9 SIGKILL" in Page(client.get("/ui/run/1").text).text


def test_a_run_that_never_started(backend, client):
    put(backend)
    backend.view.runs[5] = a_run(5)
    page = Page(client.get("/ui/run/5").text)
    assert page.problems == []
    assert "No attempt was launched." in page.text
    assert client.get("/ui/run/6").status_code == 404


def test_why_an_attempt_was_placed_where_it_was(backend, client):
    put(backend)
    ended(backend, 1)
    choice = Choice(Rank.BALANCE, 3, 0.25, "agent-2<", 0.5)
    taken = {"*": Resources.of(1, 64, 8), "ops<": Resources.of(1)}
    placed = explain(choice, taken, {"bad<": 0.7}, 61_000, ("no_fit", "no agent had <1> core"))
    backend.history.tries[0] = replace(backend.history.tries[0], placement=placed)
    backend.view.runs[5] = replace(a_run(5, phase=Phase.RUNNING, launched=NEW_YEAR, started=NEW_YEAR), placement=placed)
    for number in (1, 5):
        page = Page(client.get(f"/ui/run/{number}").text)
        assert page.problems == []
        for words in ("25% of it was in use, and 50% of the next, agent-2<; before, no agent had <1> core",
                      "Agents fit for it 3", "Next in order agent-2< 50 %", "Avoided bad<", "reserved for ops<",
                      "Waited 1 min 1 s"):  # fmt: skip
            assert words.replace(" ", "") in page.text.replace(" ", ""), words


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"share": "x", "taken": 1, "next": [], "heldUp": 2}'])
def test_an_explanation_that_is_missing_or_odd(backend, client, text):
    put(backend)
    ended(backend, 1)
    backend.history.tries[0] = replace(backend.history.tries[0], placement=text)
    assert Page(client.get("/ui/run/1").text).problems == []


def test_a_line_of_ten_megabytes(client, written):
    written(b"<b>" + b"x" * 10_000_000)
    answer = client.get("/ui/run/1")
    assert len(answer.data) < 100_000
    assert "9\u2009934\u2009467" in answer.text  # where the part begins
    begun = client.get("/ui/run/1?offset=0")
    assert len(begun.data) < 100_000 and "&lt;b&gt;xxx" in begun.text
    assert len(client.get("/ui/run/1/0/stdout/file").data) == 10_000_003


def test_parts_go_on_where_the_last_one_ended(backend, client, written):
    backend.ended = False
    written("\x1b[31mrot ä".encode()[:-1])
    first = client.get("/ui/run/1/0/stdout/part?offset=0")
    assert first.text == '<span class="f1">rot </span>'  # half a character waits for its other half
    assert first.headers["X-Ended"] == "false"
    written("\x1b[31mrot ä<".encode())
    backend.ended = True
    rest = client.get(f"/ui/run/1/0/stdout/part?offset={first.headers['X-End']}&look={first.headers['X-Look']}")
    assert rest.text == '<span class="f1">ä&lt;</span>'
    assert rest.headers["X-Ended"] == "true"


def test_a_file_is_never_shown(client, written):
    written(b"<script>alert(1)</script>")
    answer = client.get("/ui/run/1/0/stdout/file")
    assert answer.data == b"<script>alert(1)</script>"
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize("path", ["/ui/run/1/7/stdout/part", "/ui/run/1/0/secret/part", "/ui/run/1/0/stderr/file"])
def test_output_that_is_not_there(client, written, path):
    written(b"x")
    assert client.get(path).status_code == 404


def test_search_finds_across_blocks(client, written):
    block = 1024 * 1024
    written(b"x" * (block - 3) + b"Needle<>" + b"y" * block + b"needle")
    answer = client.get("/ui/run/1?find=needle").text
    assert Page(answer).problems == []
    assert "Found 2 times" in answer
    assert f"{block - 3:,}".replace(",", "\u2009") in answer
    assert "Found 0 times" in Page(client.get("/ui/run/1?find=nowhere").text).text
    assert client.get(f"/ui/run/1?find={'x' * 300}").status_code == 400


def test_search_is_bounded(client, written):
    written(b"a\n" * 1000)
    text = Page(client.get("/ui/run/1?find=a").text).text
    assert "Found 100 times so far" in text and "Search further" in text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("plain & <b>", "plain &amp; &lt;b&gt;"),
        ("\x1b[1;31mred\x1b[0m", '<span class="b f1">red</span>'),
        ("\x1b[92;44mx\x1b[39my", '<span class="f10 g4">x</span><span class="g4">y</span>'),
        ("\x1b[38;5;9mx\x1b[38;5;200my\x1b[38;2;1;2;3mz", '<span class="f9">x</span>yz'),
        ("\x1b]0;title\x07a\x1b[2Kb\x1b(Bc", "abBc"),
        ("\x1b[9999999999mx\x1b[;mx\x1b[", "xx["),
        ("a\r\nb\rc\td\x00\u202e", "a\nb\nc\td\\x00\\u202e"),
    ],
)
def test_colours(text, html):
    assert str(as_html(text)[0]) == html


def test_a_look_survives_its_text():
    for look in (Look(), Look(True, True, True, 15, 0), Look(front=3)):
        assert Look.parse(str(look)) == look
    assert Look.parse('"><script>') == Look()


def test_output_of_a_run_under_way_is_followed(backend, client):
    put(backend)
    backend.ended = False
    backend.view.runs[3] = a_run(3, phase=Phase.RUNNING, launched=NEW_YEAR, started=NEW_YEAR, agent_id="x")
    backend.outputs[backend.view.runs[3].task_id, "stdout"] = b"tick"
    assert 'data-follow="yes"' in client.get("/ui/run/3").text

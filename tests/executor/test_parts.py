"""The executor's parts by themselves."""

from __future__ import annotations

import json
from base64 import b64encode
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.executor.runtime.loop import Loop
from chronos_py.executor.runtime.names import folder_name
from chronos_py.executor.runtime.order import BadOrder, Order, decode, encode
from chronos_py.executor.runtime.surroundings import Options, Surroundings, nanoseconds, seconds
from chronos_py.executor.runtime.updates import Updates
from chronos_py.executor.runtime.wire import Answers, BadAnswer, End, Head, Records

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.lists(TEXT, min_size=1).filter(lambda words: words[0]), st.lists(st.tuples(TEXT, TEXT)))
def test_an_order_comes_back_as_it_was(program, environment):
    order = Order(tuple(program), tuple(environment))
    assert decode(encode(order)) == order


@pytest.mark.parametrize(
    ("plain", "said"),
    [
        ([], "form"),
        ({"form": 2, "program": ["x"]}, "form"),
        ({"form": 1}, "program"),
        ({"form": 1, "program": []}, "program"),
        ({"form": 1, "program": "ls"}, "program"),
        ({"form": 1, "program": [""]}, "no command"),
        ({"form": 1, "program": [1]}, "program"),
        ({"form": 1, "program": ["x"], "environment": {"A": "b"}}, "environment"),
        ({"form": 1, "program": ["x"], "environment": [["A"]]}, "environment"),
        ({"form": 1, "program": ["x"], "environment": [["A", 1]]}, "environment"),
    ],
)
def test_an_order_that_is_none(plain, said):
    with pytest.raises(BadOrder, match=said):
        decode(b64encode(json.dumps(plain).encode()).decode())


@given(st.text(), st.text())
def test_folders_are_names_and_different_for_different_tasks(one, other):
    name = folder_name(one)
    assert name not in ("", ".", "..") and "/" not in name and "\0" not in name and len(name.encode()) < 200
    assert (folder_name(other) == name) == (one == other)


def test_the_usual_ids_are_their_own_folders():
    assert folder_name("ct:1700000000000:0:a-job.x:") == "ct:1700000000000:0:a-job.x:"
    assert folder_name("ct:1:0:two words:").startswith("ct:1:0:two_words:~")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5secs", 5), ("1.5mins", 90), ("100ms", 0.1), ("2weeks", 1209600), ("", 7), (None, 7), ("5", 7), ("xsecs", 7)],
)
def test_durations(text, expected):
    assert seconds(text, 7) == pytest.approx(expected)


def test_durations_of_messages():
    assert nanoseconds({"nanoseconds": 1_500_000_000}, 7) == 1.5
    assert nanoseconds({"nanoseconds": "250000000"}, 7) == 0.25
    for odd in (None, {}, 5, {"nanoseconds": None}, {"nanoseconds": "x"}):
        assert nanoseconds(odd, 7) == 7


def test_options_survive_their_way_through_a_command_line():
    options = Options(idle_exit=0, output_max_size=1_000_000, keep_tasks=0, keep_time=12.5)
    assert Options.parse(options.words()) == options
    assert Options.parse([]) == Options()


def test_the_agent_may_be_behind_a_socket_or_ipv6():
    environment = {
        "MESOS_AGENT_ENDPOINT": "[::1]:5051",
        "MESOS_SLAVE_PID": "slave(1)@[::1]:5051",
        "MESOS_FRAMEWORK_ID": "f",
        "MESOS_EXECUTOR_ID": "e",
    }
    where = Surroundings.of(environment, "/folder")
    assert where.address == ("::1", 5051) and where.path == "/slave(1)/api/v1/executor"
    assert where.sandbox == "/folder" and not where.checkpoint
    assert Surroundings.of({**environment, "MESOS_DOMAIN_SOCKET": "/s"}, "/folder").address == "/s"


STREAM = (
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
    b"HTTP/1.1 400 Bad\r\ncontent-length: 5\r\n\r\nwrong"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n5\nh\r\n4;x=y\r\nello\r\n0\r\n\r\n"
    b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
)


@given(st.lists(st.integers(0, len(STREAM))))
def test_answers_may_come_in_any_pieces(cuts):
    answers, seen = Answers(), []
    places = [0, *sorted(cuts), len(STREAM)]
    for start, stop in pairwise(places):
        seen.extend(answers.feed(STREAM[start:stop]))
    text, shape = b"", []
    for piece in seen:
        if isinstance(piece, bytes):
            text += piece
        else:
            shape.append(piece.status if isinstance(piece, Head) else piece)
    assert shape == [202, End, 400, End, 200, End, 202, End]
    assert text == b"wrong5\nhello"


@pytest.mark.parametrize(
    "odd",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 x OK\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 2000,
        b"x" * 70000,
    ],
)
def test_what_is_no_answer_is_refused(odd):
    with pytest.raises(BadAnswer):
        list(Answers().feed(odd))


def test_records():
    records = Records()
    assert list(records.feed(b"3\nab")) == []
    assert list(records.feed(b"c0\n2\nde1")) == [b"abc", b"", b"de"]
    assert list(records.feed(b"\nf")) == [b"f"]
    for odd in (b"x\n", b"-1\n", b"99999999999\n", b"1" * 30):
        with pytest.raises(BadAnswer):
            list(Records().feed(odd))


def test_updates_are_kept_until_they_are_acknowledged():
    updates = Updates("executor")
    updates.launched({"task_id": {"value": "t"}})
    for state in ("TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"):
        updates.add("t", state)
    updates.add("other", "TASK_STARTING")
    first, second = updates.next(), updates.next()
    assert first and second and first["status"]["executor_id"] == {"value": "executor"}
    assert second["status"]["task_id"]["value"] == "other" and updates.next() is None
    updates.acknowledged(second["status"]["uuid"])
    updates.accepted()
    assert updates.ready
    updates.refused()  # of the other task; it was acknowledged all the same
    assert [update["status"]["state"] for update in iter(updates.next, None)] == ["TASK_RUNNING"]
    updates.refused()
    assert [update["status"]["state"] for update in iter(updates.next, None)] == ["TASK_RUNNING"]
    updates.accepted()
    assert [update["status"]["state"] for update in iter(updates.next, None)] == ["TASK_FINISHED"]
    assert len(updates.unacknowledged()[0]) == 1 and len(updates) == 3
    assert updates.acknowledged(first["status"]["uuid"]) == first["status"]
    assert updates.acknowledged(first["status"]["uuid"]) is None
    assert updates.unacknowledged()[0] == [] and len(updates) == 2
    updates.refused()
    updates.handed_over()
    assert updates.next() is None and updates.in_flight == 0 and len(updates) == 2


def test_timers_that_were_cancelled_are_not_kept():
    loop, called = Loop(), []

    def raising() -> None:
        raise ValueError("ends nothing")

    for number in range(1000):
        loop.after(86400, partial(called.append, number)).cancel()
    assert len(loop._timers) <= 200
    loop.after(0, partial(called.append, "second"))
    loop.after(-1, partial(called.append, "first"))
    loop.after(0, partial(called.append, "never")).cancel()
    loop.after(-2, raising)
    while len(called) < 2:
        loop.turn()
    assert called == ["first", "second"]

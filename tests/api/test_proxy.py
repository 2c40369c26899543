"""A node that does not lead, over real sockets: what the leader hears, what the client gets, and what goes wrong."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from chronos_py.api.proxy import _target
from tests.api.passing import AT_ONCE, OK, PATIENCE_S, READ_S, Node, ask
from tests.api.raw_leader import RawLeader, Talk


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = Node(tmp_path_factory.mktemp("follower"))
    yield node
    node.stop()
    assert "Traceback" not in node.log.read_text()


@pytest.fixture
def leader(process: Node) -> Iterator[RawLeader]:
    leader = RawLeader()
    process.leader(leader.address)
    yield leader
    leader.close()


@pytest.fixture
def node(process: Node, leader: RawLeader) -> Node:
    return process


# --- what the leader hears


def test_a_request_arrives_as_it_was_sent(node: Node, leader: RawLeader):
    leader.will_say(OK)
    headers = {"Authorization": "Basic bWU6c2VjcmV0", "X-Own": "a, b", "Accept-Encoding": "gzip", "Cookie": "a=1; b=2"}
    answer = ask(node, "PUT", "/v1/scheduler/job/a%20b%2Fc;x=1?arguments=-a%20%26", headers=headers, data=b"{}")
    (heard,) = leader.heard
    assert (answer.status_code, answer.content) == (200, b"[]")
    assert heard.line == "PUT /v1/scheduler/job/a%20b%2Fc;x=1?arguments=-a%20%26 HTTP/1.1"
    assert heard.body == b"{}"
    assert {name: heard.header(name) for name in headers} == headers
    assert heard.header("Host") == leader.address
    assert heard.header("X-Chronos-Passed-On") == node.address
    assert len([name for name, _ in heard.headers if name.lower() == "host"]) == 1


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (b"/a/../b?%zz&\"'<>{}|^`", "/a/../b?%zz&\"'<>{}|^`"),
        (b"//x//", "//x//"),
        (b"http://somewhere.else:99/x?y", "/x?y"),
    ],
)
def test_the_target_is_not_tidied_up(node: Node, leader: RawLeader, sent: bytes, passed: str):
    leader.will_say(OK)
    node.raw(b"GET %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % sent)
    assert leader.heard[0].line == f"GET {passed} HTTP/1.1"


@pytest.mark.parametrize(
    ("environ", "target"),
    [
        ({"PATH_INFO": "/a b/\xc3\xbc", "QUERY_STRING": "x=1&y=%20"}, "/a%20b/%C3%BC?x=1&y=%20"),
        ({"PATH_INFO": "", "QUERY_STRING": ""}, "/"),
        ({"RAW_URI": "*"}, "*"),
        ({"RAW_URI": "/a%2Fb?\xc3\xbc"}, "/a%2Fb?%C3%BC"),
        ({"RAW_URI": "http://x?y"}, "/?y"),
    ],
)
def test_the_target_where_the_server_gives_no_raw_one_or_an_odd_one(environ: dict[str, str], target: str):
    assert _target(environ) == target


def test_headers_between_two_nodes_stay_there(node: Node, leader: RawLeader):
    leader.will_say(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close, X-Once\r\nX-Once: 1\r\nKeep-Alive: timeout=5\r\n"
        b"Server: other\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nProxy-Authenticate: Basic\r\n\r\n"
    )
    answer = node.raw(
        b"GET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nUpgrade: h9\r\n"
        b"Expect: 100-continue\r\nX-Kept: 1\r\nX-Kept: 2\r\n\r\n"
    )
    names = {name.lower() for name, _ in leader.heard[0].headers}
    assert not names & {"connection", "x-mine", "te", "upgrade", "expect", "keep-alive"}
    assert leader.heard[0].header("X-Kept") in ("1,2", "1, 2")
    for gone in (b"x-once", b"timeout=5", b"other", b"1970", b"proxy-authenticate"):
        assert gone not in answer.lower()
    assert answer.lower().count(b"\r\ndate:") == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST"])
def test_no_body_stays_no_body(node: Node, leader: RawLeader, method: str):
    connection = http.client.HTTPConnection(node.address, timeout=PATIENCE_S)
    connection.putrequest(method, "/v1/scheduler/x")
    connection.endheaders()
    assert connection.getresponse().status == 204
    connection.close()
    (heard,) = leader.heard
    assert heard.header("Content-Length") is None
    assert heard.header("Transfer-Encoding") is None
    assert heard.header("Content-Type") is None


def test_a_large_body_goes_through(node: Node, leader: RawLeader):
    leader.will_say(OK)
    body = bytes(range(256)) * 4096  # 1 MiB
    assert ask(node, "POST", data=body).status_code == 200
    assert leader.heard[0].body == body
    assert leader.heard[0].header("Content-Length") == str(len(body))


def test_a_chunked_body_goes_through(node: Node, leader: RawLeader):
    leader.will_say(OK)
    parts = [b"a" * 70_000, b"b", b"c" * 1_000_000]
    assert ask(node, "POST", data=iter(parts)).status_code == 200
    assert leader.heard[0].body == b"".join(parts)
    assert leader.heard[0].header("Content-Length") is None


def test_a_body_that_is_cut_off_is_no_request(node: Node, leader: RawLeader):
    ended = threading.Event()

    def listen(talk: Talk) -> None:
        heard = talk.whole()
        assert len(heard.body) < 100
        ended.set()

    leader.answer = listen
    with socket.create_connection(("127.0.0.1", int(node.address.rpartition(":")[2])), PATIENCE_S) as client:
        client.sendall(b"POST /v1/scheduler/iso8601 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nshort")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert ended.wait(PATIENCE_S)


# --- what the client gets


@pytest.mark.parametrize(
    "status",
    ["200 OK", "201 Created", "400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Server Error", "503 X"],
)
def test_an_answer_comes_whole_whatever_its_status(node: Node, leader: RawLeader, status: str):
    leader.will_say(
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        "X-Chronos-Error: why\r\nContent-Length: 6\r\n\r\nreason".encode()
    )
    answer = node.raw(b"GET /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}\r\n".encode())
    assert head.count(b"Set-Cookie: ") == 2
    assert b"\r\nX-Chronos-Error: why" in head
    assert b"\r\nContent-Length: 6" in head
    assert b"\r\nAccess-Control-Allow-Origin: *" in head
    assert body == b"reason"


def test_the_leaders_word_on_who_may_read_stands(node: Node, leader: RawLeader):
    leader.will_say(b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: http://ui\r\nContent-Length: 0\r\n\r\n")
    assert ask(node).headers["Access-Control-Allow-Origin"] == "http://ui"


def test_a_redirect_is_the_clients_to_follow(node: Node, leader: RawLeader):
    leader.will_say(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n")
    answer = ask(node, allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (307, "http://x/")
    assert len(leader.heard) == 1


def test_head_has_the_length_and_no_body(node: Node, leader: RawLeader):
    leader.will_say(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
    answer = node.raw(b"HEAD /jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"Content-Length: 12345" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
def test_a_large_answer_comes_whole(node: Node, leader: RawLeader, framing: str):
    body = bytes(range(256)) * 8192  # 2 MiB
    if framing == "length":
        leader.will_say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    elif framing == "chunks":
        leader.will_say(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n1\r\nx\r\n0\r\n\r\n" % (len(body), body)
        )
        body += b"x"
    else:
        leader.will_say(b"HTTP/1.1 200 OK\r\n\r\n" + body)
    assert ask(node).content == body


def test_a_stream_comes_as_it_is_written(node: Node, leader: RawLeader):
    """Each event is sent only after the client has the one before it."""
    seen = threading.Semaphore(0)

    def stream(talk: Talk) -> None:
        talk.whole()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            event = f"data: {number}\n\n".encode()
            talk.say(b"%x\r\n%b\r\n" % (len(event), event))
            assert seen.acquire(timeout=PATIENCE_S)
        talk.say(b"0\r\n\r\n")

    leader.answer = stream
    answer = ask(node, path="/api/events", stream=True)
    assert answer.headers["Content-Type"] == "text/event-stream"
    lines = []
    for line in answer.iter_lines(chunk_size=None):
        if line:
            lines.append(line)
            seen.release()
    assert lines == [b"data: %d" % number for number in range(5)]


def test_a_client_that_leaves_a_stream_frees_its_place(node: Node, leader: RawLeader):
    left = threading.Event()

    def stream(talk: Talk) -> None:
        talk.whole()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        try:
            while True:
                talk.say(b": still here\n\n")
                time.sleep(0.01)  # a stream's pace; nothing is decided by it
        except OSError:
            left.set()

    leader.answer = stream
    for _ in range(AT_ONCE + 1):
        left.clear()
        answer = ask(node, path="/api/events", stream=True)
        assert answer.status_code == 200
        answer.close()
        assert left.wait(PATIENCE_S)


# --- what goes wrong


def refusal(answer: requests.Response) -> str:
    """Return why a request on a path of Chronos 3 was refused."""
    body = answer.json()
    assert list(body) == ["message", "status"]
    assert body["status"] == {502: "Bad Gateway", 503: "Service Unavailable"}[answer.status_code]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return str(body["message"])


def test_nobody_leads(process: Node):
    process.leader("")
    answer = ask(process)
    assert (answer.status_code, "no leader is known" in refusal(answer)) == (503, True)
    assert ask(process, "POST", "/scheduler/iso8601", json={}).status_code == 503
    assert ask(process, "GET", "/no/such/path").status_code == 503
    shape = ask(process, path="/api/jobs").json()
    assert (shape["error"]["code"], "no leader" in shape["error"]["message"]) == ("unavailable", True)


def test_a_leader_that_is_not_there(process: Node):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process.leader(f"127.0.0.1:{port}")
    answer = ask(process, "POST", "/v1/scheduler/iso8601", json={})
    assert answer.status_code == 503
    assert f"the leader 127.0.0.1:{port} cannot be reached (Connection refused); nothing was changed" in refusal(answer)


def test_a_leader_whose_name_leads_nowhere(process: Node):
    process.leader("no-such-host.invalid:80")
    assert "cannot be reached" in refusal(ask(process))


def test_a_node_does_not_ask_itself(process: Node):
    process.leader(process.address)
    began = time.monotonic()
    answer = ask(process)
    assert (answer.status_code, "which is this node" in refusal(answer)) == (503, True)
    assert time.monotonic() - began < PATIENCE_S / 2


def test_a_request_is_passed_on_once(node: Node, leader: RawLeader):
    answer = ask(node, headers={"X-Chronos-Passed-On": "other:8080"})
    assert (answer.status_code, "other:8080" in refusal(answer)) == (503, True)
    assert leader.heard == []


def test_two_nodes_that_take_each_other_for_the_leader(process: Node, tmp_path: Path):
    other = Node(tmp_path)
    try:
        process.leader(other.address)
        other.leader(process.address)
        answer = ask(process)
        assert (answer.status_code, process.address in refusal(answer)) == (503, True)
    finally:
        other.stop()


def test_a_leader_that_says_nothing(node: Node, leader: RawLeader):
    done = threading.Event()

    def silent(talk: Talk) -> None:
        talk.whole()
        done.wait(PATIENCE_S)

    leader.answer = silent
    answer = ask(node, "POST", "/v1/scheduler/iso8601", json={})
    done.set()
    assert answer.status_code == 502
    assert "did not answer within 2 s; it may carry the request out" in refusal(answer)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"])
def test_a_leader_that_ends_before_it_answers(node: Node, leader: RawLeader, said: bytes):
    leader.will_say(said)
    answer = ask(node)
    if said.startswith(b"HTTP"):  # a header that has no end is dropped, and then nothing is missing
        assert answer.status_code in (200, 502)
    else:
        assert (answer.status_code, "without an answer" in refusal(answer)) == (502, True)


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\npart",
    ],
)
def test_an_answer_that_is_cut_off_is_cut_off_for_the_client(node: Node, leader: RawLeader, said: bytes):
    leader.will_say(said)
    answer = node.raw(b"GET /jobs HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"part" in body or body == b""
    assert not body.endswith(b"0\r\n\r\n")
    leader.will_say(OK)
    assert ask(node).content == b"[]"


def test_a_leader_that_falls_silent_in_its_answer(node: Node, leader: RawLeader):
    done = threading.Event()

    def stop_in_the_middle(talk: Talk) -> None:
        talk.whole()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
        done.wait(PATIENCE_S)

    leader.answer = stop_in_the_middle
    with pytest.raises(requests.RequestException):
        ask(node)
    done.set()


def test_an_answer_before_the_body_was_taken(node: Node, leader: RawLeader):
    """The leader refuses what is too large without reading it."""
    refused = b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"
    over = threading.Event()

    def refuse(talk: Talk) -> None:
        talk.head()
        talk.say(refused)
        over.wait(PATIENCE_S)

    leader.answer = refuse
    connection = http.client.HTTPConnection(node.address, timeout=PATIENCE_S)
    connection.putrequest("POST", "/v1/scheduler/iso8601")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders(b"x" * 65536)
    for _ in range(1000):
        try:
            connection.send(b"x" * 65536)
        except OSError:
            break
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, b"large")
    over.set()
    connection.close()


def test_no_more_than_so_many_at_once(node: Node, leader: RawLeader):
    entered, done = threading.Semaphore(0), threading.Event()

    def slow(talk: Talk) -> None:
        talk.whole()
        entered.release()
        assert done.wait(PATIENCE_S)
        talk.say(OK)

    leader.answer = slow
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(ask, node) for _ in range(AT_ONCE)]
        for _ in range(AT_ONCE):
            assert entered.acquire(timeout=READ_S)
        answer = ask(node)
        assert (answer.status_code, f"{AT_ONCE} requests are under way" in refusal(answer)) == (503, True)
        assert ask(node, path="/ping").status_code == 200
        done.set()
        assert [one.result().status_code for one in waiting] == [200] * AT_ONCE
    assert ask(node).status_code == 200


def test_many_at_once(node: Node, leader: RawLeader):
    """More than there are places: each gets its own answer, or is told to come again."""

    def mirror(talk: Talk) -> None:
        heard = talk.whole()
        number = heard.line.split()[1].rpartition("/")[2].encode()
        talk.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(number), number))

    leader.answer = mirror
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: (number, ask(node, path=f"/x/{number}")), range(200)))
    assert {answer.status_code for _, answer in answers} <= {200, 503}
    assert all(answer.text == str(number) for number, answer in answers if answer.status_code == 200)
    assert sum(answer.status_code == 200 for _, answer in answers) > 50
    assert ask(node, path="/x/last").text == "last"


# --- what a node answers itself


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/ping", {}),
        ("/health", {}),
        ("/api/leader", {}),
        ("/scheduler/leader", {}),
        ("/v1/scheduler/leader", {}),
        ("/metrics?format=prometheus", {}),
        ("/metrics", {"Accept": "text/plain"}),
    ],
)
def test_what_is_asked_of_a_node_is_not_passed_on(node: Node, leader: RawLeader, path: str, headers: dict[str, str]):
    answer = ask(node, path=path, headers=headers)
    assert answer.status_code == 200
    assert leader.heard == []


def test_metrics_in_chronoss_form_are_the_leaders(node: Node, leader: RawLeader):
    leader.will_say(OK)
    assert ask(node, path="/metrics").text == "[]"


def test_the_leader_passes_nothing_on(process: Node):
    process.leader("me")
    assert ask(process).content == b"[]"
    assert ask(process, headers={"X-Chronos-Passed-On": "other:8080"}).content == b"[]"
    assert json.loads(ask(process, path="/scheduler/leader").text) == {"leader": "node1.example.org:4400"}

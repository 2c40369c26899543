"""A client that asks and changes something on every node all the time, and holds each answer against what it was told
before. Nodes that are killed or cut off may give no answer; a wrong one never."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

import requests

from compat_tests.mortal import MortalServer, until

FAR = "R/2090-01-01T00:00:00Z/P1D"
KEPT = 5  # jobs of each thread that are there at a time
PAUSE_S = 0.1
PATIENCE_S = 12  # of a client, with a node that is frozen


class HonestClient:
    """One thread a node; a context manager, entered once it is served. Then `check` what is there in the end."""

    def __init__(self, nodes: Sequence[MortalServer]) -> None:
        self._over = threading.Event()
        self._name = uuid.uuid4().hex[:8]  # another client may have been there before
        self._lock = threading.Lock()
        self._there: set[str] = set()  # made, as an answer said
        self._gone: set[str] = set()  # deleted, likewise
        self._never: set[str] = set()  # of whose making the answer said that nothing was changed
        self.wrong: list[str] = []
        self.statuses: Counter[str] = Counter()
        self._threads = [
            threading.Thread(target=self._run, args=(number, node), name=f"client-{number}")
            for number, node in enumerate(nodes)
        ]

    def __enter__(self) -> HonestClient:
        for thread in self._threads:
            thread.start()
        try:  # what is done to the servers may leave requests without an answer for as long as it lasts
            until(lambda: self.statuses["GET 200"] and self.statuses["POST 204"], "the client is served")
        except BaseException:
            self._over.set()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def check(self, servers: Sequence[MortalServer]) -> None:
        """What every node shows now is what the answers said."""
        assert not self.wrong, self.wrong[:10]
        for server in servers:
            names = set(server.jobs())
            assert not self._there - names, f"was made, and is not there: {self._there - names}"
            assert not self._gone & names, f"was deleted, and is there: {self._gone & names}"
            assert not self._never & names, f"was not made, as the answer said, and is there: {self._never & names}"

    def _run(self, number: int, node: MortalServer) -> None:
        mine: list[str] = []
        count = 0
        while not self._over.is_set():
            try:
                self._look(node)
                name = f"client-{self._name}-{number}-{count}"
                count += 1
                if self._make(node, name):
                    mine.append(name)
                if len(mine) > KEPT and self._remove(node, mine[0]):
                    mine.pop(0)
            except Exception as error:  # a mistake of the test's own must not end the thread unseen
                self.wrong.append(repr(error))
            self._over.wait(PAUSE_S)

    def _look(self, node: MortalServer) -> None:
        with self._lock:
            there, gone, never = set(self._there), set(self._gone), set(self._never)
        began = time.time()
        answer = self._ask("GET", node, "/v1/scheduler/jobs")
        if answer is None or answer.status_code != 200:
            return
        names = {job["name"] for job in answer.json()}
        with self._lock:  # what was being deleted meanwhile may be gone already
            lost = there & self._there - names
        back = (gone | never) & names
        if lost or back:
            self.wrong.append(f"at {began:.3f} {node.port} showed old jobs: without {lost}, with {back}")

    def _make(self, node: MortalServer, name: str) -> bool:
        document: dict[str, Any] = {"name": name, "command": "true", "schedule": FAR}
        answer = self._ask("POST", node, "/v1/scheduler/iso8601", json=document)
        if answer is None:
            return False
        with self._lock:
            if answer.status_code == 204:
                self._there.add(name)
            elif "nothing was changed" in answer.text:
                self._never.add(name)
        return answer.status_code == 204

    def _remove(self, node: MortalServer, name: str) -> bool:
        """Delete a job; True when there is nothing more to do about it. Until the answer is there, and for good when
        there is none, the job may be there or not."""
        with self._lock:
            self._there.discard(name)
        answer = self._ask("DELETE", node, f"/v1/scheduler/job/{name}")
        if answer is not None and answer.status_code == 204:
            with self._lock:
                self._gone.add(name)
        return True

    def _ask(self, method: str, node: MortalServer, path: str, **options: Any) -> requests.Response | None:
        """Return an answer, None when there was none; note one that is not honest."""
        try:
            answer = requests.request(method, node.url + path, timeout=PATIENCE_S, **options)
        except requests.RequestException as error:
            self.statuses[f"{method} {type(error).__name__}"] += 1
            return None
        self.statuses[f"{method} {answer.status_code}"] += 1
        if answer.status_code >= 300 and (answer.status_code not in (502, 503) or len(answer.text.strip()) < 10):
            self.wrong.append(f"{method} {path} of {node.port}: {answer.status_code} {answer.text[:300]!r}")
        return answer

"""A Chronos 2.4 or 3.0.2 as far as its job endpoints go, in this process: it answers as they do, and runs nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import unquote

Version = Literal["2.4", "3.0.2"]
KEPT = {
    "2.4": "name command shell schedule scheduleTimeZone parents epsilon executor executorFlags retries owner "
    "ownerName description async successCount errorCount lastSuccess lastError cpus disk mem disabled softError "
    "dataProcessingJobType errorsSinceLastSuccess uris environmentVariables arguments highPriority runAsUser container "
    "constraints",
    "3.0.2": "name command shell schedule scheduleTimeZone parents executor executorFlags taskInfoData retries owner "
    "ownerName description successCount errorCount lastSuccess lastError cpus disk mem disabled softError "
    "dataProcessingJobType errorsSinceLastSuccess fetch uris environmentVariables arguments highPriority runAsUser "
    "concurrent container constraints",
}
DEFAULTS: dict[str, Any] = {
    "shell": True, "executor": "", "executorFlags": "", "retries": 2, "owner": "", "ownerName": "", "description": "",
    "successCount": 0, "errorCount": 0, "lastSuccess": "", "lastError": "", "cpus": 0.1, "disk": 256.0, "mem": 128.0,
    "disabled": False, "softError": False, "dataProcessingJobType": False, "errorsSinceLastSuccess": 0, "uris": [],
    "environmentVariables": [], "arguments": [], "highPriority": False, "runAsUser": "root", "constraints": [],
    "epsilon": "PT60S", "async": False, "taskInfoData": "", "fetch": [], "concurrent": False,
}  # fmt: skip


class OldChronos:
    """`jobs` are its documents by name, `requests` what it was asked: method, path. Names in `refuse` get a 400."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.prefix = "/v1/scheduler" if version == "3.0.2" else "/scheduler"
        self.jobs: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuse: set[str] = set()
        self.fail_next = 0  # so many requests are answered 500
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._answer))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.requests if method != "GET"]

    def _answer(self, method: str, path: str, body: bytes) -> tuple[int, str, str]:
        """Return status, type and body."""
        with self._lock:
            self.requests.append((method, path))
            if self.fail_next:
                self.fail_next -= 1
                return 500, "", ""
            if not path.startswith(self.prefix):
                return 404, "", ""
            words = [unquote(word) for word in path.removeprefix(self.prefix).strip("/").split("/")]
            if (method, words) == ("GET", ["jobs"]):
                text = json.dumps(list(map(self._shown, self.jobs.values())), ensure_ascii=False, separators=(",", ":"))
                return 200, "application/json", text
            if method == "DELETE" and words[0] == "job":
                if self.jobs.pop(words[1], None) is None:
                    return self._refused(f"requirement failed: Job '{words[1]}' not found")
                return 204, "application/json", ""
            if words[0] in ("iso8601", "dependency") and (method == "POST" or self.version == "2.4"):
                return self._put(words[0], json.loads(body))
            return 405, "", ""

    def _put(self, kind: str, given: dict[str, Any]) -> tuple[int, str, str]:
        if given["name"] in self.refuse:
            return self._refused("requirement failed: the job's name is invalid")
        if given.get("uris") and given.get("fetch") and self.version == "3.0.2":
            return self._refused("Cannot use both fetch and uris")
        if any(parent not in self.jobs for parent in given.get("parents", [])):
            return self._refused("requirement failed: some parent is not there")
        kept = KEPT[self.version].split()
        document = {key: value for key, value in (DEFAULTS | given).items() if key in kept}
        document.pop("parents" if kind == "iso8601" else "schedule", None)
        self.jobs[given["name"]] = dict(sorted(document.items(), key=lambda item: kept.index(item[0])))
        return 204, "application/json", ""

    def _shown(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the document as a list has it: in 3.x `uris` and `fetch` fill each other."""
        if self.version == "2.4" or not (job["uris"] or job["fetch"]):
            return job
        entries = [{"uri": uri, "executable": False, "cache": False, "extract": True} for uri in job["uris"]]
        return job | {
            "uris": [*job["uris"], *(entry["uri"] for entry in job["fetch"])],
            "fetch": job["fetch"] + entries,
        }

    def _refused(self, message: str) -> tuple[int, str, str]:
        if self.version == "2.4":
            return 400, "application/json", message
        trace = f"java.lang.IllegalArgumentException: {message}\n\tat scala.Predef$.require(Predef.scala:224)"
        return 400, "application/json", json.dumps({"message": trace, "status": "Bad Request"})


def _handler(answer: Callable[[str, str, bytes], tuple[int, str, str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, text = answer(self.command, self.path, body)
            data = text.encode()
            self.send_response(status)
            if kind:
                self.send_header("Content-Type", kind)
            if status != 204:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if status != 204 else b"")

        do_GET = do_POST = do_PUT = do_DELETE = handle_one

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing: the tests look at `requests`."""

    return Handler

"""A node that does not lead, as a process: gunicorn as the server runs it, with an election out of a file.

`python -m tests.api.follower FOLDER AT_ONCE READ_S`: the file FOLDER/leader holds the leader's host:port, nothing for
none, `me` when this node leads. FOLDER/http_port tells the port.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from chronos_py import logs
from chronos_py.api import create_app
from chronos_py.api.backend import ApiSettings
from chronos_py.api.proxy import ProxySettings, passing_on
from chronos_py.api.transport import closing
from chronos_py.config import settle
from chronos_py.metrics import Metrics, counting
from chronos_py.serving import ChronosServer
from tests.api.backend import FakeBackend


class Election:
    def __init__(self, file: Path) -> None:
        self.file = file

    def answers(self) -> bool:
        return self.file.read_text() == "me"

    def leader(self) -> str:
        return self.file.read_text()


class Follower(ChronosServer):
    def __init__(self, folder: Path, at_once: int, read: float) -> None:
        self.proxy = (folder / "leader", at_once, read)
        super().__init__(settle({"data_dir": str(folder), "http_address": "127.0.0.1", "http_port": 0}, {}))

    def load(self) -> Any:
        file, at_once, read = self.proxy
        metrics = Metrics()
        app: Any = create_app(FakeBackend(), ApiSettings(), metrics)
        settings = ProxySettings(f"127.0.0.1:{self.port}", at_once=at_once, connect=2.0, read=read)
        return closing(counting(passing_on(app, Election(file), settings), metrics))


if __name__ == "__main__":
    logs.set_up("text", "info")
    Follower(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])).run()

"""A Docker engine of the tests' own, on a private socket, with one tiny image made from the host's static busybox.

Needs root and Debian's packages docker.io and busybox-static. It uses no iptables, bridge or overlay, so that it starts
inside containers and small machines too; containers can use the networks `host` and `none`. No registry is reached.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

IMAGE = "localhost/busybox:test"
PROGRAMS = ("sh", "cat", "echo", "env", "false", "id", "ls", "pwd", "sleep", "touch", "true")
START_S, STOP_S = 60, 20


def missing() -> str:
    """Say what stands in the way of an engine, nothing when all is there."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    if _daemon() is None:
        return "dockerd is not installed (Debian: docker.io)"
    if not Path("/bin/busybox").exists():
        return "busybox is not installed (Debian: busybox-static)"
    return "" if shutil.which("docker") else "the docker command is not installed"


def _daemon() -> str | None:
    return shutil.which("dockerd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class DockerEngine:
    """Starts on entering the context, ends with it; `host` is what DOCKER_HOST must be."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="docker-engine-"))
        self._daemon: subprocess.Popen[bytes] | None = None
        self.host = f"unix://{self._folder}/socket"

    def __enter__(self) -> DockerEngine:
        try:
            self._start()
            self._make_image()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        if self._daemon is not None and self._daemon.poll() is None:
            left = self.run("ps", "--all", "--quiet").stdout.split()
            if left:
                self.run("rm", "--force", *left)
            self._daemon.send_signal(signal.SIGTERM)
            try:
                self._daemon.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()
        for namespace in self._folder.glob("exec/netns/*"):  # containers on the host's network leave these mounted
            subprocess.run(["umount", "--lazy", str(namespace)], capture_output=True, check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the docker command against this engine."""
        environment = {**os.environ, "DOCKER_HOST": self.host}
        return subprocess.run(["docker", *words], env=environment, capture_output=True, text=True, check=False)

    def _start(self) -> None:
        settings = {
            "iptables": False,
            "ip6tables": False,
            "bridge": "none",
            "storage-driver": "vfs",
            "data-root": f"{self._folder}/data",
            "exec-root": f"{self._folder}/exec",
            "pidfile": f"{self._folder}/pid",
            "hosts": [self.host],
        }
        file = self._folder / "settings.json"
        file.write_text(json.dumps(settings))
        log = self._folder / "log"
        command = ["setpriv", "--pdeathsig", "TERM", _daemon() or "dockerd", "--config-file", str(file)]
        with log.open("wb") as output:  # setpriv: the engine ends with the tests, however these end
            self._daemon = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + START_S
        while self.run("version").returncode != 0:
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start:\n{log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.1)

    def _make_image(self) -> None:
        packed = self._folder / "image.tar"
        with tarfile.open(packed, "w") as tar:
            folder = tarfile.TarInfo("bin")
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(folder)
            tar.add("/bin/busybox", "bin/busybox")
            for program in PROGRAMS:
                link = tarfile.TarInfo(f"bin/{program}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link, io.BytesIO())
        made = self.run("import", str(packed), IMAGE)
        if made.returncode != 0:
            raise RuntimeError(f"the image could not be made: {made.stderr}")

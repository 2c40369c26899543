"""A ZooKeeper server of a cluster's own, from Debian's packages zookeeper and default-jre-headless."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from compat_tests.servers.mesos.errors import MesosError

SERVER = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
JARS = (Path("/usr/share/java"), Path("/usr/share/zookeeper"))


def missing_zookeeper() -> str:
    """Say what stands in the way of ZooKeeper, nothing when all is there."""
    if shutil.which("java") is None:
        return "Java is not installed (Debian: default-jre-headless)"
    return "" if _jars() else "ZooKeeper is not installed (Debian: zookeeper)"


def zookeeper_command(folder: Path, port: int) -> list[str]:
    """Write a configuration into `folder`, which also gets the data; return what to run."""
    lacking = missing_zookeeper()
    if lacking:
        raise MesosError(lacking)
    lines = ["tickTime=500", f"dataDir={folder}", f"clientPort={port}", "clientPortAddress=127.0.0.1"]
    lines += ["admin.enableServer=false", "maxClientCnxns=0", "minSessionTimeout=1000"]
    config = folder / "zoo.cfg"
    config.write_text("\n".join(lines) + "\n")
    classes = ":".join(f"{folder}/*" for folder in _jars())
    return [shutil.which("java") or "java", "-Xmx128m", "-cp", classes, SERVER, str(config)]


def answers(port: int) -> bool:
    """Tell whether a server talks on the port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"srvr")
            return bool(connection.recv(64))
    except OSError:
        return False


def _jars() -> list[Path]:
    return [folder for folder in JARS if any(folder.glob("zookeeper*.jar"))]

"""Run a cluster until Ctrl-C: python -m compat_tests.servers.mesos --agents 3"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys

from compat_tests.servers.mesos import AgentSpec, MesosCluster, MesosError


def main() -> int:
    parser = argparse.ArgumentParser(description="A real Mesos cluster on this machine, until Ctrl-C.")
    parser.add_argument("--port", type=int, default=5050, help="of the first master; 0 is any free one")
    parser.add_argument("--agents", type=int, default=1)
    parser.add_argument("--masters", type=int, default=1)
    parser.add_argument("--zookeeper", action="store_true", help="with a ZooKeeper server")
    parser.add_argument("--docker-host", help="unix:///path of an engine for the agents")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # also where a shell has them ignored
        signal.signal(number, signal.default_int_handler)
    specs = [AgentSpec(docker_host=options.docker_host) for _ in range(options.agents)]
    cluster = MesosCluster(specs, port=options.port, masters=options.masters, zookeeper=options.zookeeper)
    try:
        with contextlib.suppress(KeyboardInterrupt), cluster:
            print(f"master {cluster.master_url}", *([f"zk {cluster.zk_url}"] if cluster.zk_url else []))
            print(f"logs in {cluster.work_dir}", flush=True)
            signal.pause()
    except MesosError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

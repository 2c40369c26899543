"""A real Apache Mesos 1.11 cluster on one Linux x86_64 machine: a master, or several, and any number of agents.

Nothing is built from the sources of Mesos: `archive` fetches a binary that contains all of libmesos, `standins` and
`install` make programs of it, `keeper` owns the processes, `cluster` starts and asks them. Master, allocator,
registrar, agent, containerizers and HTTP APIs are the real code; the executors and the fetcher (`programs`) are not.

    with MesosCluster([AgentSpec(attributes={"rack": "1"}), AgentSpec(resources="cpus:8;mem:4096")]) as cluster:
        run_framework(cluster.master_url)
        cluster.stop_agent(0)

`python -m compat_tests.servers.mesos` runs one until Ctrl-C.
"""

from compat_tests.servers.mesos.cluster import MesosCluster
from compat_tests.servers.mesos.errors import MesosError
from compat_tests.servers.mesos.install import missing, users_differ
from compat_tests.servers.mesos.specs import AgentSpec
from compat_tests.servers.mesos.zookeeper import missing_zookeeper

__all__ = ["AgentSpec", "MesosCluster", "MesosError", "missing", "missing_zookeeper", "users_differ"]

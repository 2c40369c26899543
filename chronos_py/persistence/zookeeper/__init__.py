"""The job store of a group of nodes, in ZooKeeper: jobs where Chronos keeps them, everything else beside them."""

from chronos_py.persistence.zookeeper.store import ZooKeeperJobStore

__all__ = ["ZooKeeperJobStore"]

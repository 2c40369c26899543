"""Who leads: a node that is alone, or one of several that meet in ZooKeeper. A node writes and launches only while
it leads."""

from chronos_py.election.base import Leadership, SoleLeader, Standing
from chronos_py.election.zookeeper import ZooKeeperLeadership

__all__ = ["Leadership", "SoleLeader", "Standing", "ZooKeeperLeadership"]

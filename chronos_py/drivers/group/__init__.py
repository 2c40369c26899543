"""The machines of all nodes that share a ZooKeeper, as one cluster: each node runs tasks, the leader says which."""

from chronos_py.drivers.group.driver import GroupDriver
from chronos_py.drivers.group.members import Member, Members
from chronos_py.drivers.group.node import Node
from chronos_py.drivers.group.serving import Answer, answer_to

__all__ = ["Answer", "GroupDriver", "Member", "Members", "Node", "answer_to"]

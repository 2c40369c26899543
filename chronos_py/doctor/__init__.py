"""What would go wrong, told before it does: taking over a Chronos's ZooKeeper, starting a server, jobs that behave
differently here. Nothing is changed."""

from __future__ import annotations

from contextlib import closing

from chronos_py.app import defaults_of, policy_of
from chronos_py.clock import SystemClock
from chronos_py.config import Settings
from chronos_py.doctor.checkup import CheckUp
from chronos_py.doctor.examination import examine
from chronos_py.doctor.installation import check_installation
from chronos_py.doctor.jobs import jobs_of_files, jobs_of_server
from chronos_py.doctor.master import check_master
from chronos_py.doctor.report import Report, as_json, as_text
from chronos_py.persistence.zookeeper.keeper import Keeper
from chronos_py.zookeeper import clean_path

__all__ = [
    "CheckUp",
    "Report",
    "as_json",
    "as_text",
    "check_up",
    "consult",
    "examine",
    "jobs_of_files",
    "jobs_of_server",
]


def consult(settings: Settings) -> Report:
    """Say what a server with these settings, which must name a ZooKeeper, would take over. Raises ValueError."""
    zookeeper = settings.zookeeper
    if zookeeper is None:
        raise ValueError("no ZooKeeper")
    keeper = Keeper(
        zookeeper.hosts, zookeeper.auth, zookeeper.timeout, zookeeper.timeout, make=lambda *_, **__: zookeeper.client()
    )
    with closing(keeper):
        path, policy = clean_path(settings.zk_path), policy_of(settings)
        return examine(keeper, path, policy, defaults_of(settings), SystemClock(), auth=zookeeper.auth)


def check_up(settings: Settings) -> CheckUp:
    """Say whether a server with these settings could start and work here."""
    found = check_installation(settings)
    check_master(found, settings)
    return found

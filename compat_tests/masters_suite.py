"""For the suite that a real Mesos master and the simulated one have to pass: the masters, frameworks, and short words.

The fixtures are in conftest; the tests in `test_mesos_masters.py` and `test_mesos_masters_tasks.py`.
"""

from __future__ import annotations

import contextlib
import json

import pytest

from compat_tests.servers.masters import Machine, real, simulated
from compat_tests.servers.mesos import missing
from compat_tests.servers.mesos_client import MesosFramework, StreamEnded

MACHINES = [
    Machine("plain", "cpus:4;mem:4096;disk:1000;ports:[31000-31010]", {"rack": "r1", "slots": "5", "ports": "[1-3]"}),
    Machine("shared", "cpus:2;mem:1024;disk:1000;ports:[];cpus(prod):1.5;mem(prod):512", {}),
    Machine("lossy", "cpus:2;mem:1024;disk:1000;ports:[]", {}),
    Machine("dynamic", "cpus:2;mem:1024;disk:1000;ports:[]", {}, reserved_cpus=1.25),
]
LOSSY = 2
QUIET_S = 0.7  # several allocations
AWARE = {"type": "PARTITION_AWARE"}
REFINED = {"type": "RESERVATION_REFINEMENT"}
MULTI_ROLE = {"type": "MULTI_ROLE"}
KILLING = {"type": "TASK_KILLING_STATE"}


@pytest.fixture(scope="module", params=["simulated", pytest.param("real", marks=pytest.mark.external)])
def mesos_master(request):
    if request.param == "real" and (lacking := missing()):
        pytest.skip(lacking)
    with (real if request.param == "real" else simulated)(MACHINES) as master:
        yield master


@pytest.fixture
def framework(mesos_master):
    """Makes frameworks, and tears them down at the end."""
    made = []

    def make(*capabilities, **info):
        if capabilities:
            info["capabilities"] = list(capabilities)
        made.append(MesosFramework(mesos_master.address, **info))
        return made[-1]

    yield make
    for one in made:
        if one.id is not None:
            with contextlib.suppress(AssertionError, OSError, StreamEnded, TimeoutError):
                one.teardown()
        one.close()


def subscribed(framework, *capabilities, **info):
    made = framework(*capabilities, **info)
    made.subscribe()
    return made


def offer_of(framework, hostname, role=None):
    """Return an offer of that machine; all others are declined for long."""
    while True:
        for offer in framework.offers():
            if offer["hostname"] == hostname and role in (None, offer.get("allocation_info", {}).get("role")):
                return offer
            framework.decline([offer], 1000)


def offers_of(hostname):
    """Match an OFFERS event with one of that machine."""
    return lambda part: any(offer["hostname"] == hostname for offer in part["offers"])


def state_of(framework):
    return json.loads(framework.post(b"", {}, "/master/state", "GET").text)


def shape(status):
    return tuple(status.get(key) for key in ("state", "reason", "message", "source"))

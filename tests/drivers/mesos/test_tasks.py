"""Tasks of the model as TaskInfos."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.drivers.mesos.amounts import Bag, NotEnough, port_numbers
from chronos_py.drivers.mesos.tasks import BadTask, task_info
from chronos_py.model.job import Container, ExternalVolume, Fetch, Network, Pair, PortMapping, Volume
from chronos_py.model.resources import Resources
from chronos_py.model.run import Run, Task, Trigger
from chronos_py.scheduler.tasks import TaskDefaults, build_task, need
from tests.builders import a_job
from tests.drivers.mesos.messages import Json, ports, scalar
from tests.model import documents
from tests.strategies import every, names, texts

DEFAULTS = TaskDefaults()
MAPPED = (PortMapping(31005, 80, "TCP"), PortMapping(0, 81))


def a_bag() -> Bag:
    return Bag([scalar("cpus", 8), scalar("mem", 4096), scalar("disk", 9999), scalar("gpus", 4), ports((31000, 31009))])


def a_task(command: str = "true", **changes: Any) -> Task:
    given_: dict[str, Any] = {
        "id": "ct:1:0:a:",
        "run": 7,
        "job": "a",
        "resources": Resources.of(0.1, 32),
        "command": command,
    }
    return Task(**given_ | changes)


def info_of(task: Task) -> Json:
    return task_info(task, a_bag(), "s-1", framework_id="f-1")


def environment(info: Json) -> dict[str, str]:
    command = info["command"] if "command" in info else info["executor"]["command"]
    return {variable["name"]: variable["value"] for variable in command["environment"]["variables"]}


def test_a_plain_task() -> None:
    assert info_of(a_task("echo $A", environment=(("A", "b"),), kill_grace=2)) == {
        "name": "ChronosTask:a",
        "task_id": {"value": "ct:1:0:a:"},
        "agent_id": {"value": "s-1"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32)],
        "command": {
            "shell": True,
            "value": "echo $A",
            "environment": {"variables": [{"name": "A", "value": "b"}]},
        },
        "kill_policy": {"grace_period": {"nanoseconds": 2_000_000_000}},
        "labels": {"labels": [{"key": "job", "value": "a"}, {"key": "run", "value": "7"}]},
    }


def test_a_time_limit_and_a_user() -> None:
    info = info_of(a_task(time_limit=90, user="www"))
    assert info["max_completion_time"] == {"nanoseconds": 90_000_000_000}
    assert info["command"]["user"] == "www"


def test_files_with_all_their_flags() -> None:
    fetch = (Fetch("http://a/b.tgz"), Fetch("/x", executable=True, cache=True, extract=False, output_file="y"))
    assert info_of(a_task(fetch=fetch))["command"]["uris"] == [
        {"value": "http://a/b.tgz", "executable": False, "extract": True, "cache": False},
        {"value": "/x", "executable": True, "extract": False, "cache": True, "output_file": "y"},
    ]


# --- command and arguments


IN_DOCKER, IN_MESOS = Container("i"), Container("i", type="MESOS")


@pytest.mark.parametrize(
    ("container", "shell", "command", "arguments", "sent"),
    [
        (None, True, "a b", (), {"shell": True, "value": "a b"}),
        (None, True, "", (), {"shell": True, "value": ""}),
        (None, False, "a", (), {"shell": False, "value": "a", "arguments": ["a"]}),
        (None, False, "a", ("b", "c d"), {"shell": False, "value": "a", "arguments": ["a", "b", "c d"]}),
        (IN_DOCKER, True, "a b", (), {"shell": True, "value": "a b"}),
        (IN_DOCKER, True, "", (), {"shell": False}),
        (IN_DOCKER, False, "a", (), {"shell": False, "value": "a"}),
        (IN_DOCKER, False, "a", ("b", "c"), {"shell": False, "value": "a", "arguments": ["b", "c"]}),
        (IN_DOCKER, False, "", ("b", "c"), {"shell": False, "arguments": ["b", "c"]}),
        (IN_MESOS, False, "a", ("b",), {"shell": False, "value": "a", "arguments": ["a", "b"]}),
        (IN_MESOS, True, "", (), {"shell": False}),
    ],
)
def test_each_argument_reaches_the_program_once(
    container: Container | None, shell: bool, command: str, arguments: tuple[str, ...], sent: Json
) -> None:
    info = info_of(a_task(command, container=container, shell=shell, arguments=arguments))
    assert {key: value for key, value in info["command"].items() if key != "environment"} == sent


def test_nothing_to_run_is_a_bad_task() -> None:
    with pytest.raises(BadTask, match="command: there is none"):
        info_of(a_task("", shell=False, arguments=("x",)))


# --- containers


def test_a_docker_container() -> None:
    container = Container(
        "busybox:1",
        network="BRIDGE",
        force_pull_image=True,
        parameters=(Pair("hostname", "h"),),
        volumes=(
            Volume("/log", "/var/log"),
            Volume("/ro", "/etc", "RO"),
            Volume("/data", external=ExternalVolume("vol", "rexray", (Pair("size", "5"),))),
        ),
    )
    assert info_of(a_task(container=container))["container"] == {
        "type": "DOCKER",
        "docker": {
            "image": "busybox:1",
            "network": "BRIDGE",
            "force_pull_image": True,
            "privileged": False,
            "parameters": [{"key": "hostname", "value": "h"}],
        },
        "volumes": [
            {"container_path": "/log", "mode": "RW", "host_path": "/var/log"},
            {"container_path": "/ro", "mode": "RO", "host_path": "/etc"},
            {
                "container_path": "/data",
                "mode": "RW",
                "source": {
                    "type": "DOCKER_VOLUME",
                    "docker_volume": {
                        "driver": "rexray",
                        "name": "vol",
                        "driver_options": {"parameter": [{"key": "size", "value": "5"}]},
                    },
                },
            },
        ],
    }


def test_a_container_of_mesos_own() -> None:
    container = Container(
        "i:1", type="MESOS", networks=(Network("net", labels=(Pair("a", "b"),)),), network_name="other"
    )
    assert info_of(a_task(container=container))["container"] == {
        "type": "MESOS",
        "mesos": {"image": {"type": "DOCKER", "docker": {"name": "i:1"}, "cached": True}},
        "network_infos": [
            {"name": "net", "labels": {"labels": [{"key": "a", "value": "b"}]}},
            {"name": "other"},
        ],
    }
    pulled = info_of(a_task(container=replace(container, force_pull_image=True)))["container"]
    assert pulled["mesos"]["image"]["cached"] is False


@pytest.mark.parametrize(
    ("container", "said"),
    [
        (Container(""), "container.image: is empty"),
        (Container("i", network="USER"), "network USER needs one named network, there are 0"),
        (Container("i", network="USER", networks=(Network("a"), Network("b"))), "there are 2"),
        (Container("i", volumes=(Volume("/a"),)), "'/a' has neither hostPath nor external"),
    ],
)
def test_a_container_that_could_not_start(container: Container, said: str) -> None:
    with pytest.raises(BadTask, match=said):
        info_of(a_task(container=container))


# --- ports


def with_ports(count: int, **changes: Any) -> Task:
    return a_task(resources=Resources.of(0.1, 32, ports=count), **changes)


def test_a_task_knows_its_ports() -> None:
    info = info_of(with_ports(2, environment=(("PORT0", "mine"), ("PORT2", "kept"))))
    assert info["resources"][-1] == ports((31000, 31001))
    assert environment(info) == {"PORT2": "kept", "PORT0": "31000", "PORT1": "31001", "PORTS": "31000,31001"}
    assert not environment(info_of(a_task()))


@pytest.mark.parametrize("network", ["BRIDGE", "USER"])
def test_ports_are_mapped_into_a_docker_container(network: str) -> None:
    container = Container("i", network=network, networks=(Network("n", port_mappings=MAPPED),))
    info = info_of(with_ports(3, container=container))
    assert port_numbers(info["resources"]) == (31000, 31001, 31005)
    assert info["container"]["docker"]["port_mappings"] == [
        {"host_port": 31005, "container_port": 80, "protocol": "tcp"},
        {"host_port": 31000, "container_port": 81},
    ]


def test_ports_are_mapped_into_a_container_of_mesos_own() -> None:
    networks = (Network("bare"), Network("n", port_mappings=MAPPED))
    info = info_of(with_ports(2, container=Container("i", type="MESOS", network="USER", networks=networks)))
    bare, mapped = info["container"]["network_infos"]
    assert "port_mappings" not in bare
    assert [mapping["host_port"] for mapping in mapped["port_mappings"]] == [31005, 31000]


def test_one_host_port_may_be_mapped_for_two_protocols() -> None:
    both = (PortMapping(31005, 53, "tcp"), PortMapping(31005, 53, "udp"))
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=both),))
    info = info_of(with_ports(1, container=container))
    assert port_numbers(info["resources"]) == (31005,)
    assert len(info["container"]["docker"]["port_mappings"]) == 2


def test_without_ports_mappings_are_not_used_as_in_chronos() -> None:
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=(PortMapping(9, 99_999),)),))
    assert "port_mappings" not in info_of(a_task(container=container))["container"]["docker"]
    on_host = replace(container, network="HOST")
    assert "port_mappings" not in info_of(with_ports(1, container=on_host))["container"]["docker"]


def test_the_scheduler_asks_for_as_many_ports_as_are_mapped() -> None:
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=MAPPED),))
    assert need(a_job(container=container), DEFAULTS).ports == 0
    assert need(a_job(container=container, ports=1), DEFAULTS).ports == 2
    assert need(a_job(container=container, ports=5, gpus=2.0), DEFAULTS) == Resources.of(0.1, 128, 256, 2, 5)
    assert need(a_job(container=replace(container, network="HOST"), ports=1), DEFAULTS).ports == 1


def test_a_host_port_that_is_not_offered_may_be_elsewhere() -> None:
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=(PortMapping(80, 80),)),))
    bag = a_bag()
    with pytest.raises(NotEnough, match="does not have port 80"):
        task_info(with_ports(1, container=container), bag, "s-1")
    assert bag.room == a_bag().room


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        (PortMapping(-1, 80), "portMappings.hostPort: must be from 0 to 65535, is -1"),
        (PortMapping(0, 0), "portMappings.containerPort: must be from 1 to 65535, is 0"),
        (PortMapping(0, 2**31), "portMappings.containerPort: must be"),
    ],
)
def test_numbers_that_no_port_has(mapping: PortMapping, said: str) -> None:
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=(mapping,)),))
    with pytest.raises(BadTask, match=said):
        info_of(with_ports(1, container=container))


def test_more_mappings_than_ports_is_a_bad_task() -> None:
    container = Container("i", network="BRIDGE", networks=(Network("n", port_mappings=MAPPED),))
    with pytest.raises(BadTask, match="portMappings: need 2 ports, the task has 1"):
        info_of(with_ports(1, container=container))


# --- custom executors


def test_a_custom_executor() -> None:
    task = a_task(
        "ignored", executor="/opt/run --it", data=b"-f|c\xc3\xa9", user="www", fetch=(Fetch("/x"),),
        container=IN_DOCKER, environment=(("A", "b"),),
    )  # fmt: skip
    info = info_of(task)
    assert "command" not in info
    assert "container" not in info
    executor = info["executor"]
    assert executor["executor_id"] == {"value": "a"}
    assert executor["framework_id"] == {"value": "f-1"}
    assert executor["type"] == "CUSTOM"
    assert executor["container"]["docker"]["image"] == "i"
    assert "resources" not in executor
    command = executor["command"]
    assert (command["shell"], command["value"], command["user"]) == (True, "/opt/run --it", "www")
    assert [uri["value"] for uri in command["uris"]] == ["/x"]
    assert environment(info) == {"A": "b"}
    assert b64decode(info["data"]) == b"-f|c\xc3\xa9"
    assert info["resources"]


# --- what cannot be said


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (a_task(id=""), "task id: Mesos takes no id ''"),
        (a_task(id="ct:1:0:a/b:"), "task id: may not hold slashes or control characters"),
        (a_task(id="ct:1:0:a\n:"), "task id: may not hold slashes"),
        (a_task(id="é" * 128), "task id: longer than 255 bytes"),
        (a_task(job="..", executor="x"), r"executor id: Mesos takes no id '\.\.'"),
        (a_task("\ud800"), "command: holds half of a surrogate pair"),
        (a_task(environment=(("A", "\udfff"),)), "environmentVariables.A: holds half"),
        (a_task(fetch=(Fetch("\ud800"),)), "uri: holds half"),
        (a_task(shell=False, arguments=("\ud800",)), "arguments: holds half"),
    ],
)
def test_a_bad_value_is_named_and_nothing_is_taken(task: Task, said: str) -> None:
    bag = a_bag()
    with pytest.raises(BadTask, match=said):
        task_info(task, bag, "s-1")
    assert bag.room == a_bag().room


def test_a_task_that_does_not_fit_takes_nothing() -> None:
    bag = a_bag()
    with pytest.raises(NotEnough):
        task_info(a_task(resources=Resources.of(cpus=9)), bag, "s-1")
    assert bag.room == a_bag().room


LARGEST = {"host_port": 65_535, "container_port": 65_535, "nanoseconds": 2**63 - 1}


def check_numbers(value: Any) -> None:
    """Check that protobuf can hold every number, for one that it cannot would spoil the whole call."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in LARGEST:
                assert isinstance(item, int)
                assert 0 <= item <= LARGEST[key]
            check_numbers(item)
    elif isinstance(value, list):
        for item in value:
            check_numbers(item)


amounts = st.builds(
    Resources, *[st.integers(0, 2000)] * 3, st.integers(0, 4).map(lambda n: n * 1000), st.integers(0, 4)
)
mappings = st.builds(PortMapping, st.sampled_from([0, 31002, -1]), st.integers(0, 70_000))
networks = every(Network, port_mappings=st.lists(mappings, max_size=3).map(tuple))
containers = every(
    Container, type=st.sampled_from(["DOCKER", "MESOS"]), network=st.sampled_from(["HOST", "BRIDGE", "USER"]),
    networks=st.lists(networks, max_size=2).map(tuple),
    volumes=st.lists(every(Volume, mode=st.sampled_from(["RW", "RO", None])), max_size=2).map(tuple),
)  # fmt: skip
any_tasks = every(
    Task, id=names | texts, job=names | texts, resources=amounts, container=st.none() | containers,
    data=st.binary(max_size=9), executor=st.sampled_from(["", "/opt/run"]),
)  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(any_tasks)
def test_any_task_is_written_or_is_a_clear_error(task: Task) -> None:
    bag = a_bag()
    try:
        info = task_info(task, bag, "s-1", framework_id="f-1")
    except (BadTask, NotEnough) as error:
        assert str(error)
        assert bag.room == a_bag().room
        return
    assert orjson.loads(orjson.dumps(info)) == info
    assert ("command" in info) != ("executor" in info)
    assert bag.room + task.resources == a_bag().room
    check_numbers(info)
    assert len(port_numbers(info["resources"])) == task.resources.ports


# --- what Chronos launches

CHRONOS_JOBS: list[tuple[Any, Any]] = [
    (2, documents.SCHEDULED_2), (2, documents.SENT_2), (2, documents.DEPENDENT_2),
    (3, documents.SCHEDULED_3), (3, documents.SENT_3), (3, documents.DEPENDENT_3),
]  # fmt: skip


@pytest.mark.parametrize(("line", "document"), CHRONOS_JOBS)
def test_every_job_that_chronos_could_launch_can_be(line: Any, document: Any) -> None:
    job = documents.read(document, line).job
    run = Run(id=1, job=job.name, trigger=Trigger.SCHEDULE, due=5, stamp=5, created=5)
    info = info_of(build_task(job, run, "one", DEFAULTS))
    assert info["name"] == f"ChronosTask:{document['name']}"
    assert info["command"]["value"].startswith(document["command"])
    assert {"MESOS_TASK_ID", "CHRONOS_JOB_NAME", "HOST"} <= environment(info).keys()
    assert ("container" in info) == ("container" in document)

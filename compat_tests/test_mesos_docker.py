"""Jobs with containers on agents that have a Docker engine, and on one that has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from compat_tests.dialects import V2, V3, eventually
from compat_tests.mesos_jobs import Scheduler, serving
from compat_tests.servers import docker_engine
from compat_tests.servers.docker_engine import IMAGE, DockerEngine
from compat_tests.servers.mesos import AgentSpec, MesosCluster
from compat_tests.servers.mesos import missing as missing_mesos

pytestmark = pytest.mark.external

ON_DOCKER = {"constraints": [["docker", "EQUALS", "yes"]], "retries": 0}


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    lacking = docker_engine.missing() or missing_mesos()
    if lacking:
        pytest.skip(lacking)
    with DockerEngine() as engine:
        yield engine


@pytest.fixture(scope="module")
def scheduler(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine
) -> Iterator[Scheduler]:
    agents = [AgentSpec(hostname=host, attributes="docker:yes", docker_host=engine.host) for host in ("d1", "d2")]
    agents.append(AgentSpec(hostname="p"))
    with (
        MesosCluster(agents, master_flags={"allocation_interval": "100ms"}) as cluster,
        serving(request, tmp_path_factory.mktemp("server"), cluster) as scheduler,
    ):
        yield scheduler


def docker(**fields: Any) -> dict[str, Any]:
    """Return a container. The engine of the tests has no bridge, so the network is the host's."""
    return {"type": "DOCKER", "image": IMAGE, "network": "HOST", "volumes": [], "parameters": [], **fields}


def containers(engine: DockerEngine) -> list[str]:
    return engine.run("ps", "--quiet").stdout.split()


def test_a_command_runs_in_its_image(scheduler, engine):
    for dialect in (V2, V3):
        name = f"image-{dialect.label}"
        scheduler.add(
            name, dialect, command="test -e /usr || echo in the image on $HOST", container=docker(), **ON_DOCKER
        )
        run = scheduler.ended(name)
        assert run["outcome"] == "success", run
        assert scheduler.output(name).endswith(f"in the image on {run['host']}\n")


def test_volumes_parameters_environment_and_arguments(scheduler, engine, tmp_path):
    parameters = [{"key": "workdir", "value": "/data"}, {"key": "env", "value": "SHAPE=round"}]
    volumes = [{"containerPath": "/data", "hostPath": str(tmp_path), "mode": "RW"}]
    scheduler.add(
        "equipped",
        command='echo "$COLOUR $SHAPE $CHRONOS_JOB_NAME" > result; pwd',
        container=docker(volumes=volumes, parameters=parameters),
        environmentVariables=[{"name": "COLOUR", "value": "red"}],
        **ON_DOCKER,
    )
    run = scheduler.ended("equipped")
    assert run["outcome"] == "success", run
    assert (tmp_path / "result").read_text() == "red round equipped\n"
    assert scheduler.output("equipped").endswith("/data\n")


def test_a_read_only_volume_cannot_be_written(scheduler, engine, tmp_path):
    volumes = [{"containerPath": "/data", "hostPath": str(tmp_path), "mode": "RO"}]
    scheduler.add("reader", command="echo x > /data/x", container=docker(volumes=volumes), **ON_DOCKER)
    assert scheduler.ended("reader")["outcome"] == "failed"
    assert list(tmp_path.iterdir()) == []


def test_arguments_without_a_shell(scheduler, engine):
    fields = {"shell": False, "container": docker(), **ON_DOCKER}
    scheduler.add("argv", command="/bin/echo", arguments=["two  blanks", "$HOME"], **fields)
    assert scheduler.ended("argv")["outcome"] == "success"
    assert scheduler.output("argv").endswith("two  blanks $HOME\n")


def test_the_sandbox_is_in_the_container(scheduler, engine, tmp_path):
    (tmp_path / "note.txt").write_text("fetched\n")
    scheduler.add(
        "sandboxed",
        command="cat $MESOS_SANDBOX/note.txt",
        uris=[f"file://{tmp_path}/note.txt"],
        container=docker(),
        **ON_DOCKER,
    )
    assert scheduler.ended("sandboxed")["outcome"] == "success"
    assert scheduler.output("sandboxed").endswith("fetched\n")


def test_the_exit_code_of_a_container(scheduler, engine):
    scheduler.add("seven", command="exit 7", container=docker(), **ON_DOCKER)
    run = scheduler.ended("seven")
    assert run["outcome"] == "failed", run
    assert [attempt["exitCode"] for attempt in run["attemptList"]] == [7]


@pytest.mark.parametrize(
    "command", ["sleep 1000", "trap '' TERM; while :; do sleep 0.1; done"], ids=["meek", "stubborn"]
)
def test_a_kill_ends_the_container(scheduler, engine, command):
    name = f"killed-{len(command)}"
    scheduler.add(name, command=command, container=docker(), killGrace=1, **ON_DOCKER)
    scheduler.started(name)
    assert eventually(lambda: containers(engine), bool)
    scheduler.kill(name)
    run = scheduler.ended(name)
    assert run["outcome"] == "killed", run
    eventually(lambda: containers(engine), lambda found: not found)


def test_a_time_limit_ends_the_container(scheduler, engine):
    scheduler.add("limited", command="sleep 1000", container=docker(), maxCompletionTime=1, killGrace=0.5, **ON_DOCKER)
    run = scheduler.ended("limited")
    assert (run["outcome"], run["attempts"]) == ("timed_out", 1), run
    eventually(lambda: containers(engine), lambda found: not found)


def test_an_image_that_there_is_not_fails_with_a_message(scheduler, engine):
    image = "localhost/nothing:here"
    scheduler.add("imageless", command="true", container=docker(image=image), **ON_DOCKER)
    run = scheduler.ended("imageless")
    assert run["outcome"] == "failed", run
    assert image in run["reason"] or "docker" in run["reason"].lower(), run


def test_a_network_by_name_that_is_not_given_is_refused(scheduler, engine):
    scheduler.add("netless", command="true", container=docker(network="USER"), **ON_DOCKER)
    run = scheduler.ended("netless")
    assert (run["outcome"], run["attempts"]) == ("failed", 1), run
    assert "network USER" in run["reason"], run


def test_a_container_of_mesos_own_kind_is_refused_by_agents_without_images(scheduler, engine):
    """These agents isolate with posix means alone and have no image store, so all that can be seen here is the agent's
    answer. That such a container runs, its volumes and its networks would need root file systems: not testable here."""
    container = {"type": "MESOS", "image": "busybox", "network": "HOST", "volumes": [], "parameters": []}
    scheduler.add("unified", command="true", container=container, constraints=[["hostname", "EQUALS", "p"]], retries=0)
    run = scheduler.ended("unified")
    assert (run["outcome"], run["attempts"]) == ("failed", 1), run
    assert "Unsupported container image type" in run["reason"], run


def test_an_agent_without_docker_says_so(scheduler, engine):
    scheduler.add("unlucky", command="true", container=docker(), constraints=[["hostname", "EQUALS", "p"]], retries=0)
    run = scheduler.ended("unlucky")
    assert (run["outcome"], run["attempts"]) == ("failed", 1), run
    assert "container" in run["reason"].lower(), run

"""The cluster: starts, ends and freezes masters and agents, waits for them, and looks inside."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from compat_tests.servers.mesos.docker_command import write_docker_command
from compat_tests.servers.mesos.errors import MesosError
from compat_tests.servers.mesos.install import lay_out
from compat_tests.servers.mesos.ports import check_free, free_port
from compat_tests.servers.mesos.processes import Keeper, Process
from compat_tests.servers.mesos.specs import AgentSpec, Flags, arguments
from compat_tests.servers.mesos.zookeeper import answers, zookeeper_command

PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "LANG")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ZK_SESSION = "4secs"
END_S = 15


def _ask(method: str, url: str, **options: Any) -> requests.Response:
    """Send a request on a connection of its own: the other end may be killed and started again."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands between processes of one machine
        return session.request(method, url, **options)


class MesosCluster:
    """A master, or several, and agents; runs from entering the context to its end.

    `agents`: specs, or how many of the default kind. `port`: of the first master, the next ones follow; 0 picks free
    ones. `masters`: more than one needs `zookeeper`: True starts a private server, a zk://host:port/path names a
    running one. `registry`: "replicated_log" survives a restart of the master, "in_memory" does not. `work_dir` is
    kept when given; else a temporary folder, removed at the end. `timeout`: seconds to wait for a start.

    An agent counts as lost after 5 pings of 2 seconds (Mesos' own default is 5 of 15): master_flags
    agent_ping_timeout, max_agent_ping_timeouts. Without ZooKeeper as much time passes before agents notice a
    restarted master.
    """

    def __init__(
        self,
        agents: int | Sequence[AgentSpec] = 1,
        *,
        port: int = 0,
        masters: int = 1,
        zookeeper: bool | str = False,
        registry: str = "replicated_log",
        master_flags: Flags | None = None,
        agent_flags: Flags | None = None,
        env: Mapping[str, str] | None = None,
        work_dir: Path | None = None,
        timeout: float = 60,
    ) -> None:
        if masters > 1 and not zookeeper:
            raise MesosError("masters: several need zookeeper=True or zookeeper='zk://...'")
        self.specs = [AgentSpec() for _ in range(agents)] if isinstance(agents, int) else list(agents)
        self.masters: list[Process | None] = [None] * masters
        self.agents: list[Process | None] = [None] * len(self.specs)
        self.master_ports = [port + i if port else free_port() for i in range(masters)]
        self.agent_ports = [free_port() for _ in self.specs]
        self.zk_url = zookeeper if isinstance(zookeeper, str) else None
        self.zookeeper_process: Process | None = None
        self._zookeeper_port = free_port() if zookeeper is True else 0
        self._registry = registry
        self._master_flags, self._agent_flags = dict(master_flags or {}), dict(agent_flags or {})
        self._env = {k: v for k, v in os.environ.items() if k in PASSED_ON or k.startswith("LC_")}
        self._env = {"PATH": DEFAULT_PATH, **self._env, **(env or {})}
        self._given_work_dir = work_dir
        self._work_dir: Path | None = None
        self._timeout = timeout
        self._id = secrets.token_hex(6)
        self._running: Keeper | None = None

    # --- life

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Start everything; return when a master is elected and every agent registered."""
        if self._running is not None:
            raise MesosError("the cluster is started already")
        self._work_dir = (self._given_work_dir or Path(tempfile.mkdtemp(prefix="mesos-cluster-"))).absolute()
        self.work_dir.mkdir(parents=True, exist_ok=True)
        self.work_dir.chmod(0o755)  # tasks of other users have their sandboxes in it
        self.masters, self.agents = [None] * len(self.masters), [None] * len(self.agents)
        self._programs = lay_out(self.work_dir / "libexec")
        self._running = Keeper()
        if self._given_work_dir is None:
            self._running.order("remove at the end", path=str(self.work_dir))
        try:
            if self._zookeeper_port:
                self.start_zookeeper()
            for i in range(len(self.masters)):
                self.start_master(i, wait=False)
            self.wait_for_master()
            for i in range(len(self.specs)):
                self.start_agent(i, wait=False)
            self.wait_for_agents()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End every process, tasks and containers included. May be called twice."""
        keeper, self._running = self._running, None
        if keeper is not None:
            keeper.close()

    @property
    def work_dir(self) -> Path:
        """State, sandboxes and logs."""
        if self._work_dir is None:
            raise MesosError("the cluster is not started")
        return self._work_dir

    # --- ZooKeeper

    def start_zookeeper(self) -> None:
        """Start, also again, the private ZooKeeper server."""
        folder = self._folder("zookeeper")
        command = zookeeper_command(folder, self._zookeeper_port)
        process = self._launch("zookeeper", command, self._zookeeper_port, folder)
        self.zookeeper_process = process
        self.zk_url = f"zk://127.0.0.1:{self._zookeeper_port}/mesos"
        self._wait("ZooKeeper", lambda: answers(self._zookeeper_port), [process], self._timeout)

    def stop_zookeeper(self, number: int = signal.SIGKILL) -> None:
        if self.zookeeper_process is None:
            raise MesosError("the cluster has no ZooKeeper of its own")
        self.zookeeper_process.signal(number)
        self.zookeeper_process.wait(END_S)

    # --- masters

    @property
    def master_url(self) -> str:
        """The leading master's http://127.0.0.1:port."""
        return f"http://{self.master_address}"

    @property
    def master_address(self) -> str:
        """The leading master's host:port."""
        return f"127.0.0.1:{self.master_ports[self.leader()]}"

    def leader(self) -> int:
        """Return the index of the leading master, of the first one while none leads."""
        for i, _ in self._live(self.masters) if len(self.masters) > 1 else ():
            try:
                port = self.get("/master/state", master=i, timeout=2)["leader_info"]["port"]
            except (requests.RequestException, KeyError):
                continue
            if port in self.master_ports:
                return self.master_ports.index(port)
        return 0

    def start_master(self, i: int = 0, wait: bool = True) -> None:
        """Start master i, also again: on the same port and with the same registry."""
        self._refuse_running(self.masters[i])
        folder = self._folder(f"master-{i}")
        flags: dict[str, Any] = {
            "ip": "127.0.0.1",
            "port": self.master_ports[i],
            "hostname": "127.0.0.1",
            "hostname_lookup": False,
            "work_dir": str(folder),
            "registry": self._registry,
            "agent_ping_timeout": "2secs",
        }
        if self.zk_url:
            flags |= {"zk": self.zk_url, "quorum": len(self.masters) // 2 + 1, "zk_session_timeout": ZK_SESSION}
        flags |= self._master_flags
        command = [str(self._programs / "mesos-master"), *arguments(flags)]
        self.masters[i] = self._launch(f"master-{i}", command, self.master_ports[i], folder)
        if wait:
            self.wait_for_master()

    def stop_master(self, i: int = 0, number: int = signal.SIGKILL) -> None:
        """Kill master i."""
        master = self._started(self.masters, i)
        master.signal(number)
        master.wait(END_S)

    def pause_master(self, i: int = 0) -> None:
        """Freeze master i (SIGSTOP): connections stay, nothing answers."""
        self._started(self.masters, i).pause()

    def resume_master(self, i: int = 0) -> None:
        self._started(self.masters, i).resume()

    def wait_for_master(self, timeout: float | None = None) -> None:
        """Return when a running master is elected and all running ones have caught up.

        Killing one before that would leave too few replicas of the registry.
        """
        running = list(self._live(self.masters))
        if not running:
            ends = "\n".join(master.tail() for master in self.masters if master is not None)
            raise MesosError(f"no master is running\n{ends}")
        indices = [i for i, _ in running]

        def ready() -> bool:
            return any(map(self._is_elected, indices)) and all(map(self._has_recovered, indices))

        self._wait("an elected master", ready, [master for _, master in running], timeout)

    def _is_elected(self, i: int) -> bool:
        try:
            state = self.get("/master/state", master=i, timeout=2)
            return "elected_time" in state and bool(state["leader_info"]["port"] == self.master_ports[i])
        except (requests.RequestException, KeyError):
            return False

    def _has_recovered(self, i: int) -> bool:
        if self._registry != "replicated_log":
            return True
        try:
            metrics = self.get("/metrics/snapshot", master=i, timeout=2)
            return bool(metrics.get("registrar/log/recovered") == 1)
        except requests.RequestException:
            return False

    # --- agents

    def start_agent(self, i: int, wait: bool = True, fresh: bool = False) -> None:
        """Start agent i, also again: on the same port and, unless `fresh`, with its old identity."""
        self._refuse_running(self.agents[i])
        if fresh:
            shutil.rmtree(self.work_dir / f"agent-{i}", ignore_errors=True)
        folder, spec = self._folder(f"agent-{i}"), self.specs[i]
        flags: dict[str, Any] = {
            "master": self.zk_url or f"127.0.0.1:{self.master_ports[0]}",
            "ip": "127.0.0.1",
            "port": self.agent_ports[i],
            "hostname_lookup": False,
            "work_dir": str(folder / "work"),
            "runtime_dir": str(folder / "run"),
            "fetcher_cache_dir": str(folder / "fetch"),
            "launcher_dir": str(self._programs),
            "launcher": "posix",
            "isolation": "posix/cpu,posix/mem",
            "containerizers": "mesos",
            "systemd_enable_support": False,
            "registration_backoff_factor": "100ms",
            "http_command_executor": True,
            "switch_user": os.geteuid() == 0,
        }
        if self.zk_url:
            flags["zk_session_timeout"] = ZK_SESSION
        flags |= spec.own_flags(f"agent-{i}")
        if spec.docker_host:
            flags |= self._docker_flags(i, spec.docker_host)
        flags |= {**self._agent_flags, **spec.flags}
        command = [str(self._programs / "mesos-agent"), *arguments(flags)]
        self.agents[i] = self._launch(f"agent-{i}", command, self.agent_ports[i], folder)
        if wait:
            self.wait_for_agents([i])

    def add_agent(self, spec: AgentSpec | None = None, wait: bool = True) -> int:
        """Start one more agent; return its index."""
        self.specs.append(spec or AgentSpec())
        self.agents.append(None)
        self.agent_ports.append(free_port())
        self.start_agent(len(self.specs) - 1, wait)
        return len(self.specs) - 1

    def stop_agent(self, i: int, number: int = signal.SIGKILL, tasks: bool = True) -> None:
        """End agent i.

        With `tasks` its executors, tasks and containers die with it (a lost machine); without, only its own process.
        SIGUSR1 makes it leave in good order: the master removes it at once.
        """
        agent, tasks = self._started(self.agents, i), tasks and number == signal.SIGKILL
        agent.signal(number, tree=tasks)
        agent.wait(END_S)
        if tasks and self.specs[i].docker_host:
            self._keeper.order("remove containers", label=self._docker_label(i))

    def pause_agent(self, i: int) -> None:
        """Freeze agent i (SIGSTOP): the master cannot reach it, its tasks go on."""
        self._started(self.agents, i).pause()

    def resume_agent(self, i: int) -> None:
        self._started(self.agents, i).resume()

    def agent_id(self, i: int) -> str | None:
        """Return the id under which the master knows agent i, None when it does not."""
        return self._registered().get(self.agent_ports[i])

    def wait_for_agents(self, indices: Iterable[int] | None = None, timeout: float | None = None) -> None:
        """Return when the given agents, or all that run, are registered and active."""
        chosen = list(indices) if indices is not None else [i for i, _ in self._live(self.agents)]

        def registered() -> bool:
            try:
                if not {self.agent_ports[i] for i in chosen} <= self._registered().keys():
                    return False
                # An agent that is killed before it has heard, and noted, its id comes back as another one.
                return all(self.get("/state", agent=i, timeout=2)["id"] for i in chosen)
            except requests.RequestException:
                return False

        self._wait("agents to register", registered, [self._started(self.agents, i) for i in chosen], timeout)

    def _registered(self) -> dict[int, str]:
        """Return the ids of the active agents by their ports."""
        known = self.get("/master/slaves")["slaves"]
        return {int(agent["pid"].rpartition(":")[2]): agent["id"] for agent in known if agent["active"]}

    def _docker_flags(self, i: int, docker_host: str) -> dict[str, str]:
        script = self.work_dir / f"agent-{i}.docker"
        docker = write_docker_command(script, docker_host, self._docker_label(i), self._env["PATH"])
        self._keeper.order("remove containers at the end", docker=docker.command, label=docker.label)
        return docker.flags

    def _docker_label(self, i: int) -> str:
        return f"mesos-cluster={self._id}-agent-{i}"

    # --- looking inside

    def get(self, path: str, master: int | None = None, agent: int | None = None, timeout: float = 5) -> Any:
        """Return the JSON of an endpoint of the leading master, of master i or of agent i."""
        answer = _ask("GET", self._url(path, master, agent), timeout=timeout)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def operator(self, call: Mapping[str, Any], agent: int | None = None, timeout: float = 10) -> Any:
        """Make a v1 operator call, {"type": "GET_TASKS"}, to the leading master or to agent i; return its answer."""
        headers = {"Accept": "application/json"}
        answer = _ask("POST", self._url("/api/v1", None, agent), json=call, headers=headers, timeout=timeout)
        if not answer.ok:
            raise MesosError(f"{call.get('type')}: HTTP {answer.status_code} {answer.text}")
        return answer.json() if answer.content else None

    def log(self, name: str) -> str:
        """Return the log of "master-0", "agent-1" or "zookeeper"."""
        return (self.work_dir / f"{name}.log").read_text(errors="replace")

    def sandboxes(self, task_id: str) -> list[Path]:
        """Return the sandboxes of a command task, or of an executor, oldest first."""
        found = []
        for slaves in self.work_dir.glob("agent-*/*/slaves"):
            runs = slaves.glob("*/frameworks/*/executors/*/runs/*")
            found += [run for run in runs if run.parent.parent.name == task_id and run.name != "latest"]
        return sorted(found, key=lambda run: run.stat().st_mtime)

    def read_sandbox(self, task_id: str, name: str = "stdout") -> str:
        """Return a file of a task's newest sandbox."""
        found = self.sandboxes(task_id)
        if not found:
            raise MesosError(f"no sandbox of {task_id}")
        return (found[-1] / name).read_text(errors="replace")

    def processes(self) -> list[int]:
        """Return the pids of everything that runs, tasks included, except what is in Docker containers."""
        pids: list[int] = self._keeper.order("descendants")
        return pids

    def _url(self, path: str, master: int | None, agent: int | None) -> str:
        if agent is not None:
            port = self.agent_ports[agent]
        else:
            port = self.master_ports[self.leader() if master is None else master]
        return f"http://127.0.0.1:{port}{path}"

    # --- processes

    @property
    def _keeper(self) -> Keeper:
        if self._running is None:
            raise MesosError("the cluster is not started")
        return self._running

    def _folder(self, name: str) -> Path:
        folder = self.work_dir / name
        folder.mkdir(exist_ok=True)
        return folder

    def _launch(self, name: str, command: list[str], port: int, cwd: Path) -> Process:
        check_free(port)
        return Process(self._keeper, name, command, self._env, cwd, self.work_dir / f"{name}.log")

    @staticmethod
    def _live(processes: Sequence[Process | None]) -> Iterable[tuple[int, Process]]:
        return [(i, process) for i, process in enumerate(processes) if process and process.exit_code() is None]

    @staticmethod
    def _started(processes: Sequence[Process | None], i: int) -> Process:
        process = processes[i]
        if process is None:
            raise MesosError(f"number {i} was never started")
        return process

    @staticmethod
    def _refuse_running(process: Process | None) -> None:
        if process is not None and process.exit_code() is None:
            raise MesosError(f"{process.name} is running")

    def _wait(self, what: str, done: Callable[[], bool], processes: Sequence[Process], timeout: float | None) -> None:
        """Return when done() is true; a process that ends meanwhile is an error at once."""
        end = time.monotonic() + (self._timeout if timeout is None else timeout)
        while True:
            is_done = done()
            for process in processes:  # after asking: another process may have answered in its place
                code = process.exit_code()
                if code is not None:
                    raise MesosError(f"{process.name} ended with {code} instead of {what}:\n{process.tail()}")
            if is_done:
                return
            if time.monotonic() > end:
                ends = "\n".join(f"--- {process.name}\n{process.tail(10)}" for process in processes)
                raise MesosError(f"timed out waiting for {what}\n{ends}")
            time.sleep(0.03)

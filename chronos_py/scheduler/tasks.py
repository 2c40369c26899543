"""What is launched for one attempt: command, arguments, environment; by the rules of Chronos, its bugs mended."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from chronos_py.model.job import Fetch, Job
from chronos_py.model.resources import Resources
from chronos_py.model.run import Run, Task

_URL = re.compile(r"(?:https?|ftps?)://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TaskDefaults:
    """What a job gets that asks for nothing: cores, MiB, MiB, seconds."""

    cpus: float = 0.1
    mem: float = 128.0
    disk: float = 256.0
    kill_grace: float = 3.0


def amounts(job: Job, defaults: TaskDefaults) -> tuple[float, float, float, float, int]:
    """Return cpus, mem, disk, of which 0 or less means the default, as in Chronos; gpus; and how many ports."""
    return (
        job.cpus if job.cpus > 0 else defaults.cpus,
        job.mem if job.mem > 0 else defaults.mem,
        job.disk if job.disk > 0 else defaults.disk,
        job.gpus,
        _ports(job),
    )


def _ports(job: Job) -> int:
    """Return the ports that a job asks for, at least one for each host port that its container maps.

    One that asks for none gets none: then its mappings are not used, as in Chronos.
    """
    if not job.ports or job.container is None or job.container.network == "HOST":
        return job.ports
    mapped = [mapping.host_port for network in job.container.networks for mapping in network.port_mappings]
    return max(job.ports, len(set(mapped) - {0}) + mapped.count(0))


def need(job: Job, defaults: TaskDefaults) -> Resources:
    """Return what a task of this job takes from an agent."""
    return Resources.of(*amounts(job, defaults))


def environment(job: Job, run: Run, host: str, defaults: TaskDefaults) -> tuple[tuple[str, str], ...]:
    """Return the task's variables. A job's own variable never replaces a built-in one; of two equal names the first."""
    cpus, mem, disk, *_ = amounts(job, defaults)
    variables = {
        "mesos_task_id": run.task_id,
        "MESOS_TASK_ID": run.task_id,
        "CHRONOS_JOB_OWNER": job.owner,
        "CHRONOS_JOB_NAME": job.name,
        "HOST": host,
        "CHRONOS_RESOURCE_MEM": repr(float(mem)),
        "CHRONOS_RESOURCE_CPU": repr(float(cpus)),
        "CHRONOS_RESOURCE_DISK": repr(float(disk)),
        "CHRONOS_JOB_RUN_TIME": str(run.due),
        "CHRONOS_JOB_RUN_ATTEMPT": str(run.attempt),
    }
    if run.immediate is not None:
        variables["CHRONOS_IMMEDIATE_ID"] = run.immediate.id
    for variable in job.environment:
        variables.setdefault(variable.name, variable.value)
    return tuple(variables.items())


def _words(text: str) -> tuple[str, ...]:
    """Split a manual run's arguments as a shell would; text that a shell would not take is split at blanks."""
    try:
        return tuple(shlex.split(text))
    except ValueError:
        return tuple(text.split())


def build_task(job: Job, run: Run, host: str, defaults: TaskDefaults) -> Task:
    """Return the task of the run's present attempt.

    A shell job's text is the command, a blank, and the arguments joined with blanks. Without shell the program gets
    each argument exactly once. A command that is a URL is fetched and executed. A manual run's arguments stand in
    place of the job's own.
    """
    override = run.arguments
    command, fetch, arguments = job.command, (*job.fetch, *(Fetch(uri) for uri in job.uris)), job.arguments
    if override is not None:
        arguments = _words(override)
    url = _URL.match(command)
    if url:
        name = url[0].rsplit("/", 1)[1].split("?", 1)[0] or "command"
        fetch = (*fetch, Fetch(url[0], executable=True, extract=False, output_file=name))
        command = f"{shlex.quote(f'./{name}')}{command[url.end() :]}"
    shell = job.shell or url is not None
    if shell:
        extra = override if override is not None else " ".join(job.arguments)
        command, arguments = f"{command} {extra}".strip() if extra else command, ()
    return Task(
        id=run.task_id,
        run=run.id,
        job=job.name,
        command=command,
        resources=need(job, defaults),
        shell=shell,
        arguments=arguments,
        environment=environment(job, run, host, defaults),
        user=job.run_as_user,
        fetch=fetch,
        container=job.container,
        executor=job.executor,
        data=_executor_data(job),
        time_limit=job.max_completion_time,
        kill_grace=defaults.kill_grace if job.kill_grace is None else job.kill_grace,
    )


def _executor_data(job: Job) -> bytes:
    """Return what a custom executor is handed."""
    if not job.executor:
        return b""
    return (job.task_info_data or f"{job.executor_flags}|{job.command}").encode()

"""Reads everything, as a takeover would, and says what it would do."""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import structlog
from kazoo.exceptions import NoAuthError, NoNodeError

from chronos_py.clock import Clock, Millis, iso_utc
from chronos_py.doctor.constructs import CONSTRUCTS, judge
from chronos_py.doctor.report import Report
from chronos_py.election.latch import candidates, read_address
from chronos_py.errors import StoreUnavailable
from chronos_py.loading import schedule_text
from chronos_py.model.documents import JobDefaults
from chronos_py.model.job import Job
from chronos_py.model.run import Phase, Run, TaskId
from chronos_py.persistence.codec import load
from chronos_py.persistence.zookeeper.keeper import Found, Keeper, Refused
from chronos_py.persistence.zookeeper.layout import FORMAT, FRAMEWORK_ID, JOB_PREFIX, TASK_PREFIX, Layout, layout_of
from chronos_py.persistence.zookeeper.pending import line_of
from chronos_py.persistence.zookeeper.reading import Holdings, read_holdings
from chronos_py.persistence.zookeeper.variables import Survey, Surveyor
from chronos_py.scheduler.policy import Policy
from chronos_py.scheduler.release import lateness_limit
from chronos_py.scheduler.takeover import obstacle

READ, WRITE, CREATE, DELETE = 1, 2, 4, 8  # permissions of ZooKeeper
LISTING = 900_000  # bytes of a listing that ZooKeeper may refuse to send


def examine(
    keeper: Keeper, path: str, policy: Policy, defaults: JobDefaults, clock: Clock, *, auth: str = ""
) -> Report:
    """Say what a takeover would do. Only reads. `auth` is what the keeper's client says of itself, user:password."""
    report, layout = Report(keeper.hosts, path), layout_of(path)
    with _silence():
        try:
            _examine(report, keeper, layout, policy, defaults, clock, auth)
        except StoreUnavailable as error:
            report.add("unavailable", "fatal", str(error), "check --zk_hosts, --zk_path, --zk_auth and the servers")
    return report


def _examine(
    report: Report, keeper: Keeper, layout: Layout, policy: Policy, defaults: JobDefaults, clock: Clock, auth: str
) -> None:
    names = _names(report, keeper, layout)
    _election(report, keeper, layout)
    if names is None:
        return
    _access(report, keeper, layout, names, auth)
    if not _own_format(report, keeper, layout):
        return
    held = read_holdings(keeper, layout)
    known = {number: run for number, run in held.image.items("run") if isinstance(run, Run)}
    before = len(held.quarantined)
    survey = Surveyor(layout, schedule_text(policy.default_zone), defaults, clock).survey(keeper, held, whole=True)
    for kind, key in survey.turn.deletes:
        held.image.delete(kind, key, 0)
    for kind, key, value in survey.turn.puts:
        held.image.put(kind, key, value, 0)
    jobs = {name: job for name, job in held.image.items("job") if isinstance(job, Job)}
    report.line = line_of(survey.tasks.newest)
    _framework(report, held)
    _jobs(report, jobs, clock.now())
    _quarantine(report, held, before)
    _tasks(report, survey, jobs, policy, clock.now())
    _own(report, held, known, jobs)


# --- where things are


def _names(report: Report, keeper: Keeper, layout: Layout) -> list[str] | None:
    try:
        names = keeper.children(layout.state)
    except Refused as refused:
        if isinstance(refused.reason, NoNodeError):
            text = f"there is no {layout.state}: no Chronos has kept its jobs here"
            report.add(
                "nothing_there", "fatal", text, "give --zk_path as that Chronos had it; the word state comes twice"
            )
        else:
            report.add("listing", "fatal", f"{layout.state} cannot be listed: {refused.reason!r}", "check --zk_auth")
        return None
    size = sum(len(name.encode()) + 4 for name in names)
    if size > LISTING:
        text = f"the listing of {layout.state} has {size} bytes: ZooKeeper's clients may refuse more than 1 MiB"
        report.add("long_listing", "warning", text, "delete nodes T_... that no Chronos needs any more")
    others = [name for name in names if not name.startswith((JOB_PREFIX, TASK_PREFIX)) and name != FRAMEWORK_ID]
    if others:
        report.add("other_nodes", "note", "nodes that are no variables of Chronos are left alone", names=others)
    return names


def _election(report: Report, keeper: Keeper, layout: Layout) -> None:
    folder = f"{layout.root}/candidate"
    try:
        found = candidates(keeper.children(folder))
    except Refused as refused:
        if not isinstance(refused.reason, NoNodeError):
            report.add("election", "warning", f"{folder} cannot be read: {refused.reason!r}", "check --zk_auth")
        return
    addresses = [
        read_address(answer.data) if isinstance(answer, Found) else ""
        for _, answer in keeper.read(f"{folder}/{candidate.name}" for candidate in found)
    ]
    report.candidates = [address or "unknown" for address in addresses]
    if addresses:
        report.leader = addresses[0] or "unknown"
        text = f"{report.leader} leads: what it does from now on is not in this report"
        report.add(
            "led", "note", text, "start ours beside it and stop it, or stop all and ask again: docs/migration.md"
        )


def _access(report: Report, keeper: Keeper, layout: Layout, names: list[str], auth: str) -> None:
    """Find nodes that a takeover could not write."""
    digest = ""
    if auth:
        user = auth.partition(":")[0]
        digest = f"{user}:{b64encode(hashlib.sha1(auth.encode(), usedforsecurity=False).digest()).decode()}"

    def may(acl: Any, wanted: int) -> bool:
        given = 0
        for entry in acl:
            who = (entry.id.scheme, entry.id.id)
            if who in (("world", "anyone"), ("digest", digest)) or who[0] not in ("world", "digest"):
                given |= entry.perms  # of other schemes we cannot tell
        return given & wanted == wanted

    def refused(wanted: int, paths: list[str]) -> list[str]:
        answers = keeper.acls(paths)
        return [
            path
            for path, acl in answers
            if isinstance(acl, NoAuthError) or (not isinstance(acl, Exception) and not may(acl, wanted))
        ]

    closed = refused(CREATE | DELETE, [layout.state]) + refused(CREATE, [layout.root])
    closed += refused(CREATE, [layout.own, f"{layout.root}/candidate"])
    if closed:
        text = "in these nodes nothing may be created, or deleted: jobs, the election and our own state need that"
        report.add(
            "closed_folders", "fatal", text, "give --zk_auth as that Chronos had it, or change their ACLs", closed
        )
    mine = [layout.node(name) for name in names if name.startswith(JOB_PREFIX) or name == FRAMEWORK_ID]
    frozen = [path.rpartition("/")[2] for path in refused(READ | WRITE, mine)]
    if frozen:
        text = (
            "these may not be read and written: a job that can be read runs, but Chronos will not see how far it came"
        )
        report.add(
            "closed_nodes", "warning", text, "give --zk_auth as that Chronos had it, or change their ACLs", frozen
        )


# --- what is in them


def _own_format(report: Report, keeper: Keeper, layout: Layout) -> bool:
    try:
        found = keeper.one(layout.format).data
    except Refused as refused:
        if isinstance(refused.reason, NoNodeError):
            return True
        report.add("own_state", "fatal", f"{layout.format} cannot be read: {refused.reason!r}", "check --zk_auth")
        return False
    report.own["format"] = found[:20].decode("ascii", "replace")
    if found != FORMAT:
        text = f"another version of this server has been here: format {report.own['format']}"
        report.add("own_format", "fatal", text, "use that version, or a newer one")
        return False
    report.own["epoch"] = keeper.one(layout.epoch).version
    return True


def _framework(report: Report, held: Holdings) -> None:
    value = held.image.get("meta", "framework_id")
    report.framework_id = str(load(value)) if isinstance(value, bytes) else ""
    if not report.framework_id:
        text = "there is no framework id: a new framework would be registered, and tasks that still run are not ours"
        report.add("framework", "warning", text, "stop Chronos's tasks, or restore the node frameworkId")


def _jobs(report: Report, jobs: dict[str, Job], now: Millis) -> None:
    report.jobs = {
        "all": len(jobs),
        "scheduled": sum(job.parents is None for job in jobs.values()),
        "dependent": sum(job.parents is not None for job in jobs.values()),
        "disabled": sum(job.disabled for job in jobs.values()),
    }
    for code, names in judge(jobs, report.line, now).items():
        construct = CONSTRUCTS[code]
        report.add(code, construct.level, construct.text, construct.fix, sorted(names))


def _quarantine(report: Report, held: Holdings, before: int) -> None:
    for number, lost in enumerate(held.quarantined):
        report.quarantined.append({"kind": lost.kind, "name": lost.key, "reason": lost.reason})
        ours = number < before
        if lost.kind == "task":
            continue  # told with the tasks
        text = f"{lost.kind} {lost.key[:200]!r} cannot be read and would be left as it is: {lost.reason}"
        fix = "write the job again with its owner's document; until then it does not run"
        if "is no operator" in lost.reason:
            fix = "Chronos dropped such a constraint, and the job ran anywhere: use EQUALS, LIKE, UNLIKE, or none"
        if lost.kind == "meta":
            fix = "restore the node, or stop Chronos's tasks: a new framework would be registered"
        report.add("quarantined", "warning", text, "look at what lies below x" if ours else fix, [lost.key])


def _tasks(report: Report, survey: Survey, jobs: dict[str, Job], policy: Policy, now: Millis) -> None:
    pending = set(survey.pending)
    for text in sorted({*survey.tasks.uuids, *survey.tasks.wrong}):
        if text in survey.tasks.wrong:
            fate = f"stays: {survey.tasks.wrong[text]}"
        elif text not in pending:
            fate = "stays: Chronos 3 led last, and does not know such nodes"
            if report.line == "2.x":
                fate = "stays: its job cannot be read"
        else:
            fate = _fate(TaskId.parse(text), jobs, policy, now)
        report.tasks.append({"id": text, "fate": fate})
    if survey.tasks.wrong:
        text = "nodes T_... that are no tasks stay where they are; Chronos 2 would delete them"
        report.add("strange_tasks", "warning", text, "delete them", sorted(survey.tasks.wrong))


def _fate(task: TaskId, jobs: dict[str, Job], policy: Policy, now: Millis) -> str:
    job, limit = jobs.get(task.job), None
    with suppress(ValueError):  # of a job that is never due
        limit = lateness_limit(job) if job else None
    reason = obstacle(job, task, policy.task_epsilon if limit is None else limit, now)
    if reason:
        return f"left out, with a row in history: {reason}"
    return f"runs at {iso_utc(task.millis)}" if task.millis > now else "runs at once"


def _own(report: Report, held: Holdings, runs: dict[int, Run], jobs: dict[str, Job]) -> None:
    """Tell of what we have stored there before."""
    if not report.own:
        return
    under_way = [run for run in runs.values() if run.phase is not Phase.ENDED]
    report.own |= {"turn": held.turn, "runs": len(under_way)}
    waiting = sorted({run.job for run in under_way if run.phase in (Phase.QUEUED, Phase.RETRYING)})
    if waiting:
        text = "runs wait, or are to be tried again, of which a Chronos that takes over from us would not know"
        report.add("only_ours", "note", text, "let them end before going back to Chronos", waiting)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the store's own log lines out of the report: all that they say is in it."""
    before: dict[str, Any] = structlog.get_config()
    nothing: Any = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=nothing)
    try:
        yield
    finally:
        structlog.configure(**before)

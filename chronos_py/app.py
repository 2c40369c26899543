"""The composition root: the one place that names concrete stores, drivers and notifiers."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from chronos_py.api import create_app
from chronos_py.api.audit import AuditLog
from chronos_py.api.auth import Access, with_access
from chronos_py.api.backend import ApiSettings
from chronos_py.api.executor import PREFIX, with_executor
from chronos_py.api.guard import SECRET_VARIABLES, GuardSettings
from chronos_py.api.node import with_node
from chronos_py.api.principals import AccessFile, BadAccessFile
from chronos_py.api.proxy import ProxySettings, passing_on
from chronos_py.api.system import all_figures
from chronos_py.api.transport import closing
from chronos_py.clock import SystemClock
from chronos_py.config import BadSetting, Settings
from chronos_py.drivers.base import Driver
from chronos_py.drivers.group import GroupDriver, Members, Node
from chronos_py.drivers.local import LocalDriver, detect_resources, specs
from chronos_py.durations import SAMPLES
from chronos_py.election import Leadership, SoleLeader, ZooKeeperLeadership
from chronos_py.errors import StoreUnavailable
from chronos_py.executor.archive import build as build_executor
from chronos_py.executor.info import Setup
from chronos_py.graphite import GraphiteReporter, parse_address
from chronos_py.loading import schedule_text
from chronos_py.metrics import CountingOutbox, Metrics, counting
from chronos_py.model.documents import JobDefaults
from chronos_py.model.job import CatchUp
from chronos_py.model.notice import CHRONOS_EVENTS
from chronos_py.model.pools import SHARED_FIRST, ResourceOrder
from chronos_py.notify.dispatcher import Dispatcher
from chronos_py.notify.settings import channels_of, events_of
from chronos_py.persistence.history import SqlHistoryStore
from chronos_py.persistence.outbox import HistoryReader, HistoryWriter
from chronos_py.persistence.revisions import RevisionStore
from chronos_py.persistence.sqlite import SqliteJobStore
from chronos_py.persistence.zookeeper import ZooKeeperJobStore
from chronos_py.scheduler.health import HealthPolicy
from chronos_py.scheduler.notices import NoticePolicy
from chronos_py.scheduler.offers import OfferPolicy
from chronos_py.scheduler.policy import Policy, PreemptionPolicy
from chronos_py.scheduler.quotas import parse_quotas
from chronos_py.scheduler.tasks import TaskDefaults
from chronos_py.service import Service
from chronos_py.ui import Watch, ui_blueprint
from chronos_py.zookeeper import clean_path

log = structlog.get_logger(__name__)

LOCK_PATIENCE_S = 10.0  # a server that was killed a moment ago may still hold the store
LOAD_PATIENCE_S = 30.0
PRUNE_EVERY_S = 600.0
WARM_EVERY_S = 3.0  # a connection that was given up is made again


@dataclass(slots=True)
class Server:
    """All parts of a running server; `wsgi` is what gunicorn serves."""

    service: Service
    wsgi: Any
    stop: Callable[[], None]


def policy_of(settings: Settings) -> Policy:
    """Return the settings as far as the engine depends on them."""
    alone = settings.master == "local" and settings.zookeeper is None
    return Policy(
        tasks=TaskDefaults(
            settings.mesos_task_cpu, settings.mesos_task_mem, settings.mesos_task_disk, settings.kill_grace
        ),
        failure_retry=settings.failure_retry,
        disable_after_failures=settings.disable_after_failures,
        unknown_task_timeout=settings.unknown_task_timeout * 1000,
        task_epsilon=settings.task_epsilon * 1000,
        catch_up=CatchUp(settings.catch_up),
        offers=OfferPolicy(
            keep=settings.master == "local",  # nobody else wants this machine
            hold=settings.offer_hold,
            refuse=settings.decline_offer_duration / 1000,
            min_revive_interval=settings.min_revive_offers_interval,
        ),
        reconciliation_interval=0 if alone else settings.reconciliation_interval * 1000,
        unknown_tasks=settings.unknown_tasks,
        ageing=settings.priority_ageing * 1000,
        forgiveness=settings.avoid_failed_agents_for * 1000,
        quotas=parse_quotas(settings.quotas_text),
        preemption=PreemptionPolicy(int(settings.preemption_after * 1000), settings.preemptions_per_minute),
        notices=notices_of(settings),
        immediate_limit=settings.immediate_limit,
        order=order_of(settings),
        health=HealthPolicy(settings.suspect_agent_after, settings.suspect_agent_for * 1000),
    )


def notices_of(settings: Settings) -> NoticePolicy:
    """Return what owners are told, and through which channels. Raises BadSetting."""
    events = events_of(settings)
    return NoticePolicy(
        channels=tuple(channel.name for channel in channels_of(settings)),
        events=events.union(CHRONOS_EVENTS),
        cluster=settings.cluster_name,
        epsilon=f"PT{settings.task_epsilon}S",
        waiting_after=settings.notification_waiting_after * 1000 if "waiting" in events else 0,
    )


def defaults_of(settings: Settings) -> JobDefaults:
    """Return what a job gets that says nothing of it."""
    return JobDefaults(settings.mesos_task_cpu, settings.mesos_task_mem, settings.mesos_task_disk, settings.user)


def order_of(settings: Settings) -> ResourceOrder:
    """Return which resources are used first."""
    orders = settings.order_map
    return ResourceOrder(orders.pop("", SHARED_FIRST), orders)


def access_file_of(settings: Settings) -> AccessFile | None:
    """Return the users and tokens, None without any. Raises BadSetting."""
    if not settings.access_file:
        return None
    try:
        return AccessFile(Path(settings.access_file))
    except BadAccessFile as error:
        raise BadSetting("access_file", settings.access_file, str(error)) from None


def guard_of(settings: Settings, *, asked: bool) -> GuardSettings:
    """Return what those may do and see who ask."""
    return GuardSettings(
        asked=asked,
        users=frozenset(filter(None, (user.strip() for user in settings.run_as_users.split(",")))),
        default_user=settings.user,
        secret_variables=re.compile(settings.secret_variables or SECRET_VARIABLES),
    )


def local_driver(settings: Settings) -> LocalDriver:
    """Return the driver that runs tasks on this machine."""
    megabyte = 1024 * 1024
    return LocalDriver(
        settings.folder,
        specs(settings.machine, detect_resources(settings.folder), settings.attribute_map),
        host=settings.host,
        roles=settings.roles,
        order=order_of(settings),
        default_user=settings.user,
        limits=settings.task_limits,
        output_max_bytes=settings.output_max_size * megabyte,
        sandbox_max_age_s=settings.sandbox_max_age,
        sandbox_max_bytes=settings.sandbox_max_size * megabyte,
    )


def group_driver(settings: Settings, address: str, epoch: Callable[[], int], stopping: threading.Event) -> GroupDriver:
    """Return the driver that runs tasks on the machines of all nodes that share a ZooKeeper."""
    zookeeper = settings.zookeeper
    assert zookeeper is not None
    make = partial(
        Members,
        zookeeper.client,
        clean_path(settings.zk_path),
        acl=zookeeper.acl(),
        secret_acl=zookeeper.acl(secret=True),
        timeout=zookeeper.timeout,
    )
    node = Node(local_driver(settings), settings.folder, stopping)
    return GroupDriver(node, address, epoch, lambda changed, seen: make(changed=changed, epoch=seen))


def mesos_driver(settings: Settings, port: int) -> Driver:
    """Return the driver that runs tasks on a Mesos cluster.

    Raises BadSetting for a secret or certificate file, or a master, that cannot be used.
    """
    from chronos_py.drivers.mesos import MesosDriver, MesosSettings  # not needed, and not loaded, for one machine

    try:
        return MesosDriver(
            MesosSettings(
                master=settings.master,
                name=settings.mesos_framework_name,
                user=settings.user,
                roles=settings.roles,
                failover_timeout=settings.failover_timeout,
                checkpoint=settings.mesos_checkpoint,
                principal=settings.mesos_authentication_principal,
                secret=_secret(settings.mesos_authentication_secret_file),
                hostname=settings.host,
                webui_url=settings.webui_url or f"{settings.own_scheme}://{settings.host}:{port}",
                gpus=settings.mesos_gpus,
                order=order_of(settings),
                tls=settings.mesos_tls,
                ca_file=settings.mesos_ca_file,
                executor=Setup(uri=_executor_uri(settings, port), cache=False),
                own_executor=settings.executor == "chronos-py",
            )
        )
    except ValueError as error:
        raise BadSetting("master", settings.master, str(error)) from None
    except OSError as error:  # that the TLS context is made from
        raise BadSetting("mesos_ca_file", settings.mesos_ca_file, str(error)) from None


def leadership_of(settings: Settings, address: str) -> Leadership:
    """Return the election that this node takes part in."""
    zookeeper, clock = settings.zookeeper, SystemClock()
    if zookeeper is None:
        return SoleLeader(address, clock.now)
    path = f"{clean_path(settings.zk_path)}/candidate"
    return ZooKeeperLeadership(
        zookeeper.client, path, address, acl=zookeeper.acl(), timeout=zookeeper.timeout, now=clock.now
    )


def job_store(
    settings: Settings, policy: Policy, defaults: JobDefaults, lease: Callable[[], float]
) -> SqliteJobStore | ZooKeeperJobStore:
    """Return where jobs and runs are kept; see Leadership for `lease`. Raises StoreUnavailable when another server has
    the file."""
    zookeeper = settings.zookeeper
    if zookeeper is None:
        _keep_to_ourselves(settings.folder / "state.sqlite")
        return _patiently(lambda: SqliteJobStore(settings.folder / "state.sqlite"))
    return ZooKeeperJobStore(
        zookeeper.hosts,
        clean_path(settings.zk_path),
        auth=zookeeper.auth,
        timeout=zookeeper.timeout,
        schedule_text=schedule_text(policy.default_zone),
        defaults=defaults,
        make_client=lambda *_, **__: zookeeper.client(),  # of the same servers, credentials and certificates
        lease=lease,
    )


def _executor_uri(settings: Settings, port: int) -> str:
    """Return where agents fetch our executor, empty when it is installed on them."""
    if settings.executor_uri == "installed":
        return ""
    return (
        str(settings.executor_uri) or f"{settings.own_scheme}://{settings.host}:{port}{PREFIX}{build_executor().name}"
    )


def _secret(file: str) -> str:
    """Read the principal's secret; a line's end after it does not belong to it. Raises BadSetting."""
    if not file:
        return ""
    try:
        return Path(file).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting("mesos_authentication_secret_file", file, f"cannot be read: {error}") from None


def build(settings: Settings, port: int, stopping: threading.Event | None = None) -> Server:
    """Make and start all parts. Open streams end when `stopping` is set.

    Raises StoreUnavailable when another server has the store.
    """
    folder, stopping, address = settings.folder, stopping or threading.Event(), f"{settings.host}:{port}"
    folder.mkdir(parents=True, exist_ok=True)
    _keep_to_ourselves(folder / "history.sqlite")
    metrics, policy, defaults = Metrics(), policy_of(settings), defaults_of(settings)
    leadership = leadership_of(settings, address)
    store = job_store(settings, policy, defaults, leadership.lease)
    history = SqlHistoryStore(settings.history_url or f"sqlite:///{folder / 'history.sqlite'}")

    def written(up_to: int) -> None:
        service.history_written(up_to)  # which is made below

    def delivered(number: int, channel: str) -> None:
        service.notice_done(number, channel)

    revisions = RevisionStore(history)
    writer = HistoryWriter(history, written, store.read_outbox)
    max_age = settings.notification_max_age * 1000
    dispatcher = Dispatcher(channels_of(settings), delivered, SystemClock(), max_age=max_age)
    group: GroupDriver | None = None
    if settings.master != "local":
        driver: Driver = mesos_driver(settings, port)
    elif settings.zookeeper is None:
        driver = local_driver(settings)
    else:
        driver = group = group_driver(settings, address, lambda: service.epoch, stopping)
    service = Service(
        store=store,
        driver=driver,
        leadership=leadership,
        outbox=CountingOutbox(writer, metrics),
        history=HistoryReader(history, writer),
        clock=SystemClock(),
        policy=policy,
        gauges=metrics,
        notifier=dispatcher,
        revisions=revisions,
        inbox_limit=settings.inbox_limit,
        durations=lambda: history.durations(SAMPLES),
        history_state=lambda: {"keptBy": "group" if settings.history_url else "node", "problem": writer.problem},
    )
    if settings.zookeeper is not None and settings.master == "local":
        log.warning("each node runs tasks on its own machine: a run under way on one that goes is of unknown fate")
    if settings.zookeeper is not None and not settings.history_url:
        log.warning("no --history_url: this node keeps a history of its own, of what ends while it leads")
    asked = settings.credentials is not None or bool(settings.access_file)
    api_settings = ApiSettings(
        defaults=defaults,
        default_epsilon=f"PT{settings.task_epsilon}S",
        history_limit=settings.job_history_limit,
        compression=settings.http_compression and not settings.disable_http_compression,
        ageing=settings.priority_ageing * 1000,
        retention=settings.immediate_retention,
        followers=max(1, settings.http_threads // 3),
        stopping=stopping,
    )
    watch = Watch(service)
    app = create_app(
        service,
        api_settings,
        metrics,
        guard_of(settings, asked=asked),
        AuditLog(folder / "audit.jsonl"),
        pages=lambda guarded: ui_blueprint(guarded, api_settings, watch),
    )
    wsgi: Any = app
    if settings.zookeeper is not None:
        threads = settings.http_threads - (2 if group is not None else 0)  # those are the leader's
        wsgi = passing_on(wsgi, service, ProxySettings(address, at_once=max(1, threads * 3 // 4)))
    if asked:
        wsgi = with_access(wsgi, Access(settings.credentials, access_file_of(settings)), settings.http_realm)
    if settings.master != "local" or not asked:  # agents have no credentials
        wsgi = with_executor(wsgi, build_executor())
    wsgi = counting(wsgi, metrics)
    if group is not None:
        wsgi = with_node(wsgi, group)  # not counted: a leader's requests wait for news
    wsgi = closing(wsgi)
    graphite = graphite_of(settings, service, metrics, stopping)
    housekeeper = threading.Thread(
        target=_prune, args=(stopping, history, revisions, settings), name="housekeeper", daemon=True
    )

    def hand_over() -> None:
        stopping.wait()  # a signal's handler may do no more than set this
        service.stop()

    leaver = threading.Thread(target=hand_over, name="hand-over", daemon=True)

    def stop() -> None:
        stopping.set()
        if settings.zookeeper is None:
            service.stop()
        else:
            leaver.join()
        if group is not None:
            group.close()
        dispatcher.stop()
        writer.stop()
        revisions.stop()
        store.close()
        history.close()

    if graphite is not None:
        graphite.start()
    writer.start()
    revisions.start()
    if group is not None:
        group.open()
    service.start()
    if settings.zookeeper is not None:
        leaver.start()  # others need not wait for clients that keep this node up
    _until_loaded(service)
    if isinstance(store, ZooKeeperJobStore):
        threading.Thread(target=_keep_warm, args=(stopping, store, service), name="warm", daemon=True).start()
    housekeeper.start()
    watch.start(stopping)
    return Server(service, wsgi, stop)


def graphite_of(
    settings: Settings, service: Service, metrics: Metrics, stopping: threading.Event
) -> GraphiteReporter | None:
    """Return what reports to Graphite, None without one. Raises BadSetting."""
    if not settings.graphite_host_port:
        return None
    try:
        address = parse_address(settings.graphite_host_port)
    except ValueError as error:
        raise BadSetting("graphite_host_port", settings.graphite_host_port, str(error)) from None
    interval, prefix = settings.graphite_reporting_interval, settings.graphite_group_prefix
    return GraphiteReporter(
        address, prefix, interval, lambda: all_figures(service, metrics) if service.leading() else None,
        SystemClock(), stopping,
    )  # fmt: skip


def _keep_to_ourselves(file: Path) -> None:
    """Make a file, when there is none, that others may not read: jobs hold secrets in commands and environment."""
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _until_loaded(service: Service) -> None:
    """Wait until the state is there, or something stands in its way: nobody is answered before."""
    deadline = time.monotonic() + LOAD_PATIENCE_S
    while not service.view.loaded and service.health()["problem"] in ("", "starting") and time.monotonic() < deadline:
        time.sleep(0.01)


def _keep_warm(stopping: threading.Event, store: ZooKeeperJobStore, service: Service) -> None:
    """Have a follower's store ready for the election."""
    while not stopping.wait(WARM_EVERY_S):
        try:
            if service.standing().role != "leader":
                store.warm_up()
        except StoreUnavailable as error:
            log.warning("the store cannot be reached", reason=str(error))
        except Exception:
            log.exception("the store could not be warmed up")


def _patiently(open_store: Callable[[], SqliteJobStore]) -> SqliteJobStore:
    deadline = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            return open_store()
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                raise
            log.warning("waiting for the store", reason=str(error))
            time.sleep(0.2)


def _prune(stopping: threading.Event, history: SqlHistoryStore, revisions: RevisionStore, settings: Settings) -> None:
    """Remove old runs now and then."""
    while not stopping.wait(PRUNE_EVERY_S):
        try:
            oldest = SystemClock().now() - settings.history_max_age * 86_400_000
            removed = history.prune(oldest, settings.history_keep_per_job)
            revisions.prune(oldest)
            history.prune_statistics(SystemClock().now())
            if removed:
                log.info("old runs removed from history", runs=removed)
        except Exception:
            log.exception("history could not be pruned")

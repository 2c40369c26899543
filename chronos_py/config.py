"""The server's options: every flag of Chronos by its own name, and ours. One table makes flags, variables and docs.

A value comes from, in this order: the command line, the environment (CHRONOS_<FLAG>, and three older names), a file
(`--config`, TOML), a folder with one file a flag (`--config_dir`), the default.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from chronos_py.errors import ChronosError
from chronos_py.flagfiles import BadFile, Given, read_folder, read_toml
from chronos_py.machine import Said, read_machine, read_order
from chronos_py.zookeeper import ZooKeeperAddress, clean_path, parse_hosts

Kind = Literal["text", "int", "float", "flag"]
Use = Literal["used", "idle", "refused"]  # idle: accepted, without effect as yet; refused: would be unsafe to ignore

GROUP_THREADS = 4  # the leader waits for news in one, gives orders in another
GREATEST = 2**31 - 1  # of numbers without a limit of their own

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])"
_MASTER = re.compile(rf"(?:https?://)?{_HOST}(?::\d{{1,5}})?/?|(?:zk|zoo)://(?:[^/@\s]+@)?{_HOST}(?::\d{{1,5}})?"
                     rf"(?:,{_HOST}(?::\d{{1,5}})?)*/[^\s?#]+", re.ASCII)  # fmt: skip
_ROLE = re.compile(r"\*|(?!-)(?!\.{1,2}(?:/|$))[^\s*,\x00-\x1f\\]+")


class BadSetting(ChronosError):
    """A flag has a value that cannot be used: nothing was started. `source` tells where the value came from."""

    def __init__(self, flag: str, value: object, reason: str, source: str = "") -> None:
        origin = f" (from {source})" if source else ""
        super().__init__(f"--{flag} {value}{origin}: {reason}")
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Flag:
    """One option. `secret` values are never shown. `letter` is Chronos's short form where it never changed."""

    name: str
    kind: Kind
    default: Any
    text: str
    unit: str = ""
    use: Use = "used"
    ours: bool = False
    letter: str = ""
    secret: bool = False
    variable: str = ""  # an older name, beside CHRONOS_<FLAG>
    choices: tuple[str, ...] = ()
    lowest: float | None = None
    highest: float = GREATEST
    why_refused: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        own = f"CHRONOS_{self.name.upper()}"
        return (own, self.variable) if self.variable else (own,)

    @property
    def default_shown(self) -> str:
        """Return the default as a person would write it, empty when there is none."""
        if self.kind == "flag":
            return "on" if self.default else "off"
        return "" if self.default in ("", None) else f"{self.default} {self.unit}".strip()

    def shown(self, value: object) -> str:
        """Return the value as it may appear in messages."""
        text = str(value)
        return "(not shown)" if self.secret or "@" in text else text


def _ours(name: str, kind: Kind, default: Any, text: str, **more: Any) -> Flag:
    return Flag(name, kind, default, text, ours=True, **more)


def _idle(name: str, kind: Kind, default: Any, text: str, **more: Any) -> Flag:
    return Flag(name, kind, default, text, use="idle", **more)


FLAGS: tuple[Flag, ...] = (
    Flag("master", "text", "local",
         "where tasks run: local is this machine; host:port, https://host:port or zk://host:port,.../path is Mesos"),
    Flag("user", "text", "root", "runAsUser of jobs that name none; a server without root rights runs all as itself",
         letter="u"),
    Flag("hostname", "text", "", "name under which others reach this node; default: the machine's own"),
    Flag("http_address", "text", "0.0.0.0", "address to listen on"),
    Flag("http_port", "int", 8080, "port to listen on; 0 picks a free one, see <data_dir>/http_port",
         lowest=0, highest=65535),
    Flag("http_credentials", "text", "", "user:password that every path asks for (HTTP Basic)", secret=True,
         variable="MESOSPHERE_HTTP_CREDENTIALS"),
    Flag("http_realm", "text", "Mesosphere", "realm of the 401 answer"),
    Flag("http_compression", "flag", True, "gzip answers"),
    Flag("disable_http_compression", "flag", False, "never gzip answers"),
    Flag("mesos_task_cpu", "float", 0.1, "for a job that asks for none", unit="cores", lowest=0.001),
    Flag("mesos_task_mem", "float", 128.0, "memory for a job that asks for none", unit="MiB", lowest=1),
    Flag("mesos_task_disk", "float", 256.0, "disk for a job that asks for none", unit="MiB", lowest=0),
    Flag("task_epsilon", "int", 60, "the epsilon that 2.x shows; and how late a run may start with catchUp skip",
         unit="s", letter="t", lowest=0),
    Flag("failure_retry", "int", 60000, "time from a failure to its retry; a job's retryDelay wins",
         unit="ms", lowest=0),
    Flag("disable_after_failures", "int", 0, "failures in a row after which a job is disabled; 0: never", lowest=0),
    Flag("job_history_limit", "int", 5, "newest attempts that /scheduler/job/stat shows", letter="j", lowest=0),
    Flag("zk_hosts", "text", "", "ZooKeeper servers, host:port,... or zk://host:port,...: jobs and election are there, "
         "and several nodes stand in for each other; default: one node, with its state in data_dir", letter="z"),
    Flag("zk_path", "text", "/chronos/state", "path in ZooKeeper"),
    Flag("zk_timeout", "int", 10000, "time-out of a ZooKeeper session: a leader that is cut off is replaced within it",
         unit="ms", lowest=1000, highest=600_000),
    Flag("zk_auth", "text", "", "user:password for ZooKeeper (scheme digest)", secret=True),
    Flag("disable_http", "flag", False, "serve HTTPS only"),
    Flag("ssl_keystore_path", "text", "", "key and certificate for HTTPS: a Java keystore, PKCS12, or PEM",
         variable="MESOSPHERE_KEYSTORE_PATH"),
    Flag("ssl_keystore_password", "text", "", "its password", secret=True, variable="MESOSPHERE_KEYSTORE_PASS"),
    _ours("ssl_client_ca_file", "text", "", "PEM file of authorities: only clients with a certificate of theirs are "
          "served by HTTPS"),
    Flag("https_address", "text", "", "address for HTTPS; default: that for HTTP"),
    Flag("https_port", "int", 8443, "port for HTTPS", lowest=0, highest=65535),
    Flag("failover_timeout", "int", 604800, "how long Mesos keeps tasks without us", unit="s", letter="f", lowest=0),
    _idle("schedule_horizon", "int", 60, "look-ahead of Chronos 2.x; none is needed here", unit="s"),
    _idle("leader_max_idle_time", "int", 5000, "never had an effect", unit="ms", letter="l"),
    Flag("cluster_name", "text", "", "prefix of notifications"),
    Flag("webui_url", "text", "", "link that Mesos shows; default: http://<hostname>:<http_port>"),
    Flag("mesos_framework_name", "text", "chronos", "name in Mesos"),
    Flag("mesos_role", "text", "*", "role in Mesos, or several with commas between them; tasks on this machine may use "
         "what is reserved for these roles"),
    Flag("mesos_checkpoint", "flag", True, "tasks outlive a restart of their agent"),
    Flag("mesos_authentication_principal", "text", "", "principal in Mesos"),
    Flag("mesos_authentication_secret_file", "text", "", "file with the principal's secret; sent as HTTP Basic"),
    Flag("reconciliation_interval", "int", 600, "time between reconciliations with Mesos", unit="s", lowest=1),
    _idle("revive_offers_for_new_jobs", "flag", False, "ask for offers when work comes; always done"),
    Flag("decline_offer_duration", "int", 5000, "how long a declined offer stays away", unit="ms", lowest=0),
    Flag("min_revive_offers_interval", "int", 5000, "time between requests for offers; five may come at once",
         unit="ms", lowest=1),
    Flag("mail_server", "text", "", "host:port of the server that takes mail for owners"),
    Flag("mail_user", "text", "", "user of the mail server"),
    Flag("mail_password", "text", "", "its password", secret=True),
    Flag("mail_from", "text", "", "sender of notifications"),
    Flag("mail_ssl", "flag", False, "TLS with the mail server from the first byte on"),
    Flag("raven_dsn", "text", "", "Sentry's DSN, https://key:secret@host/project", letter="r", secret=True),
    Flag("slack_url", "text", "", "Slack webhook", secret=True),
    Flag("mattermost_url", "text", "", "Mattermost webhook", secret=True),
    Flag("http_notification_url", "text", "", "where to POST notifications", secret=True),
    Flag("http_notification_credentials", "text", "", "user:password for it", secret=True),
    _idle("cassandra_contact_points", "text", "", "history is built in", letter="c"),
    _idle("cassandra_port", "int", 9042, "history is built in"),
    _idle("cassandra_user", "text", "", "history is built in"),
    _idle("cassandra_password", "text", "", "history is built in", secret=True),
    _idle("cassandra_keyspace", "text", "metrics", "history is built in"),
    _idle("cassandra_table", "text", "chronos", "history is built in"),
    _idle("cassandra_stat_count_table", "text", "chronos_stat_count", "history is built in"),
    _idle("cassandra_consistency", "text", "ANY", "history is built in"),
    _idle("cassandra_ttl", "int", 31536000, "never had an effect; see history_max_age", unit="s"),
    Flag("graphite_host_port", "text", "", "host:port of a Graphite that gets the metrics of the node that leads",
         letter="g"),
    Flag("graphite_reporting_interval", "int", 60, "time between reports", unit="s", lowest=1),
    Flag("graphite_group_prefix", "text", "", "prefix of metric names"),
    _idle("ganglia_host_port", "text", "", "until 2.2; metrics are at /metrics"),
    _idle("ganglia_reporting_interval", "int", 60, "until 2.2", unit="s"),
    _idle("ganglia_group_prefix", "text", "", "until 2.2"),
    _idle("ganglia_spoof", "text", "", "until 2.2"),
    _idle("default_job_owner", "text", "", "until 2.1; a job without owner has none"),
    _idle("log_config", "text", "", "until 2.1; see log_format and log_level"),
    _idle("assets_path", "text", "", "files of the web UI"),
    _ours("data_dir", "text", "chronos-data", "folder for state, history and sandboxes"),
    _ours("mail_starttls", "flag", False, "TLS with the mail server by STARTTLS; without it no mail is sent"),
    _ours("mail_ca_file", "text", "", "PEM file of the authorities behind the mail server's certificate; "
          "default: the system's"),
    _ours("http_notification_form", "text", "3", "the fields of HTTP notifications and Sentry: those of Chronos 2 "
          "have async and epsilon too", choices=("3", "2")),
    _ours("notification_events", "text", "", "what owners are told beside what Chronos tells: late, missed, recovered, "
          "timed_out, waiting, with commas between them, or all"),
    _ours("notification_waiting_after", "int", 600, "after how long a run that waits for a place counts as waiting",
          unit="s", lowest=1),
    _ours("notification_max_age", "int", 86400, "how long the delivery of a notice is tried", unit="s", lowest=1),
    _ours("notification_urls", "text", "", "further channels, as URLs of apprise with blanks between them",
          secret=True),
    _ours("access_file", "text", "", "TOML file of users and tokens with their roles; every path asks for one of them"),
    _ours("run_as_users", "text", "", "the users that jobs may run as, with commas between them; default: any"),
    _ours("secret_variables", "text", "", "regular expression for the names of environment variables whose values "
          "readers do not see; default: passwords, tokens, keys and the like"),
    _ours("config", "text", "", "file of settings in TOML, each under its flag's name: http_port = 4400"),
    _ours("config_dir", "text", "", "folder with a file for each flag, named like it"),
    _ours("zk_tls", "flag", False, "speak TLS with ZooKeeper"),
    _ours("zk_ca_file", "text", "", "PEM file of the authorities behind ZooKeeper's certificates; "
          "default: the system's"),
    _ours("zk_cert_file", "text", "", "PEM file of our certificate for ZooKeeper"),
    _ours("zk_key_file", "text", "", "PEM file of its key"),
    _ours("resources", "text", "",
          'what this machine offers, "cpus:4;mem:8192;disk:50000" (memory and disk in MiB), of which "cpus(news):2" is '
          'reserved for a role; several agents, "name:a;cpus:2;mem:4096;disk:9000;attributes:rack:r1,dc:x|name:b;...", '
          "or a file with one a line; default: all it has"),
    _ours("attributes", "text", "", 'what jobs\' constraints see of this machine, "rack:r1;dc:x"'),
    _ours("offer_hold", "int", 2000, "how long an offer is kept for work that is near, and how far ahead of a due time "
          "offers are asked for", unit="ms", lowest=0, highest=60_000),
    _ours("resource_order", "text", "shared", "which resources are taken first: those that are anybody's (shared), or "
          'those reserved for our role (reserved); by role "shared,news:reserved"; a job\'s resourceOrder wins'),
    _ours("executor", "text", "mesos", "what runs command tasks on Mesos: Mesos' own executor, one for each task, or "
          "ours, one for all tasks of a user on an agent; a job's executor wins", choices=("mesos", "chronos-py")),
    _ours("executor_uri", "text", "", "where agents fetch our executor; default: from this server; "
          "installed: chronos-py is on the agents"),
    _ours("mesos_tls", "flag", False, "speak HTTPS with masters found over zk://, and with agents"),
    _ours("mesos_ca_file", "text", "", "PEM file of the authorities behind Mesos' certificates; default: the system's"),
    _ours("mesos_gpus", "flag", False, "ask for offers of agents with GPUs too"),
    _ours("unknown_tasks", "text", "adopt", "what becomes of a task of ours that Mesos knows and the store does not",
          choices=("adopt", "kill")),
    _ours("unknown_task_timeout", "int", 600, "until a run of unknown fate counts as lost", unit="s", lowest=1),
    _ours("catch_up", "text", "one", "what becomes of due times missed while the server was down; a job's catchUp wins",
          choices=("skip", "one", "all")),
    _ours("kill_grace", "float", 3.0, "time from TERM to KILL; a job's killGrace wins",
          unit="s", lowest=0, highest=86400),
    _ours("task_limits", "text", "auto", "how tasks' memory and CPU are limited; auto takes the best that works here",
          choices=("auto", "cgroup", "rlimit", "none")),
    _ours("output_max_size", "int", 10, "kept of a task's stdout, and of its stderr; and as much again that is older",
          unit="MiB", lowest=1, highest=1024**2),
    _ours("sandbox_max_age", "int", 604800, "how long an ended task's sandbox is kept", unit="s", lowest=0),
    _ours("sandbox_max_size", "int", 10240, "what ended tasks' sandboxes may take together", unit="MiB", lowest=0),
    _ours("history_url", "text", "", "SQLAlchemy URL of the history; default: a file in data_dir", secret=True),
    _ours("history_max_age", "int", 90, "how long ended runs are kept", unit="days", lowest=1, highest=36500),
    _ours("history_keep_per_job", "int", 100, "newest runs of each job that are kept whatever their age", lowest=0),
    _ours("log_format", "text", "text", "form of the log on standard error", choices=("text", "json")),
    _ours("log_level", "text", "info", "least level that is logged", choices=("debug", "info", "warning", "error")),
    _ours("access_log", "flag", False, "log every HTTP request, in NCSA's combined form and with its duration"),
    _ours("http_threads", "int", 24, "threads that answer requests; a third of them may each serve an open stream",
          lowest=2, highest=1000),
    _ours("inbox_limit", "int", 10000, "requests that may wait for the engine; more are answered 503", lowest=1),
    _ours("examples", "flag", False, "load example jobs when the server comes up without any job"),
    _ours("priority_ageing", "int", 600, "the waiting that a level of priority is worth; 0: a higher priority always "
          "goes first", unit="s", lowest=0, highest=10**9),
    _ours("avoid_failed_agents_for", "int", 1800, "how long a run's retries avoid an agent on which an attempt failed",
          unit="s", lowest=0, highest=10**9),
    _ours("suspect_agent_after", "int", 5, "attempts in a row that failed on an agent, of any jobs, after which it is "
          "used last; 0: never", lowest=0),
    _ours("suspect_agent_for", "int", 600, "for how long such an agent is used last", unit="s", lowest=0,
          highest=10**9),
    _ours("quotas", "text", "", "shares guaranteed to jobs by label, as JSON or in a file, for example "
          '{"channel=news": {"cpus": 10, "mem": 20480, "running": 100, "borrow": true}}'),
    _ours("preemption_after", "float", 0.0, "after how long a wait room is made for a run, by stopping runs of lower "
          "priority whose jobs are preemptible; 0: never", unit="s", lowest=0, highest=10**9),
    _ours("preemptions_per_minute", "int", 60, "runs that may be stopped for that in a minute", lowest=1),
    _ours("immediate_retention", "float", 3600.0, "how long results of immediate jobs are kept that name no retention",
          unit="s", lowest=0, highest=10**9),
    _ours("immediate_limit", "int", 500_000, "immediate jobs that may be known at once, kept results included; more "
          "are answered 503", lowest=1, highest=10**8),
)  # fmt: skip
BY_NAME: Mapping[str, Flag] = {flag.name: flag for flag in FLAGS}


@dataclass(frozen=True, slots=True)
class Settings:
    """All options' values, checked: `settings.http_port`. `sources` tells where each value that was given came from."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def host(self) -> str:
        return str(self.values["hostname"] or socket.gethostname())

    @property
    def folder(self) -> Path:
        return Path(self.values["data_dir"]).absolute()

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Return (user, password), split at the last colon that leaves both; None: the server is open."""
        found = re.fullmatch(r"(.+):(.+)", str(self.values["http_credentials"]), re.DOTALL)
        return (found[1], found[2]) if found else None

    @property
    def idle(self) -> list[Flag]:
        """Return the flags that were given and have no effect yet."""
        return [BY_NAME[name] for name in sorted(self.sources) if BY_NAME[name].use == "idle"]

    @property
    def machine(self) -> list[Said]:
        """Return what `--resources` says of each agent of this machine."""
        return read_machine(str(self.values["resources"]))

    @property
    def order_map(self) -> dict[str, str]:
        """Return what `--resource_order` says by role."""
        return read_order(str(self.values["resource_order"]))

    @property
    def attribute_map(self) -> dict[str, str]:
        return parse_attributes(str(self.values["attributes"]))

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles to register with in Mesos."""
        return tuple(role.strip() for role in str(self.values["mesos_role"]).split(","))

    @property
    def zookeeper(self) -> ZooKeeperAddress | None:
        """Return how ZooKeeper is reached, None without it. Raises ValueError."""
        if not self.zk_hosts:
            return None
        return ZooKeeperAddress(
            parse_hosts(str(self.zk_hosts)),
            timeout=self.zk_timeout / 1000,
            auth=self.zk_auth,
            tls=self.zk_tls,
            ca_file=self.zk_ca_file,
            cert_file=self.zk_cert_file,
            key_file=self.zk_key_file,
        )

    @property
    def quotas_text(self) -> str:
        """Return what `--quotas` says as JSON, or what the file says that it names. Raises BadSetting."""
        text = str(self.values["quotas"]).strip()
        if not text or text.startswith("{"):
            return text
        try:
            return Path(text).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting("quotas", text, f"is no JSON object, and no file that can be read: {error}") from None

    @property
    def own_address(self) -> str:
        """Return where this machine itself reaches the server."""
        address = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.http_address, self.http_address)
        return f"[{address}]" if ":" in address else address


def parse_attributes(text: str) -> dict[str, str]:
    """Read `rack:r1;dc:x`. Raises BadSetting."""
    attributes: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not name or not colon:
            raise BadSetting("attributes", text, f"{part!r} is not of the form name:value")
        if name in attributes:
            raise BadSetting("attributes", text, f"{name} is given twice")
        attributes[name] = value
    return attributes


def settle(command_line: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Put all sources together and check them. Raises BadSetting, naming flag and value."""
    environment = os.environ if environment is None else environment
    given = _from_files(command_line, environment)
    for flag in FLAGS:
        for variable in flag.variables:
            if variable in environment:
                given[flag.name] = environment[variable], variable
                break
    given |= {name: (value, "") for name, value in command_line.items() if value is not None}
    values = {flag.name: flag.default for flag in FLAGS}
    values |= {name: _converted(BY_NAME[name], value, source) for name, (value, source) in given.items()}
    settings = Settings(values, {name: source for name, (_, source) in given.items()})
    _check(settings)
    return settings


def _from_files(command_line: Mapping[str, Any], environment: Mapping[str, str]) -> Given:
    def named(flag: str) -> Path | None:
        name = command_line.get(flag) or environment.get(f"CHRONOS_{flag.upper()}")
        return Path(str(name)) if name else None

    folder, file = named("config_dir"), named("config")
    try:
        given = read_folder(folder, {flag.name: flag.kind == "flag" for flag in FLAGS}) if folder else {}
    except BadFile as error:
        raise BadSetting("config_dir", error.what, error.reason) from None
    try:
        return given | (read_toml(file, BY_NAME) if file else {})
    except BadFile as error:
        raise BadSetting("config", error.what, error.reason) from None


def _converted(flag: Flag, value: Any, source: str) -> Any:
    """Return the value in the flag's type, within its limits. Raises BadSetting."""

    def refuse(reason: str) -> BadSetting:
        return BadSetting(flag.name, flag.shown(value), reason, source)

    text = str(value)
    if flag.kind == "text":
        if flag.choices and text not in flag.choices:
            raise refuse(f"must be one of {', '.join(flag.choices)}")
        if any(ord(character) < 32 for character in text):
            raise refuse("must not contain control characters")
        return text
    text = text.strip()
    if flag.kind == "flag":
        if text.lower() not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
            raise refuse("must be true or false")
        return text.lower() in ("true", "yes", "on", "1")
    if flag.kind == "int" and not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise refuse("must be a whole number")
    try:
        number = int(text) if flag.kind == "int" else float(text)
    except ValueError:
        raise refuse("must be a number") from None
    if not math.isfinite(number) or number > flag.highest:
        raise refuse(f"must be at most {flag.highest:.15g}")
    if flag.lowest is not None and number < flag.lowest:
        raise refuse(f"must be at least {flag.lowest:.15g}")
    return number


def _check(settings: Settings) -> None:
    """Refuse what would be unsafe to ignore, and texts that have a form of their own. Raises BadSetting."""

    def refuse(name: str, reason: str) -> BadSetting:
        flag = BY_NAME[name]
        return BadSetting(name, flag.shown(settings.values[name]), reason, settings.sources.get(name, ""))

    if settings.master != "local" and not _MASTER.fullmatch(settings.master):
        raise refuse("master", "must be local, host:port, https://host:port, or zk://host:port,.../path")
    if settings.master != "local" and not all(map(find_spec, ("httptools", "pymesos"))):
        raise refuse("master", "needs what chronos-py[mesos] installs")
    if not all(_ROLE.fullmatch(role) for role in settings.roles) or len(set(settings.roles)) != len(settings.roles):
        raise refuse("mesos_role", "must be roles, each once, with commas between them")
    if settings.mesos_authentication_secret_file and not settings.mesos_authentication_principal:
        raise refuse("mesos_authentication_secret_file", "is of no use without --mesos_authentication_principal")
    _check_zookeeper(settings, refuse)
    for name in ("mesos_authentication_secret_file", "mesos_ca_file", "zk_ca_file", "zk_cert_file", "zk_key_file"):
        file = settings.values[name]
        if file and not os.access(file, os.R_OK):
            raise refuse(name, "cannot be read")
    zookeeper = settings.zookeeper
    if zookeeper is not None and zookeeper.tls:
        try:
            zookeeper.check_files()
        except OSError as error:
            name = "zk_ca_file" if settings.zk_ca_file else "zk_cert_file"
            raise refuse(name, f"no certificate can be read from it or its companions: {error}") from None
    for name in sorted(settings.sources):
        if BY_NAME[name].use == "refused" and settings.values[name]:
            raise refuse(name, BY_NAME[name].why_refused)
    if "http_credentials" in settings.sources and settings.credentials is None:
        raise refuse("http_credentials", "must be user:password; without the flag the server is open to everybody")
    _check_tls(settings, refuse)
    if settings.access_file and not os.access(settings.access_file, os.R_OK):
        raise refuse("access_file", "cannot be read")
    try:
        re.compile(settings.secret_variables)
    except re.error as error:
        raise refuse("secret_variables", f"is no regular expression: {error}") from None
    if '"' in settings.http_realm or "\\" in settings.http_realm:
        raise refuse("http_realm", "must not contain quotes or backslashes")
    if not settings.data_dir:
        raise refuse("data_dir", "must not be empty")
    _check_machine(settings, refuse)
    parse_attributes(settings.attributes)
    if settings.history_url:
        _check_url(settings, refuse("history_url", "no database can be reached by this URL"))


def _check_machine(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about agents and their resources can be read, and go together."""
    name = "resources"
    try:
        settings.machine  # noqa: B018
        name = "resource_order"
        unknown = settings.order_map.keys() - {"", *settings.roles}
    except ValueError as error:
        raise refuse(name, str(error)) from None
    if unknown:
        raise refuse(name, f"{sorted(unknown)[0]} is not one of --mesos_role")


def _check_tls(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about HTTPS go together."""
    for name in ("ssl_keystore_password", "ssl_client_ca_file", "disable_http"):
        if settings.values[name] and not settings.ssl_keystore_path:
            raise refuse(name, "is of no use without --ssl_keystore_path")
    for name in ("ssl_keystore_path", "ssl_client_ca_file"):
        if settings.values[name] and not os.access(settings.values[name], os.R_OK):
            raise refuse(name, "cannot be read")
    if settings.disable_http and settings.zk_hosts:
        raise refuse("disable_http", "cannot be with --zk_hosts: nodes speak HTTP with each other")
    if settings.ssl_keystore_path and settings.http_port == settings.https_port != 0 and not settings.disable_http:
        raise refuse("https_port", "is the port for HTTP, too")


def _check_zookeeper(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about ZooKeeper go together."""
    try:
        parse_hosts(settings.zk_hosts) if settings.zk_hosts else None
    except ValueError as error:
        raise refuse("zk_hosts", str(error)) from None
    try:
        clean_path(settings.zk_path)
    except ValueError as error:
        raise refuse("zk_path", str(error)) from None
    if settings.zk_auth and not re.fullmatch(r"[^:]+:.+", settings.zk_auth, re.DOTALL):
        raise refuse("zk_auth", "must be user:password")
    for name in ("zk_ca_file", "zk_cert_file", "zk_key_file"):
        if settings.values[name] and not settings.zk_tls:
            raise refuse(name, "is of no use without --zk_tls")
    if bool(settings.zk_cert_file) != bool(settings.zk_key_file):
        raise refuse("zk_cert_file" if settings.zk_cert_file else "zk_key_file", "needs the other file of the pair")
    if settings.zk_hosts and settings.master == "local" and settings.http_threads < GROUP_THREADS:
        raise refuse("http_threads", f"must be {GROUP_THREADS} at least with --zk_hosts and tasks on this machine")


def _check_url(settings: Settings, problem: BadSetting) -> None:
    """See that the history's URL is one, and that what speaks to its database is installed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_url(settings.history_url).get_dialect().import_dbapi()
    except ImportError as error:
        raise BadSetting("history_url", "(not shown)", f"{error}; is chronos-py[postgresql] installed?") from None
    except SQLAlchemyError:
        raise problem from None

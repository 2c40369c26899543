"""The server's options: every flag of Chronos by its own name, and ours. One table makes flags, variables and docs.

A value comes from, in this order: the command line, the environment (CHRONOS_<FLAG>, and three older names), a folder
with one file a flag (`--config_dir`, as Debian's packages of Chronos have it), the default.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chronos_py.errors import ChronosError

Kind = Literal["text", "int", "float", "flag"]
Use = Literal["used", "idle", "refused"]  # idle: accepted, without effect as yet; refused: would be unsafe to ignore


class BadSetting(ChronosError):
    """A flag has a value that cannot be used: nothing was started."""

    def __init__(self, flag: str, value: object, reason: str) -> None:
        super().__init__(f"--{flag} {value}: {reason}")
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Flag:
    """One option. `secret` values are never shown. `letter` is Chronos's short form where it never changed."""

    name: str
    kind: Kind
    default: Any
    text: str
    use: Use = "used"
    group: str = "Chronos"
    letter: str = ""
    secret: bool = False
    variable: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        own = f"CHRONOS_{self.name.upper()}"
        return (own, self.variable) if self.variable else (own,)


def _ours(name: str, kind: Kind, default: Any, text: str) -> Flag:
    return Flag(name, kind, default, text, group="chronos_py")


def _idle(name: str, kind: Kind, default: Any, text: str, *, letter: str = "", secret: bool = False) -> Flag:
    return Flag(name, kind, default, text, use="idle", letter=letter, secret=secret)


FLAGS: tuple[Flag, ...] = (
    Flag("master", "text", "local", "where tasks run: local is this machine", use="used"),
    Flag("user", "text", "root", "runAsUser of jobs that name none", letter="u"),
    Flag("hostname", "text", "", "name under which others reach this node; default: the machine's own"),
    Flag("http_address", "text", "0.0.0.0", "address to listen on"),
    Flag("http_port", "int", 8080, "port to listen on; 0 picks a free one"),
    Flag("http_credentials", "text", "", "user:password for every path", secret=True,
         variable="MESOSPHERE_HTTP_CREDENTIALS"),
    Flag("http_realm", "text", "Mesosphere", "realm of the 401 answer"),
    Flag("disable_http_compression", "flag", False, "never gzip answers"),
    Flag("http_compression", "flag", True, "gzip answers (the default)"),
    Flag("mesos_task_cpu", "float", 0.1, "cores of a job that asks for none"),
    Flag("mesos_task_mem", "float", 128.0, "MiB of memory of a job that asks for none"),
    Flag("mesos_task_disk", "float", 256.0, "MiB of disk of a job that asks for none"),
    Flag("task_epsilon", "int", 60, "seconds: the epsilon that 2.x shows, and the limit of catchUp skip", letter="t"),
    Flag("failure_retry", "int", 60000, "milliseconds from a failure to its retry"),
    Flag("disable_after_failures", "int", 0, "failures in a row after which a job is disabled; 0: never"),
    Flag("job_history_limit", "int", 5, "entries of a job's task history in /job/stat", letter="j"),
    Flag("zk_hosts", "text", "", "ZooKeeper servers", use="refused", letter="z"),
    Flag("disable_http", "flag", False, "serve HTTPS only", use="refused"),
    Flag("ssl_keystore_path", "text", "", "keystore for HTTPS", use="refused", variable="MESOSPHERE_KEYSTORE_PATH"),
    Flag("ssl_keystore_password", "text", "", "its password", use="refused", secret=True,
         variable="MESOSPHERE_KEYSTORE_PASS"),
    _idle("https_address", "text", "", "address for HTTPS"),
    _idle("https_port", "int", 8443, "port for HTTPS"),
    _idle("zk_path", "text", "/chronos/state", "path in ZooKeeper"),
    _idle("zk_timeout", "int", 10000, "milliseconds"),
    _idle("zk_auth", "text", "", "user:password for ZooKeeper", secret=True),
    _idle("failover_timeout", "int", 604800, "seconds that Mesos keeps tasks without us", letter="f"),
    _idle("schedule_horizon", "int", 60, "seconds of look-ahead of Chronos 2; runs need none here"),
    _idle("leader_max_idle_time", "int", 5000, "never had an effect", letter="l"),
    _idle("cluster_name", "text", "", "prefix of notifications"),
    _idle("webui_url", "text", "", "link that Mesos shows"),
    _idle("mesos_framework_name", "text", "chronos", "name in Mesos"),
    _idle("mesos_role", "text", "*", "role in Mesos"),
    _idle("mesos_checkpoint", "flag", True, "agents keep tasks over their restart"),
    _idle("mesos_authentication_principal", "text", "", "principal in Mesos"),
    _idle("mesos_authentication_secret_file", "text", "", "file with the secret"),
    _idle("reconciliation_interval", "int", 600, "seconds between reconciliations"),
    _idle("revive_offers_for_new_jobs", "flag", False, "ask for offers when work comes (always done)"),
    _idle("decline_offer_duration", "int", 5000, "milliseconds"),
    _idle("min_revive_offers_interval", "int", 5000, "milliseconds"),
    _idle("mail_server", "text", "", "host:port"),
    _idle("mail_user", "text", "", "user of the mail server"),
    _idle("mail_password", "text", "", "its password", secret=True),
    _idle("mail_from", "text", "", "sender of notifications"),
    _idle("mail_ssl", "flag", False, "TLS to the mail server"),
    _idle("raven_dsn", "text", "", "Sentry", letter="r", secret=True),
    _idle("slack_url", "text", "", "Slack webhook", secret=True),
    _idle("mattermost_url", "text", "", "Mattermost webhook", secret=True),
    _idle("http_notification_url", "text", "", "where to POST notifications"),
    _idle("http_notification_credentials", "text", "", "user:password for it", secret=True),
    _idle("cassandra_contact_points", "text", "", "history is built in", letter="c"),
    _idle("cassandra_port", "int", 9042, "history is built in"),
    _idle("cassandra_user", "text", "", "history is built in"),
    _idle("cassandra_password", "text", "", "history is built in", secret=True),
    _idle("cassandra_keyspace", "text", "metrics", "history is built in"),
    _idle("cassandra_table", "text", "chronos", "history is built in"),
    _idle("cassandra_stat_count_table", "text", "chronos_stat_count", "history is built in"),
    _idle("cassandra_consistency", "text", "ANY", "history is built in"),
    _idle("cassandra_ttl", "int", 31536000, "never had an effect"),
    _idle("graphite_host_port", "text", "", "host:port", letter="g"),
    _idle("graphite_reporting_interval", "int", 60, "seconds"),
    _idle("graphite_group_prefix", "text", "", "prefix of metric names"),
    _idle("assets_path", "text", "", "files of the web UI"),
    _ours("data_dir", "text", "chronos-data", "folder for state, history and sandboxes"),
    _ours("resources", "text", "", 'what this machine offers: "cpus:4;mem:8192;disk:50000" (MiB); default: all it has'),
    _ours("attributes", "text", "", 'this machine\'s attributes: "rack:r1;dc:x"'),
    _ours("unknown_task_timeout", "int", 600, "seconds after which a run of unknown fate counts as lost"),
    _ours("catch_up", "text", "one", "what becomes of missed due times: skip, one or all; a job's catchUp wins"),
    _ours("kill_grace", "float", 3.0, "seconds from TERM to KILL; a job's killGrace wins"),
    _ours("task_limits", "text", "auto", "how memory and CPU limits are set: auto, cgroup, rlimit or none"),
    _ours("output_max_size", "int", 10, "MiB kept of each of a task's stdout and stderr, twice"),
    _ours("sandbox_max_age", "int", 604800, "seconds that an ended task's sandbox is kept"),
    _ours("sandbox_max_size", "int", 10240, "MiB that ended tasks' sandboxes may take together"),
    _ours("history_url", "text", "", "SQLAlchemy URL of the history; default: a file in data_dir"),
    _ours("history_max_age", "int", 90, "days that ended runs are kept"),
    _ours("history_keep_per_job", "int", 100, "newest runs of each job that are kept whatever their age"),
    _ours("log_format", "text", "text", "text or json"),
    _ours("log_level", "text", "info", "debug, info, warning or error"),
    _ours("http_threads", "int", 24, "threads that answer requests; each open stream keeps one busy"),
    _ours("inbox_limit", "int", 10000, "requests that may wait for the engine; more are answered 503"),
    _ours("config_dir", "text", "", "folder with a file for each flag, named like it"),
    _ours("examples", "flag", False, "load the example jobs when there are no jobs yet"),
)  # fmt: skip
BY_NAME: Mapping[str, Flag] = {flag.name: flag for flag in FLAGS}
_CHOICES = {
    "catch_up": ("skip", "one", "all"),
    "task_limits": ("auto", "cgroup", "rlimit", "none"),
    "log_format": ("text", "json"),
    "log_level": ("debug", "info", "warning", "error"),
}
_LOWEST = {"http_port": 0, "http_threads": 2, "inbox_limit": 1, "failure_retry": 0, "output_max_size": 1}


@dataclass(frozen=True, slots=True)
class Settings:
    """All options' values, checked; `given` are those that somebody set."""

    values: Mapping[str, Any]
    given: frozenset[str] = frozenset()

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
        """Return (user, password), split at the last colon that leaves both."""
        text = str(self.values["http_credentials"])
        if not text:
            return None
        user, _, password = text.rpartition(":")
        return user, password

    @property
    def idle(self) -> list[str]:
        """Return the flags that were given and have no effect yet."""
        return sorted(name for name in self.given if BY_NAME[name].use == "idle")

    @property
    def amounts(self) -> dict[str, float]:
        return parse_amounts(str(self.values["resources"]))

    @property
    def attribute_map(self) -> dict[str, str]:
        pairs = [part.partition(":") for part in str(self.values["attributes"]).split(";") if part]
        return {name.strip(): value.strip() for name, _, value in pairs}


def parse_amounts(text: str) -> dict[str, float]:
    """Read `cpus:4;mem:8192;disk:50000`. Raises BadSetting."""
    amounts: dict[str, float] = {}
    for part in filter(None, text.split(";")):
        name, _, number = part.partition(":")
        if name.strip() not in ("cpus", "mem", "disk"):
            raise BadSetting("resources", text, f"{name!r} is not one of cpus, mem, disk")
        try:
            amounts[name.strip()] = float(number)
        except ValueError:
            raise BadSetting("resources", text, f"{number!r} is no number") from None
        if not 0 < amounts[name.strip()] < 1e12:
            raise BadSetting("resources", text, f"{number} is out of range")
    return amounts


def _convert(flag: Flag, value: Any) -> Any:
    if flag.kind == "flag":
        if isinstance(value, bool):
            return value
        if str(value).strip().lower() in ("", "true", "1", "yes"):
            return True
        if str(value).strip().lower() in ("false", "0", "no"):
            return False
        raise BadSetting(flag.name, value, "must be true or false")
    try:
        return {"int": int, "float": float, "text": str}[flag.kind](value)
    except ValueError:
        raise BadSetting(flag.name, value, f"must be a number ({flag.kind})") from None


def settle(command_line: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Put all sources together and check them. Raises BadSetting, naming flag and value."""
    environment = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    folder = command_line.get("config_dir") or environment.get("CHRONOS_CONFIG_DIR")
    if folder:
        given |= _from_folder(Path(str(folder)))
    for flag in FLAGS:
        for variable in flag.variables:
            if variable in environment:
                given[flag.name] = environment[variable]
                break
    given |= {name: value for name, value in command_line.items() if value is not None}
    values = {flag.name: _convert(flag, given[flag.name]) if flag.name in given else flag.default for flag in FLAGS}
    settings = Settings(values, frozenset(given))
    _check(settings)
    return settings


def _from_folder(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise BadSetting("config_dir", folder, "is no folder")
    found = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.name.lstrip("?") not in BY_NAME:
            raise BadSetting("config_dir", file.name, "is no flag")
        found[file.name.lstrip("?")] = file.read_text().strip()
    return found


def _check(settings: Settings) -> None:
    for name, choices in _CHOICES.items():
        if settings.values[name] not in choices:
            raise BadSetting(name, settings.values[name], f"must be one of {', '.join(choices)}")
    for name, lowest in _LOWEST.items():
        if settings.values[name] < lowest:
            raise BadSetting(name, settings.values[name], f"must be at least {lowest}")
    if settings.values["http_port"] > 65535:
        raise BadSetting("http_port", settings.values["http_port"], "must be at most 65535")
    if settings.values["master"] != "local":
        raise BadSetting("master", settings.values["master"], "this version runs tasks on this machine only: local")
    for name in sorted(settings.given):
        if BY_NAME[name].use == "refused" and settings.values[name]:
            raise BadSetting(name, "(given)", "not in this version, and too important to be ignored")
    credentials = settings.credentials
    if credentials is not None and not all(credentials):
        raise BadSetting("http_credentials", "(not shown)", "must be user:password")
    settings.amounts  # noqa: B018 - raises BadSetting

"""The table of options: every flag of Chronos by its own name, and ours. It makes flags, variables and docs.

`config` finds each one's value and checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["text", "int", "float", "flag"]
Use = Literal["used", "idle", "refused"]  # idle: accepted, without effect as yet; refused: would be unsafe to ignore

GREATEST = 2**31 - 1  # of numbers without a limit of their own


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

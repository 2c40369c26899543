"""The command `chronos-py`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from chronos_py import __version__, inquiries
from chronos_py.config import BadSetting, Settings, settle
from chronos_py.errors import InvalidInput
from chronos_py.flags import FLAGS, Flag
from chronos_py.scheduler.quotas import BadQuotas, parse_quotas
from chronos_py.transfer.commands import COMMANDS

BAD_USAGE = 2

FLAGS_IN_HELP = sorted(FLAGS, key=lambda flag: ("used", "refused", "idle").index(flag.use))
TYPES: dict[str, Any] = {"text": click.STRING, "int": click.INT, "float": click.FLOAT}
PRESENTED: dict[str, str] = {"used": "", "idle": "No effect in this version: ", "refused": "Not in this version: "}


@click.group(context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, prog_name="chronos-py")
def main() -> None:
    """A drop-in replacement for Chronos, the job scheduler."""


def _option(flag: Flag) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    names = [f"--{flag.name}", flag.name]
    if flag.letter:
        names.insert(0, f"-{flag.letter}")
    text = PRESENTED[flag.use] + flag.text
    text = text[0].upper() + text[1:]
    if flag.kind == "flag":
        return click.option(*names, is_flag=True, default=None, help=f"{text} (default: {flag.default_shown}).")
    shown = f" (default: {flag.default_shown})" if flag.default_shown else ""
    kind = click.Choice(flag.choices) if flag.choices else TYPES[flag.kind]
    return click.option(*names, type=kind, default=None, metavar=_metavar(flag), help=f"{text}{shown}.")


def _metavar(flag: Flag) -> str:
    return "|".join(flag.choices) or (flag.unit or {"text": "TEXT"}.get(flag.kind, "NUMBER"))


def _with_all_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command all flags; in the help those that have an effect come first."""
    for flag in FLAGS_IN_HELP[::-1]:
        command = _option(flag)(command)
    return command


@main.command(context_settings={"help_option_names": ["--help"], "max_content_width": 120})
@_with_all_flags
def serve(**given: Any) -> None:
    """Run the server until it is told to stop (SIGTERM or SIGINT); its tasks run on.

    Each flag can also be set by an environment variable, CHRONOS_<FLAG>, or by a file of its name in --config_dir.
    """
    try:
        settings = settle(given)
        parse_quotas(settings.quotas_text)
        _check_channels(settings)
        _check_access(settings)
    except (BadSetting, BadQuotas) as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)
    from chronos_py.serving import run_server

    sys.exit(run_server(settings))


def _check_channels(settings: Settings) -> None:
    from chronos_py.notify.settings import channels_of, events_of

    channels_of(settings)
    events_of(settings)


def _check_access(settings: Settings) -> None:
    """See that the file of users and tokens, and the address of Graphite, can be used. Raises BadSetting."""
    from chronos_py.api.principals import AccessFile, BadAccessFile
    from chronos_py.graphite import parse_address
    from chronos_py.serving import tls_of

    tls_of(settings)
    try:
        if settings.access_file:
            AccessFile(Path(settings.access_file))
    except BadAccessFile as error:
        raise BadSetting("access_file", settings.access_file, str(error)) from None
    try:
        if settings.graphite_host_port:
            parse_address(settings.graphite_host_port)
    except ValueError as error:
        raise BadSetting("graphite_host_port", settings.graphite_host_port, str(error)) from None


def _with_notification_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the flags that say where notifications go."""
    for flag in FLAGS_IN_HELP[::-1]:
        about = flag.name.startswith(("mail_", "http_notification_", "notification_"))
        if about or flag.name in ("slack_url", "mattermost_url", "raven_dsn", "cluster_name", "hostname", "config_dir"):
            command = _option(flag)(command)
    return command


@main.command("notify-test", context_settings={"help_option_names": ["--help"], "max_content_width": 120})
@click.option("--to", "owner", default="", help="Owner to tell; mail needs an address.")
@_with_notification_flags
def notify_test(owner: str, **given: Any) -> None:
    """Send a notification through each channel that is set up, and say what became of it.

    Exit status: 0 all were delivered, 1 one was not, 2 no channel is set up or a flag is wrong.
    """
    from chronos_py.notify.trial import try_all

    try:
        settings = settle(given)
        _check_channels(settings)
    except BadSetting as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)
    results = try_all(settings, owner)
    for name, problem in results.items():
        click.echo(f"{name}: {problem or 'delivered'}")
    if not results:
        click.echo("chronos-py: no channel is set up: see --mail_server, --slack_url and others in --help", err=True)
        sys.exit(BAD_USAGE)
    sys.exit(1 if any(results.values()) else 0)


@main.group()
def access() -> None:
    """Make entries for --access_file."""


@access.command("hash")
@click.password_option(help="Asked for when it is not given.")
def hash_password(password: str) -> None:
    """Print the hash of a user's password."""
    from chronos_py.api.principals import HASHER

    click.echo(HASHER.hash(password))


@access.command("token")
@click.argument("name")
@click.option("--role", type=click.Choice(("reader", "operator", "admin")), default="reader", show_default=True)
def make_token(name: str, role: str) -> None:
    """Make a token, for `Authorization: Bearer`. It is shown once: the file gets its hash only."""
    import secrets

    from chronos_py.api.principals import HASHER, BadAccessFile, parse

    secret = secrets.token_urlsafe(32)
    table = f'[tokens.{name}]\nhash = "{HASHER.hash(secret)}"\nrole = "{role}"\n'
    try:
        parse(table)
    except BadAccessFile as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)
    click.echo(f"# the token: {name}.{secret}\n{table}", nl=False)


DOCTORS_FLAGS = (
    "zk_hosts", "zk_path", "zk_timeout", "zk_auth", "zk_tls", "zk_ca_file", "zk_cert_file", "zk_key_file",
    "task_epsilon", "mesos_task_cpu", "mesos_task_mem", "mesos_task_disk", "user", "config_dir",
)  # fmt: skip


def _with_doctors_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag in FLAGS:
        if flag.name in DOCTORS_FLAGS:
            command = _option(flag)(command)
    return command


@main.command(context_settings={"help_option_names": ["--help"], "max_content_width": 120})
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON, with nothing left out.")
@_with_doctors_flags
def doctor(as_json: bool, **given: Any) -> None:
    """Say what taking over the Chronos in --zk_hosts and --zk_path would do; nothing is changed.

    Exit status: 0 all is well, 1 there are warnings, 2 it cannot be taken over.
    """
    try:
        settings = settle(given)
        if settings.zookeeper is None:
            raise BadSetting("zk_hosts", "", "is needed: the servers where Chronos keeps its jobs")
    except BadSetting as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)
    from chronos_py import doctor as doctors

    report = doctors.consult(settings)
    click.echo(doctors.as_json(report) if as_json else doctors.as_text(report))
    sys.exit(report.status)


SIMULATION_FLAGS = (
    "mesos_task_cpu", "mesos_task_mem", "mesos_task_disk", "failure_retry", "disable_after_failures", "catch_up",
    "task_epsilon", "priority_ageing", "quotas", "preemption_after", "preemptions_per_minute",
    "avoid_failed_agents_for", "suspect_agent_after", "suspect_agent_for", "config_dir",
)  # fmt: skip


def _with_simulation_flags(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag in FLAGS:
        if flag.name in SIMULATION_FLAGS:
            command = _option(flag)(command)
    return command


@main.command(context_settings={"help_option_names": ["--help"], "max_content_width": 120})
@click.option("--jobs", required=True, help="Job documents as /v1/scheduler/jobs gives them: an array, or one a line.")
@click.option("--agents", multiple=True, help="As `10*cpus:16;mem:65536;rack:r1`; may be given several times.")
@click.option("--from", "start", required=True, help="When it begins, by ISO 8601.")
@click.option("--to", "end", required=True, help="When it ends.")
@click.option("--seed", type=click.IntRange(0, 2**53), default=0, help="The same seed gives the same log.")
@click.option("--fail", "failing", type=click.FloatRange(0, 1), default=0.0, help="Share of attempts that fail.")
@click.option("--run_time", type=click.FloatRange(0, 1e8), default=60.0, help="Of tasks, in seconds, on average.")
@click.option("--outages", type=click.FloatRange(0, 1000), default=0.0, help="How often a day an agent goes away.")
@click.option("--outage_length", type=click.FloatRange(0.001, 1e8), default=600.0, help="For how long, in seconds.")
@click.option("--log", default=None, help="Where to write all that happens, one JSON object a line.")
@_with_simulation_flags
def simulate(
    jobs: str, agents: tuple[str, ...], start: str, end: str, seed: int, failing: float, run_time: float,
    outages: float, outage_length: float, log: str | None, **given: Any,
) -> None:  # fmt: skip
    """Say what would become of jobs on some agents: the engine itself, in virtual time. Nothing is started."""
    from chronos_py import simulate as simulations
    from chronos_py.clock import read_instant

    try:
        settings = settle(given)
        wanted = simulations.Wanted(
            Path(jobs), read_instant("from", start), read_instant("to", end), agents, seed, failing, run_time,
            outages, outage_length, Path(log) if log else None,
        )  # fmt: skip
        for line in simulations.simulate(wanted, settings):
            click.echo(line)
    except (BadSetting, BadQuotas, InvalidInput) as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def executor(words: tuple[str, ...]) -> None:
    """Run tasks for a Mesos agent, which starts this: many in one process. `--help` shows its options."""
    from chronos_py.executor.runtime.main import main as run_executor

    sys.exit(run_executor(words))


for inquiry in inquiries.COMMANDS:
    main.add_command(inquiry)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete commands and flags: `eval "$(chronos-py completion bash)"`."""
    from click.shell_completion import get_completion_class

    maker = get_completion_class(shell)
    assert maker is not None  # for the shells above, click has one
    click.echo(maker(main, {}, "chronos-py", "_CHRONOS_PY_COMPLETE").source())


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)


for command in COMMANDS:
    main.add_command(command)

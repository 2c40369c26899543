"""The command `chronos-py`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from chronos_py import __version__
from chronos_py.config import FLAGS, BadSetting, Flag, settle
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
    except (BadSetting, BadQuotas) as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(BAD_USAGE)
    from chronos_py.serving import run_server

    sys.exit(run_server(settings))


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


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def executor(words: tuple[str, ...]) -> None:
    """Run tasks for a Mesos agent, which starts this: many in one process. `--help` shows its options."""
    from chronos_py.executor.runtime.main import main as run_executor

    sys.exit(run_executor(words))


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

"""The command `chronos-py`."""

from __future__ import annotations

import sys
from typing import Any

import click

from chronos_py import __version__
from chronos_py.config import FLAGS, BadSetting, Flag, settle

TYPES: dict[str, Any] = {"text": click.STRING, "int": click.INT, "float": click.FLOAT}


@click.group(context_settings={"help_option_names": ["--help"]})
@click.version_option(__version__, prog_name="chronos-py")
def main() -> None:
    """A drop-in replacement for Chronos, the job scheduler."""


def _option(flag: Flag) -> Any:
    names = [f"--{flag.name}", flag.name]
    if flag.letter:
        names.insert(0, f"-{flag.letter}")
    text = flag.text
    if flag.use == "idle":
        text += " (no effect in this version)"
    elif flag.use == "refused":
        text += " (not in this version)"
    if flag.kind == "flag":
        return click.option(*names, is_flag=True, default=None, help=text)
    if flag.default not in ("", None):
        text += f" [default: {flag.default}]"
    return click.option(*names, type=TYPES[flag.kind], default=None, help=text)


def _with_all_flags(command: Any) -> Any:
    for flag in reversed(FLAGS):
        command = _option(flag)(command)
    return command


@main.command(context_settings={"help_option_names": ["--help"]})
@_with_all_flags
def serve(**given: Any) -> None:
    """Run the server until it is told to stop (SIGTERM or SIGINT; tasks run on)."""
    try:
        settings = settle(given)
    except BadSetting as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(2)
    from chronos_py.serving import run_server

    run_server(settings)


@main.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)

"""`chronos-py export`, `import`, `sync`, `convert` and `shadow`: jobs between servers, ZooKeeper and files.

Exit status of all: 0 done, or nothing to do; 1 there are differences that were only to be shown, or some definitions
could not be taken; 2 nothing was done.
"""

from __future__ import annotations

import datetime
import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from chronos_py.clock import SystemClock
from chronos_py.config import settle
from chronos_py.errors import ChronosError
from chronos_py.transfer.crontab import convert as convert_lines
from chronos_py.transfer.definitions import Document, name_of, without_counters
from chronos_py.transfer.files import read_definitions, write_folder, write_lines
from chronos_py.transfer.plan import Change, carry_out, make_plan
from chronos_py.transfer.remote import Remote
from chronos_py.transfer.shadow import Shadow
from chronos_py.transfer.zookeeper import read_tree

INCOMPLETE, FAILED = 1, 2
SETTINGS: dict[str, Any] = {"help_option_names": ["--help"], "max_content_width": 120}

_PLACE = click.argument("place", type=click.Path(path_type=Path))
_FORMAT = click.option(
    "--format", "form", type=click.Choice(["yaml", "jsonl"]), help="Default: jsonl for a PLACE that ends so, else yaml."
)


def _with_server(command: Callable[..., Any]) -> Callable[..., Any]:
    where = click.option("--url", help="Server, Chronos 2.x, 3.x or ours: http://chronos.example.org:4400.")
    who = click.option(
        "--credentials", envvar="CHRONOS_CREDENTIALS", default="", help="user:password; better in CHRONOS_CREDENTIALS."
    )
    return where(who(command))


def _with_zookeeper(command: Callable[..., Any]) -> Callable[..., Any]:
    hosts = click.option("--zk_hosts", help="Read ZooKeeper instead of a server: zk1:2181,zk2:2181.")
    path = click.option("--zk_path", help="Path in ZooKeeper (default: /chronos/state).")
    auth = click.option("--zk_auth", help="user:password for ZooKeeper.")
    return hosts(path(auth(command)))


def _source(
    url: str | None, credentials: str, zk_hosts: str | None, zk_path: str | None, zk_auth: str | None
) -> Callable[[], tuple[list[Document], list[str]]]:
    """Return what reads all jobs, and tells what of them cannot be read. Raises ChronosError."""
    if bool(url) == bool(zk_hosts):
        raise ChronosError("give either --url or --zk_hosts")
    if url:
        remote = Remote(url, credentials)
        return lambda: (remote.jobs(), [])
    settings = settle({"zk_hosts": zk_hosts, "zk_path": zk_path, "zk_auth": zk_auth})
    return lambda: read_tree(settings)


def _say(text: str) -> None:
    click.echo("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def _fail(error: object) -> None:
    click.echo(f"chronos-py: {error}", err=True)
    sys.exit(FAILED)


def _write(place: Path, form: str | None, documents: Sequence[Document]) -> None:
    if (form or ("jsonl" if place.suffix in (".jsonl", ".json") else "yaml")) == "jsonl":
        write_lines(place, documents)
    else:
        write_folder(place, documents)


@click.command(context_settings=SETTINGS)
@_PLACE
@_with_server
@_FORMAT
@_with_zookeeper
@click.option("--no-counters", is_flag=True, help="Leave out successCount and the like in JSON lines too.")
def export(place: Path, form: str | None, no_counters: bool, **where: Any) -> None:
    """Write all jobs into PLACE: a folder of YAML files as chronos-sync has it, or a file of JSON lines.

    YAML files have no counters; JSON lines are the documents as the server has them, counters and all.
    """
    try:
        documents, problems = _source(**where)()
        documents.sort(key=name_of)
        _write(place, form, [without_counters(document) for document in documents] if no_counters else documents)
    except (ChronosError, OSError, ValueError) as error:
        _fail(error)
    for problem in problems:
        click.echo(f"chronos-py: left out: {problem}", err=True)
    _say(f"{len(documents)} jobs written to {place}")
    sys.exit(INCOMPLETE if problems else 0)


@click.command("import", context_settings=SETTINGS)
@_PLACE
@_with_server
@click.option("--replace", is_flag=True, help="Also send jobs that the server has otherwise.")
def import_(place: Path, url: str | None, credentials: str, replace: bool) -> None:
    """Send the jobs in PLACE to a server, parents first, each as it stands, with the counters it has.

    Jobs that the server has just so are left alone; one that it has otherwise stops the import, without --replace.
    """
    remote, changes = _planned(place, url, credentials, prune=False)
    others = [change for change in changes if change.kind == "update"]
    if others and not replace:
        names = ", ".join(change.name for change in others[:10])
        _fail(f"{len(others)} jobs are there already and differ ({names}): give --replace, or use sync")
    whole = {name_of(document): document for document in read_definitions(place)}
    _do([Change(change.kind, change.name, after=whole[change.name]) for change in changes], remote)


@click.command(context_settings=SETTINGS)
@_PLACE
@_with_server
@click.option("--prune", is_flag=True, help="Delete jobs that PLACE does not define.")
@click.option("--check", is_flag=True, help="Only show what would be done; exit status 1 when that is something.")
@click.option("--yes", is_flag=True, help="Do not ask before jobs are deleted.")
def sync(place: Path, url: str | None, credentials: str, prune: bool, check: bool, yes: bool) -> None:
    """Make a server's jobs what PLACE defines: shows each difference, then sends only jobs that differ.

    Counters, how far a schedule has come, and whatever PLACE does not mention stay as they are on the server.
    """
    remote, changes = _planned(place, url, credentials, prune=prune)
    for change in changes:
        for line in change.lines():
            _say(line)
    if not changes:
        _say("nothing to do")
    if check or not changes:
        sys.exit(INCOMPLETE if changes else 0)
    gone = [change.name for change in changes if change.kind == "delete"]
    if gone and not yes and not click.confirm(f"Delete {len(gone)} jobs?"):
        _fail("nothing was done")
    _do(changes, remote)


def _planned(place: Path, url: str | None, credentials: str, *, prune: bool) -> tuple[Remote, list[Change]]:
    try:
        if not url:
            raise ChronosError("--url is needed: the server to send to")
        definitions = read_definitions(place)
        remote = Remote(url, credentials)
        return remote, make_plan(definitions, remote.jobs(), prune=prune)
    except (ChronosError, OSError) as error:
        _fail(error)
        raise AssertionError("unreachable") from error


def _do(changes: Sequence[Change], remote: Remote) -> None:
    failed = 0
    for _, problem in carry_out(changes, remote):
        failed += bool(problem)
        if problem:
            click.echo(f"chronos-py: {problem}", err=True)
    _say(f"{len(changes) - failed} of {len(changes)} done")
    sys.exit(INCOMPLETE if failed else 0)


@click.group(context_settings=SETTINGS)
def convert() -> None:
    """Make jobs of what other schedulers have."""


@convert.command(context_settings=SETTINGS)
@click.argument("file", type=click.File("r"))
@_PLACE
@_FORMAT
@click.option("--system", is_flag=True, help="A user stands before each command, as in /etc/crontab.")
@click.option("--zone", default="UTC", help="Zone of the times, where no CRON_TZ says another (default: UTC).")
@click.option("--owner", default="", help="Owner of the jobs, where no MAILTO says another.")
@click.option("--prefix", default="cron", help="Names are PREFIX-LINE (default: cron).")
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First day (default: today).")
def crontab(
    file: Any, place: Path, form: str | None, system: bool, zone: str, owner: str, prefix: str, start: Any
) -> None:
    """Write jobs for a crontab's lines into PLACE, where an interval means exactly the same; say where none does."""
    first = start.date() if start else datetime.datetime.now(datetime.UTC).date()
    try:
        lines = list(convert_lines(file.read(), start=first, zone=zone, system=system, owner=owner, prefix=prefix))
        jobs = [job for line in lines for job in line.jobs]
        _write(place, form, jobs)
    except (ChronosError, OSError, ValueError) as error:
        _fail(error)
    left = [line for line in lines if line.problem]
    for line in left:
        click.echo(f"chronos-py: line {line.number}: {line.problem}: {line.line}", err=True)
    _say(f"{len(lines) - len(left)} of {len(lines)} lines became {len(jobs)} jobs in {place}")
    sys.exit(INCOMPLETE if left else 0)


@click.command(context_settings=SETTINGS)
@_with_server
@_with_zookeeper
@click.option("--every", default=5.0, type=click.FloatRange(0.05), help="Seconds between two looks (default: 5).")
@click.option("--looks", type=click.IntRange(1), help="End after so many looks (default: when it is interrupted).")
@click.option("--late", default=60.0, help="Seconds after which a launch that did not come is late (default: 60).")
@click.option("--log", type=click.File("a"), help="File for everything that is seen, a JSON document a line.")
def shadow(every: float, looks: int | None, late: float, log: Any, **where: Any) -> None:
    """Follow a live Chronos and run nothing: predict each launch, and tell where Chronos did something else.

    Exit status: 0 it did all as predicted, 1 there were differences, 2 it cannot be followed.
    """
    try:
        source = _source(**where)
    except (ChronosError, ValueError) as error:
        _fail(error)
    follower, count, differences, jobs = Shadow(round(late * 1000)), 0, 0, 0
    clock, done = SystemClock(), 0
    with suppress(KeyboardInterrupt):
        while looks is None or done < looks:
            if done:
                time.sleep(every)
            done += 1
            try:
                documents, _ = source()
                jobs, found = len(documents), follower.look(documents, clock.now())
            except ChronosError as error:
                click.echo(f"chronos-py: could not be looked at: {error}", err=True)
                continue
            for sighting in found:
                count += sighting.kind in ("launched", "ended")
                differences += sighting.differs
                if log:
                    log.write(f"{json.dumps(sighting.document(), ensure_ascii=False)}\n")
                    log.flush()
                if sighting.differs:
                    times = sighting.document()
                    _say(f"{sighting.job}: {sighting.kind}: predicted {times['predicted'] or '-'}, seen "
                         f"{times['seen'] or '-'} {sighting.text}".rstrip())  # fmt: skip
    _say(f"{jobs} jobs, {count} launches and ends as predicted, {differences} differences")
    sys.exit(INCOMPLETE if differences else 0)


COMMANDS: tuple[click.Command, ...] = (export, import_, sync, convert, shadow)

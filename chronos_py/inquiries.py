"""Commands that ask a running server over its public API: `why`, `resources`, `statistics`, `queue`."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import click

DEFAULT_URL = "http://127.0.0.1:8080"
PATIENCE_S = 30
LARGEST = 64 * 1024 * 1024  # bytes of an answer
SERVER, NO_SERVER = 1, 2  # exit status: the server says no; there is no server, or it cannot be understood


class Refused(Exception):
    """The server was not reached, or said no; `status` is the exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


def ask(url: str, path: str, credentials: str, query: dict[str, Any] | None = None) -> Any:
    """Return the JSON answer to GET. Raises Refused."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Refused(f"--url {url}: must begin with http:// or https://", NO_SERVER)
    given = {name: value for name, value in (query or {}).items() if value is not None}
    address = f"{url.rstrip('/')}{path}" + (f"?{urlencode(given)}" if given else "")
    request = Request(address, headers={"Accept": "application/json"})
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read(LARGEST))
    except HTTPError as error:
        raise Refused(_said(error), SERVER) from None
    except (URLError, OSError) as error:
        raise Refused(f"{url} cannot be reached: {getattr(error, 'reason', error)}", NO_SERVER) from None
    except ValueError:
        raise Refused(f"{address}: the answer is no JSON; is this a Chronos?", NO_SERVER) from None


def _said(error: HTTPError) -> str:
    try:
        form = json.loads(error.read(LARGEST))
        text = form.get("message") or (form.get("error") or {}).get("message") or ""
    except (ValueError, AttributeError, OSError):
        text = ""
    if error.code == 401:
        return "the server wants credentials: --credentials user:password, or CHRONOS_HTTP_CREDENTIALS"
    return f"the server says {error.code}: {text or error.reason}"


# --- texts


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return columns with blanks between them; numbers to the right."""
    lines = [[("-" if cell is None else str(cell)) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *lines]) for column in range(len(head))]
    right = [bool(lines) and all(_is_number(line[column]) for line in lines) for column in range(len(head))]
    shown = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in [list(head), *lines]
    ]
    return "\n".join(shown)


def _is_number(text: str) -> bool:
    return text == "-" or text.rstrip("%s").replace(".", "", 1).replace("-", "", 1).isdigit()


def why_text(form: dict[str, Any]) -> str:
    lines = [f"{form['code']}: {form['sentence']}"]
    for name, value in form["detail"].items():
        if name == "placement":
            lines.append(f"  placed: {value['sentence']}")
            value = {key: item for key, item in value.items() if key != "sentence"}
        lines.append(f"  {name}: {_plain(value)}")
    return "\n".join(lines)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    return str(value)


_AMOUNTS = ("cpus", "mem", "disk", "gpus")


def resources_text(form: dict[str, Any]) -> str:
    rows = [(name, *(form[name][kind] for kind in _AMOUNTS)) for name in ("total", "used", "usedByUs", "free")]
    rows += [(f"role {role}", *(amounts[kind] for kind in _AMOUNTS)) for role, amounts in form["reserved"].items()]
    parts = [f"{form['agents']} agents, {form['running']} tasks", table(("", *_AMOUNTS), rows)]
    if form["slots"] is not None:
        parts[0] += f", room for {form['slots']} more of this shape"
    for key, name in (("byAttribute", "value"), ("byAgent", "agent")):
        if key in form:
            found = [
                (one[name] or "(none)", one.get("host", one.get("agents")), one["total"]["cpus"], one["used"]["cpus"],
                 one["free"]["cpus"], one["free"]["mem"], one["free"]["disk"], one["slots"])
                for one in form[key]
            ]  # fmt: skip
            second = "host" if key == "byAgent" else "agents"
            head = (name, second, "cpus", "used", "free cpus", "free mem", "free disk", "slots")
            parts.append(table(head, found))
    parts.append(f"{form['queue']['waiting']} runs wait")
    levels = form["queue"]["byPriority"]
    if levels:
        rows = [(one["priority"], one["waiting"], one["oldestRun"], f"{one['oldestWait']:.1f}s") for one in levels]
        parts.append(table(("priority", "waiting", "oldest run", "waits for"), rows))
    return "\n\n".join(parts)


_COUNTS = ("due", "success", "failed", "timedOut", "lost", "killed", "preempted", "skipped", "merged", "launched")


def statistics_text(form: dict[str, Any]) -> str:
    rows = form["rows"]
    if not rows:
        return "nothing ended in this time"
    groups = [name for name in rows[0] if name not in _COUNTS and isinstance(rows[0][name], str)]

    def seconds(row: dict[str, Any], name: str, part: str) -> str | None:
        value = (row.get(name) or {}).get(part)
        return None if value is None else f"{value / 1000:g}s"

    head = (*groups, *_COUNTS, "wait p50", "p99", "run p50", "p99")
    lines = [
        (
            *(row[name] for name in groups),
            *(row.get(name) for name in _COUNTS),
            *(seconds(row, name, part) for name in ("wait", "runTime") for part in ("p50", "p99")),
        )
        for row in rows
    ]
    return table(head, lines)


def queue_text(form: dict[str, Any]) -> str:
    rows = [
        (run["run"], run["job"], run["priority"], run["due"], (run["waiting"] or {}).get("sentence", ""))
        for run in form["runs"]
    ]
    text = f"{form['total']} runs wait"
    return f"{text}\n\n{table(('run', 'job', 'priority', 'due', 'why'), rows)}" if rows else text


# --- commands


def _server(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the server's answer as it is."),
        click.option(
            "--credentials", envvar="CHRONOS_HTTP_CREDENTIALS", default="", metavar="USER:PASSWORD",
            help="For a server with --http_credentials (variable: CHRONOS_HTTP_CREDENTIALS).",
        ),
        click.option(
            "--url", envvar="CHRONOS_URL", default=DEFAULT_URL, help=f"The server (CHRONOS_URL; {DEFAULT_URL})."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def _tell(
    url: str,
    path: str,
    credentials: str,
    as_json: bool,
    text: Callable[[Any], str],
    query: dict[str, Any] | None = None,
) -> None:
    try:
        form = ask(url, path, credentials, query)
        click.echo(json.dumps(form) if as_json else text(form))
    except Refused as error:
        click.echo(f"chronos-py: {error}", err=True)
        sys.exit(error.status)
    except (KeyError, TypeError, AttributeError) as error:
        click.echo(f"chronos-py: {url} answers what this version does not know: {error!r}", err=True)
        sys.exit(NO_SERVER)


@click.command()
@click.argument("run", type=click.IntRange(0, 2**63 - 1))
@_server
def why(run: int, url: str, credentials: str, as_json: bool) -> None:
    """Say why run number RUN waits, is where it is, or ended."""
    _tell(url, f"/api/runs/{run}/why", credentials, as_json, why_text)


@click.command()
@click.option("--cpus", type=float, help="How many tasks of this shape would still fit: cores,")
@click.option("--mem", type=float, help="MiB of memory,")
@click.option("--disk", type=float, help="MiB of disk,")
@click.option("--gpus", type=float, help="GPUs.")
@click.option("--attribute", help="Group by this attribute of agents.")
@click.option("--agents", is_flag=True, help="List each agent.")
@_server
def resources(agents: bool, url: str, credentials: str, as_json: bool, **query: Any) -> None:
    """Say what the agents have, what is used and free, and what waits."""
    query["agents"] = "true" if agents else None
    _tell(url, "/api/resources", credentials, as_json, resources_text, query)


@click.command()
@click.option("--from", "from_", metavar="TIME", help="ISO 8601; a day ago if it is not given.")
@click.option("--to", metavar="TIME")
@click.option("--by", help="job, owner, label, host, exit; several with commas; see docs/statistics.md.")
@click.option("--per", help="A time bucket, for example hour or day.")
@click.option("--job", help="Of this job alone.")
@click.option("--owner", help="Of this owner's jobs alone.")
@click.option("--label", multiple=True, metavar="NAME=VALUE", help="Of jobs with this label alone; several: with all.")
@_server
def statistics(from_: str | None, url: str, credentials: str, as_json: bool, **query: Any) -> None:
    """Say how many runs succeeded, failed, waited how long: from the roll-ups of history."""
    _tell(url, "/api/statistics", credentials, as_json, statistics_text, {"from": from_, **query})


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many are listed (20).")
@_server
def queue(limit: int, url: str, credentials: str, as_json: bool) -> None:
    """List what waits, first in order first, and why."""
    _tell(url, "/api/queue", credentials, as_json, queue_text, {"limit": limit})


COMMANDS = (why, resources, statistics, queue)

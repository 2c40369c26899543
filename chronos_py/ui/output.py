"""A task's output in pages: the end of it, any part, what has come since, the whole as a file, a search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from chronos_py.api.backend import Backend
from chronos_py.api.parameters import number
from chronos_py.errors import ChronosError, InvalidInput, UnknownTask
from chronos_py.ui.ansi import Look, as_html
from chronos_py.ui.frame import Ui
from chronos_py.ui.text import shown

STREAMS = ("stdout", "stderr")
SHOWN = 64 * 1024  # bytes of a part
BLOCK = 1024 * 1024
SEARCHED = 32 * 1024 * 1024  # bytes, in one request
MOST_HITS = 100
AROUND = 120  # bytes before and after what was found
LONGEST_WORD = 200


@dataclass(frozen=True, slots=True)
class Task:
    """Where output comes from."""

    id: str
    agent: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a task's output, from byte `start` to `end` of `size`; `look` is how text looks at its end."""

    html: Markup
    start: int
    end: int
    size: int
    ended: bool
    look: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where something was found, with a little around it."""

    offset: int
    before: str
    found: str
    after: str


@dataclass(frozen=True, slots=True)
class Search:
    """What was found up to byte `end`; `more`: there is more to search."""

    hits: tuple[Hit, ...]
    end: int
    more: bool


def task_of(backend: Backend, run: int, attempt: int) -> Task:
    """Return an attempt's task, under way or ended. Raises UnknownTask."""
    active = backend.view.runs.get(run)
    if active is not None and active.launched is not None and active.attempt == attempt:
        return Task(active.task_id, active.agent_id)
    for ended in backend.history.attempts(run):
        if ended.attempt == attempt:
            return Task(ended.task_id, ended.agent_id)
    raise UnknownTask(f"{run}/{attempt}")


def read_part(backend: Backend, task: Task, stream: str, offset: int, look: str = "") -> Part:
    """Return at most SHOWN bytes from `offset` on, a negative one counted from the end. A character that is cut at
    the end is left for the next part; one that is cut at the beginning is shown as such."""
    chunk = backend.output(task.id, stream, offset, SHOWN, task.agent)
    data = chunk.data if chunk.ended and chunk.offset + len(chunk.data) >= chunk.size else _whole(chunk.data)
    html, after = as_html(data.decode("utf-8", "replace"), Look.parse(look))
    return Part(html, chunk.offset, chunk.offset + len(data), chunk.size, chunk.ended, str(after))


def _whole(data: bytes) -> bytes:
    """Return data without the beginning of a character of UTF-8 at its end."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0xC0:
            needs = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data[:-back] if needs > back and len(data) > back else data
        if byte < 0x80:
            break
    return data


def search(backend: Backend, task: Task, stream: str, word: str, start: int) -> Search:
    """Find a text, capital or small letters alike, from byte `start` on, in a bounded part of the output."""
    hits: list[Hit] = []
    wanted, at = word.encode().lower(), start
    kept = b""  # the end of the block before, in which the text may begin
    while at - start < SEARCHED:
        chunk = backend.output(task.id, stream, at, BLOCK, task.agent)
        if not chunk.data:
            return Search(tuple(hits), at, False)
        block, base = kept + chunk.data, chunk.offset - len(kept)
        lower, place = block.lower(), 0
        while (place := lower.find(wanted, place)) >= 0:
            end = place + len(wanted)
            hits.append(_hit(block, base, place, end))
            place = end
            if len(hits) >= MOST_HITS:
                return Search(tuple(hits), base + end, True)
        kept = block[-(len(wanted) - 1) :] if len(wanted) > 1 else b""
        at = chunk.offset + len(chunk.data)
    return Search(tuple(hits), at, True)


def _around(place: int, end: int) -> tuple[tuple[int, int], ...]:
    return (max(0, place - AROUND), place), (place, end), (end, end + AROUND)


def _text(data: bytes) -> str:
    return shown(data.decode("utf-8", "replace"), 2 * AROUND)


def _hit(block: bytes, base: int, place: int, end: int) -> Hit:
    """Return what was found with the rest of its line, as far as it is near."""
    before, found, after = (block[a:b] for a, b in _around(place, end))
    return Hit(base + place, _text(before.rpartition(b"\n")[2]), _text(found), _text(after.partition(b"\n")[0]))


def word_asked() -> str:
    """Return what is searched for. Raises InvalidInput."""
    word = request.args.get("find", "")
    if len(word) > LONGEST_WORD:
        raise InvalidInput("find", word[:50], f"must not be longer than {LONGEST_WORD} characters")
    return word


def _stream(name: str) -> str:
    if name not in STREAMS:
        raise UnknownTask(name)
    return name


def add_output(blueprint: Blueprint, ui: Ui) -> None:
    """Add what the page of a run fetches: new output as HTML, and the whole as a file."""
    place = "/ui/run/<int(max=9223372036854775807):number>/<int(max=100000):attempt>/<stream>"

    @blueprint.get(f"{place}/part")
    def output_part(number: int, attempt: int, stream: str) -> ResponseReturnValue:
        offset, look = _offset(), request.args.get("look", "")
        part = read_part(ui.backend, task_of(ui.backend, number, attempt), _stream(stream), offset, look)
        response = Response(str(part.html), content_type="text/html; charset=utf-8")
        for name, value in (("Start", part.start), ("End", part.end), ("Size", part.size), ("Look", part.look)):
            response.headers[f"X-{name}"] = str(value)
        response.headers["X-Ended"] = "true" if part.ended and part.end >= part.size else "false"
        return response

    @blueprint.get(f"{place}/file")
    def output_file(number: int, attempt: int, stream: str) -> ResponseReturnValue:
        task = task_of(ui.backend, number, attempt)
        read = ui.backend.output  # as this request may see it
        first = read(task.id, _stream(stream), 0, 1, task.agent)  # an unknown task is an answer

        def blocks() -> Iterator[bytes]:
            at = 0
            while at < first.size:
                try:
                    chunk = read(task.id, stream, at, min(BLOCK, first.size - at), task.agent)
                except ChronosError:
                    return
                if not chunk.data:
                    return
                yield chunk.data
                at = chunk.offset + len(chunk.data)

        response = Response(blocks(), content_type="application/octet-stream")
        response.headers["Content-Disposition"] = f'attachment; filename="run-{number}-{attempt}.{stream}.txt"'
        return response


def _offset() -> int:
    return number("offset", 0, -(2**62), 2**62)

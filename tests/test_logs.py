"""The log's form, and what does not get into it."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from chronos_py import logs


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    root, hook = logging.getLogger(), threading.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    threading.excepthook = hook
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host/path", "http://user:(not shown)@host/path"),
        ("see postgresql+psycopg://u:p@ss@db:5432/x now", "see postgresql+psycopg://u:(not shown)@db:5432/x now"),
        ("zk://:secret@zk", "zk://:(not shown)@zk"),
        ("http://host:4400/a@b", "http://host:4400/a@b"),
        ("http://user@host/", "http://(not shown)@host/"),  # it may be a token
        ("http://host?at=a@b", "http://host?at=a@b"),
        ("nothing", "nothing"),
    ],
)
def test_passwords_in_urls_are_not_shown(text: str, shown: str):
    assert logs.without_passwords(text) == shown


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_stay_out_whoever_logs(form: str, capsys: pytest.CaptureFixture[str]):
    logs.set_up(form)
    log = structlog.get_logger("ours")
    log.info("a", password="geheim", zk_auth="geheim", environment={"A": "geheim"}, uri="ftp://u:geheim@h/x")
    logging.getLogger("theirs").info("to %s", "http://u:geheim@h")
    try:
        raise ConnectionError("no answer from amqp://u:geheim@h")
    except ConnectionError:
        log.exception("failed")
        logging.getLogger("theirs").exception("failed")
    said = capsys.readouterr().err
    assert said.count("(not shown)") == 9
    assert "geheim" not in said
    assert "ConnectionError" in said


def test_json_has_one_object_a_line_and_the_shared_fields_first(capsys: pytest.CaptureFixture[str]):
    logs.set_up("json")
    log = logs.bound(structlog.get_logger("ours"), run=7, job="a\nb", agent=None)
    log.warning("late", seconds=3, epoch=2)
    logging.getLogger("theirs").info("a %s with {braces} and 100%%", "text")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert list(first)[:3] == ["job", "run", "epoch"]
    assert (first["job"], first["event"], first["level"], first["logger"]) == ("a\nb", "late", "warning", "ours")
    assert "agent" not in first
    assert first["timestamp"].endswith("Z")
    assert second["event"] == "a text with {braces} and 100%"


@pytest.mark.parametrize(("level", "lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_holds_for_all(level: str, lines: int, capsys: pytest.CaptureFixture[str]):
    logs.set_up("json", level)
    for logger in (structlog.get_logger("ours"), logging.getLogger("theirs")):
        logger.debug("1")
        logger.info("2")
        logger.warning("3")
        logger.error("4")
    assert len(capsys.readouterr().err.splitlines()) == 2 * lines


def test_a_value_with_a_line_break_does_not_forge_a_line(capsys: pytest.CaptureFixture[str]):
    logs.set_up("text")
    structlog.get_logger("ours").info("deleted", job="a\n2026-01-01T00:00:00Z [info] forged")
    logging.getLogger("theirs").info("access by %s", "a\n2026-01-01T00:00:00Z [info] forged \x1b[2J")
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert "\x1b" not in said


def test_what_ends_a_thread_is_logged(capsys: pytest.CaptureFixture[str]):
    logs.set_up("json")
    thread = threading.Thread(target=lambda: 1 / 0, name="divider")
    thread.start()
    thread.join()
    line = json.loads(capsys.readouterr().err)
    assert "divider" in line["event"]
    assert "ZeroDivisionError" in line["exception"]


def test_warnings_are_logged(capsys: pytest.CaptureFixture[str]):
    logs.set_up("json")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in json.loads(capsys.readouterr().err)["event"]

"""Structured logs on standard error, as text or JSON; gunicorn's and other libraries' go the same way.

What is secret stays out: values under a name that says so, and passwords inside URLs, wherever they stand in a line.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET = re.compile(r"passw|secret|credential|token|environment|authorization|_auth$|_dsn$", re.IGNORECASE)
PASSWORD_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s]+@")  # greedy: a password may hold an @
TOKEN_IN_URL = re.compile(r"(://)[^/\s:@?#\"'<>]+@")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")
HIDDEN = "(not shown)"
ORDER = ("job", "run", "attempt", "task", "agent", "epoch")  # fields that many lines share come first


def without_passwords(text: str) -> str:
    """Return the text with the passwords inside its URLs hidden, and what may be a token alone."""
    if "://" not in text:
        return text
    return PASSWORD_IN_URL.sub(rf"\g<1>{HIDDEN}@", TOKEN_IN_URL.sub(rf"\g<1>{HIDDEN}@", text))


def bound(logger: Any, **fields: Any) -> Any:
    """Return the logger with fields in each of its lines, the shared ones by their usual names: see ORDER."""
    return logger.bind(**{name: value for name, value in fields.items() if value is not None})


def _masked(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if SECRET.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            event[key] = without_passwords(value)
    return event


def _one_line(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep a sentence of another library, which may have a client's words in it, to its line."""
    event["event"] = CONTROL.sub(_escaped, str(event.get("event", "")))
    return event


def _escaped(found: re.Match[str]) -> str:
    """Return what no line may hold, for it could begin another, or steer a terminal."""
    return found[0].encode("unicode_escape").decode()


def _in_order(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: event[name] for name in ORDER if name in event} | dict(event)


def _traceback_without_passwords(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if isinstance(event.get("exception"), str):
        event["exception"] = without_passwords(event["exception"])
    return event


def set_up(form: str = "text", level: str = "info") -> None:
    """Send all logs of the process to standard error. `form` is text or json."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        _masked,
        _in_order,
    ]
    last: list[Any] = [_one_line, structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)]
    if form == "json":
        last = [structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _traceback_without_passwords,
                *last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    threading.excepthook = _thread_failed
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """Log what nobody caught in a thread, where others would only print it."""
    if failure.exc_type is SystemExit:
        return
    name = failure.thread.name if failure.thread is not None else "?"
    information: Any = (failure.exc_type, failure.exc_value, failure.exc_traceback)
    logging.getLogger(__name__).critical("a thread ended by an error: %s", name, exc_info=information)

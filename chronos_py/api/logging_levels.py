"""/logging: shows and changes the levels of loggers, as a page with a form or as JSON."""

from __future__ import annotations

import html
import json
import logging

import structlog
from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from chronos_py.api.transport import JSON, answer, json_body, quality
from chronos_py.errors import Forbidden, InvalidInput

log = structlog.get_logger(__name__)

ROOT = "root"
LEVELS = {"DEBUG": logging.DEBUG, "INFO": logging.INFO, "WARNING": logging.WARNING, "ERROR": logging.ERROR}
SHOWN = [*LEVELS, "OFF"]
# What Chronos's loggers called theirs.
SAME = {
    "ALL": "DEBUG", "TRACE": "DEBUG", "FINEST": "DEBUG", "FINER": "DEBUG", "FINE": "DEBUG", "CONFIG": "INFO",
    "WARN": "WARNING", "SEVERE": "ERROR", "FATAL": "ERROR",
}  # fmt: skip
OFF = logging.CRITICAL + 10
MOST = 1000  # loggers that are listed

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Logging</title></head>
<body><h1>Logging</h1>
<table><tr><th>logger</th><th>level</th></tr>
{rows}
</table>
<form method="post" action="/logging"><label>logger <input name="logger" value="root"></label>
<label>level <select name="level"><option value="">as above it</option>{options}</select></label>
<button>set</button></form></body></html>
"""


def levels() -> dict[str, str | None]:
    """Return each logger's own level, None where that of the logger above it counts."""
    found: dict[str, str | None] = {ROOT: _name(logging.getLogger().level)}
    for name, logger in sorted(logging.root.manager.loggerDict.copy().items()):
        if isinstance(logger, logging.Logger) and len(found) < MOST:
            found[name] = _name(logger.level)
    return found


def set_level(name: str, level: str) -> None:
    """Give a logger a level; an empty one takes it away. It lasts as long as the process. Raises InvalidInput."""
    wanted = SAME.get(level.strip().upper(), level.strip().upper())
    if wanted not in LEVELS and wanted not in ("", "OFF"):
        raise InvalidInput("level", level, f"must be one of {', '.join(SHOWN)}, or empty")
    root = name in ("", ROOT)
    if root and not wanted:
        raise InvalidInput("level", level, "the root logger needs one")
    if not root and name not in logging.root.manager.loggerDict:  # a name costs memory for ever
        raise InvalidInput("logger", name, "there is no such logger")
    value = OFF if wanted == "OFF" else LEVELS.get(wanted, logging.NOTSET)
    logging.getLogger("" if root else name).setLevel(value)
    log.warning("log level changed", logger_name=name or ROOT, level=wanted or "(as above it)")


def _name(level: int) -> str | None:
    if level == logging.NOTSET:
        return None
    return "OFF" if level > logging.CRITICAL else logging.getLevelName(level)


def logging_blueprint() -> Blueprint:
    """Return /logging."""
    blueprint = Blueprint("logging", __name__)

    @blueprint.get("/logging")
    def show() -> ResponseReturnValue:
        accepted = request.headers.get("Accept", "")
        if quality(accepted, JSON) > quality(accepted, "text/html"):
            response = answer(json.dumps({"loggers": levels()}))
        else:
            rows = "\n".join(
                f"<tr><td>{html.escape(name)}</td><td>{level or ''}</td></tr>" for name, level in levels().items()
            )
            options = "".join(f"<option>{level}</option>" for level in SHOWN)
            response = answer(PAGE.format(rows=rows, options=options), media_type="text/html; charset=utf-8")
        response.headers["Cache-Control"] = "no-store"
        return response

    @blueprint.post("/logging")
    def change() -> ResponseReturnValue:
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Forbidden("a page of another site may not change log levels")
        values = json_body() if request.mimetype == JSON else request.form
        name, level = (values.get(key) for key in ("logger", "level")) if hasattr(values, "get") else (None, None)
        if not isinstance(name, str) or not isinstance(level, str):
            raise InvalidInput("logger", name, "logger and level are needed, both as text")
        set_level(name, level)
        return show()

    return blueprint

"""Files that hold flags' values: one file in TOML, or a folder with a file a flag. What the values mean is config's."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from chronos_py.errors import ChronosError

Given = dict[str, tuple[Any, str]]  # flag -> value, where it was found


class BadFile(ChronosError):
    """A file of settings cannot be used. `what` is the file, or the flag in it."""

    def __init__(self, what: object, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


def read_toml(file: Path, names: Container[str]) -> Given:
    """Read a TOML file of lines `http_port = 4400`, by flags' names; a table is passed on as JSON. Raises BadFile."""
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(file, f"cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadFile(file, f"is no TOML: {error}") from None
    given: Given = {}
    for name, value in found.items():
        if name not in names or name == "config":
            raise BadFile(
                f"{name} (in {file})", "there is no flag of this name" if name != "config" else "not in a file"
            )
        if isinstance(value, Mapping):
            try:
                value = json.dumps(value)
            except TypeError as error:  # dates
                raise BadFile(f"{name} (in {file})", str(error)) from None
        elif not isinstance(value, str | int | float):
            raise BadFile(f"{name} (in {file})", f"{value!r} is no text, number, true or false")
        given[name] = value, f"{file}"
    return given


def read_folder(folder: Path, names: Mapping[str, bool]) -> Given:
    """Read a folder of files named like flags, as Debian's packages of Chronos have it. Raises BadFile.

    `names` tells which flags are on or off: for those an empty file says on, also with a `?` before its name.
    """
    if not folder.is_dir():
        raise BadFile(folder, "is no folder")
    found: Given = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        name = file.name.removeprefix("?")
        if name not in names:
            raise BadFile(file, "there is no flag of this name")
        try:
            text = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadFile(file, f"cannot be read: {error}") from None
        found[name] = text or (True if names[name] else text), str(file)
    return found

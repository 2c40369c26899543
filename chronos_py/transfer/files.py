"""Definitions in files: a folder as Chronos's own tool keeps one (YAML), or one file with a JSON document a line."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from chronos_py.transfer.definitions import BadDefinition, Document, is_dependent, name_of, without_counters

FOLDERS = ("scheduled", "dependent")
ENDINGS = (".yaml", ".yml")


def read_definitions(place: Path) -> list[Document]:
    """Read a folder in chronos-sync's layout, or a file of JSON lines or with one JSON array. Raises BadDefinition."""
    if place.is_dir():
        return list(_read_folder(place))
    return list(_read_lines(place))


def _read_folder(folder: Path) -> Iterator[Document]:
    if not any((folder / kind).is_dir() for kind in FOLDERS):
        raise BadDefinition(f"{folder}: has neither scheduled/ nor dependent/ in it")
    for kind in FOLDERS:
        for file in sorted((folder / kind).glob("*")) if (folder / kind).is_dir() else ():
            if file.suffix in ENDINGS and not file.name.startswith("."):
                try:
                    document = yaml.load(file.read_text("utf-8"), Loader=_Loader)
                except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
                    raise BadDefinition(f"{file}: {error}") from None
                checked = _document(document, str(file))
                if is_dependent(checked) != (kind == "dependent"):
                    raise BadDefinition(f"{file}: a job {'without' if is_dependent(checked) else 'with'} a schedule")
                yield checked


def _read_lines(file: Path) -> Iterator[Document]:
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDefinition(f"{file}: cannot be read: {error}") from None
    if text.lstrip().startswith("["):
        for number, document in enumerate(_json(text, str(file)), start=1):
            yield _document(document, f"{file}: document {number}")
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _document(_json(line, f"{file}: line {number}"), f"{file}: line {number}")


def _json(text: str, source: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadDefinition(f"{source}: {error}") from None


def _document(document: Any, source: str) -> Document:
    if not isinstance(document, dict):
        raise BadDefinition(f"{source}: {str(document)[:50]!r} is no JSON object")
    try:
        name_of(document)
    except BadDefinition as error:
        raise BadDefinition(f"{source}: {error}") from None
    return document


def write_folder(folder: Path, definitions: Iterable[Document]) -> list[Path]:
    """Write a YAML file a job, without counters, and return the files. Raises BadDefinition for names that clash."""
    written: dict[Path, str] = {}
    for kind in FOLDERS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for document in definitions:
        name = name_of(document)
        file = folder / FOLDERS[is_dependent(document)] / f"{re.sub(r'[^A-Za-z0-9.-]', '_', name)}.yaml"
        if file in written:
            raise BadDefinition(f"{file}: both {written[file]!r} and {name!r} would be in it; use JSON lines")
        written[file] = name
        _write(
            file, yaml.dump(without_counters(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        )
    return list(written)


def write_lines(file: Path, definitions: Iterable[Document]) -> None:
    """Write a JSON document a line, whole."""
    _write(file, "".join(f"{json.dumps(document, ensure_ascii=False)}\n" for document in definitions))


def _write(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only: definitions hold secrets."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass") as stream:
            stream.write(text)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


class _Loader(yaml.CSafeLoader):
    """YAML of 1.1 reads `2014-01-01T00:00:00Z` as a time and `on` as true; a job's text stays one."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.CSafeDumper):
    """As the safe one; texts of several lines as blocks."""


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

"""Definitions in files: a folder as Chronos's own tool keeps one (YAML), or one file with a JSON document a line."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from chronos_py.transfer.definitions import BadDefinition, Document, is_dependent, name_of, without_counters

FOLDERS = ("scheduled", "dependent")
LONGEST_STEM = 200  # characters: file systems take 255 bytes
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
                except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
                    raise BadDefinition(f"{file}: {error}") from None
                checked = _document(document, str(file))
                if is_dependent(checked) != (kind == "dependent"):
                    raise BadDefinition(f"{file}: a job {'without' if is_dependent(checked) else 'with'} a schedule")
                yield checked


def _read_lines(file: Path) -> Iterator[Document]:
    try:
        text = file.read_text("utf-8", "surrogatepass")
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
    except (ValueError, RecursionError) as error:
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
    """Write a YAML file a job, without counters, and return the files. Raises BadDefinition for names that clash.

    A folder that is not there yet appears with all of them, or not at all. In one that is there each file is replaced
    as a whole, and a job that has become of the other kind is taken from its former place; other files stay.
    """
    texts: dict[Path, str] = {}
    names: dict[Path, str] = {}
    for document in definitions:
        name = name_of(document)
        file = Path(FOLDERS[is_dependent(document)], f"{_stem(name)}.yaml")
        if file in names:
            raise BadDefinition(f"{folder / file}: both {names[file]!r} and {name!r} would be in it; use JSON lines")
        names[file] = name
        text = yaml.dump(without_counters(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
        texts[file] = text
    if folder.exists():
        _write_all(folder, texts)
        for file in texts:
            other = folder / FOLDERS[file.parts[0] == FOLDERS[0]] / file.name
            if other.relative_to(folder) not in texts and _name_in(other) == names[file]:
                other.unlink()
        return [folder / file for file in texts]
    folder.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:50]}."))
    try:
        _write_all(stage, texts)
        stage.chmod(0o700)
        stage.rename(folder)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return [folder / file for file in texts]


def _stem(name: str) -> str:
    """Return the name of a job's file, as chronos-sync makes it; one that would be hidden, or too long, is changed."""
    stem = re.sub(r"[^A-Za-z0-9.-]", "_", name)
    if len(stem) > LONGEST_STEM:
        stem = f"{stem[: LONGEST_STEM - 17]}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return f"_{stem[1:]}" if stem.startswith(".") else stem


def _write_all(folder: Path, texts: Mapping[Path, str]) -> None:
    for kind in FOLDERS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        _write(folder / file, text)


def _name_in(file: Path) -> object:
    """Return the name in a file, None where there is none."""
    try:
        document = yaml.load(file.read_text("utf-8"), Loader=_Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    return document.get("name") if isinstance(document, dict) else None


def write_lines(file: Path, definitions: Iterable[Document]) -> None:
    """Write a JSON document a line, whole."""
    _write(file, "".join(f"{json.dumps(document, ensure_ascii=False)}\n" for document in definitions))


def _write(file: Path, text: str) -> None:
    """Replace a file as a whole, readable by its owner only: definitions hold secrets."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:100]}.")
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

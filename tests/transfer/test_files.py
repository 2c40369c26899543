"""Folders of definitions: every name comes back, and nothing is half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronos_py.transfer import files
from chronos_py.transfer.definitions import BadDefinition
from chronos_py.transfer.files import read_definitions, write_folder, write_lines

TEXTS = st.text(max_size=40)


def a_job(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": "true", "schedule": "R/2040-01-01T00:00:00Z/PT1H"} | more


@settings(max_examples=60, deadline=None)
@given(name=st.text(min_size=1, max_size=300), command=TEXTS, value=TEXTS)
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, name: str, command: str, value: str):
    folder = tmp_path_factory.mktemp("any")
    wanted = [a_job(name, command=command, environmentVariables=[{"name": "A", "value": value}])]
    write_folder(folder / "out", wanted)
    assert read_definitions(folder / "out") == wanted
    write_lines(folder / "out.jsonl", wanted)
    assert read_definitions(folder / "out.jsonl") == wanted


@pytest.mark.parametrize(
    "name", [".", "..", ".hidden", "../up", "a/b", "x" * 255, "é" * 200, "-", "on", "12:30", "null"]
)
def test_names_that_file_systems_and_yaml_take_amiss(tmp_path: Path, name: str):
    (file,) = write_folder(tmp_path / "out", [a_job(name)])
    assert file.parent == tmp_path / "out" / "scheduled"
    assert read_definitions(tmp_path / "out") == [a_job(name)]


def test_a_new_folder_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write, written = files._write, []

    def dying(file: Path, text: str) -> None:
        if len(written) == 2:
            raise OSError("no space left")
        written.append(file)
        write(file, text)

    monkeypatch.setattr(files, "_write", dying)
    with pytest.raises(OSError, match="no space"):
        write_folder(tmp_path / "out", [a_job(f"j{number}") for number in range(3)])
    assert not any(tmp_path.iterdir())
    assert all(tmp_path / "out" not in file.parents for file in written), "where a kill would have left half of them"


def test_a_job_of_another_kind_leaves_its_old_file(tmp_path: Path):
    folder = tmp_path / "out"
    child = {"name": "b", "command": "true", "parents": ["a"]}
    write_folder(folder, [a_job("a"), a_job("b")])
    write_folder(folder, [a_job("a"), child])
    assert read_definitions(folder) == [a_job("a"), child]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_nonsense_without_end(tmp_path: Path, text: str):
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    with pytest.raises(BadDefinition):
        read_definitions(file)
    (tmp_path / "scheduled").mkdir()
    (tmp_path / "scheduled" / "x.yaml").write_text(text[:2000])
    with pytest.raises(BadDefinition):
        read_definitions(tmp_path)

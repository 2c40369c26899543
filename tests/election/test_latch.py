"""The form of candidates: whose nodes count, and in which order."""

from __future__ import annotations

import re

import pytest

from chronos_py.election.latch import candidates, new_prefix, read_address

LOW, HIGH = "ffffffff-ffff-4fff-8fff-ffffffffffff", "00000000-0000-4000-8000-000000000000"


def test_the_number_decides_and_not_the_name():
    names = [f"_c_{HIGH}-latch-0000000010", f"_c_{LOW}-latch-0000000009", f"_c_{HIGH}-latch-2147483647"]
    assert [one.number for one in candidates(names)] == [9, 10, 2147483647]
    assert candidates(names)[0].name == f"_c_{LOW}-latch-0000000009"


@pytest.mark.parametrize(
    "name",
    [
        "latch-0000000001",
        "d4ae7c6b3f6d4b0c9f9c9a2f5d9f2f11__lock__0000000001",
        f"_c_{LOW}-lock-0000000001",
        f"_c_{LOW}-latch-000000001",
        f"_c_{LOW}-latch-00000000011",
        f"_c_{LOW}-latch-0000000001x",
        f"_c_{LOW[:-1]}-latch-0000000001",
        f"_c_{LOW}-latch--000000001",
        "json.info_0000000001",
        "",
    ],
)
def test_nodes_of_other_forms_are_nobodys(name: str):
    assert candidates([name]) == []


def test_each_prefix_is_new_and_of_the_form():
    first, second = new_prefix(), new_prefix()
    assert first != second
    assert re.fullmatch(r"_c_[0-9a-f-]{36}-latch-", first)
    assert candidates([f"{first}0000000003"])[0].number == 3


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (b"chronos-1.example.org:4400", "chronos-1.example.org:4400"),
        (b"10.0.0.1:8080\n", "10.0.0.1:8080"),
        (b"[::1]:8080", "[::1]:8080"),
        ("schlüssel:80".encode(), "schlüssel:80"),
        (b"", ""),
        (b"host", ""),
        (b"host:", ""),
        (b"host:123456", ""),
        (b"user@host:80", ""),
        (b"host:80/path", ""),
        (b"a b:80", ""),
        (b"\xff\xfe", ""),
    ],
)
def test_data_is_an_address_or_nothing(data: bytes, address: str):
    assert read_address(data) == address

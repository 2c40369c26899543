from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronos_py.persistence.codec import BadRecord
from chronos_py.persistence.zookeeper.entry import (
    LIMIT,
    Entry,
    decode_entry,
    decode_framework_id,
    encode_entry,
    encode_framework_id,
)
from tests.persistence.zookeeper import decoder

# The example of the description of Chronos's store.
DEMO = bytes.fromhex(
    "0a064a5f64656d6f 1210000102030405060708090a0b0c0d0e0f 1a0f7b226e616d65223a2264656d6f227d".replace(" ", "")
)


def test_the_documented_bytes():
    entry = Entry("J_demo", bytes(range(16)), b'{"name":"demo"}')
    assert encode_entry(entry) == DEMO
    assert decode_entry(DEMO) == entry


def test_a_framework_id_s_bytes():
    text = "a" * 40
    value = encode_framework_id(text)
    assert value == b"\x0a\x28" + text.encode()
    assert decode_framework_id(value) == text
    data = encode_entry(Entry("frameworkId", uuid.uuid4().bytes, value))
    assert data[31:35] == bytes.fromhex("1a2a0a28")
    assert decoder.framework_id(data) == text


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300), st.binary(max_size=20_000))
def test_any_variable(name: str, value: bytes):
    identity = uuid.uuid4().bytes
    data = encode_entry(Entry(name, identity, value))
    assert decoder.entry(data) == (name, identity, value)
    assert decode_entry(data) == Entry(name, identity, value)


def test_what_protobuf_would_skip_is_skipped_and_the_last_of_several_counts():
    more = b"\x20\x05" + b"\x29" + b"8" * 8 + b"\x35" + b"4" * 4 + b"\x3a\x02hi" + b"\x1a\x01x"
    assert decode_entry(DEMO + more) == Entry("J_demo", bytes(range(16)), b"x")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "name: is missing: the node is empty"),
        (DEMO[:8], "uuid: is missing"),
        (DEMO[:26], "value: is missing"),
        (DEMO[:-1], "value: is cut off: ends 1 bytes too early"),
        (DEMO[:9], "is cut off within a number"),
        (DEMO[:8] + b"\x12\x0f" + b"u" * 15 + DEMO[26:], "uuid: has 15 bytes instead of 16"),
        (b"\x0a\x01\xff" + DEMO[8:], "name: is not UTF-8"),
        (b"{}", "no protobuf message: wire type 3 at byte 0"),
        (b"\x00", "no protobuf message: field number 0"),
        (b"\x08\x01", "name: has wire type 0 instead of 2"),
        (b"\x0a" + b"\xff" * 12, "a number of more than 10 bytes"),
        (b"\x1a\x00" * LIMIT, f"has {2 * LIMIT} bytes; {LIMIT} is the most"),
    ],
)
def test_what_cannot_be_read(data: bytes, reason: str):
    with pytest.raises(BadRecord) as caught:
        decode_entry(data)
    assert reason in str(caught.value)


@given(st.binary(max_size=60))
def test_noise_is_read_or_refused(data: bytes):
    for text in (data, DEMO[: len(data)] + data):
        try:
            entry = decode_entry(text)
        except BadRecord:
            continue
        assert decode_entry(encode_entry(entry)) == entry


def test_what_cannot_be_written():
    with pytest.raises(BadRecord, match="uuid: has 3 bytes"):
        encode_entry(Entry("J_a", b"abc", b""))
    with pytest.raises(BadRecord, match="name: cannot be written"):
        encode_entry(Entry("J_\ud800", b"u" * 16, b""))
    room = LIMIT - len(encode_entry(Entry("J_a", b"u" * 16, b""))) - 2  # the length takes three bytes instead of one
    assert len(encode_entry(Entry("J_a", b"u" * 16, b"x" * room))) == LIMIT
    with pytest.raises(BadRecord, match=f"{LIMIT + 1} bytes; {LIMIT} is the most"):
        encode_entry(Entry("J_a", b"u" * 16, b"x" * (room + 1)))

"""Openings: who has one can show whose records a certificate speaks of; nobody else can."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.commitment import Nonce
from lookup.transparency.errors import InvalidOpening
from lookup.transparency.opening import (
    MAX_OPENING,
    commit_record,
    mask,
    open_record,
    parse_opening,
    verify_opening,
)
from tests.lookup.transparency.making import NHS, OPENING, STATEMENT

FILE = OPENING.json()
FACTS = ("AXT", "CASE-1", "1" * 32, (f"nhs:{NHS}", "upn:A123456789012"))
NONCE = Nonce(bytes(32))


def test_an_opening_is_read_as_it_was_written() -> None:
    assert parse_opening(FILE) == OPENING


def test_the_statement_speaks_of_each_of_its_records() -> None:
    verify_opening(OPENING, STATEMENT)
    for record in OPENING.records:
        verify_opening(msgspec.structs.replace(OPENING, records=(record,)), STATEMENT)


def test_a_commitment_opens_to_its_facts_alone() -> None:
    """The order of the identifiers does not matter; everything else does."""
    commitment = commit_record(NONCE, *FACTS)
    authority, source_ref, record_id, identifiers = FACTS

    open_record(commitment, NONCE, *FACTS)
    open_record(commitment, NONCE, authority, source_ref, record_id, identifiers[::-1])
    for nonce, facts in (
        (Nonce(bytes([1]) * 32), FACTS),
        (Nonce(b""), FACTS),
        (NONCE, ("AXU", source_ref, record_id, identifiers)),
        (NONCE, (authority, "CASE-2", record_id, identifiers)),
        (NONCE, (authority, source_ref, "2" * 32, identifiers)),
        (NONCE, (authority, source_ref, record_id, identifiers[:1])),
        (NONCE, (authority, source_ref, record_id, (*identifiers, "hcn:3"))),
        (NONCE, ("AXTCASE-1", "", record_id, identifiers)),
    ):
        with pytest.raises(InvalidOpening):
            open_record(commitment, nonce, *facts)


BAD: dict[str, dict[str, Any]] = {
    "another certificate": {"certificate": "d" * 32},
    "a record twice": {"records": OPENING.records[:1] * 2},
    "a record of another": {
        "records": (msgspec.structs.replace(OPENING.records[0], source_ref="CASE-9"),)
    },
    "an identifier left out": {
        "records": (
            msgspec.structs.replace(
                OPENING.records[0], identifiers=OPENING.records[0].identifiers[:1]
            ),
        )
    },
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_what_the_certificate_does_not_speak_of_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidOpening):
        verify_opening(msgspec.structs.replace(OPENING, **changes), STATEMENT)


RECORD: dict[str, Any] = json.loads(FILE)["records"][0]
BAD_FILES: dict[str, dict[str, Any]] = {
    "another format": {"format": "lacuna-opening/v2"},
    "a member too many": {"name": "x"},
    "no records": {"records": []},
    "101 records": {"records": [RECORD] * 101},
    "records that are none": {"records": [1]},
    "a certificate that is a number": {"certificate": 5},
    "a certificate in capitals": {"certificate": "C" * 32},
    "a terminal's escape": {"contact": "\x1b]0;x\x07"},
    "an override of direction": {"authority_name": "a\N{RIGHT-TO-LEFT OVERRIDE}b"},
    "a line break": {"authority_name": "a\nb"},
    "a long contact": {"contact": "x" * 201},
    **{
        f"a record with {name}={value!r}": {"records": [RECORD | {name: value}]}
        for name, value in (
            ("nonce", "AAAA"),
            ("nonce", "not base64"),
            ("nonce", None),
            ("authority", "axt"),
            ("source_ref", ""),
            ("source_ref", "x" * 65),
            ("source_ref", "a\x1b"),
            ("source_ref", "é"),
            ("record_id", "1"),
            ("identifiers", []),
            ("identifiers", ["nhs:1"] * 9),
            ("identifiers", [NHS]),
            ("identifiers", ["nhs:1\n"]),
            ("identifiers", NHS),
            ("name", "x"),
        )
    },
}


@pytest.mark.parametrize("changes", BAD_FILES.values(), ids=BAD_FILES)
def test_what_is_no_opening_is_refused(changes: dict[str, Any]) -> None:
    """And the error shows nothing of it."""
    raw = json.dumps(json.loads(FILE) | changes).encode()

    with pytest.raises(InvalidOpening) as refused:
        parse_opening(raw)

    assert NHS not in str(refused.value)


@given(st.binary() | st.text().map(str.encode))
def test_other_bytes_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(InvalidOpening):
        parse_opening(raw)


@given(st.integers(0, len(FILE)), st.binary(max_size=8), st.integers(0, 8))
def test_a_damaged_file_is_refused_or_read(at: int, inserted: bytes, dropped: int) -> None:
    """Never anything but InvalidOpening."""
    try:
        parse_opening(FILE[:at] + inserted + FILE[at + dropped :])
    except InvalidOpening as refused:
        assert NHS not in str(refused)  # noqa: PT017  # there may be none


def test_a_large_file_is_not_looked_at() -> None:
    with pytest.raises(InvalidOpening, match=str(MAX_OPENING)):
        parse_opening(b" " * (MAX_OPENING + 1))


def test_what_would_not_be_read_is_not_written() -> None:
    with pytest.raises(InvalidOpening):
        msgspec.structs.replace(OPENING, contact="a\nb").json()


def test_no_repr_shows_a_value() -> None:
    assert repr(OPENING) == "<Opening>"
    assert f"{OPENING.records}" == "(<RecordOpening>, <RecordOpening>)"


@pytest.mark.parametrize(
    ("identifier", "masked"),
    [
        (f"nhs:{NHS}", "nhs:*******014"),
        ("local:AXT:000001", "local:*******001"),
        ("local:A1", "local:*1"),
        ("local:A", "local:*"),
        ("local:", "local:"),
    ],
)
def test_masks_hide_most_of_any_number(identifier: str, masked: str) -> None:
    assert mask(identifier) == masked

"""Contents: one text for each, every rule of theirs, and no error that repeats a value."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from lookup.cases.content import (
    MAX_CONTENT,
    MAX_NOTE,
    MAX_RECORDS,
    Content,
    Correction,
    InvalidContent,
    Named,
    parse_content,
)
from lookup.cases.grounds import Ground
from lookup.cases.standing import Remedy

SECRET = "Sorrel-Bexley"
IDS = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
NOTES = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=50)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Return what makes contents that are as they should be."""
    ids = sorted(draw(st.sets(IDS, min_size=1, max_size=6)))
    remedy = draw(st.sampled_from([UNSET, "unlink", "rectify", "restrict"]))
    cut = 1 if remedy in {"unlink", "rectify"} else draw(st.integers(1, len(ids)))
    unlinked = draw(st.sets(st.sampled_from(range(9)), min_size=1, max_size=7))
    return Content(
        authority=draw(st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True)),
        records=[Named(each, draw(st.integers(1, 2**32 - 1))) for each in ids[:cut]],
        others=ids[cut:],
        ground=draw(st.sampled_from(list(Ground)).map(str)),
        received=draw(st.dates(date(2000, 1, 1), date(9999, 12, 31))).isoformat(),
        restrict=remedy == "restrict" or draw(st.booleans()),
        evidence=draw(st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
        note=draw(NOTES),
        remedy=Remedy(remedy) if isinstance(remedy, str) else UNSET,
        unlink=[f"local:AXT:{n}" for n in sorted(unlinked)] if remedy == "unlink" else UNSET,
        correction=Correction(payload=draw(JSON), until=None) if remedy == "rectify" else UNSET,
    )


@given(contents())
def test_a_text_says_its_content(content: Content) -> None:
    raw = content.encode()
    assert parse_content(raw).encode() == raw
    assert parse_content(raw).terms == content.terms


@given(contents(), contents())
def test_two_contents_have_two_texts(one: Content, other: Content) -> None:
    assert (one == other) == (one.encode() == other.encode())


@given(st.binary(max_size=300))
def test_whatever_else_is_sent_is_none(raw: bytes) -> None:
    with pytest.raises(InvalidContent):
        parse_content(raw)


@given(contents(), st.data())
def test_no_byte_can_be_changed_unseen(content: Content, data: st.DataObject) -> None:
    raw = content.encode()
    at = data.draw(st.integers(0, len(raw) - 1))
    changed = raw[:at] + bytes([raw[at] ^ data.draw(st.integers(1, 255))]) + raw[at + 1 :]
    try:
        assert parse_content(changed).encode() == changed
    except InvalidContent as error:
        assert SECRET not in str(error)  # noqa: PT017  # both ends are right


def made(**changes: Any) -> bytes:  # noqa: ANN401  # JSON
    members: dict[str, Any] = {
        "authority": "AXT",
        "evidence": {"purpose": SECRET},
        "ground": "art-17-1-a",
        "note": "",
        "others": [],
        "received": "2026-01-05",
        "records": [{"record_id": "a" * 32, "version": 1}],
        "restrict": False,
    }
    return json.dumps(members | changes, separators=(",", ":"), sort_keys=True).encode()


def named(*names: tuple[str, int]) -> list[dict[str, object]]:
    return [{"record_id": record_id, "version": version} for record_id, version in names]


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not the content"),
    "a list": (b"[]", "not the content"),
    "too large": (b" " * (MAX_CONTENT + 1), "at most"),
    "a member too many": (made(zz=SECRET), "its members are"),
    "an authority in small letters": (made(authority=SECRET), "not the content"),
    "no authority": (made(authority=""), "not the content"),
    "no records": (made(records=[]), "not the content"),
    "too many": (
        made(records=named(*((f"{n:032x}", 1) for n in range(MAX_RECORDS + 1)))), "not the content"
    ),
    "a version zero": (made(records=named(("a" * 32, 0))), "not the content"),
    "a version too large": (made(records=named(("a" * 32, 2**32))), "not the content"),
    "an id in capitals": (made(records=named(("A" * 32, 1))), "not the content"),
    "an id and a line": (made(records=named(("a" * 32 + "\n", 1))), "not the content"),
    "a record twice": (made(records=named(("a" * 32, 1), ("a" * 32, 1))), "each named once"),
    "a record in two versions": (
        made(records=named(("a" * 32, 1), ("a" * 32, 2))), "each named once"
    ),
    "an authority and a line": (made(authority="AXT\n"), "not the content"),
    "records in another order": (made(records=named(("b" * 32, 1), ("a" * 32, 1))), "are sorted"),
    "others twice": (made(others=["b" * 32] * 2), "each named once"),
    "others in another order": (made(others=["c" * 32, "b" * 32]), "are sorted"),
    "a record among the others": (made(others=["a" * 32]), "not among the others"),
    "a ground that is none": (made(ground=SECRET), "the ground is one of"),
    "a ground in capitals": (made(ground="ART-17-1-A"), "the ground is one of"),
    "a day that is none": (made(received="2026-02-30"), "received is a day"),
    "a day of a week": (made(received="2026-W01-1"), "received is a day"),
    "a day without lines": (made(received="20260105"), "received is a day"),
    "a day of another century": (made(received="1999-12-31"), "received is a day"),
    "a wish in words": (made(restrict=SECRET), "not the content"),
    "evidence in words": (made(evidence=SECRET), "not the content"),
    "a note too long": (made(note="x" * (MAX_NOTE + 1)), "not the content"),
    "a note with a tab": (made(note=f"{SECRET}\t"), "cannot be printed"),
    "half a character": (made(note="\ud800"), "not the content"),
    "a number that is none": (made().replace(b'"purpose":"Sorrel-Bexley"', b'"a":NaN'), "not the"),
    "a number without end": (made().replace(b'"purpose":"Sorrel-Bexley"', b'"a":1e999'), "not the"),
    "blanks": (made().replace(b",", b", ", 1), "its one form"),
    "a member twice": (b'{"authority":"AXT",' + made()[1:], "its one form"),
    "a member left out that has a default": (made().replace(b'"note":"",', b""), "its one form"),
    "an escape that needs none": (made(note="a").replace(b'"a"', b'"\\u0061"'), "its one form"),
    "a line after it": (made() + b"\n", "its one form"),
    # What is asked for, where it is not to erase.
    "a remedy that is none": (made(remedy=SECRET), "not the content"),
    "erasure by name": (made(remedy="erase"), "left out where a case asks to erase"),
    "no remedy at all": (made(remedy=None), "not the content"),
    "an unlinking of nothing": (made(remedy="unlink"), "comes with the remedy unlink"),
    "an unlinking of no identifier": (made(remedy="unlink", unlink=[]), "not the content"),
    "an unlinking of eight": (
        made(remedy="unlink", unlink=[f"local:AXT:{n}" for n in range(8)]), "not the content"
    ),
    "an identifier of no scheme": (made(remedy="unlink", unlink=[SECRET]), "unlink: "),
    "a number with a wrong digit": (made(remedy="unlink", unlink=["nhs:9990001015"]), "unlink: "),
    "a number with blanks": (
        made(remedy="unlink", unlink=["nhs:999 000 1014"]), "in its canonical form"
    ),
    "numbers in another order": (
        made(remedy="unlink", unlink=["local:AXT:2", "local:AXT:1"]), "unlink is sorted"
    ),
    "a number twice": (
        made(remedy="unlink", unlink=["local:AXT:1", "local:AXT:1"]), "each identifier once"
    ),
    "identifiers to erase": (made(unlink=["local:AXT:1"]), "with the remedy unlink"),
    "an unlinking of two records": (
        made(
            remedy="unlink", unlink=["local:AXT:1"], records=named(("a" * 32, 1), ("b" * 32, 1))
        ),
        "names one record",
    ),
    "a correction of nothing": (made(remedy="rectify"), "comes with the remedy rectify"),
    "an empty correction": (made(remedy="rectify", correction={}), "corrects nothing"),
    "a correction of what is none": (
        made(remedy="rectify", correction={"source_ref": SECRET}), "not the content"
    ),
    "a correction in words": (made(remedy="rectify", correction=SECRET), "not the content"),
    "a correction to erase": (made(correction={"until": None}), "with the remedy rectify"),
    "a correction of two records": (
        made(
            remedy="rectify",
            correction={"until": None},
            records=named(("a" * 32, 1), ("b" * 32, 1)),
        ),
        "names one record",
    ),
    "a restriction that is not wished": (made(remedy="restrict"), "says restrict: true"),
    "a restriction of a number": (
        made(remedy="restrict", restrict=True, unlink=["local:AXT:1"]), "with the remedy unlink"
    ),
}  # fmt: skip


def test_the_example_is_well() -> None:
    assert parse_content(made()).authority == "AXT"


@pytest.mark.parametrize(("raw", "why"), BAD.values(), ids=BAD)
def test_rules(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidContent, match=why) as caught:
        parse_content(raw)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("depth", [10, 500, 1_000, 10_000, 100_000])
def test_evidence_nested_however_deep_is_a_content_or_none(depth: int) -> None:
    """Never another error."""
    inside = b"[" * depth + b"]" * depth
    raw = made().replace(b'"Sorrel-Bexley"', inside)
    try:
        assert parse_content(raw).encode() == raw
    except InvalidContent:
        assert depth > 500


def test_a_content_does_not_print() -> None:
    """Evidence and note are about people."""
    assert SECRET not in repr(parse_content(made(note=SECRET)))

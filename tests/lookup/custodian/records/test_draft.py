# ruff: noqa: ANN401  # `changes` are whatever JSON holds

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.catalogue import Catalogue, parse_catalogue
from lookup.custodian.records.draft import (
    MAX_PAYLOAD,
    MAX_RECORD,
    InvalidRecord,
    parse_draft,
    source_key,
)
from lookup.index.layout import FIRST_DAY, LAST_DAY
from lookup.retention.classes import shipped_classes
from tests.simulator import AUTHORITIES, nhs, record

CATALOGUE: Catalogue = parse_catalogue({"authority": AUTHORITIES})
SECRET = "Sorrel-Bexley"


def line(**changes: Any) -> bytes:
    """A valid record but for the changes; a member that is `...` is left out."""
    members = record("AXT-1", nhs(1), **changes)
    return json.dumps({k: v for k, v in members.items() if v is not ...}).encode()


def raw(**members: str) -> bytes:
    """A valid record with these members as they are spelled here."""
    spelled = {k: json.dumps(v) for k, v in record("AXT-1", nhs(1)).items()} | members
    return b"{%b}" % ",".join(f'"{k}":{v}' for k, v in spelled.items()).encode()


REFUSED = {
    "nothing": (b"", "record-shape"),
    "no JSON": (b"authority=AXT", "record-shape"),
    "a list": (b"[]", "record-shape"),
    "a number": (b"7", "record-shape"),
    "null": (b"null", "record-shape"),
    "two objects": (line() + line(), "record-shape"),
    "half an object": (line()[:-1], "record-shape"),
    "bytes that are no text": (b"\xff\xfe\x00" * 20, "record-shape"),
    "UTF-16": (line().decode().encode("utf-16"), "record-shape"),
    "a byte order mark": (b"\xef\xbb\xbf" + line(), "record-shape"),
    "a member unknown": (line(surname=SECRET), "record-shape"),
    "a member missing": (line(authority=...), "record-shape"),
    "a member given twice": (line()[:-1] + b',"category":"looked-after"}', "record-members"),
    "a member given twice, once escaped": (
        line()[:-1] + rb',"c\u0061tegory":"looked-after"}',
        "record-members",
    ),
    "an authority that is a number": (line(authority=7), "record-shape"),
    "an authority unknown": (line(authority=SECRET), "authority-unknown"),
    "an authority in lower case": (line(authority="axt"), "authority-unknown"),
    "a category unknown": (line(category=SECRET), "category-unknown"),
    "the canary's category": (line(category="test"), "category-unknown"),
    "a source reference empty": (line(source_ref=""), "source-ref"),
    "a source reference of 65": (line(source_ref="x" * 65), "source-ref"),
    "a source reference with outer space": (line(source_ref=" x"), "source-ref"),
    "a source reference with a line end": (line(source_ref="x\n"), "source-ref"),
    "a source reference beyond ascii": (line(source_ref="Zoë"), "source-ref"),
    "no identifiers": (line(identifiers=[]), "identifiers-count"),
    "nine identifiers": (line(identifiers=[nhs(i) for i in range(9)]), "identifiers-count"),
    "identifiers that are a text": (line(identifiers=nhs(1)), "record-shape"),
    "an identifier that is a number": (line(identifiers=[9990000018]), "record-shape"),
    "a check digit wrong": (line(identifiers=["nhs:9990000019"]), "nhs-check-digit"),
    "a scheme unknown": (line(identifiers=["passport:123456789"]), "identifier-scheme"),
    "the canary": (line(identifiers=["canary:abcdef"]), "identifier-scheme"),
    "an identifier overlong": (line(identifiers=["nhs:" + "9" * 5000]), "identifier-length"),
    "an identifier with a zero byte": (
        line(identifiers=["nhs:999\x000000018"]),
        "identifier-characters",
    ),
    "another site's local number": (line(identifiers=["local:ZZZ:1"]), "local-authority"),
    "since missing": (line(since=...), "record-shape"),
    "since null": (line(since=None), "record-shape"),
    "since in words": (line(since="yesterday"), "date-format"),
    "since with a time": (line(since="2026-01-02T10:00:00Z"), "date-format"),
    "since as a week": (line(since="2026-W01-1"), "date-format"),
    "since without hyphens": (line(since="20260102"), "date-format"),
    "a day that does not exist": (line(since="2026-02-30"), "date-format"),
    "other digits than ours": (line(since="२०२६-०१-०२"), "date-format"),
    "since too early": (line(since="1999-12-31"), "date-format"),
    "until too late": (line(until="9999-12-31"), "date-format"),
    "until before since": (line(until="2026-01-01"), "dates-order"),
    "answered until before until": (
        line(until="2027-01-01", answer_until="2026-12-31"),
        "dates-order",
    ),
    "answered until before since": (line(answer_until="2025-12-31"), "dates-order"),
    "a payload too large": (line(payload="x" * MAX_PAYLOAD), "payload-size"),
    "a record too large": (line(payload="x" * MAX_RECORD), "record-size"),
    "a payload that is no text": (
        raw(payload="").replace(b'"payload":', b'"payload":"\xff"'),
        "record-shape",
    ),
    "a payload cut off": (raw(payload='{"a":'), "record-shape"),
    "a payload that is no number": (raw(payload="NaN"), "record-shape"),
    "a payload nested too deep": (raw(payload="[" * 65 + "]" * 65), "payload-nesting"),
    "a payload whose strings hide how deep it is": (
        raw(payload='{"a":"]\\"]","b":' * 65 + "1" + "}" * 65),
        "payload-nesting",
    ),
    "a payload nested without end": (raw(payload="[" * 50_000 + "]" * 50_000), "record-shape"),
}


@pytest.mark.parametrize(("sent", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_rule_is_refused_by_its_name(sent: bytes, rule: str) -> None:
    """The message names no value; neither does anything that hangs on the error."""
    with pytest.raises(InvalidRecord) as refused:
        parse_draft(sent, CATALOGUE, shipped_classes())
    error = refused.value
    assert error.rule == rule
    assert error.message[0] in "abcdefghijklmnopqrstuvwxyz"
    assert not error.message.endswith(".")
    for value in (SECRET, "999000", "AXT-1", "yesterday", "Zoë"):
        assert value not in f"{error!r} {error}"
    assert error.__cause__ is None


def test_a_draft_is_canonical() -> None:
    """However it was spelled: identifiers sorted, distinct and in one form, dates dates."""
    spelled = [nhs(2).replace(":", ": "), nhs(1).upper(), nhs(2), "local:AXT:child-7"]
    draft = parse_draft(line(identifiers=spelled, until="2026-03-01"), CATALOGUE, shipped_classes())
    assert [each.text for each in draft.identifiers] == ["local:AXT:CHILD-7", nhs(1), nhs(2)]
    assert (draft.since, draft.until) == (date(2026, 1, 2), date(2026, 3, 1))
    assert repr(draft).count("999") == 0


@pytest.mark.parametrize(
    ("until", "answer_until", "last"),
    [
        (None, None, None),
        (None, "2026-06-30", date(2026, 6, 30)),
        ("2026-03-01", None, date(2027, 3, 1)),
        ("2026-03-01", "2026-03-01", date(2026, 3, 1)),
        (LAST_DAY.isoformat(), None, LAST_DAY),
    ],
)
def test_a_record_is_answered_a_year_longer_unless_it_says_otherwise(
    until: str | None, answer_until: str | None, last: date | None
) -> None:
    """And never beyond the last day that the index can say."""
    draft = parse_draft(line(until=until, answer_until=answer_until), CATALOGUE, shipped_classes())
    assert draft.answer_until == last


def test_the_first_and_the_last_day_are_taken() -> None:
    draft = parse_draft(
        line(since=FIRST_DAY.isoformat(), until=LAST_DAY.isoformat()), CATALOGUE, shipped_classes()
    )
    assert (draft.since, draft.until) == (FIRST_DAY, LAST_DAY)


@pytest.mark.parametrize(
    "payload",
    [
        *("null", "{}", '{"a":1,"a":2}', '{"since":{"since":1}}', r'"\"\u00e9\""', "1e400"),
        *("9" * 5000, "[" * 64 + "]" * 64, f"[{','.join(['[]'] * 100)}]"),
        '"' + "[{" * 100 + r"\"" + "}]" * 100 + '"',
    ],
)
def test_a_payload_is_any_json_and_stays_as_it_came(payload: str) -> None:
    """Byte for byte, also where it repeats our own members' names."""
    assert (
        parse_draft(raw(payload=payload), CATALOGUE, shipped_classes()).payload == payload.encode()
    )


def test_no_payload_is_null() -> None:
    assert parse_draft(line(payload=...), CATALOGUE, shipped_classes()).payload == b"null"


@given(st.text(), st.text(), st.text(), st.text())
def test_sources_differ_where_authority_or_reference_do(a: str, b: str, c: str, d: str) -> None:
    """For all authorities that there can be: their codes have no line ends."""
    if "\n" not in a + c:
        assert (source_key(a, b) == source_key(c, d)) == ((a, b) == (c, d))


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_raise_invalid_record(sent: bytes) -> None:
    with pytest.raises(InvalidRecord):
        parse_draft(sent, CATALOGUE, shipped_classes())

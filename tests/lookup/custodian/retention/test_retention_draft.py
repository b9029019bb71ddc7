"""What a record says of how long it is kept: strict, bounded, refused by rules with names."""

# ruff: noqa: ANN401  # `said` is whatever JSON holds

import json
from datetime import date
from typing import Any, Final

import msgspec
import pytest

from crypto.record import Dek
from lookup.catalogue import Catalogue, parse_catalogue
from lookup.custodian.records.draft import InvalidRecord, encode_draft, parse_draft
from lookup.custodian.records.record import Body, decode_body, make_body
from lookup.retention.classes import shipped_classes
from lookup.retention.expiry import Retention
from tests.simulator import AUTHORITIES, Custodian, nhs, record

CATALOGUE: Final[Catalogue] = parse_catalogue({"authority": AUTHORITIES})
SECRET: Final = "Sorrel-Bexley"
KEPT: Final = {"class": "looked-after", "born": "2009-08-07"}


def line(said: Any) -> bytes:
    """A valid record with this retention."""
    return json.dumps(record("AXT-1", nhs(1), retention=said)).encode()


def spelled(said: str) -> bytes:
    """The same, spelled as here."""
    return line(None).replace(b'"retention": null', f'"retention": {said}'.encode())


def day(**said: Any) -> bytes:
    return line(KEPT | said)


SHAPE, CLASS, DATE, ORDER = (f"retention-{rule}" for rule in ("shape", "class", "date", "order"))
REFUSED = {
    "a text": (line("looked-after"), SHAPE),
    "a number": (line(75), SHAPE),
    "a list": (line(["looked-after"]), SHAPE),
    "true": (line(said=True), SHAPE),
    "an empty object": (line({}), SHAPE),
    "no class": (line({"born": "2009-08-07"}), SHAPE),
    "a class null": (line({"class": None}), SHAPE),
    "a class that is a number": (line({"class": 1}), SHAPE),
    "a member unknown": (day(surname=SECRET), SHAPE),
    "a member by its inner name": (line({"code": "looked-after"}), SHAPE),
    "a day that is a number": (day(born=20090807), SHAPE),
    "a day in a list": (day(born=["2009-08-07"]), SHAPE),
    "a day nested without end": (spelled("[" * 200 + "]" * 200), SHAPE),
    "overlong": (day(born="2" * 600), SHAPE),
    "blanks without end": (spelled('{"class":' + " " * 600 + '"looked-after"}'), SHAPE),
    "a class twice": (spelled('{"class":"adoption","class":"looked-after"}'), SHAPE),
    "a day twice": (spelled('{"class":"adoption","born":null,"born":"2009-08-07"}'), SHAPE),
    "a day twice, once escaped": (
        spelled(r'{"class":"adoption","born":null,"b\u006frn":"2009-08-07"}'),
        SHAPE,
    ),
    "retention twice": (line(KEPT)[:-1] + b',"retention":null}', "record-members"),
    "a class unknown": (line({"class": SECRET}), CLASS),
    "a class empty": (line({"class": ""}), CLASS),
    "a class in capitals": (line({"class": "ADOPTION"}), CLASS),
    "a class with a blank": (line({"class": "adoption "}), CLASS),
    "a day in words": (day(born="yesterday"), DATE),
    "a day empty": (day(born=""), DATE),
    "a day with a time": (day(closed="2026-01-02T10:00:00Z"), DATE),
    "a day as a week": (day(ordered="2026-W01-1"), DATE),
    "a day without hyphens": (day(died="20260102"), DATE),
    "a day that does not exist": (day(born="2009-02-29"), DATE),
    "a month": (day(born="2009-08"), DATE),
    "other digits than ours": (day(born="२००९-०८-०७"), DATE),
    "born too early": (day(born="1899-12-31"), DATE),
    "closed too late": (day(closed="2200-01-01"), DATE),
    "a year of five digits": (day(closed="12026-01-01"), DATE),
    "died before born": (day(died="2009-08-06"), ORDER),
    "an order before born": (day(ordered="2009-08-06"), ORDER),
}


@pytest.mark.parametrize(("sent", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_rule_is_refused_by_its_name(sent: bytes, rule: str) -> None:
    """The message names no value: a day of birth is a child's."""
    with pytest.raises(InvalidRecord) as refused:
        parse_draft(sent, CATALOGUE, shipped_classes())
    error = refused.value
    assert error.rule == rule
    assert error.message[0].islower()
    for value in (SECRET, "2009", "yesterday", "२००९"):
        assert value not in f"{error!r} {error}"
    assert error.__cause__ is None


ACCEPTED = {
    "null": (None, None),
    "a class alone": ({"class": "adoption"}, Retention("adoption")),
    "all days": (
        KEPT | {"closed": "2020-02-29", "ordered": "2010-01-01", "died": "2018-08-06"},
        Retention(
            "looked-after",
            date(2009, 8, 7),
            date(2020, 2, 29),
            date(2010, 1, 1),
            date(2018, 8, 6),
        ),
    ),
    "days null": (KEPT | {"born": None, "died": None}, Retention("looked-after")),
    "closed before born, as a plan for the unborn is": (
        KEPT | {"closed": "2009-08-01"},
        Retention("looked-after", date(2009, 8, 7), date(2009, 8, 1)),
    ),
    "died on the day of birth": (
        KEPT | {"died": "2009-08-07"},
        Retention("looked-after", date(2009, 8, 7), died=date(2009, 8, 7)),
    ),
    "the first and the last day": (
        {"class": "child-protection", "born": "1900-01-01", "closed": "2199-12-31"},
        Retention("child-protection", date(1900, 1, 1), date(2199, 12, 31)),
    ),
}


@pytest.mark.parametrize(("said", "kept"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_keeps_the_rules_is_taken(said: Any, kept: Retention | None) -> None:
    """And a draft that waits for a case comes back as it was sent."""
    draft = parse_draft(line(said), CATALOGUE, shipped_classes())

    assert draft.retention == kept
    assert parse_draft(encode_draft(draft), CATALOGUE, shipped_classes()) == draft


def test_retention_changes_nothing_of_when_a_record_is_answered() -> None:
    """Answer expiry and storage expiry are two things."""
    plain, kept = (parse_draft(line(said), CATALOGUE, shipped_classes()) for said in (None, KEPT))

    assert (plain.since, plain.until, plain.answer_until) == (
        kept.since,
        kept.until,
        kept.answer_until,
    )


def test_a_record_of_the_version_before_opens() -> None:
    """Its body ends with the fingerprint; it has no retention, and is never swept."""
    draft = parse_draft(line(None), CATALOGUE, shipped_classes())
    body = make_body(draft, Dek.generate())
    old = msgspec.msgpack.encode(msgspec.to_builtins(body, builtin_types=(bytes,))[:-2])

    assert decode_body(old) == body
    assert (decode_body(old).retention, decode_body(old).former) == (None, b"")


def test_a_body_is_as_it_was_put() -> None:
    """All days, and the class; and a body prints neither."""
    draft = parse_draft(line(ACCEPTED["all days"][0]), CATALOGUE, shipped_classes())
    body = make_body(draft, Dek.generate())
    again: Body = decode_body(msgspec.msgpack.encode(body))

    assert again == body
    assert again.says(draft)
    assert repr(body) == "<Body>"


def test_it_is_told_as_it_was_sent(shared: Custodian) -> None:
    """Over HTTP; a day that was left out is null. Another class is another version."""
    record_id = shared.add("kept", nhs(1), retention=KEPT)
    path = f"/v1/records/{record_id.hex()}"

    told = shared.feed.get(path).json()["retention"]
    members = record("kept", nhs(1), retention=KEPT | {"class": "child-in-need"})
    changed = shared.feed.put(path, json=members, headers={"if-match": '"1"'}).json()
    same = shared.feed.put(path, json=members, headers={"if-match": '"2"'}).json()

    assert told == KEPT | {"closed": None, "ordered": None, "died": None}
    assert (changed["result"], same["result"]) == ("updated", "unchanged")
    assert shared.feed.get(path).json()["retention"]["class"] == "child-in-need"

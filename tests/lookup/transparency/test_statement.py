"""Statements: one text each, and nothing in it that is not meant."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.commitment import Commitment
from lookup.cases.grounds import Ground
from lookup.transparency.errors import InvalidStatement
from lookup.transparency.statement import (
    ERASE,
    GROUNDS,
    MAX_STATEMENT,
    NOT_COVERED,
    RECTIFY,
    RETENTION,
    UNLINK,
    Approval,
    ConfirmedSlot,
    CoolingOff,
    Statement,
    moment,
    parse_statement,
)
from tests.lookup.transparency.making import DAY, REQUESTED, STATEMENT, demonstration

TEXT = STATEMENT.text()
LINES = TEXT.splitlines(keepends=True)
IDS = st.binary(min_size=16, max_size=16).map(bytes.hex)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    """Return any statement that keeps the rules."""
    days, ground = draw(st.integers(1, 365)), draw(st.sampled_from(GROUNDS))
    times = sorted(draw(st.lists(st.integers(0, 10**9), min_size=2, max_size=2)))
    gaps = draw(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
    waited = times[1] + days * DAY + gaps[0]
    ids = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    cut = draw(st.integers(1, len(ids)))
    slots = tuple(ConfirmedSlot(draw(st.sampled_from("ABD")), each) for each in ids[:cut])
    prints = draw(st.lists(st.text(LETTERS, min_size=42, max_size=42), min_size=1, unique=True))
    covers = [*NOT_COVERED[:2], *(["feed-fence"] if draw(st.booleans()) else [])]
    return Statement(
        certificate=draw(IDS),
        site=draw(IDS),
        authority=draw(st.from_regex("[A-Z0-9]{1,16}", fullmatch=True)),
        ground=ground,
        remedy=draw(st.sampled_from([UNLINK, RECTIFY])) if ground == "art-16" else ERASE,
        records=tuple(
            map(
                Commitment,
                draw(
                    st.lists(
                        st.binary(min_size=32, max_size=32), min_size=1, max_size=100, unique=True
                    )
                ),
            )
        ),
        requested_at=times[0],
        approved_at=times[1],
        effective_not_before=waited,
        destroyed_at=waited + gaps[1],
        epoch=draw(st.integers(1, 10**18)),
        approvals=tuple(Approval("legal", f"SHA256:{each}A") for each in prints[:20]),
        cooling_off=CoolingOff(days),
        slots=slots,
        lost_slots=tuple(ids[cut:]),
        workers=draw(st.integers(0, 9_999)),
        not_covered=(
            *covers,
            *(["slot-class-d"] if any(slot.letter == "D" for slot in slots) else []),
        ),
        demo=draw(st.booleans()),
    )


@given(statements())
def test_every_statement_is_read_as_it_was_written(statement: Statement) -> None:
    """Text and statement are two forms of one thing."""
    text = statement.text()

    assert parse_statement(text) == statement
    assert text.isascii()
    assert len(text) <= MAX_STATEMENT


@given(st.binary())
def test_other_bytes_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(InvalidStatement):
        parse_statement(raw)


@given(st.integers(0, len(TEXT)), st.binary(max_size=8), st.integers(0, 8))
def test_what_is_taken_is_canonical(at: int, inserted: bytes, dropped: int) -> None:
    """Whatever is changed: it is refused, or it is a statement with just this text."""
    raw = TEXT[:at] + inserted + TEXT[at + dropped :]
    try:
        statement = parse_statement(raw)
    except InvalidStatement:
        return
    assert statement.text() == raw


MAY_BE_MISSING = {b"lost_slot", b"record", b"approval", b"slot", b"not_covered"}


@pytest.mark.parametrize("at", range(len(LINES)))
class TestEachLine:
    """Each line stands once, at its place, as it is."""

    def test_missing(self, at: int) -> None:
        """A list can be shorter; then it is another statement."""
        raw = b"".join(LINES[:at] + LINES[at + 1 :])
        if LINES[at].partition(b":")[0] in MAY_BE_MISSING and b"hospital" not in LINES[at]:
            try:
                assert parse_statement(raw) != STATEMENT
            except InvalidStatement:
                assert b"not_covered" in LINES[at]
            return
        with pytest.raises(InvalidStatement):
            parse_statement(raw)

    def test_repeated(self, at: int) -> None:
        with pytest.raises(InvalidStatement):
            parse_statement(b"".join(LINES[: at + 1] + LINES[at:]))

    def test_out_of_its_place(self, at: int) -> None:
        for to in range(len(LINES)):
            lines = LINES[:at] + LINES[at + 1 :]
            lines.insert(to, LINES[at])
            if lines != LINES:
                with pytest.raises(InvalidStatement):
                    parse_statement(b"".join(lines))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"\n", b"\r\n"),
            (b"\n", b" \n"),
            (b"\n", b"\n\n"),
            (b"\n", b""),
            (b"\n", b"\0\n"),
            (b"\n", b"\xc2\xa0\n"),
            (b": ", b":"),
            (b": ", b":  "),
            (b": ", b" : "),
        ],
    )
    def test_in_another_spelling(self, at: int, old: bytes, new: bytes) -> None:
        changed = LINES[at].replace(old, new, 1)
        if changed == LINES[at]:
            return  # the first line has no value
        with pytest.raises(InvalidStatement):
            parse_statement(b"".join([*LINES[:at], changed, *LINES[at + 1 :]]))


BAD_VALUES = {
    "certificate": ["", "c" * 31, "C" * 32, "g" * 32],
    "site": ["", "5" * 33],
    "authority": ["", "axt", "A" * 17, "A B", "A-B"],
    "ground": ["art-17-1-h", "art-17-1-", "ART-17-1-g"],
    "record": ["", "A" * 44, "A" * 42 + "B=", "A" * 43, "-" * 43 + "="],
    "requested_at": ["2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-26T10:00:00"],
    "approved_at": ["2026-11-27T24:00:00Z", "2026-11-27T10:00:60Z", "1969-12-31T23:59:59Z"],
    "effective_not_before": ["0000-01-01T00:00:00Z", "2026-11-27 10:00:00Z", ""],
    "destroyed_at": ["2026-11-27T10:00:00+00:00", "20261127T100000Z"],
    "epoch": ["0", "-1", "012", "1.0", "1" * 20, "+1", "1_0"],
    "approval": ["legal", "legal SHA256:", f"Legal SHA256:{'L' * 42}A", f"legal MD5:{'L' * 43}"],
    "cooling_off": ["14", "0 days", "014 days", "14 days, court order", "0 days, because"],
    "slot": ["C " + "1" * 32, "d " + "1" * 32, "1" * 32, "D  " + "1" * 32],
    "lost_slot": ["D " + "3" * 32, "3"],
    "workers": ["", "-1", "02", "10000", "two"],
    "not_covered": ["everything", "Hospital-copies", ""],
    "demo": ["", "Yes", "true", "no "],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD_VALUES.items() for value in values]
)
def test_each_value_has_its_grammar(name: str, value: str) -> None:
    """The message names the line and never the value."""
    at = next(n for n, line in enumerate(LINES) if line.startswith(f"{name}:".encode()))
    raw = b"".join([*LINES[:at], f"{name}: {value}\n".encode(), *LINES[at + 1 :]])

    with pytest.raises(InvalidStatement) as refused:
        parse_statement(raw)

    assert len(value) < 5 or value not in str(refused.value)


BROKEN_RULES: dict[str, dict[str, Any]] = {
    "approved before it was requested": {"approved_at": REQUESTED - 1},
    "destroyed before it was effective": {"destroyed_at": STATEMENT.effective_not_before - 1},
    "one second short of the cooling-off": {"effective_not_before": REQUESTED + 15 * DAY - 1},
    "demonstration that is none": {"cooling_off": CoolingOff(0, "demonstration")},
    "no cooling-off and no reason": {"cooling_off": CoolingOff(0)},
    "a reason and a cooling-off": {"cooling_off": CoolingOff(14, "court order")},
    "no record": {"records": ()},
    "a record twice": {"records": STATEMENT.records[:1] * 2},
    "101 records": {"records": tuple(Commitment(bytes([n]) * 32) for n in range(101))},
    "a record of 31 bytes": {"records": (Commitment(bytes(31)),)},
    "nobody approved": {"approvals": ()},
    "one officer in two roles": {
        "approvals": [
            STATEMENT.approvals[0]._replace(role=role) for role in ("legal", "safeguarding")
        ]
    },
    "no slot has confirmed": {"slots": ()},
    "a slot that confirmed and is lost": {"lost_slots": ("1" * 32,)},
    "a slot of two classes": {"slots": (ConfirmedSlot("A", "1" * 32), *STATEMENT.slots)},
    "hospitals' copies are not said": {"not_covered": STATEMENT.not_covered[1:]},
    "class D is not said": {"not_covered": STATEMENT.not_covered[:3]},
    "class D is said of class A": {"slots": (ConfirmedSlot("A", "1" * 32),)},
    "something is not covered twice": {"not_covered": STATEMENT.not_covered[:1] * 2},
    "a time after 9999": {"destroyed_at": 10**12},
    "a time before 1970": {"requested_at": -1},
    "epoch zero": {"epoch": 0},
    "a line break in a value": {"authority": "AXT\ndemo: yes"},
}


@pytest.mark.parametrize("changes", BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_no_statement_breaks_a_rule(changes: dict[str, Any]) -> None:
    """Neither one that is read nor one that is made."""
    with pytest.raises(InvalidStatement):
        replace(STATEMENT, **changes)


def test_a_demonstration_and_a_court_may_do_without_cooling_off() -> None:
    demo = demonstration()
    ordered = replace(demo, cooling_off=CoolingOff(0, "court order"), demo=False)

    assert b"\ncooling_off: 0 days, demonstration\n" in demo.text()
    assert b"\ncooling_off: 0 days, court order\n" in ordered.text()
    assert [parse_statement(each.text()) for each in (demo, ordered)] == [demo, ordered]


def test_lists_are_kept_sorted() -> None:
    """However they come, so that two sites say one thing in one way."""
    turned = replace(
        STATEMENT,
        **{
            field.name: getattr(STATEMENT, field.name)[::-1]
            for field in fields(STATEMENT)
            if isinstance(getattr(STATEMENT, field.name), tuple) and field.name != "cooling_off"
        },
    )

    assert turned == STATEMENT


def test_too_large_a_text_is_not_looked_at() -> None:
    with pytest.raises(InvalidStatement, match=str(MAX_STATEMENT)):
        parse_statement(b"a\n" * MAX_STATEMENT)


def test_grounds_are_those_that_records_are_shredded_for() -> None:
    """And, besides, the one that nobody asks for."""
    asked = {ground for ground in Ground if not ground.startswith("art-18")}
    assert set(GROUNDS) - asked == {RETENTION}
    assert asked < set(GROUNDS)


@pytest.mark.parametrize("remedy", [UNLINK, RECTIFY])
def test_what_is_corrected_is_said_and_has_its_ground(remedy: str) -> None:
    """A statement that says no remedy is about whole records, as all were in earlier versions."""
    said = replace(STATEMENT, ground="art-16", remedy=remedy)
    assert f"\nground: art-16\nremedy: {remedy}\n".encode() in said.text()
    assert parse_statement(said.text()) == said
    assert b"remedy" not in STATEMENT.text()
    for wrong in ({"remedy": ERASE}, {"ground": "art-17-1-a"}, {"remedy": "restrict"}):
        with pytest.raises(InvalidStatement):
            replace(said, **wrong)  # type: ignore[arg-type]


def test_times_are_in_utc() -> None:
    assert moment(REQUESTED) == "2026-11-26T10:00:00Z"

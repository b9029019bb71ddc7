"""Proposals: one text for each signer, act and change, and nothing else is one."""

import re
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crypto.sshsig import OfficerKey, format_public_key
from lookup.officers.proposal import (
    MAX_APPROVALS,
    MAX_CAP,
    MAX_CURSOR,
    MAX_TEXT,
    AddOfficer,
    AttachRecord,
    Change,
    ChangeOfficer,
    InvalidProposal,
    LiftFence,
    LiftHold,
    PlaceHold,
    Proposal,
    RemoveOfficer,
    SetCursor,
    SetRetention,
    SetRules,
    WithdrawStatement,
    encode_change,
    parse_change,
    parse_proposal,
)
from lookup.officers.roles import Act, OfficerId, Role

KEY = format_public_key(OfficerKey.generate().public())
SECRET = "Sorrel-Bexley"
IDS = st.binary(min_size=16, max_size=16)
HEX = IDS.map(bytes.hex)
ROLES = st.sets(st.sampled_from(Role), min_size=1).map(sorted)
AUTHORITY = st.from_regex(r"[A-Z0-9]{1,16}", fullmatch=True)
AUTHORITIES = st.none() | AUTHORITY
REFERENCES = st.from_regex(r"[!-~]([ -~]{0,62}[!-~])?", fullmatch=True)
CODES = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)
NAMES = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,38}[A-Za-z0-9])?", fullmatch=True)
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(AddOfficer, name=NAMES, roles=ROLES, key=st.just(KEY), authority=AUTHORITIES),
    st.builds(ChangeOfficer, officer=HEX, roles=ROLES),
    st.builds(RemoveOfficer, officer=HEX),
    st.builds(
        SetRules,
        approvals=st.integers(2, MAX_APPROVALS),
        cooling_off_days=st.integers(1, 365),
        malicious_from=st.none() | st.dates().map(str),
        authority=AUTHORITIES,
    ),
    st.builds(
        PlaceHold,
        reason=CODES,
        record=st.none() | HEX,
        authority=AUTHORITIES,
        category=st.none() | CODES,
        of_class=st.none() | CODES,
    ),
    st.builds(LiftHold, hold=HEX, authority=AUTHORITIES),
    st.builds(LiftFence, source_ref=REFERENCES, authority=AUTHORITY),
    st.builds(AttachRecord, record=HEX, authority=AUTHORITY),
    st.builds(WithdrawStatement, record=HEX, statement=HEX, authority=AUTHORITY),
    st.builds(SetCursor, authority=AUTHORITY, cursor=st.integers(0, MAX_CURSOR)),
    st.builds(
        SetRetention,
        policy=st.binary(min_size=32, max_size=32).map(bytes.hex),
        version=st.integers(1, 1_000_000),
        cap=st.integers(1, MAX_CAP),
        authority=AUTHORITIES,
    ),
)
PROPOSALS = st.builds(
    Proposal,
    vault=IDS,
    id=IDS,
    officer=IDS.map(OfficerId),
    act=st.sampled_from([Act.PROPOSE, Act.APPROVE_PROPOSAL]),
    change=CHANGES,
)
NEW = AddOfficer(name="new", roles=[Role.AUDITOR, Role.LEGAL], key=KEY)
ONE = Proposal(b"v" * 16, b"p" * 16, OfficerId(b"o" * 16), Act.PROPOSE, NEW)
LINES = ONE.text().splitlines(keepends=True)
PLACES = range(len(LINES))


@given(PROPOSALS)
def test_a_text_says_its_proposal(proposal: Proposal) -> None:
    assert parse_proposal(proposal.text()) == proposal


@given(PROPOSALS, PROPOSALS)
def test_two_proposals_have_two_texts(one: Proposal, other: Proposal) -> None:
    assert (one == other) == (one.text() == other.text())


@given(PROPOSALS)
def test_proposing_is_not_approving(proposal: Proposal) -> None:
    """Nobody's signature does for the other."""
    texts = {replace(proposal, act=act).text() for act in (Act.PROPOSE, Act.APPROVE_PROPOSAL)}
    assert len(texts) == 2


@given(PROPOSALS, st.data())
def test_no_character_can_be_changed_unseen(proposal: Proposal, data: st.DataObject) -> None:
    text = proposal.text()
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(codec="utf-8"))
    assume(new != text[at])
    with suppress(InvalidProposal):
        assert parse_proposal(text[:at] + new + text[at + 1 :]) != proposal


@pytest.mark.parametrize("at", PLACES)
def test_no_line_is_left_out_or_comes_twice(at: int) -> None:
    for lines in (LINES[:at] + LINES[at + 1 :], LINES[: at + 1] + LINES[at:]):
        with pytest.raises(InvalidProposal):
            parse_proposal("".join(lines))


@pytest.mark.parametrize("pair", [(a, b) for a in PLACES for b in PLACES if a < b])
def test_lines_stand_in_their_order(pair: tuple[int, int]) -> None:
    lines = list(LINES)
    lines[pair[0]], lines[pair[1]] = lines[pair[1]], lines[pair[0]]
    with pytest.raises(InvalidProposal):
        parse_proposal("".join(lines))


@given(st.text(max_size=200))
def test_whatever_else_is_sent_is_none(text: str) -> None:
    with pytest.raises(InvalidProposal):
        parse_proposal(text)


def test_a_text_has_a_bound() -> None:
    with pytest.raises(InvalidProposal, match=str(MAX_TEXT)):
        parse_proposal(ONE.text() + "x" * MAX_TEXT)


def changed(old: str, new: str) -> bytes:
    raw = encode_change(NEW).decode()
    assert old in raw
    return raw.replace(old, new).encode()


BAD = {
    "nothing": b"",
    "a list": b"[]",
    "no change": b"{}",
    "a change that is none": changed("add-officer", SECRET),
    "a member too many": changed('"name"', f'"{SECRET}":1,"name"'),
    "a member missing": changed('"name":"new",', ""),
    "a name of two words": changed('"new"', f'"{SECRET} X"'),
    "a name and a line": changed('"new"', '"new\\n"'),
    "a name that begins with a dot": changed('"new"', '".new"'),
    "no name": changed('"new"', '""'),
    "a name too long": changed('"new"', f'"{"n" * 41}"'),
    "no roles": changed('["auditor","legal"]', "[]"),
    "a role that is none": changed('"legal"', f'"{SECRET}"'),
    "a role twice": changed('"legal"', '"auditor"'),
    "roles in another order": changed('"auditor","legal"', '"legal","auditor"'),
    "an authority that is a word": changed("null", f'"{SECRET}"'),
    "an authority and a line": changed("null", '"AXT\\n"'),
    "a key of another type": changed("ssh-ed25519", "ssh-rsa"),
    "a key cut off": changed(KEY, KEY[:-4]),
    "blanks": changed(",", ", "),
    "a member twice": changed('"name":"new"', '"name":"old","name":"new"'),
    "one approval": encode_change(SetRules(approvals=1)),
    "many approvals": encode_change(SetRules(approvals=MAX_APPROVALS + 1)),
    "no cooling-off": encode_change(SetRules(cooling_off_days=0)),
    "a long cooling-off": encode_change(SetRules(cooling_off_days=366)),
    "a day in words": encode_change(SetRules(malicious_from=SECRET)),
    "a day that is none": encode_change(SetRules(malicious_from="2026-02-30")),
    "a day without hyphens": encode_change(SetRules(malicious_from="20260201")),
    "a day of a week": encode_change(SetRules(malicious_from="2026-W05-7")),
    "an officer by name": encode_change(RemoveOfficer(officer=SECRET)),
    "an officer and a line": encode_change(RemoveOfficer(officer="0" * 32 + "\n")),
    "a hold without a reason": b'{"authority":null,"category":null,"change":"place-hold"}',
    "a hold for a reason in words": encode_change(PlaceHold(reason=f"because of {SECRET}")),
    "a hold on an identifier": encode_change(PlaceHold(reason="inquiry", record="nhs:9990000018")),
    "a hold on a category in words": encode_change(PlaceHold(reason="inquiry", category=SECRET)),
    "a hold on a class and a line": encode_change(PlaceHold(reason="inquiry", of_class="a\n")),
    "a hold lifted by its name": encode_change(LiftHold(hold=SECRET)),
    "a record by its identifier": encode_change(AttachRecord(record=SECRET, authority="AXT")),
    "a record of nobody": b'{"change":"attach-record","record":"' + b"0" * 32 + b'"}',
    "a fence around a line": encode_change(LiftFence(source_ref=f"{SECRET}\n", authority="AXT")),
    "a fence around nothing": encode_change(LiftFence(source_ref="", authority="AXT")),
    "a statement by its words": encode_change(
        WithdrawStatement(record="0" * 32, statement=SECRET, authority="AXT")
    ),
    "all statements": encode_change(
        WithdrawStatement(record="0" * 32, statement="", authority="AXT")
    ),
    "a cursor below nought": encode_change(SetCursor(authority="AXT", cursor=-1)),
    "a cursor without end": encode_change(SetCursor(authority="AXT", cursor=MAX_CURSOR + 1)),
    "a cursor in words": b'{"authority":"AXT","change":"set-cursor","cursor":"1"}',
    "a cursor in halves": b'{"authority":"AXT","change":"set-cursor","cursor":1.0}',
    "a cursor of nobody": b'{"authority":null,"change":"set-cursor","cursor":1}',
    "retention by a name": encode_change(SetRetention(policy=SECRET, version=1, cap=1)),
    "retention by half a digest": encode_change(SetRetention(policy="0" * 32, version=1, cap=1)),
    "retention of no version": encode_change(SetRetention(policy="0" * 64, version=0, cap=1)),
    "a cap of nought": encode_change(SetRetention(policy="0" * 64, version=1, cap=0)),
    "a cap without bound": encode_change(SetRetention(policy="0" * 64, version=1, cap=MAX_CAP + 1)),
    "bytes": b"\xff\xfe",
    "nested without end": b"[" * 4_000,
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD)
def test_rules(raw: bytes) -> None:
    """And no error repeats a value."""
    with pytest.raises(InvalidProposal) as caught:
        parse_change(raw)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("act", sorted(set(Act) - {Act.PROPOSE, Act.APPROVE_PROPOSAL}))
def test_no_other_act_is_one_of_a_proposal(act: Act) -> None:
    with pytest.raises(InvalidProposal, match=re.escape("act is propose")):
        parse_proposal(replace(ONE, act=act).text())

"""Signing: what a custodian takes is what the officer's own program makes, and binds all of it."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.sshsig import InvalidSignature, OfficerKey, Signature, verify
from lookup.cases.content import Content, Named
from lookup.cases.step import FIRST_AFTER, NAMESPACE, digest_of, parse_step
from lookup.officers import proposal, token
from lookup.officers.proposal import SetRules, parse_proposal
from lookup.officers.roles import Act, OfficerId
from lookup.officers.signing import Signer

KEY = OfficerKey.generate()
SIGNER = Signer(b"v" * 16, OfficerId(b"o" * 16), KEY)
CONTENT = Content(
    authority="AXT", records=[Named("a" * 32, 1)], ground="art-17-1-a", received="2026-01-05"
)
NEXT: dict[str, Any] = {
    "vault": SIGNER.vault.hex(),
    "case": "00" + "c" * 30,
    "number": 7,
    "after": "a" * 64,
    "digest": "d" * 64,
    "salt": "5" * 64,
}
NAMESPACES = {NAMESPACE, proposal.NAMESPACE, token.NAMESPACE}


def check(signed: dict[str, Any], namespace: str) -> None:
    """See that a signature is for one namespace alone."""
    signature = Signature(b64decode(signed["signature"]))
    verify(KEY.public(), namespace, signed["text"].encode(), signature)
    for other in NAMESPACES - {namespace}:
        with pytest.raises(InvalidSignature):
            verify(KEY.public(), other, signed["text"].encode(), signature)


def test_an_opening_binds_content_and_salt() -> None:
    signed = SIGNER.opening(CONTENT)
    check(signed, NAMESPACE)
    step, salt = parse_step(signed["text"]), b64decode(signed["salt"])
    assert (step.act, step.number, step.after) == (Act.OPEN, 1, FIRST_AFTER)
    assert (step.vault, step.officer, step.case[0]) == (SIGNER.vault, SIGNER.officer_id, 0)
    assert step.digest == digest_of(salt, step.case, 1, signed["content"].encode())
    assert signed["content"].encode() == CONTENT.encode()


def test_no_two_openings_share_id_or_salt() -> None:
    """Else two cases of one content would have one digest."""
    one, other = SIGNER.opening(CONTENT), SIGNER.opening(CONTENT)
    assert one["salt"] != other["salt"]
    assert parse_step(one["text"]).case != parse_step(other["text"]).case


def test_a_step_says_just_what_follows() -> None:
    signed = SIGNER.step(NEXT, Act.HOLD, {"reason": "court-case"})
    check(signed, NAMESPACE)
    step = parse_step(signed["text"])
    assert (step.number, step.after.hex(), step.digest.hex()) == (7, "a" * 64, "d" * 64)
    assert (step.act, dict(step.details)) == (Act.HOLD, {"reason": "court-case"})
    assert set(signed) == {"text", "signature"}


def test_an_amendment_is_of_the_content_that_comes() -> None:
    signed = SIGNER.amendment(NEXT, CONTENT)
    check(signed, NAMESPACE)
    step = parse_step(signed["text"])
    salt = bytes.fromhex(NEXT["salt"])
    assert step.digest == digest_of(salt, step.case, 7, CONTENT.encode())


@given(st.integers(0, 2**32 - 1))
def test_a_proposal_tells_how_many_changes_there_were(changes: int) -> None:
    """So it can be proposed until the next one is made, and never after."""
    signed = SIGNER.proposal(SetRules(), changes)
    found = parse_proposal(signed["text"])
    assert found.id[:6] == bytes(2) + changes.to_bytes(4)
    assert len(found.id) == 16


def test_a_proposal_and_its_approval() -> None:
    proposed = SIGNER.proposal(SetRules(), 0)
    approved = SIGNER.approval(parse_proposal(proposed["text"]).id, SetRules())
    for signed, act in ((proposed, Act.PROPOSE), (approved, Act.APPROVE_PROPOSAL)):
        check(signed, proposal.NAMESPACE)
        assert parse_proposal(signed["text"]).act is act


def test_a_signer_shows_no_key() -> None:
    assert KEY.expose().hex() not in repr(SIGNER)
    assert "key" not in repr(SIGNER)

"""Commitments: they say nothing, and cannot be taken back."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.commitment import (
    COMMITMENT_SIZE,
    Commitment,
    InvalidCommitment,
    Nonce,
    commit,
    committed_leaf,
    new_nonce,
    public_leaf,
    verify_commitment,
)
from tests.crypto import reference

nonces = st.binary(min_size=32, max_size=32).map(Nonce)
messages = st.binary(max_size=200)


@given(nonces, messages)
def test_a_second_implementation_agrees(nonce: Nonce, message: bytes) -> None:
    """HMAC from the text of RFC 2104, which is held to the published vectors."""
    committed = reference.fields(b"lacuna/commitment/v1", message)

    assert commit(nonce, message) == reference.hmac_sha256(nonce, committed)
    verify_commitment(commit(nonce, message), nonce, message)


@given(nonces, messages, st.data())
def test_any_changed_bit_is_refused(nonce: Nonce, message: bytes, data: st.DataObject) -> None:
    """Of the commitment, of the nonce, of the message."""
    parts = [commit(nonce, message), nonce, message or b"\0"]
    commitment = commit(nonce, parts[2])
    parts[0] = commitment
    which = data.draw(st.integers(0, 2))
    bit = data.draw(st.integers(0, 8 * len(parts[which]) - 1))
    changed = bytearray(parts[which])
    changed[bit // 8] ^= 1 << bit % 8
    parts[which] = Commitment(bytes(changed))

    with pytest.raises(InvalidCommitment) as caught:
        verify_commitment(Commitment(parts[0]), Nonce(parts[1]), parts[2])
    assert caught.value.args == ()


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_nonce_has_one_length(size: int) -> None:
    """HMAC pads short keys and hashes long ones: two nonces would open one commitment."""
    nonce = Nonce(bytes(size))

    with pytest.raises(ValueError, match="32 bytes"):
        commit(nonce, b"message")
    with pytest.raises(InvalidCommitment):
        verify_commitment(Commitment(bytes(32)), nonce, b"message")


def test_a_padded_nonce_is_no_other_opening() -> None:
    short = bytes(31)
    assert hmac.digest(short, b"", "sha256") == hmac.digest(bytes(32), b"", "sha256")

    with pytest.raises(InvalidCommitment):
        verify_commitment(commit(Nonce(bytes(32)), b""), Nonce(short), b"")


@given(messages)
def test_one_message_has_many_commitments(message: bytes) -> None:
    """Whoever guesses a message cannot test the guess."""
    assert commit(new_nonce(), message) != commit(new_nonce(), message)


@given(nonces, st.text())
def test_a_public_entry_never_poses_as_a_committed_one(nonce: Nonce, text: str) -> None:
    committed, public = committed_leaf(commit(nonce, text.encode())), public_leaf(text)

    assert committed[:1] == b"\1"
    assert len(committed) == 1 + COMMITMENT_SIZE
    assert public == b"\2" + text.encode()


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_leaf_holds_a_whole_commitment(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        committed_leaf(Commitment(bytes(size)))

"""Cosignatures: of whom the caller knows, of this checkpoint, of that time."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.checkpoint import Checkpoint, InvalidCheckpoint
from crypto.cosignature import (
    MAX_TIME,
    Cosignature,
    CosignerKey,
    CosigningKey,
    InvalidCosignature,
    cosign,
    verify_cosignatures,
)
from crypto.merkle import EMPTY_ROOT
from crypto.note import (
    InvalidNote,
    InvalidVerifierKey,
    Note,
    Signature,
    SigningKey,
    VerifierKey,
    add_signature,
    open_note,
    sign_note,
    sign_text,
)
from tests.vectors import load

VECTOR = load("tlog-cosignature.json")
ORIGIN = "log.example/lacuna"
NAME = "cosigner.example"
TEXT = Checkpoint(ORIGIN, 7, EMPTY_ROOT).text()
LOG = SigningKey(bytes(range(32)))
KEY = CosigningKey(bytes(range(1, 33)))
COSIGNER = KEY.verifier(NAME)
TIME = 1_679_315_147

times = st.integers(0, MAX_TIME)


def cosigned(*signatures: Signature) -> Note:
    raw = sign_note(TEXT, ORIGIN, LOG)
    for signature in signatures:
        raw = add_signature(raw, signature)
    return open_note(raw, [LOG.verifier(ORIGIN)])


def refuse(note: Note, *cosigners: CosignerKey) -> None:
    with pytest.raises(InvalidCosignature) as caught:
        verify_cosignatures(note, cosigners)
    assert caught.value.args == ()


def test_published_cosignatures() -> None:
    """Four of a public log's checkpoint; the log's own lines are none."""
    note = open_note(VECTOR["checkpoint"].encode(), [VerifierKey.parse(VECTOR["log_key"])])
    cosigners = [CosignerKey.parse(key) for key in VECTOR["cosigners"]]

    found = verify_cosignatures(note, cosigners)

    assert found == tuple(Cosignature(cosigner, VECTOR["time"]) for cosigner in cosigners)
    assert [cosigner.text() for cosigner in cosigners] == VECTOR["cosigners"]


@given(times)
def test_what_is_cosigned_verifies(time: int) -> None:
    signature = cosign(TEXT, NAME, KEY, time)
    note = cosigned(signature)

    assert verify_cosignatures(note, [COSIGNER]) == ((COSIGNER, time),)
    assert signature.signature[:8] == time.to_bytes(8)
    message = f"cosignature/v1\ntime {time}\n{TEXT}".encode()
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))).public_key()
    public.verify(signature.signature[8:], message)


def test_any_changed_bit_is_refused() -> None:
    """Of the time or of the signature."""
    signature = cosign(TEXT, NAME, KEY, TIME)

    for bit in range(8 * len(signature.signature)):
        changed = bytearray(signature.signature)
        changed[bit // 8] ^= 1 << bit % 8
        refuse(cosigned(signature._replace(signature=bytes(changed))), COSIGNER)


@pytest.mark.parametrize("size", [1, 8, 64, 71, 73])
def test_another_length_is_refused(size: int) -> None:
    signature = cosign(TEXT, NAME, KEY, TIME)._replace(signature=bytes(size))

    refuse(cosigned(signature), COSIGNER)


def test_a_cosignature_is_of_one_checkpoint() -> None:
    other = Checkpoint(ORIGIN, 8, EMPTY_ROOT).text()

    refuse(cosigned(cosign(other, NAME, KEY, TIME)), COSIGNER)


def test_a_cosigner_counts_once_with_its_latest_time() -> None:
    """However many lines it has, and in whatever order."""
    signed = [cosign(TEXT, NAME, KEY, time) for time in (3, 5, 4)]

    assert verify_cosignatures(cosigned(*signed), [COSIGNER, COSIGNER]) == ((COSIGNER, 5),)


def test_others_are_passed_over() -> None:
    """Unknown ones, and the log's own signature."""
    note = cosigned(cosign(TEXT, "other", CosigningKey(bytes(32)), TIME))

    assert verify_cosignatures(note, [COSIGNER]) == ()
    assert verify_cosignatures(note, []) == ()


def test_no_signature_of_a_note_is_a_cosignature() -> None:
    """Nor the reverse, even under one key: ids and messages differ."""
    one = SigningKey(bytes(range(1, 33)))
    plain = sign_text(TEXT, NAME, one)
    posing = Signature(NAME, COSIGNER.key_id, TIME.to_bytes(8) + plain.signature)

    assert one.verifier(NAME).key_id != COSIGNER.key_id
    refuse(cosigned(posing), COSIGNER)
    signature = cosign(TEXT, NAME, KEY, TIME)
    with pytest.raises(InvalidNote):
        one.verifier(NAME).verify(TEXT, signature.signature[8:])


def test_a_key_of_one_kind_does_not_parse_as_the_other() -> None:
    with pytest.raises(InvalidVerifierKey):
        VerifierKey.parse(COSIGNER.text())
    with pytest.raises(InvalidVerifierKey):
        CosignerKey.parse(LOG.verifier(ORIGIN).text())


def test_only_checkpoints_are_cosigned() -> None:
    with pytest.raises(InvalidCheckpoint):
        cosign("text\n", NAME, KEY, TIME)


@pytest.mark.parametrize("time", [-1, MAX_TIME + 1])
def test_a_time_has_63_bits(time: int) -> None:
    with pytest.raises(ValueError, match="63 bits"):
        cosign(TEXT, NAME, KEY, time)


def test_keys_do_not_print() -> None:
    assert repr(KEY) == "<CosigningKey>"

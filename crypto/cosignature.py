"""Cosignatures: who else saw a checkpoint, found it consistent with all before, and when.

    line    = as of a note, its signature being time u64 || Ed25519(private key, message)
    message = "cosignature/v1" || newline || "time " || time in decimal || newline || text
    key id  = SHA-256(name || newline || 0x04 || public key)[:4]

Invariants:

* The message begins with its own header: no cosignature is the signature of a note, and none of
  a note is a cosignature, even under one key.
* The time is signed. It is the cosigner's word; nothing here compares it with a clock.
* A cosigner counts once, whatever the number of its lines, with the latest of its times.
* The message does not say the cosigner's name, so each name has a key of its own.

C2SP tlog-cosignature, version 1 with Ed25519 (c2sp.org/tlog-cosignature); times are in seconds
since 1970, below 2**63, numbers big-endian. Those with ML-DSA are passed over as unknown. C2SP's
witnesses are cosigners; here a witness is what it is in `audit`. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, NamedTuple

from crypto.checkpoint import parse_checkpoint
from crypto.note import NamedKey, Note, Signature, is_signed, public_of, sign
from crypto.secret import SecretBytes

MAX_TIME: Final = 2**63 - 1

_TIME_SIZE: Final = 8
_SIGNATURE_SIZE: Final = 64


class InvalidCosignature(Exception):
    """The cosigner is known, and did not sign this."""


@dataclass(frozen=True, slots=True)
class CosignerKey(NamedKey):
    """Verifies the cosignatures of one cosigner."""

    KIND: ClassVar[int] = 0x04

    def verify(self, text: str, signature: bytes) -> int:
        """Return when the cosigner signed this text. Raises InvalidCosignature."""
        time = int.from_bytes(signature[:_TIME_SIZE])
        signed = signature[_TIME_SIZE:]
        if len(signed) != _SIGNATURE_SIZE or time > MAX_TIME:
            raise InvalidCosignature
        if not is_signed(self.public, signed, _message(text, time)):
            raise InvalidCosignature
        return time


class Cosignature(NamedTuple):
    """A cosigner that verified, and when it last signed, in seconds since 1970."""

    cosigner: CosignerKey
    time: int


class CosigningKey(SecretBytes):
    """An Ed25519 private key that cosigns checkpoints, and nothing else."""

    def verifier(self, name: str) -> CosignerKey:
        """Return what verifies its cosignatures. Raises InvalidVerifierKey."""
        return CosignerKey(name, public_of(self))


def cosign(text: str, name: str, key: CosigningKey, time: int) -> Signature:
    """Return a cosignature, for `note.add_signature`.

    The caller has verified that the checkpoint is the log's and consistent with all it saw before.
    Raises InvalidCheckpoint for another text, ValueError for a time out of bounds.
    """
    parse_checkpoint(text)
    if not 0 <= time <= MAX_TIME:
        raise ValueError("a time has 63 bits")
    signed = time.to_bytes(_TIME_SIZE) + sign(key, _message(text, time))
    return Signature(name, key.verifier(name).key_id, signed)


def verify_cosignatures(note: Note, cosigners: Iterable[CosignerKey]) -> tuple[Cosignature, ...]:
    """Return which of these cosigners signed the checkpoint of a note, each once, in its order.

    Raises InvalidCosignature if the signature of one of them does not verify.
    """
    known = {(key.name, key.key_id): key for key in cosigners}
    times: dict[CosignerKey, int] = {}
    for name, key_id, signature in note.signatures:
        cosigner = known.get((name, key_id))
        if cosigner is not None:
            time = cosigner.verify(note.text, signature)
            times[cosigner] = max(time, times.get(cosigner, 0))
    return tuple(map(Cosignature._make, times.items()))


def _message(text: str, time: int) -> bytes:
    return f"cosignature/v1\ntime {time}\n{text}".encode()

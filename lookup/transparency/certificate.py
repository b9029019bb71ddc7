"""The certificate of destruction: a statement, and the proof that the site's log holds it.

    certificate = statement || newline || proof
    proof       = "c2sp.org/tlog-proof@v1" || newline
                  "extra " || base64(nonce) || newline
                  "index " || decimal || newline
                  (base64(hash) || newline) for each hash of the inclusion proof
                  newline || checkpoint, a signed note
    leaf        = 0x01 || commit(nonce, statement)

Invariants:

* What stands behind the statement's empty line is a C2SP tlog-proof of `leaf`, so any tool that
  reads those verifies it; the nonce is its extra data. Nothing else is in the file.
* A certificate has one text. With the log's key and those of all cosigners no byte of it can
  change: the statement is committed to, a proof has one form, every signature is verified. The
  log's signature stands first, others by name, none twice.
* Signatures of keys that nobody named are counted and not believed: whoever relays a certificate
  may have added them.
* It proves that the log holds the statement, not that the statement is true: whoever has the log's
  key can have a false one logged. Then it is there, for everybody who watches the log.

C2SP tlog-proof, tlog-checkpoint, signed-note, tlog-cosignature (c2sp.org); RFC 6962, section 2.1.
Pure: no I/O, no clock.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from crypto.checkpoint import MAX_SIZE, Checkpoint, InvalidCheckpoint, parse_checkpoint
from crypto.commitment import NONCE_SIZE, Leaf, Nonce, commit, committed_leaf
from crypto.cosignature import Cosignature, CosignerKey, InvalidCosignature, verify_cosignatures
from crypto.merkle import HASH_SIZE, Hash, InvalidProof, leaf_hash, verify_inclusion
from crypto.note import (
    InvalidNote,
    Note,
    Signature,
    VerifierKey,
    decode_base64,
    format_note,
    open_note,
    parse_note,
)
from lookup.transparency.errors import InvalidCertificate, InvalidStatement
from lookup.transparency.statement import Statement, parse_statement

MAX_CERTIFICATE: Final = 65_536

_PROOF: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile("0|[1-9][0-9]{0,18}")
_MAX_HASHES: Final = 63


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the file holds. Until verified, anybody may have written it."""

    statement: Statement
    nonce: Nonce
    index: int
    proof: tuple[Hash, ...]
    unverified_checkpoint: bytes

    def text(self) -> bytes:
        """Return the file."""
        lines = [
            _PROOF,
            f"extra {b64encode(self.nonce).decode()}",
            f"index {self.index}",
            *(b64encode(each).decode() for each in self.proof),
        ]
        proof = "".join(f"{line}\n" for line in lines).encode()
        return b"\n".join((self.statement.text(), proof, self.unverified_checkpoint))

    def leaf(self) -> Leaf:
        """Return what the log has to hold at `index`."""
        return leaf_of(self.statement, self.nonce)


@dataclass(frozen=True, slots=True)
class Verified:
    """A statement that the log of this checkpoint holds; who else has seen the checkpoint.

    `others` counts the signatures of keys that were not given: nothing is known of them.
    """

    statement: Statement
    checkpoint: Checkpoint
    index: int
    log_key: VerifierKey
    cosignatures: tuple[Cosignature, ...]
    others: int


def leaf_of(statement: Statement, nonce: Nonce) -> Leaf:
    """Return the log's entry for a statement."""
    return committed_leaf(commit(nonce, statement.text()))


def make_certificate(
    statement: Statement, nonce: Nonce, index: int, proof: Sequence[Hash], checkpoint: bytes
) -> Certificate:
    """Return the certificate of a logged statement; the log's signature is the note's first.

    Raises InvalidNote if the checkpoint is no signed note.
    """
    text, (log, *others) = parse_note(checkpoint)
    note = format_note(text, [log, *sorted(set(others) - {log}, key=_by_name)])
    return Certificate(statement, nonce, index, tuple(proof), note)


def parse_certificate(raw: bytes) -> Certificate:
    """Return what a file holds, unverified. Raises InvalidCertificate for another form."""
    if len(raw) > MAX_CERTIFICATE:
        _refuse(f"it is larger than any certificate, {MAX_CERTIFICATE} bytes")
    said, end, rest = raw.partition(b"\n\n")
    proof, _, note = rest.partition(b"\n\n")
    if not end or not note:
        _refuse("it is not a statement, a proof and a checkpoint with empty lines between")
    try:
        statement = parse_statement(said + b"\n")
    except InvalidStatement as error:
        raise InvalidCertificate(f"statement: {error}") from None
    nonce, index, hashes = _parse_proof(proof)
    return Certificate(statement, nonce, index, hashes, note)


def verify_certificate(
    certificate: Certificate,
    log_keys: Sequence[VerifierKey],
    cosigner_keys: Sequence[CosignerKey] = (),
) -> Verified:
    """Return what the certificate shows, if one of the logs holds it and every cosigner saw that.

    A log's key has the log's origin as its name. Raises InvalidCertificate, which says which part
    fails.
    """
    try:
        note = open_note(certificate.unverified_checkpoint, log_keys)
        checkpoint = parse_checkpoint(note.text)
    except InvalidNote:
        _refuse("checkpoint: no log of a given key has signed it")
    except InvalidCheckpoint:
        _refuse("checkpoint: its text is none")
    log_key = _check_signatures(note, checkpoint)
    cosignatures = _verify_cosigners(note, cosigner_keys)
    _verify_leaf(certificate, checkpoint)
    return Verified(
        statement=certificate.statement,
        checkpoint=checkpoint,
        index=certificate.index,
        log_key=log_key,
        cosignatures=cosignatures,
        others=len(note.signatures) - len(note.verified) - len(cosignatures),
    )


def _check_signatures(note: Note, checkpoint: Checkpoint) -> VerifierKey:
    """Return the log's key, whose signature stands first."""
    log, *others = note.signatures
    key = next((key for key in note.verified if (key.name, key.key_id) == log[:2]), None)
    if key is None:
        _refuse("checkpoint: the log's signature is not the first")
    if key.name != checkpoint.origin:
        _refuse("checkpoint: it is that of another log")
    names = [each[:2] for each in note.signatures]
    if others != sorted(others, key=_by_name) or len(set(names)) < len(names):
        _refuse("checkpoint: its signatures are not in their order, or one stands there twice")
    return key


def _verify_cosigners(note: Note, keys: Sequence[CosignerKey]) -> tuple[Cosignature, ...]:
    try:
        cosignatures = verify_cosignatures(note, keys)
    except InvalidCosignature:
        _refuse("checkpoint: a cosignature does not verify")
    if not set(keys) <= {each.cosigner for each in cosignatures}:
        _refuse("checkpoint: a witness that was asked for has not cosigned it")
    return cosignatures


def _verify_leaf(certificate: Certificate, checkpoint: Checkpoint) -> None:
    leaf, proof = leaf_hash(certificate.leaf()), certificate.proof
    try:
        verify_inclusion(leaf, certificate.index, checkpoint.size, proof, checkpoint.root)
    except InvalidProof:
        _refuse("proof: it does not lead from this statement to the log's checkpoint")


def _parse_proof(raw: bytes) -> tuple[Nonce, int, tuple[Hash, ...]]:
    """Return nonce, index and hashes of a tlog-proof; all its lines end in a newline but one."""
    try:
        first, extra, index, *hashes = raw.decode("ascii").split("\n")
    except ValueError:
        _refuse("proof: it has too few lines, or other characters than ascii")
    if first != _PROOF:
        _refuse(f"proof: its first line is not {_PROOF}")
    nonce = _decode(extra, "extra ", NONCE_SIZE)
    number = index.removeprefix("index ")
    if not index.startswith("index ") or not _INDEX.fullmatch(number) or int(number) >= MAX_SIZE:
        _refuse("proof: there is no index")
    if len(hashes) > _MAX_HASHES:
        _refuse(f"proof: it has more than {_MAX_HASHES} hashes")
    return Nonce(nonce), int(number), tuple(Hash(_decode(line, "", HASH_SIZE)) for line in hashes)


def _decode(line: str, start: str, size: int) -> bytes:
    raw = decode_base64(line.removeprefix(start))
    if not line.startswith(start) or raw is None or len(raw) != size:
        _refuse(f"proof: a line is not {start}and the base64 of {size} bytes")
    return raw


def _by_name(signature: Signature) -> tuple[str, bytes]:
    return signature.name, signature.key_id


def _refuse(fact: str) -> NoReturn:
    raise InvalidCertificate(fact)

"""A log with a certificate in it, and its keys, made anew for whoever asks."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from crypto.checkpoint import Checkpoint
from crypto.commitment import Nonce
from crypto.cosignature import CosigningKey, cosign
from crypto.merkle import Hash, inclusion_proof, leaf_hash, node_hash, tree_root
from crypto.note import SigningKey, add_signature, sign_note
from lookup.transparency.certificate import Certificate, leaf_of, make_certificate
from lookup.transparency.opening import FORMAT, Opening, RecordOpening
from lookup.transparency.statement import Approval, ConfirmedSlot, CoolingOff, Statement

ORIGIN: Final = "log.axtonbury.example/lacuna"
LOG_KEY: Final = SigningKey(bytes(range(32)))
COSIGNING: Final = {
    "one.witness.example": CosigningKey(bytes([1]) * 32),
    "two.witness.example": CosigningKey(bytes([2]) * 32),
}
LOG: Final = LOG_KEY.verifier(ORIGIN)
COSIGNERS: Final = tuple(key.verifier(name) for name, key in COSIGNING.items())
STRANGER: Final = SigningKey(bytes([9]) * 32)
REQUESTED: Final = 1_795_687_200  # 2026-11-26T10:00:00Z
DAY: Final = 86_400
NHS: Final = "9990001014"

OPENING: Final = Opening(
    format=FORMAT,
    certificate="c" * 32,
    authority_name="Axtonbury City Council",
    contact="dpo@axtonbury.example",
    records=tuple(
        RecordOpening(
            nonce=bytes([number]) * 32,
            authority="AXT",
            source_ref=f"CASE-{number}",
            record_id=f"{number:032x}",
            identifiers=(f"nhs:{NHS}", f"local:AXT:{number:06}"),
        )
        for number in (1, 2)
    ),
)
STATEMENT: Final = Statement(
    certificate="c" * 32,
    site="5" * 32,
    authority="AXT",
    ground="art-17-1-g",
    records=tuple(record.commitment() for record in OPENING.records),
    requested_at=REQUESTED,
    approved_at=REQUESTED + DAY,
    effective_not_before=REQUESTED + 15 * DAY,
    destroyed_at=REQUESTED + 15 * DAY + 7,
    epoch=12,
    approvals=(
        Approval("legal", f"SHA256:{'L' * 42}A"),
        Approval("safeguarding", f"SHA256:{'S' * 42}A"),
    ),
    cooling_off=CoolingOff(14),
    slots=(ConfirmedSlot("D", "1" * 32), ConfirmedSlot("D", "2" * 32)),
    lost_slots=("3" * 32,),
    workers=2,
    not_covered=("hospital-copies", "documents-handed-out", "feed-fence", "slot-class-d"),
    demo=False,
)
NONCE: Final = Nonce(bytes([7]) * 32)
INDEX: Final = 5
SIZE: Final = 12


@dataclass(frozen=True)
class Log:
    """A small log; entry `INDEX` is the statement's."""

    leaves: tuple[Hash, ...]

    def read(self, level: int, index: int) -> Hash:
        """Return the hash of a complete subtree."""
        if level == 0:
            return self.leaves[index]
        return node_hash(self.read(level - 1, 2 * index), self.read(level - 1, 2 * index + 1))

    def checkpoint(self, size: int, origin: str = ORIGIN) -> Checkpoint:
        return Checkpoint(origin, size, tree_root(size, self.read))

    def proof(self, index: int, size: int) -> list[Hash]:
        return inclusion_proof(index, size, self.read)


def log_of(statement: Statement, nonce: Nonce = NONCE, size: int = SIZE) -> Log:
    """Return a log that holds a statement."""
    leaves = [leaf_of(STATEMENT, Nonce(bytes([100 + n]) * 32)) for n in range(size)]
    leaves[INDEX] = leaf_of(statement, nonce)
    return Log(tuple(map(leaf_hash, leaves)))


def note_of(checkpoint: Checkpoint, key: SigningKey = LOG_KEY) -> bytes:
    """Return a checkpoint that the log and both cosigners have signed."""
    note = sign_note(checkpoint.text(), checkpoint.origin, key)
    for name, cosigning in COSIGNING.items():
        note = add_signature(note, cosign(checkpoint.text(), name, cosigning, REQUESTED))
    return note


def certificate_of(statement: Statement) -> Certificate:
    """Return the certificate of a statement in a log of its own."""
    log = log_of(statement)
    note = note_of(log.checkpoint(SIZE))
    return make_certificate(statement, NONCE, INDEX, log.proof(INDEX, SIZE), note)


@cache
def raw_certificate() -> bytes:
    """Return the file that most tests are about."""
    return certificate_of(STATEMENT).text()


def demonstration() -> Statement:
    """Return a statement of a demonstration that waited for nothing."""
    return replace(
        STATEMENT,
        effective_not_before=STATEMENT.approved_at,
        destroyed_at=STATEMENT.approved_at + 1,
        cooling_off=CoolingOff(0, "demonstration"),
        demo=True,
    )

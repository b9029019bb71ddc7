"""Claim: a family verifies a certificate within 300 ms, of a log of a million entries too.

Floor: 300 ms for the whole command `lacuna certificate verify`, a new process from its start to its
end; 1 ms for making an inclusion proof and verifying it. Both at 1,000,000 entries.

Method: a log of that many entries whose complete subtrees are in memory, the certificate of a
statement with one record in its middle, the command as a process of its own, its files in the page
cache; median of eleven. `python` is an interpreter that does nothing, in turn with it. `make` is
`crypto.merkle.inclusion_proof`, `verify` its verification, at a thousand random places: the median.
Where a custodian has the hashes, in its store, is not in it.
"""

import secrets
import subprocess
import sys
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.running import Run, timed
from crypto.checkpoint import Checkpoint
from crypto.commitment import new_nonce
from crypto.merkle import (
    Hash,
    ReadHash,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_inclusion,
)
from crypto.note import SigningKey, sign_note
from lookup.transparency.certificate import leaf_of, make_certificate
from lookup.transparency.opening import commit_record
from lookup.transparency.statement import Approval, ConfirmedSlot, CoolingOff, Statement

_COMMAND_FLOOR: Final = Floor("<=", 300)
_PROOF_FLOOR: Final = Floor("<=", 1)
_LOG: Final = "log.bench.example/lacuna"
_LACUNA: Final = "from lookup.cli.main import main; main()"
_PLACES: Final = 1_000
_DAY: Final = 86_400


def measure(run: Run) -> Outcome:
    """Make a log of each size, and a certificate in it."""
    rows = tuple(_row(run, records) for records in run.sizes)
    last = rows[-1]
    command = Claim(
        name="certificate-verify",
        says="`lacuna certificate verify`, the whole command",
        value=last["command, ms"],
        unit="ms",
        records=run.largest,
        judged=run.judged,
        floor=_COMMAND_FLOOR,
        bound_by="starting the interpreter, and importing click and cryptography",
    )
    proof = Claim(
        name="inclusion-proof",
        says="an inclusion proof, made and verified",
        value=(last["make, µs"] + last["verify, µs"]) / 1_000,
        unit="ms",
        records=run.largest,
        judged=run.judged,
        floor=_PROOF_FLOOR,
        bound_by="the interpreter: one hash for each level of the tree",
    )
    lines = {
        name: [(float(row["entries"]), float(row[f"{name}, µs"])) for row in rows]
        for name in ("make", "verify")
    }
    plot = Plot("Inclusion proofs", "entries in the log", "µs", lines)
    return Outcome((command, proof), rows, (plot,))


def _row(run: Run, records: int) -> Json:
    run.progress.tell(f"making a log of {records:,} entries")
    statement, nonce, index = _statement(), new_nonce(), records // 2
    levels = _levels([leaf_hash(number.to_bytes(33)) for number in range(records)])
    _replace(levels, index, leaf_hash(leaf_of(statement, nonce)))
    key = SigningKey.generate()
    checkpoint = Checkpoint(_LOG, records, tree_root(records, _reader(levels)))
    proof = inclusion_proof(index, records, _reader(levels))
    note = sign_note(checkpoint.text(), _LOG, key)
    certificate = make_certificate(statement, nonce, index, proof, note).text()
    commands, bare = _commands(run, certificate, key.verifier(_LOG).text())
    making, verifying = _proofs(run, levels, checkpoint)
    return {
        "entries": records,
        "command, ms": round(commands * 1e3, 1),
        "python, ms": round(bare * 1e3, 1),
        "make, µs": round(making * 1e6, 1),
        "verify, µs": round(verifying * 1e6, 1),
        "certificate, bytes": len(certificate),
    }


def _commands(run: Run, certificate: bytes, key: str) -> tuple[float, float]:
    """Return the seconds that the command takes, and an interpreter that does nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "certificate"
        file.write_bytes(certificate)
        words = ("certificate", "verify", str(file), "--log-key", key)
        commands, bare = [], []
        for _ in range(run.rounds(11)):
            bare.append(_seconds("pass"))
            commands.append(_seconds(_LACUNA, *words))
    return median(commands), median(bare)


def _seconds(code: str, *words: str) -> float:
    call = (sys.executable, "-c", code, *words)
    _, took = timed(lambda: subprocess.run(call, stdout=subprocess.DEVNULL, check=True))
    return took.wall


def _proofs(run: Run, levels: list[list[Hash]], checkpoint: Checkpoint) -> tuple[float, float]:
    """Return the seconds of making a proof, and of verifying it."""
    read, size, root = _reader(levels), checkpoint.size, checkpoint.root
    places = [secrets.randbelow(size) for _ in range(run.rounds(_PLACES))]
    making, verifying = [], []
    for place in places:
        proof, took = timed(partial(inclusion_proof, place, size, read))
        making.append(took.wall)
        leaf = levels[0][place]
        _, took = timed(partial(verify_inclusion, leaf, place, size, proof, root))
        verifying.append(took.wall)
    return median(making), median(verifying)


def _levels(leaves: list[Hash]) -> list[list[Hash]]:
    """Return the roots of all complete subtrees."""
    levels = [leaves]
    while len(below := levels[-1]) > 1:
        levels.append(list(map(node_hash, below[::2], below[1::2])))
    return levels


def _replace(levels: list[list[Hash]], index: int, leaf: Hash) -> None:
    levels[0][index] = leaf
    for below, level in pairwise(levels):
        index //= 2
        if index < len(level):
            level[index] = node_hash(below[2 * index], below[2 * index + 1])


def _reader(levels: list[list[Hash]]) -> ReadHash:
    return lambda level, index: levels[level][index]


def _statement() -> Statement:
    requested = 1_795_687_200
    return Statement(
        certificate="0" * 32,
        site="1" * 32,
        authority="AXT",
        ground="art-17-1-g",
        records=(commit_record(new_nonce(), "AXT", "CASE-1", "2" * 32, ["nhs:9990001014"]),),
        requested_at=requested,
        approved_at=requested,
        effective_not_before=requested + 14 * _DAY,
        destroyed_at=requested + 14 * _DAY,
        epoch=2,
        approvals=(Approval("legal", f"SHA256:{'A' * 43}"),),
        cooling_off=CoolingOff(14),
        slots=(ConfirmedSlot("D", "3" * 32),),
        lost_slots=(),
        workers=2,
        not_covered=("hospital-copies", "documents-handed-out", "slot-class-d"),
        demo=False,
    )

"""The transparency log of a site: what the vault appends to it, signed and proved.

    checkpoint = signed note of origin, size and root; cosigned by witnesses where they have been

Invariants:

* A checkpoint is signed for what store, mirror and anchors have, never for more.
* Of one origin two checkpoints never contradict each other. Whatever this site has signed and
  that is still to be found (kept cosignatures, the published folder) is compared at every start
  with what the log is; if the log is shorter or another, there is no start (`refuse_forgotten`).
* A cosignature is kept if it verifies under a configured witness's key and is of this log as it
  is. Its time is the witness's word and is compared with no clock.
* One thread uses it, the writer's.

C2SP tlog-checkpoint, tlog-cosignature, tlog-tiles; proofs are RFC 6962, section 2.1.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from crypto.checkpoint import Checkpoint, InvalidCheckpoint, open_checkpoint
from crypto.cosignature import (
    CosignerKey,
    InvalidCosignature,
    verify_cosignatures,
)
from crypto.merkle import Hash, consistency_proof, inclusion_proof
from crypto.note import (
    InvalidNote,
    InvalidVerifierKey,
    Signature,
    VerifierKey,
    add_signature,
    open_note,
    sign_note,
)
from keys.errors import LogDamaged, LogForked, LogLost
from keys.log import LogSource
from lookup.config import Config, InvalidConfig
from lookup.custodian.store.cosigned import CosignedCheckpoints
from lookup.custodian.store.log import Log
from lookup.custodian.transparency.log_key import LogKey, marks_in
from lookup.custodian.transparency.published import Publisher, published_checkpoint
from lookup.custodian.unlocking import OpenSite
from lookup.errors import Conflict, InvalidRequest
from lookup.transparency.tiles import WIDTH, Bundle, Tile, encode_bundle

logger = logging.getLogger("lookup.custodian")


@dataclass(frozen=True, slots=True)
class Witness:
    """Who cosigns checkpoints, as people call it, and its key."""

    name: str
    key: CosignerKey


class Cosigned(NamedTuple):
    """What a witness said last: that it saw a checkpoint, and when by its own clock."""

    witness: Witness
    checkpoint: Checkpoint
    time: int
    signature: Signature


class TransparencyLog:
    """The log of one site."""

    def __init__(
        self,
        entries: Log,
        key: LogKey,
        witnesses: Sequence[Witness],
        kept: CosignedCheckpoints,
        publisher: Publisher | None = None,
    ) -> None:
        self.entries = entries
        self._key = key
        self._witnesses = tuple(witnesses)
        self._kept = kept
        self._publisher = publisher
        self._signed: tuple[int, bytes] | None = None
        self._cosigned = self._read_cosigned()

    @property
    def origin(self) -> str:
        """The log's name, and its key's."""
        return self._key.origin

    @property
    def verifier(self) -> VerifierKey:
        """What verifies its checkpoints."""
        return self._key.verifier

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.entries.size

    def checkpoint(self) -> bytes:
        """Return the newest checkpoint, with the cosignatures that are of it."""
        if self._signed is None or self._signed[0] != self.size:
            self._signed = self.size, self._cosign(self._sign(self.size))
        return self._signed[1]

    def cosigned_checkpoint(self) -> bytes | None:
        """Return the newest checkpoint that a witness has cosigned, or None."""
        newest = max((each.checkpoint.size for each in self._cosigned.values()), default=None)
        return None if newest is None else self._cosign(self._sign(newest))

    def cosignatures(self) -> list[Cosigned]:
        """Return what each witness said last."""
        return sorted(self._cosigned.values(), key=lambda each: each.witness.name)

    def inclusion(self, position: int, size: int | None = None) -> list[Hash]:
        """Return what shows an entry to be in the log of a size; of now, if none is given.

        Raises ValueError if it is not.
        """
        return inclusion_proof(position, self._within(size), self.entries.read_hash)

    def place_of(self, leaf: bytes, expected: int) -> int:
        """Return where a leaf is: where it was put, or elsewhere in a log that was begun anew.

        Raises LogDamaged if it is nowhere.
        """
        if expected < self.size and self.entries.leaf(expected) == leaf:
            return expected
        found = self.entries.find(leaf)
        if found is None:
            raise LogDamaged("an entry that was logged is not in the log any more")
        return found

    def consistency(self, old: int, new: int | None = None) -> list[Hash]:
        """Return what shows that the log only grew from a size to another. Raises ValueError."""
        return consistency_proof(old, self._within(new), self.entries.read_hash)

    def resource(self, place: Tile | Bundle) -> bytes | None:
        """Return a tile or a bundle, or None where the log does not reach so far.

        Raises LogDamaged where something of it is missing.
        """
        if isinstance(place, Tile):
            return self.entries.tile(place.level, place.index, place.width)
        start = place.index * WIDTH
        if start + place.width > self.size:
            return None
        entries = self.entries.span(start, start + place.width)
        if len(entries) != place.width:
            raise LogDamaged("entries of the log are missing")
        return encode_bundle(entries)

    def take_cosigned(self, raw: bytes) -> list[Cosigned]:
        """Keep the cosignatures in a note; return those that verified.

        Raises InvalidRequest for a note that is none or that no configured witness cosigned, and
        Conflict for a checkpoint of this site's that the log contradicts.
        """
        try:
            found = self._verified(raw)
        except (InvalidNote, InvalidCheckpoint):
            raise InvalidRequest("the body is not a checkpoint that this log has signed") from None
        except InvalidCosignature:
            raise InvalidRequest("a witness's cosignature does not verify") from None
        if not found:
            raise InvalidRequest("no witness of the configuration has cosigned this checkpoint")
        if not _agrees(self.entries, found[0].checkpoint):
            logger.error("a checkpoint that this log has signed is not of the log as it is")
            raise Conflict("the log contradicts this checkpoint: see lacuna log verify")
        for each in found:
            key = each.witness.key.text()
            before = self._cosigned.get(key)
            if before is None or _age(before) < _age(each):
                self._kept.keep(key, raw)
                self._cosigned[key] = each
        self._signed = None
        return found

    def publish_some(self) -> None:
        """Go on with the published folder for a moment, if there is one and something to do."""
        if self._publisher is not None:
            self._publisher.step(self.checkpoint, lambda: self.size, self.resource)

    def _within(self, size: int | None) -> int:
        if size is not None and size > self.size:
            raise ValueError("the log is not so large yet")
        return self.size if size is None else size

    def _sign(self, size: int) -> str:
        root = self.entries.root(size)
        if root is None:
            raise AssertionError("unreachable: callers ask for what there is")
        return Checkpoint(self.origin, size, root).text()

    def _cosign(self, text: str) -> bytes:
        note = sign_note(text, self.origin, self._key.signing)
        for each in self.cosignatures():
            if each.checkpoint.text() == text:
                note = add_signature(note, each.signature)
        return note

    def _read_cosigned(self) -> dict[str, Cosigned]:
        """Return what of the kept notes is still of this log and of witnesses of now."""
        found: dict[str, Cosigned] = {}
        for key, raw in self._kept.all().items():
            try:
                verified = self._verified(raw)
            except (InvalidNote, InvalidCheckpoint, InvalidCosignature):
                continue  # of an earlier origin
            found.update((key, each) for each in verified if each.witness.key.text() == key)
        return found

    def _verified(self, raw: bytes) -> list[Cosigned]:
        checkpoint = open_checkpoint(raw, self.origin, [self.verifier])
        note = open_note(raw, [self.verifier])
        witnesses = {witness.key: witness for witness in self._witnesses}
        return [
            Cosigned(witnesses[key], checkpoint, time, _line_of(note.signatures, key, time))
            for key, time in verify_cosignatures(note, witnesses)
        ]


def load_log(config: Config, opened: OpenSite) -> TransparencyLog:
    """Return the log of an opened site. Raises InvalidConfig, LogLost or LogForked."""
    key = LogKey.load(opened.vault)
    witnesses = read_witnesses(config)
    kept = opened.store.cosigned
    notes = list(kept.all().values())
    if config.published is not None:
        notes += published_checkpoint(config.published)
    refuse_forgotten(opened.store.log, key, notes)
    publisher = None if config.published is None else Publisher(config.published, key.verifier)
    return TransparencyLog(opened.store.log, key, witnesses, kept, publisher)


def read_witnesses(config: Config) -> list[Witness]:
    """Return the configured witnesses. Raises InvalidConfig."""
    witnesses = []
    for place, (name, text) in enumerate(config.witnesses, start=1):
        try:
            witnesses.append(Witness(name, CosignerKey.parse(text)))
        except InvalidVerifierKey as error:
            raise InvalidConfig(f"witness {place}: {error}") from None
    return witnesses


def refuse_forgotten(log: LogSource, key: LogKey, notes: Iterable[bytes]) -> None:
    """Raise LogLost or LogForked for a log that is less, or other, than what it has signed."""
    for size, root in marks_in(notes, key):
        if size > log.size:
            raise LogLost(
                f"the log has signed {size} entries and has only {log.size}: see lacuna restore"
            )
        if log.root(size) != root:
            raise LogForked(
                f"the log's first {size} entries are not those that it has signed: see lacuna"
                " restore"
            )


def _agrees(log: LogSource, checkpoint: Checkpoint) -> bool:
    return log.root(checkpoint.size) == checkpoint.root


def _age(cosigned: Cosigned) -> tuple[int, int]:
    return cosigned.checkpoint.size, cosigned.time


def _line_of(signatures: Iterable[Signature], key: CosignerKey, time: int) -> Signature:
    """Return the line of a note that says that a witness cosigned it then."""
    stamp = time.to_bytes(8)
    return next(
        line
        for line in signatures
        if (line.name, line.key_id, line.signature[:8]) == (key.name, key.key_id, stamp)
    )

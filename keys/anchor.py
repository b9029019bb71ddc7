"""The anchor: what has been seen, kept where a rolled-back store cannot reach it.

    copy   = content || HMAC-SHA-256(anchor key, encode("lacuna/anchor/v1", content))
    anchor = two copies of one 4 KiB sector each, written in turn, beside the slot

Invariants:

* An anchor is rewritten, synced, before the commit group that it names is acknowledged. So a
  store that is behind its anchor has lost something that was acknowledged.
* The newest copy that verifies counts, and a write goes over the other one: what a torn write
  costs is never the newest.
* The anchor key lives in the map: a copy is written only by whoever could open the vault.
* The audit chain is noted as it grows, also between commits; the log grows by commits alone.
* `elapsed` counts the seconds that the site's custodian has been running. It is no time of day:
  whoever sets a clock moves nothing, and an anchor that was put back only loses some.

It cannot tell a rollback of store, slot and anchor together from the past itself.
"""

import hmac
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, Self

from crypto.encoding import encode
from crypto.merkle import Hash
from crypto.secret import SecretBytes
from keys.disk import Disk
from keys.errors import SlotUnreachable
from keys.log import NOTHING_LOGGED, LogMark
from keys.page import VaultId, Version

FILE_NAME: Final = "anchor"
_SECTOR = 4096
_CONTENT = Struct(">B16sQQ32sQ32s32sQQBQQ")
_FORMAT = 3
_LAYOUTS = {
    1: Struct(">B16sQQ32sQ32s32sQQB"),  # before there were audits: no row
    2: Struct(">B16sQQ32sQ32s32sQQBQ"),  # before the log: it is empty, and no time is counted
    _FORMAT: _CONTENT,
}
_MAC_SIZE = 32


class AnchorKey(SecretBytes):
    """Authenticates anchors of one vault, for its whole life."""


class AuditMark(NamedTuple):
    """How far the audit chain reaches: the number of its last row, and its head there."""

    row: int
    head: bytes


NOTHING_AUDITED: Final = AuditMark(0, bytes(32))


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a vault has seen. `time` is in seconds since 1970; `closed` says it stopped cleanly."""

    vault: VaultId
    version: Version
    root_hash: bytes
    time: int
    closed: bool
    serial: int = 0
    log_size: int = NOTHING_LOGGED.size
    log_root: Hash = NOTHING_LOGGED.root
    audit_head: bytes = bytes(32)
    audit_row: int = 0
    elapsed: int = 0

    @property
    def audit(self) -> AuditMark:
        """How far the audit chain had come."""
        return AuditMark(self.audit_row, self.audit_head)

    @property
    def log(self) -> LogMark:
        """How far the log had come."""
        return LogMark(self.log_size, self.log_root) if self.log_size else NOTHING_LOGGED

    def encode(self, key: AnchorKey) -> bytes:
        """Return one copy."""
        content = _CONTENT.pack(
            _FORMAT,
            self.vault,
            *self.version,
            self.root_hash,
            self.log_size,
            self.log_root,
            self.audit_head,
            self.time,
            self.serial,
            self.closed,
            self.audit_row,
            self.elapsed,
        )
        return (content + _mac(key, content)).ljust(_SECTOR, b"\0")

    @classmethod
    def parse(cls, raw: bytes, key: AnchorKey) -> Self | None:
        """Return the anchor of one copy, or None if it does not verify."""
        layout = _LAYOUTS.get(raw[0])
        if layout is None:
            return None
        content, mac = raw[: layout.size], raw[layout.size : layout.size + _MAC_SIZE]
        if len(mac) < _MAC_SIZE or not hmac.compare_digest(mac, _mac(key, content)):
            return None
        _, vault, epoch, sequence, root_hash, *rest = layout.unpack(content)
        log_size, log_root, audit_head, time, serial, closed, *newer = rest
        version = Version(epoch, sequence)
        return cls(
            VaultId(vault),
            version,
            root_hash,
            time,
            bool(closed),
            serial,
            log_size,
            Hash(log_root),
            audit_head,
            *newer,
        )


class AnchorFile:
    """The two copies beside one slot."""

    def __init__(self, disk: Disk, folder: Path) -> None:
        self._disk = disk
        self._path = folder / FILE_NAME
        self._older = 0

    def create(self) -> None:
        """Make an empty file of full size. Raises FileExistsError."""
        self._disk.create(self._path, bytes(2 * _SECTOR))

    def ensure(self) -> None:
        """Make the file if it is lost. Only for a folder whose slot has just been opened."""
        with suppress(FileExistsError):
            self.create()

    def load(self, key: AnchorKey) -> Anchor | None:
        """Return the newest copy that verifies, or None: what cannot be read says nothing."""
        try:
            raw = self._disk.read(self._path, 0, 2 * _SECTOR)
        except OSError:
            return None
        copies = (Anchor.parse(raw[at : at + _SECTOR], key) for at in (0, _SECTOR))
        found = [(copy.serial, place, copy) for place, copy in enumerate(copies) if copy]
        if not found:
            return None
        _, newest, anchor = max(found)
        self._older = 1 - newest
        return anchor

    def store(self, anchor: Anchor, key: AnchorKey) -> None:
        """Write over the older copy, in place, and sync. Raises SlotUnreachable."""
        try:
            self._disk.overwrite(self._path, self._older * _SECTOR, anchor.encode(key))
        except FileNotFoundError:
            raise SlotUnreachable(f"there is no anchor at {self._path}") from None
        self._older = 1 - self._older


def _mac(key: AnchorKey, content: bytes) -> bytes:
    return hmac.digest(key.expose(), encode(b"lacuna/anchor/v1", content), "sha256")

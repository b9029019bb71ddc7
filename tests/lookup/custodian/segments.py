"""Segments as a worker writes them, and the intake of a custodian: real files, a real vault."""

import fcntl
import os
import secrets
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from crypto.audit import AnswerKey, AuditPublicKey, WitnessKey
from keys.opening import open_vault
from keys.vault import Vault
from lookup.audit.entry import UNSCHEDULED, EntryMaker, Head
from lookup.audit.segment import make_end, make_group, make_header, whole_blocks
from lookup.custodian.audit.alarms import Alarms
from lookup.custodian.audit.audit_keys import AuditKeys, audit_entries
from lookup.custodian.audit.intake import Intake
from lookup.custodian.store.pages import Store
from lookup.handoff import Audit
from tests.keys.site import Place, make_place

CLIENT = b"c" * 14
SIZE = 256 << 10


def head_of(  # noqa: PLR0913  # what an entry says
    time: int = 1_800_000_000_000_000,
    *,
    purpose: int = UNSCHEDULED,
    client: bytes = CLIENT,
    user: bytes = b"a user",
    role: bytes = b"a role",
    encounter: bytes = b"",
) -> Head:
    """Return what an entry says of who asked."""
    return Head(purpose, time, client, secrets.token_bytes(16), user, role, encounter)


class SegmentFile:
    """A segment that a living worker writes; `close` is what its death does."""

    def __init__(self, audit: Audit, vault: bytes, slot: int = 0, size: int = SIZE) -> None:
        self.path = Path(audit.folder) / secrets.token_hex(16)
        self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        os.ftruncate(self.descriptor, size)
        header, self.sealer = make_header(
            slot, 1_800_000_000, vault, AuditPublicKey(audit.public_key)
        )
        self.at = os.pwrite(self.descriptor, header, 0)
        self.maker = EntryMaker(WitnessKey(audit.witness_key), AnswerKey(audit.answer_key))

    def append(self, entries: Sequence[bytes]) -> None:
        """Write a group."""
        self.write(make_group(self.sealer, entries))

    def ask(self, handles: Sequence[Sequence[bytes]], head: Head | None = None) -> bytes:
        """Write a group of one entry; return the entry's id."""
        entry = self.maker.make(head or head_of(), handles)
        self.append([entry])
        return id_of(entry)

    def end(self) -> None:
        """Say that the writer has moved on."""
        self.write(make_end(self.sealer))

    def write(self, data: bytes) -> None:
        """Write anything at the next block."""
        self.at += whole_blocks(os.pwrite(self.descriptor, data, self.at))

    def write_in_two(self, data: bytes, cut: int) -> None:
        """The same, in two pieces."""
        os.pwrite(self.descriptor, data[:cut], self.at)
        os.pwrite(self.descriptor, data[cut:], self.at + cut)
        self.at += whole_blocks(len(data))

    def close(self) -> None:
        """Let go of the file and its lock."""
        os.close(self.descriptor)


def id_of(entry: bytes) -> bytes:
    """Return an entry's id."""
    _, found = struct.unpack_from(">4s16s", entry)
    return bytes(found)


class Keeper:
    """An opened vault with its audit folder, as one custodian has it."""

    def __init__(self, folder: Path, vault: Vault, store: Store) -> None:
        self.vault = vault
        self.store = store
        self.chain = store.audit
        self.alarms = Alarms()
        self.keys = AuditKeys.load(vault)
        self.folder = folder
        self.intake = Intake(folder, vault, self.keys.audit, store.audit, self.alarms)

    @property
    def audit(self) -> Audit:
        """What workers are told."""
        return self.keys.handed_out(self.folder, demo=True)

    def segment(self) -> SegmentFile:
        """Return a new segment."""
        return SegmentFile(self.audit, self.vault.id)

    def take(self) -> list[bytes]:
        """Take in; return the ids of the entries."""
        return [id_of(entry) for taken in self.intake.take() for entry in taken.entries]

    def files(self) -> list[str]:
        """Name what lies in the audit folder."""
        return sorted(path.name for path in self.folder.iterdir())


def make_keeper_place(folder: Path) -> Place:
    """Make a vault with audit keys, and the folder for segments beside it."""
    place = make_place(folder, first=audit_entries())
    (folder / "audit").mkdir(mode=0o700)
    return place


@contextmanager
def kept(place: Place) -> Iterator[Keeper]:
    """Open the vault as a custodian does; nothing is closed cleanly."""
    with place.keeping() as keeping:
        assert isinstance(keeping.store, Store)
        vault = open_vault(replace(keeping, audit_head=keeping.store.audit.head))
        yield Keeper(place.folder / "audit", vault, keeping.store)

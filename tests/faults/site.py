"""One site in one folder: the real thing, made small, without processes of its own.

    <folder>/store  mirror  slot-0  slot-1  backup  run  index

It is opened as the custodian's main opens it, table and writer included; only HTTP and workers
are missing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn

import msgspec

from crypto.derive import TESTING_ONLY_COST
from keys.anchor import AnchorFile
from keys.disk import Disk
from keys.entry import EntryId, Kind
from keys.slot.file import FileSlot
from keys.slot.lock import Passphrase
from keys.vault import Vault
from lookup.catalogue import parse_catalogue
from lookup.config import Config, parse_config
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.policy import first_entries
from lookup.custodian.records.draft import Draft, parse_draft
from lookup.custodian.records.record import Record
from lookup.custodian.running import Running
from lookup.custodian.starting import describe_running, publish, take_custody
from lookup.custodian.stopping import fail_stop
from lookup.custodian.store.restore import Held
from lookup.custodian.unlocking import OpenSite, create_site, open_site
from lookup.custodian.writer import Writer
from lookup.retention.classes import shipped_classes
from tests.officers import Bench

PASSPHRASES: Final = (b"the first passphrase", b"the second passphrase")
ONE_SLOT: Final = ("slot-0",)
TWO_SLOTS: Final = ("slot-0", "slot-1")
NOW: Final = 1_800_000_000
# Whoever forks this process has the same officers.
BENCH: Final = Bench()
_AUTHORITY: Final = {"code": "TST", "name": "T", "office_hours": "1", "out_of_hours": "2"}
_CATALOGUE: Final = parse_catalogue({"authority": [_AUTHORITY]})
SMALL_BLOB: Final = 4096


def configure(folder: Path, slots: Sequence[str] = ONE_SLOT) -> Config:
    """Return the configuration of the site in a folder."""
    tables: dict[str, Any] = {
        "vault": {"store": "store", "mirror": "mirror", "slots": list(slots)},
        "serve": {"run": "run", "index": str(folder / "index")},
        "authority": [_AUTHORITY],
    }
    return parse_config(tables, folder / "lacuna.toml")


def make_site(folder: Path, slots: Sequence[str] = ONE_SLOT) -> None:
    """Make an empty site, and close it."""
    create_site(
        configure(folder, slots),
        Passphrase(PASSPHRASES[0]),
        lambda: NOW,
        lambda vault: first_entries(vault, list(BENCH.officers.values()), demo=True, now=NOW),
        cost=TESTING_ONLY_COST,
        depth=1,
        blob_size=SMALL_BLOB,
    ).close()


def unlock(folder: Path, slots: Sequence[str] = ONE_SLOT, passphrase: int = 0) -> OpenSite:
    """Open a site's vault."""
    config = configure(folder, slots)
    return open_site(config, Passphrase(PASSPHRASES[passphrase]), lambda: NOW)


@dataclass(frozen=True, slots=True)
class Serving:
    """A custodian's inside: what commands are given to."""

    config: Config
    opened: OpenSite
    custody: Custody
    writer: Writer
    running: Running

    def record_id(self, name: str) -> EntryId:
        """Return the id of a record that is there."""
        return self.custody.sources[draft(name).source]

    def await_failure(self) -> None:
        """Let the writer end the process, if that is what it is about to do."""
        if self.custody.vault.stopped:
            self.writer._thread.join(10)

    def stop(self) -> None:
        """Stop as the custodian does."""
        self.writer.stop()
        self.custody.close()
        self.custody.door.close()
        self.opened.close()


def serve(folder: Path, slots: Sequence[str] = ONE_SLOT, passphrase: int = 0) -> Serving:
    """Open a site, build its table, start its writer."""
    opened = unlock(folder, slots, passphrase)
    config = configure(folder, slots)
    config.run.mkdir(mode=0o700, exist_ok=True)
    custody = take_custody(config, opened, Door(config.worker_socket, _unexpected))
    publish(custody)
    writer = Writer(custody, fail_stop)
    writer._cases_due = math.inf  # they are carried out when an operation says so
    writer.start()
    running = replace(describe_running(config, opened), cost=TESTING_ONLY_COST)
    return Serving(config, opened, custody, writer, running)


def hold(config: Config) -> Held:
    """Return what a restore is given besides its sources."""
    disk = Disk()
    slots = [FileSlot.open(disk, each, Passphrase(PASSPHRASES[0])) for each in config.slots]
    pairs = [(slot, AnchorFile(disk, slot.path.parent)) for slot in slots]
    return Held(pairs, slots[0].lock.database_key, lambda: NOW)


def records(vault: Vault) -> Iterator[Record]:
    """Read all records."""
    for leaf in range(vault.leaves):
        yield from map(Record.of, vault.scan_leaf(Kind.RECORD, leaf))


def blobs_of(vault: Vault) -> Iterator[tuple[EntryId, int]]:
    """Name the blob of each record, as a restore wants to hear it."""
    return ((record.id, record.version) for record in records(vault))


def marker(name: str, version: int) -> str:
    """Return a text that only this version of this record has in its payload."""
    return f"marker of {name} version {version}."


def lasting(name: str) -> tuple[str, ...]:
    """Return what all versions of a record share and no other record has."""
    return f"source of {name}.", f"TST:{name.upper()}-CHILD"


def passing(name: str, version: int) -> tuple[str, ...]:
    """Return what only this version of a record has."""
    return marker(name, version), f"TST:{name.upper()}-ALIAS-{version}"


def draft(name: str, version: int = 1) -> Draft:
    """Return a record that is known by its texts."""
    source, child = lasting(name)
    text, alias = passing(name, version)
    body = {
        "authority": "TST",
        "source_ref": source,
        "identifiers": [f"local:{child}", f"local:{alias}"],
        "category": "child-protection-plan",
        "since": "2026-01-01",
        "payload": {"text": text},
    }
    return parse_draft(msgspec.json.encode(body), _CATALOGUE, shipped_classes())


def _unexpected(note: str) -> NoReturn:
    raise AssertionError(note)

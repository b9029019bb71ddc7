"""The thief's part: copies everything, and lets the recovery program loose on the copies.

Invariants:

* The copies lie in memory, so that an old slot leaves no bytes on the disk of whoever tries this.
* Nothing is copied by a process that has a database open (that would drop SQLite's locks); the
  site is idle meanwhile, so that a file and its WAL belong together.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from lookup.demo.folders import Folders
from lookup.demo.narrator import StepFailed
from lookup.demo.processes import RECOVER, run

OLD_SLOT: Final = "slot-before"
_DATABASES: Final = ("backup/backup.db", "store/vault.db", "mirror/mirror.db")
_OPENED: Final = re.compile(r"(\S+): (\d+) of (\d+) sealed payloads opened")
_RECORDS: Final = re.compile(r"records opened: (\d+)")
_LINE: Final = re.compile(r"line (\d+): (not )?found")


class Loot(NamedTuple):
    """What the recovery program says."""

    output: str
    seconds: float
    opened: dict[str, tuple[int, int]]  # database: payloads opened, and how many there are
    records: int
    found: tuple[bool, ...]  # of the texts that were looked for, in their order


def copy_slot(folders: Folders) -> None:
    """Put a copy of the slot aside, as nobody ever should."""
    _copy(folders.slot, folders.loot / OLD_SLOT)


def steal(folders: Folders) -> None:
    """Copy the backup and everything that exists now."""
    for source in (folders.backup, folders.site / "store", folders.site / "mirror"):
        _copy(source, folders.loot / source.name)
    _copy(folders.slot, folders.loot / "slot")
    _copy(folders.passphrase, folders.loot / "passphrase")


def arguments(slots: Sequence[str]) -> list[str]:
    """Return the arguments of the recovery program, as seen from the thief's folder."""
    named = [part for slot in slots for part in ("--slot", slot)]
    files = ["--passphrase-file", "passphrase", *named, "--database", *_DATABASES]
    return [*files, "--find", "texts"]


def recover(folders: Folders, slots: Sequence[str], texts: Sequence[str]) -> Loot:
    """Run the recovery program with these slots; look for texts in all that opens."""
    (folders.loot / "texts").write_text("".join(f"{text}\n" for text in texts))
    ran = run([*RECOVER, *arguments(slots)], folder=folders.loot)
    records = _RECORDS.search(ran.output)
    found = tuple(not absent for _, absent in _LINE.findall(ran.output))
    if records is None or len(found) != len(texts):
        raise StepFailed(f"the recovery program says what nobody understands: {ran.output}")
    opened = {name: (int(some), int(of)) for name, some, of in _OPENED.findall(ran.output)}
    return Loot(ran.output, ran.seconds, opened, int(records[1]), found)


def discard(folders: Folders) -> bool:
    """Delete what the thief has; say whether it is gone."""
    shutil.rmtree(folders.loot, ignore_errors=True)
    return not folders.loot.exists()


def command(slots: Sequence[str]) -> list[str]:
    """Return the recovery program's command as a person would type it."""
    return ["python", "-m", RECOVER[-1], *arguments(slots)]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("lock"))
        else:
            shutil.copy2(source, target)
    except OSError as error:
        raise StepFailed(f"{source} cannot be copied: {error}") from None

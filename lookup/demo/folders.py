"""The folders of a demonstration: made anew each time, and nobody else's ever touched.

    <folder>/demo-site   configuration, store, mirror, backup, log, secrets, officers' keys, what
                         the family gets; the marker file
    <folder>/demo-slot   the root slot; a marker file too
    /dev/shm/lacuna-…    in memory: sockets, the index, and for a while the thief's copies

Invariants:

* What has no marker file of ours is refused, and so is what is in use, before anything is made or
  removed.
* The marker's lock is held for as long as the demonstration runs: two never share a folder.
* What lies in memory is removed at the end, and if the end never came, at the next start.
"""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SITE, SLOT = "demo-site", "demo-slot"
MARKER: Final = ".lacuna-demo"
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # tmpfs on purpose: these bytes reach no disk
_IN_MEMORY: Final = re.compile(re.escape(f"{MEMORY}/") + "lacuna-[a-z0-9_-]{1,64}")
_SAYS: Final = "Made by `lacuna demo`, which removes this folder when it is run here again.\n"
_MAX_MARKER: Final = 4096


class FolderRefused(Exception):
    """A folder is somebody else's, or in use; nothing was touched. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where everything is."""

    site: Path
    slot: Path
    memory: Path

    @property
    def config(self) -> Path:
        """The site's configuration."""
        return self.site / "lacuna.toml"

    @property
    def passphrase(self) -> Path:
        """The generated passphrase; beside the store, as on no real site."""
        return self.site / "passphrase"

    @property
    def evidence(self) -> Path:
        """What the council's case rests on."""
        return self.site / "evidence.json"

    @property
    def family(self) -> Path:
        """What the family gets: certificate, opening, letter; and the log's key, to verify it."""
        return self.site / "family"

    @property
    def anywhere(self) -> Path:
        """A folder that has nothing to do with the site."""
        return self.memory / "anywhere"

    def officer_key(self, role: str) -> Path:
        """The key of the officer who has this role; `lacuna init` made it."""
        return self.site / "officers" / role

    @property
    def enrolment(self) -> Path:
        """What the hospital got."""
        return self.site / "enrolment.json"

    @property
    def backup(self) -> Path:
        """Where the backup goes."""
        return self.site / "backup"

    @property
    def log(self) -> Path:
        """What the site's processes say."""
        return self.site / "log"

    @property
    def run(self) -> Path:
        """The site's sockets: their paths must be short, and this one always is."""
        return self.memory / "run"

    @property
    def index(self) -> Path:
        """The tables of the workers."""
        return self.memory / "index"

    @property
    def loot(self) -> Path:
        """Where the thief keeps things."""
        return self.memory / "thief"


@contextmanager
def made_anew(folder: Path) -> Iterator[Folders]:
    """Make the folders, in place of those of an earlier demonstration. Raises FolderRefused."""
    site, slot = folder / SITE, folder / SLOT
    for made in (site, slot):
        _refuse_foreign(made)
    _refuse_used(site)
    _remove(site, slot)
    with _memory() as memory:
        for made in (site, slot):
            _make(made, memory)
        with _locked(site / MARKER):
            yield Folders(site, slot, memory)


@contextmanager
def _memory() -> Iterator[Path]:
    try:
        memory = Path(tempfile.mkdtemp(prefix=f"lacuna-{os.getuid()}-demo-", dir=MEMORY))
    except OSError as error:
        raise FolderRefused(f"nothing can be made in {MEMORY}: {error.strerror}") from None
    try:
        yield memory
    finally:
        shutil.rmtree(memory, ignore_errors=True)


def _make(folder: Path, memory: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
        (folder / MARKER).write_text(f"{_SAYS}{memory}\n")
    except OSError as error:
        raise FolderRefused(f"{folder} cannot be made: {error.strerror}") from None


def _refuse_foreign(made: Path) -> None:
    if not os.path.lexists(made):
        return
    own = not made.is_symlink() and made.is_dir() and (made / MARKER).is_file()
    if not own or made.stat().st_uid != os.geteuid():
        raise FolderRefused(f"{made} is there, and no demonstration made it")


def _refuse_used(site: Path) -> None:
    with ExitStack() as locks:
        for lock in (site / MARKER, site / "store" / "lock"):
            with suppress(FileNotFoundError):
                locks.enter_context(_locked(lock))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise FolderRefused(f"a demonstration is running in {path.parent}") from None
    else:
        yield
    finally:
        os.close(descriptor)


def _remove(site: Path, slot: Path) -> None:
    _forget_memory(site)
    for made in (site, slot):
        if made.exists():
            # The marker goes last: what is removed in part is still known as ours.
            for each in sorted(made.iterdir(), key=lambda path: path.name == MARKER):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
            made.rmdir()


def _forget_memory(site: Path) -> None:
    """Remove what an earlier demonstration left in memory, by what its marker names."""
    with suppress(OSError), (site / MARKER).open() as marker:
        named = marker.read(_MAX_MARKER).splitlines()[1:2]
        if named and _IN_MEMORY.fullmatch(named[0]):
            shutil.rmtree(named[0], ignore_errors=True)

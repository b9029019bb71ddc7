"""The published log: a folder that any web server can serve as it is, and anybody can verify.

    <folder>/checkpoint                 the newest note
    <folder>/tile/<level>/<index>       as in C2SP tlog-tiles
    <folder>/tile/entries/<index>
    <folder>/former/<origin>/…          a log that was lost, as it was published

Invariants:

* A file takes its name when it is whole and synced, and the checkpoint comes last: whatever it
  promises is there. So the folder serves a restore that has lost every other copy.
* It is written in idle moments, a few files each. A folder that cannot be written is told in the
  log once, tried again later, and stops nobody.
* A log with another origin does not mix with the one before.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from crypto.checkpoint import InvalidCheckpoint, open_checkpoint, parse_checkpoint
from crypto.note import InvalidNote, VerifierKey, parse_note
from keys.errors import LogDamaged
from lookup.transparency.tiles import WIDTH, Bundle, Tile, bundles_of, tiles_of

CHECKPOINT: Final = "checkpoint"
MAX_CHECKPOINT: Final = 1 << 16
# What one idle moment may take from whoever comes next; and how long a failure is left alone.
_STEP_SECONDS: Final = 0.01
_RETRY_SECONDS: Final = 60.0

Resource = Callable[[Tile | Bundle], bytes | None]

logger = logging.getLogger("lookup.custodian")


class Publisher:
    """Brings one folder up to one log, bit by bit."""

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        self._folder = folder
        self._key = key
        self._reached = 0
        self._published: bytes | None = None
        self._note = b""
        self._work: Iterator[Tile | Bundle] | None = None
        self._size = 0
        self._begun = False
        self._quiet_until = 0.0
        self._failing = False

    def step(
        self, checkpoint: Callable[[], bytes], size: Callable[[], int], resource: Resource
    ) -> None:
        """Write some files, or nothing."""
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._step(checkpoint, size, resource)
            self._failing = False
        except (OSError, LogDamaged) as error:
            self._work, self._begun = None, False
            self._quiet_until = time.monotonic() + _RETRY_SECONDS
            if not self._failing:
                why = error.strerror if isinstance(error, OSError) else error
                logger.error("the log is not published: %s: %s", why, self._folder)  # noqa: TRY400  # its text is all there is to say
            self._failing = True

    def _step(
        self, checkpoint: Callable[[], bytes], size: Callable[[], int], resource: Resource
    ) -> None:
        if not self._begun:
            self._begin()
        if self._work is None:
            self._note = checkpoint()
            if self._note == self._published:
                return
            self._size = size()
            since = min(self._reached, self._size)
            self._work = chain(bundles_of(self._size, since), tiles_of(self._size, since))
        until = time.monotonic() + _STEP_SECONDS
        for place in self._work:
            self._write(place, resource)
            if time.monotonic() > until:
                return
        write_whole(self._folder / CHECKPOINT, self._note)
        self._work, self._published, self._reached = None, self._note, self._size

    def _begin(self) -> None:
        """Find out how far the folder is, and put another log's files aside."""
        make_public(self._folder)
        self._reached, self._published = 0, None
        for raw in published_checkpoint(self._folder):
            try:
                found = open_checkpoint(raw, self._key.name, [self._key])
            except (InvalidNote, InvalidCheckpoint):
                self._put_aside(raw)
            else:
                self._reached, self._published = found.size, raw
        self._begun = True

    def _put_aside(self, raw: bytes) -> None:
        former = self._folder / "former" / _folder_name(raw)
        shutil.rmtree(former, ignore_errors=True)
        make_public(former)
        (self._folder / CHECKPOINT).rename(former / CHECKPOINT)
        tiles = self._folder / "tile"
        if tiles.is_dir():
            tiles.rename(former / "tile")

    def _write(self, place: Tile | Bundle, resource: Resource) -> None:
        content = resource(place)
        if content is None:
            raise AssertionError("unreachable: the log has reached so far")
        path = self._folder / place.path()
        write_whole(path, content)
        if place.width == WIDTH:  # what was partial is complete now
            shutil.rmtree(path.with_name(f"{path.name}.p"), ignore_errors=True)


def published_checkpoint(folder: Path) -> list[bytes]:
    """Return the note in a published folder, or nothing where there is none that can be read."""
    try:
        with (folder / CHECKPOINT).open("rb") as file:
            return [file.read(MAX_CHECKPOINT)]
    except OSError:
        return []


def fetch_from(folder: Path) -> Callable[[str], bytes]:
    """Return what reads a published folder. It raises OSError for what is not there.

    In the place of a partial tile the complete one will do: it begins alike.
    """

    def fetch(path: str) -> bytes:
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            whole, partial, _ = path.rpartition(".p/")
            if not partial:
                raise
            return (folder / whole).read_bytes()

    return fetch


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by a whole one, synced, that everybody may read."""
    make_public(path.parent)
    unfinished = path.with_name(f"{path.name}.unfinished")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(unfinished, flags, 0o644), "wb") as file:
        os.fchmod(file.fileno(), 0o644)  # whatever the umask: it is for a web server
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def make_public(folder: Path) -> None:
    """Make a folder that everybody may read, and what it lies in."""
    if not folder.is_dir():
        make_public(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)


def _folder_name(raw: bytes) -> str:
    """Return a folder's name for the log of a note, whoever wrote it."""
    try:
        origin = parse_checkpoint(parse_note(raw).text).origin
    except (InvalidNote, InvalidCheckpoint):
        origin = "unknown"
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in origin)[:200]

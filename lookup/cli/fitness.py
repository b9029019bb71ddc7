"""Whether this machine and these folders can keep what a site promises.

Three views of the same rules (`keys.claims`, and a few of the service's own here): of a site that
is there, of one that is to be made, and of a slot that is to be added. Nothing is written.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from keys.claims import Finding, Severity, collect, foresee, judge
from keys.errors import SlotUnreachable
from lookup.config import Config
from lookup.index.folder import filesystem_of

# What a demonstration is allowed: store, mirror and slot on one medium.
_DEMO_MAY: Final = frozenset({"slot-medium", "mirror-medium"})
# What it is only warned of: it has to play in a container too, where everything is on overlay.
_DEMO_DESPITE: Final = frozenset({"file-system", "journal"})
# What a site that is made in earnest must not begin with, though a running one may be warned.
_NOT_TO_BEGIN_WITH: Final = frozenset({"slot-medium"})
_CREDENTIALS: Final = Path("/run/credentials")
_MOUNTS: Final = Path("/proc/self/mountinfo")


class Concern(NamedTuple):
    """A finding, and the slots that it is about; none: it is about the site."""

    finding: Finding
    slots: tuple[Path, ...]

    def matters(self, *, demo: bool) -> bool:
        """Say whether a person has to look at it."""
        tolerated = demo and self.finding.rule in _DEMO_MAY
        return self.finding.severity != Severity.OK and not tolerated


def examine(config: Config) -> list[Concern]:
    """Return what there is to say of a site that is there, in the order of the rules."""
    about: dict[Finding, tuple[Path, ...]] = {}
    for slot in config.slots:
        for finding in _slot(slot, config):
            about[finding] = (*about.get(finding, ()), slot)
    return [
        *(Concern(finding, slots) for finding, slots in about.items()),
        *(Concern(finding, ()) for finding in _site(config)),
    ]


def foreseen(config: Config, slots: Iterable[Path]) -> list[Finding]:
    """Return what speaks against making these slots, before anything is written."""
    found = dict.fromkeys(
        finding
        for slot in slots
        for finding in judge(foresee(slot, config.store, config.mirror))
        if finding.severity != Severity.OK
    )
    return [f for f in found if not (config.demo and f.rule in _DEMO_MAY)]


def is_forbidding(finding: Finding, *, demo: bool) -> bool:
    """Say whether a slot must not be made with this finding."""
    if demo and finding.rule in _DEMO_DESPITE:
        return False
    return finding.severity == Severity.REFUSE or finding.rule in _NOT_TO_BEGIN_WITH


def _slot(slot: Path, config: Config) -> tuple[Finding, ...]:
    try:
        return judge(collect(slot, config.store, config.mirror))
    except SlotUnreachable as error:
        return (Finding(Severity.WARN, "slot", str(error), "mount its medium; until then it lags"),)
    except OSError as error:
        text = f"the store in {config.store} is out of reach: {error.strerror}"
        return (Finding(Severity.REFUSE, "store", text, "mount its medium, or `lacuna init`"),)


def _site(config: Config) -> Iterator[Finding]:
    yield from _passphrase_file(config)
    yield _private_folders(config)
    yield _index(config.index)


def _passphrase_file(config: Config) -> Iterator[Finding]:
    file = config.passphrase_file
    if file is None:
        text = "no passphrase file is configured: somebody types it at each start"
        yield Finding(Severity.OK, "passphrase", text)
        return
    try:
        status = file.stat()
    except OSError as error:
        if file.is_relative_to(_CREDENTIALS):
            text = "the passphrase is a credential that systemd shows to the service alone"
            yield Finding(Severity.OK, "passphrase", text)
        else:
            text = f"{file} cannot be read: {error.strerror}"
            yield Finding(Severity.REFUSE, "passphrase", text, "make it, and chmod 600")
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        text = f"{file} can be read by others"
        yield Finding(Severity.REFUSE, "passphrase", text, f"chmod 600 {file}")
    elif status.st_dev in _devices(config.slots) and not config.demo:
        text = "passphrase file and slot are on one file system: an image of it holds both"
        hint = "keep it as a systemd credential, or on another medium"
        yield Finding(Severity.WARN, "passphrase", text, hint)
    else:
        yield Finding(Severity.OK, "passphrase", "nobody else can read the passphrase file")


def _devices(folders: Iterable[Path]) -> set[int]:
    return {folder.stat().st_dev for folder in folders if folder.exists()}


def _private_folders(config: Config) -> Finding:
    folders = (config.store, config.mirror, config.run)
    open_ones = [str(f) for f in folders if f.exists() and stat.S_IMODE(f.stat().st_mode) & 0o077]
    if open_ones:
        text = f"open to others: {', '.join(open_ones)}"
        return Finding(Severity.REFUSE, "folders", text, f"chmod 700 {' '.join(open_ones)}")
    return Finding(Severity.OK, "folders", "store, mirror and run folder are private")


def _index(folder: Path) -> Finding:
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    kind = filesystem_of(there.stat().st_dev, _MOUNTS.read_text(errors="replace"))
    if kind != "tmpfs":
        text = f"the index is on {kind or 'an unknown file system'}: tags would reach a disk"
        return Finding(Severity.REFUSE, "index", text, "serve.index: a folder in /dev/shm")
    if not os.access(there, os.W_OK):
        text = f"the index folder {folder} cannot be made or written by this user"
        return Finding(Severity.REFUSE, "index", text, "see deploy/lacuna.tmpfiles.conf")
    return Finding(Severity.OK, "index", "the index is in memory")

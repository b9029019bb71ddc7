"""What a machine must be like before class D may be claimed: `lacuna doctor` asks here.

Class D says: the old key is gone once its bytes were overwritten in place. `collect` looks at
what can contradict that (file system, media, snapshots) and at what can copy a key elsewhere
(swap, hibernation, core dumps, other users); `judge` is the decision, pure, a rule per function.

One REFUSE and the class may not be claimed. A WARN is for a person to weigh. What cannot be seen
from inside, such as the flash translation of an SSD, is in THREAT-MODEL.md.
"""

import os
import re
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from keys.errors import SlotUnreachable
from keys.slot.file import FILE_NAME

# These write a file's new bytes where the old ones were. A list of what is known to be right, not
# of what is known to be wrong: a new file system is not right by default.
IN_PLACE: Final = frozenset({"ext2", "ext3", "ext4", "jfs", "xfs"})
_WHY_NOT: Final = {
    "bcachefs": "it writes new bytes elsewhere and keeps the old ones",
    "btrfs": "it writes new bytes elsewhere and keeps the old ones",
    "f2fs": "it appends new bytes to a log and keeps the old ones",
    "nfs": "what the server does with the old bytes cannot be seen from here",
    "nfs4": "what the server does with the old bytes cannot be seen from here",
    "overlay": "a container's layer is copied and thrown away as a whole",
    "tmpfs": "it forgets everything at power-off, the vault's only key included",
    "zfs": "it writes new bytes elsewhere and keeps the old ones",
}
# 80 bytes a link, a million links, and as much again while a table is rebuilt.
LEAST_MEMLOCK: Final = 256 << 20


class Severity(StrEnum):
    """How much a finding weighs."""

    REFUSE = "refuse"
    WARN = "warn"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found; the hint says what to do, and is empty where nothing is."""

    severity: Severity
    rule: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Volume:
    """What a folder lies on: a file system, and the media below it."""

    file_system: str
    options: frozenset[str]
    media: frozenset[str]
    logical: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What `collect` saw.

    `user` is who runs the custodian, for the store's folder is his; `memlock` is None where there
    is no limit; modes are permission bits.
    """

    slot: Volume
    store: Volume
    mirror: Volume
    virtual_machine: bool
    swaps: tuple[str, ...]
    hibernation: bool
    core_dumps: bool
    memlock: int | None
    user: int
    folder_mode: int
    folder_owner: int
    file_mode: int
    file_owner: int


def judge(facts: Facts) -> tuple[Finding, ...]:
    """Return what each rule finds, in their order."""
    return tuple(rule(facts) for rule in _RULES)


def _file_system(facts: Facts) -> Finding:
    name = facts.slot.file_system
    if name not in IN_PLACE:
        why = _WHY_NOT.get(name, "it is not known to overwrite in place")
        return Finding(
            Severity.REFUSE,
            "file-system",
            f"the slot is on {name}: {why}",
            "move the slot's folder to a small ext4 or xfs file system of its own",
        )
    return Finding(Severity.OK, "file-system", f"the slot is on {name}, which overwrites in place")


def _journal(facts: Facts) -> Finding:
    if "data=journal" in facts.slot.options:
        return Finding(
            Severity.REFUSE,
            "journal",
            "the slot's file system writes all data to its journal first, where old keys stay",
            "mount it with data=ordered",
        )
    return Finding(Severity.OK, "journal", "the slot's bytes do not pass through a journal")


def _slot_medium(facts: Facts) -> Finding:
    if common := facts.slot.media & facts.store.media:
        return Finding(
            Severity.WARN,
            "slot-medium",
            f"slot and store are on one medium ({', '.join(sorted(common))}): one old image of it"
            " holds a key and what it opens",
            "move the slot's folder to another medium, and never back that one up",
        )
    return Finding(Severity.OK, "slot-medium", "slot and store are on different media")


def _mirror_medium(facts: Facts) -> Finding:
    if common := facts.mirror.media & facts.store.media:
        return Finding(
            Severity.WARN,
            "mirror-medium",
            f"mirror and store are on one medium ({', '.join(sorted(common))}): if it fails, the"
            " records are lost",
            "move the mirror's folder to another medium",
        )
    return Finding(Severity.OK, "mirror-medium", "mirror and store are on different media")


def _snapshots(facts: Facts) -> Finding:
    if facts.slot.logical:
        return Finding(
            Severity.WARN,
            "snapshots",
            "the slot is on a logical volume: a snapshot of it keeps old keys",
            "use a partition, or see that nothing takes snapshots of this volume",
        )
    if facts.virtual_machine:
        return Finding(
            Severity.WARN,
            "snapshots",
            "this is a virtual machine: a snapshot or backup of its disk keeps old keys",
            "have the slot's disk left out of snapshots and backups, or give the machine a disk of"
            " its own",
        )
    return Finding(Severity.OK, "snapshots", "no layer that takes snapshots was seen")


def _swap(facts: Facts) -> Finding:
    if facts.swaps:
        return Finding(
            Severity.WARN,
            "swap",
            f"memory can be written to {', '.join(facts.swaps)}, keys included",
            "switch swap off (swapoff -a, and /etc/fstab), or encrypt it with a random key",
        )
    return Finding(Severity.OK, "swap", "memory is not written to an unencrypted swap")


def _hibernation(facts: Facts) -> Finding:
    if facts.hibernation:
        return Finding(
            Severity.WARN,
            "hibernation",
            "this machine can hibernate, which writes all memory to a disk, keys included",
            "mask it: systemctl mask hibernate.target hybrid-sleep.target",
        )
    return Finding(Severity.OK, "hibernation", "this machine is not set up to hibernate")


def _core_dumps(facts: Facts) -> Finding:
    if facts.core_dumps:
        return Finding(
            Severity.WARN,
            "core-dumps",
            "a program that crashes here leaves a copy of its memory",
            "the custodian forbids it for itself; forbid it for all: LimitCORE=0 in the unit, and"
            " sysctl kernel.core_pattern=|/bin/false",
        )
    return Finding(Severity.OK, "core-dumps", "crashes leave no copy of memory")


def _permissions(facts: Facts) -> Finding:
    problems = [
        f"the slot's {what} {problem}"
        for what, mode, owner in (
            ("folder", facts.folder_mode, facts.folder_owner),
            ("file", facts.file_mode, facts.file_owner),
        )
        for problem in _access(mode, owner, facts.user)
    ]
    if problems:
        return Finding(
            Severity.REFUSE,
            "permissions",
            "; ".join(problems),
            "make both the custodian's own: chown, then chmod 0700 for the folder and 0600 for the"
            " file",
        )
    return Finding(Severity.OK, "permissions", "nobody else can read or change the slot")


def _access(mode: int, owner: int, user: int) -> Iterator[str]:
    if owner != user:
        yield "belongs to another user"
    if mode & 0o077:
        yield f"is open to others (mode {mode:04o})"


def _memory_lock(facts: Facts) -> Finding:
    if facts.user == 0 or facts.memlock is None or facts.memlock >= LEAST_MEMLOCK:
        return Finding(Severity.OK, "memory-lock", "the index can be kept out of swap")
    return Finding(
        Severity.WARN,
        "memory-lock",
        f"only {facts.memlock >> 10} KiB of memory may be locked: a larger index could be swapped",
        "set LimitMEMLOCK=infinity in the unit, or memlock in /etc/security/limits.conf",
    )


_RULES: Final[tuple[Callable[[Facts], Finding], ...]] = (
    _file_system,
    _journal,
    _permissions,
    _slot_medium,
    _mirror_medium,
    _snapshots,
    _swap,
    _hibernation,
    _core_dumps,
    _memory_lock,
)


def collect(slot: Path, store: Path, mirror: Path, *, root: Path = Path("/")) -> Facts:
    """Look at the machine and at three folders. `root` is where proc and sys are, for tests.

    Raises SlotUnreachable when the slot is not there, FileNotFoundError when the store is not.
    """
    try:
        folder, file = slot.stat(), (slot / FILE_NAME).stat()
    except OSError as error:
        raise SlotUnreachable(f"the slot in {slot} is out of reach: {error.strerror}") from None
    facts = foresee(slot, store, mirror, root=root)
    return replace(
        facts,
        user=store.stat().st_uid,
        folder_mode=folder.st_mode & 0o7777,
        folder_owner=folder.st_uid,
        file_mode=file.st_mode & 0o7777,
        file_owner=file.st_uid,
    )


def foresee(slot: Path, store: Path, mirror: Path, *, root: Path = Path("/")) -> Facts:
    """Return what `collect` would see if this user made the folders that are missing, as we do."""
    memlock, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return Facts(
        slot=_volume(root, slot),
        store=_volume(root, store),
        mirror=_volume(root, mirror),
        virtual_machine=_is_virtual(root),
        swaps=tuple(_plain_swaps(root)),
        hibernation=_can_hibernate(root),
        core_dumps=_dumps_cores(root, resource.getrlimit(resource.RLIMIT_CORE)[1]),
        memlock=None if memlock == resource.RLIM_INFINITY else memlock,
        user=os.geteuid(),
        folder_mode=slot.stat().st_mode & 0o7777 if slot.exists() else 0o700,
        folder_owner=slot.stat().st_uid if slot.exists() else os.geteuid(),
        file_mode=0o600,
        file_owner=os.geteuid(),
    )


def _text(path: Path) -> str:
    """Return a file of the kernel's, or nothing where this kernel has none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _volume(root: Path, folder: Path) -> Volume:
    device, file_system, options = _mount(_text(root / "proc/self/mountinfo"), folder.resolve())
    stack = list(_stack(root, device))
    device_alone = frozenset({device})  # a file system that no block device carries
    return Volume(
        file_system,
        options,
        media=frozenset(_medium(layer) for layer in stack if not _slaves(layer)) or device_alone,
        logical=any(_text(layer / "dm/uuid").startswith("LVM-") for layer in stack),
    )


def _mount(mountinfo: str, folder: Path) -> tuple[str, str, frozenset[str]]:
    """Return device, file system and options of a folder's mount; see proc_pid_mountinfo(5)."""
    best, found = -1, ("unknown", "unknown", frozenset[str]())
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        _, _, device, _, place, options, *_ = left.split(" ")
        file_system, _, more = right.split(" ")
        at = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), place))
        # Not ">": what was mounted later over the same folder hides what was there.
        if folder.is_relative_to(at) and len(at.parts) >= best:
            best = len(at.parts)
            found = device, file_system, frozenset((options + "," + more).split(","))
    return found


def _stack(root: Path, device: str) -> Iterator[Path]:
    """Yield a block device's folder in sys, and those of all the devices that it is made of."""
    folder = (root / "sys/dev/block" / device).resolve()
    if folder.is_dir():
        yield folder
        for slave in _slaves(folder):
            yield from _stack(root, _text(slave / "dev").strip())


def _slaves(folder: Path) -> list[Path]:
    return sorted((folder / "slaves").glob("*"))


def _medium(folder: Path) -> str:
    """Return the name of the disk: a partition's folder lies in its disk's."""
    return folder.parent.name if (folder / "partition").exists() else folder.name


def _is_virtual(root: Path) -> bool:
    if _text(root / "sys/hypervisor/type"):
        return True
    processors = _text(root / "proc/cpuinfo")
    return re.search(r"^flags\s*:.*\bhypervisor\b", processors, re.MULTILINE) is not None


def _plain_swaps(root: Path) -> Iterator[str]:
    """Yield where memory is swapped to in the clear: neither compressed memory nor dm-crypt."""
    for line in _text(root / "proc/swaps").splitlines()[1:]:
        name = line.split()[0]
        layer = root / "sys/class/block" / Path(name).name
        if not (layer.name.startswith("zram") or _text(layer / "dm/uuid").startswith("CRYPT-")):
            yield name


def _can_hibernate(root: Path) -> bool:
    power = root / "sys/power"
    if "disk" not in _text(power / "state").split() or "[disabled]" in _text(power / "disk"):
        return False
    return _text(power / "resume").strip() not in {"", "0:0"}


def _dumps_cores(root: Path, hard_limit: int) -> bool:
    """Say whether a crash leaves memory behind; a handler is called whatever the limit is."""
    pattern = _text(root / "proc/sys/kernel/core_pattern").strip()
    if pattern.startswith("|"):
        return pattern.removeprefix("|").split()[0] not in {"/bin/false", "/bin/true"}
    return bool(pattern) and hard_limit != 0

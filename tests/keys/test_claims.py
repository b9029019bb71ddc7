"""What `lacuna doctor` says of a machine: a table of machines, and how one is looked at."""

from dataclasses import replace
from pathlib import Path

import pytest

from keys import claims
from keys.claims import Facts, Severity, Volume, collect, foresee, judge
from keys.errors import SlotUnreachable

OK, WARN, REFUSE = Severity.OK, Severity.WARN, Severity.REFUSE

OF_ITS_OWN = Volume("ext4", frozenset({"rw"}), frozenset({"sdb"}), logical=False)
SYSTEM = Volume("ext4", frozenset({"rw"}), frozenset({"sda"}), logical=False)
THIRD = Volume("xfs", frozenset({"rw"}), frozenset({"sdc"}), logical=False)
SOUND = Facts(
    slot=OF_ITS_OWN,
    store=SYSTEM,
    mirror=THIRD,
    virtual_machine=False,
    swaps=(),
    hibernation=False,
    core_dumps=False,
    memlock=None,
    user=1000,
    folder_mode=0o700,
    folder_owner=1000,
    file_mode=0o600,
    file_owner=1000,
)


def slot_on(file_system: str, *options: str, logical: bool = False) -> Facts:
    volume = replace(OF_ITS_OWN, file_system=file_system, logical=logical)
    return replace(SOUND, slot=replace(volume, options=frozenset(options)))


# One machine, the rule that speaks of it, what it says, and a word of how.
MACHINES = {
    "ext4": (SOUND, "file-system", OK, "overwrites in place"),
    "xfs": (slot_on("xfs"), "file-system", OK, "overwrites in place"),
    "btrfs": (slot_on("btrfs"), "file-system", REFUSE, "keeps the old ones"),
    "zfs": (slot_on("zfs"), "file-system", REFUSE, "keeps the old ones"),
    "f2fs": (slot_on("f2fs"), "file-system", REFUSE, "a log"),
    "a container's layer": (slot_on("overlay"), "file-system", REFUSE, "container"),
    "a network": (slot_on("nfs4"), "file-system", REFUSE, "cannot be seen from here"),
    "memory": (slot_on("tmpfs"), "file-system", REFUSE, "at power-off"),
    "a file system of tomorrow": (slot_on("newfs"), "file-system", REFUSE, "not known to"),
    "data in the journal": (slot_on("ext4", "data=journal"), "journal", REFUSE, "journal first"),
    "data beside the journal": (slot_on("ext4", "data=ordered"), "journal", OK, "do not pass"),
    "slot with the store": (
        replace(SOUND, store=OF_ITS_OWN), "slot-medium", WARN, "one medium (sdb)"
    ),
    "slot apart": (SOUND, "slot-medium", OK, "different media"),
    "mirror with the store": (
        replace(SOUND, mirror=SYSTEM), "mirror-medium", WARN, "one medium (sda)"
    ),
    "mirror apart": (SOUND, "mirror-medium", OK, "different media"),
    "a logical volume": (slot_on("ext4", logical=True), "snapshots", WARN, "logical volume"),
    "a virtual machine": (replace(SOUND, virtual_machine=True), "snapshots", WARN, "virtual"),
    "neither": (SOUND, "snapshots", OK, "no layer"),
    "swap": (replace(SOUND, swaps=("/dev/sda2", "/swap")), "swap", WARN, "/dev/sda2, /swap"),
    "no swap": (SOUND, "swap", OK, "not written"),
    "hibernation": (replace(SOUND, hibernation=True), "hibernation", WARN, "can hibernate"),
    "no hibernation": (SOUND, "hibernation", OK, "not set up"),
    "core dumps": (replace(SOUND, core_dumps=True), "core-dumps", WARN, "copy of its memory"),
    "no core dumps": (SOUND, "core-dumps", OK, "no copy"),
    "another's folder": (
        replace(SOUND, folder_owner=0), "permissions", REFUSE, "folder belongs to another user"
    ),
    "an open folder": (
        replace(SOUND, folder_mode=0o755), "permissions", REFUSE, "open to others (mode 0755)"
    ),
    "an open file": (
        replace(SOUND, file_mode=0o640, file_owner=1),
        "permissions",
        REFUSE,
        "file belongs to another user; the slot's file is open to others (mode 0640)",
    ),
    "nobody else": (SOUND, "permissions", OK, "nobody else"),
    "little memory to lock": (
        replace(SOUND, memlock=8 << 20), "memory-lock", WARN, "only 8192 KiB"
    ),
    "much memory to lock": (
        replace(SOUND, memlock=1 << 30), "memory-lock", OK, "kept out of swap"
    ),
    "root": (
        replace(SOUND, memlock=0, user=0, folder_owner=0, file_owner=0), "memory-lock", OK, "kept"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("facts", "rule", "severity", "words"), MACHINES.values(), ids=MACHINES)
def test_what_is_said_of_a_machine(facts: Facts, rule: str, severity: Severity, words: str) -> None:
    findings = {finding.rule: finding for finding in judge(facts)}
    assert findings[rule].severity is severity
    assert words in findings[rule].text
    others = {name for name, finding in findings.items() if finding.severity is not OK} - {rule}
    assert others == set(), "one fault, one finding"


def test_a_sound_machine_may_claim_the_class() -> None:
    assert {finding.severity for finding in judge(SOUND)} == {OK}


def test_whoever_is_warned_is_told_what_to_do() -> None:
    for facts, *_ in MACHINES.values():
        for finding in judge(facts):
            assert bool(finding.hint) == (finding.severity is not OK)
            assert finding.text[0].islower()
            assert not finding.text.endswith(".")


class Machine:
    """A tree of proc and sys files, as `collect` reads them."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        for name in ("slot", "store", "mirror"):
            (folder / name).mkdir(mode=0o700)
        (folder / "slot" / "slot").touch(mode=0o600)
        self.folder = folder
        self.mounts("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def mounts(self, *lines: str) -> None:
        self.write("proc/self/mountinfo", "\n".join(lines) + "\n")

    def disk(
        self, device: str, path: str, *slaves: str, uuid: str = "", part: bool = False
    ) -> None:
        """Make a block device's folder, and the link by which its number finds it."""
        folder = self.root / "sys/devices" / path
        self.write(f"sys/devices/{path}/dev", device)
        if part:
            self.write(f"sys/devices/{path}/partition", "1")
        if uuid:
            self.write(f"sys/devices/{path}/dm/uuid", uuid)
        for slave in slaves:
            (folder / "slaves").mkdir(exist_ok=True)
            (folder / "slaves" / Path(slave).name).symlink_to(self.root / "sys/devices" / slave)
        for links, name in (("sys/dev/block", device), ("sys/class/block", Path(path).name)):
            (self.root / links).mkdir(parents=True, exist_ok=True)
            (self.root / links / name).symlink_to(folder)

    def look(self) -> Facts:
        folders = (self.folder / name for name in ("slot", "store", "mirror"))
        return collect(*folders, root=self.root)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_slots_own_facts(machine: Machine) -> None:
    facts = machine.look()
    mine = machine.folder.stat().st_uid
    assert (facts.folder_mode, facts.file_mode) == (0o700, 0o600)
    assert facts.user == facts.folder_owner == facts.file_owner == mine
    (machine.folder / "slot").chmod(0o755)
    assert machine.look().folder_mode == 0o755


@pytest.mark.parametrize("lost", ["slot/slot", "slot"])
def test_a_slot_that_is_away(machine: Machine, lost: str) -> None:
    path = machine.folder / lost
    if path.is_file():
        path.unlink()
    else:
        path.rename(machine.folder / "elsewhere")
    with pytest.raises(SlotUnreachable, match="out of reach: No such file"):
        machine.look()


def test_a_partition_lies_on_its_disk(machine: Machine) -> None:
    machine.disk("8:0", "pci/sda")
    machine.disk("8:1", "pci/sda/sda1", part=True)
    assert machine.look().slot == Volume(
        "ext4", frozenset({"rw", "relatime"}), frozenset({"sda"}), logical=False
    )


def test_a_logical_volume_lies_on_the_disks_below_it(machine: Machine) -> None:
    """Through an encrypted layer too."""
    machine.disk("8:0", "pci/sda")
    machine.disk("8:1", "pci/sda/sda1", part=True)
    machine.disk("8:16", "pci/sdb")
    machine.disk("253:0", "virtual/dm-0", "pci/sda/sda1", uuid="CRYPT-LUKS2-x")
    machine.disk("253:1", "virtual/dm-1", "virtual/dm-0", "pci/sdb", uuid="LVM-y")
    machine.mounts("22 1 253:1 / / rw - ext4 /dev/mapper/vg-lv rw,data=journal")
    assert machine.look().store == Volume(
        "ext4", frozenset({"rw", "data=journal"}), frozenset({"sda", "sdb"}), logical=True
    )


def test_the_nearest_mount_counts(machine: Machine) -> None:
    """The last one, where several lie over each other; names with blanks are escaped."""
    (machine.folder / "slot").rename(machine.folder / "a slot")
    (machine.folder / "slot").symlink_to(machine.folder / "a slot")
    there = str(machine.folder / "a slot").replace(" ", "\\040")
    machine.mounts(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw",
        f"23 22 0:40 / {there} rw,noatime - btrfs /dev/sdb1 rw",
        f"24 23 0:41 / {there} rw,noatime - zfs pool/slot rw",
        "25 22 0:42 / /elsewhere rw - xfs /dev/sdc rw",
    )
    facts = machine.look()
    assert (facts.slot.file_system, facts.slot.media) == ("zfs", frozenset({"0:41"}))
    assert facts.mirror.file_system == "ext4"


def test_a_machine_without_proc(machine: Machine) -> None:
    """Nothing is known, so nothing is claimed."""
    (machine.root / "proc/self/mountinfo").unlink()
    facts = machine.look()
    assert facts.slot.file_system == "unknown"
    assert facts.swaps == ()
    assert {facts.virtual_machine, facts.hibernation, facts.core_dumps} == {False}


@pytest.mark.parametrize(
    ("path", "text", "virtual"),
    [
        ("sys/hypervisor/type", "xen\n", True),
        ("proc/cpuinfo", "model : x\nflags\t\t: fpu hypervisor lahf\n", True),
        ("proc/cpuinfo", "model : hypervisor\nflags\t\t: fpu lahf\n", False),
    ],
)
def test_virtual_machines(machine: Machine, path: str, text: str, *, virtual: bool) -> None:
    machine.write(path, text)
    assert machine.look().virtual_machine is virtual


def test_swap_in_the_clear(machine: Machine) -> None:
    """Neither compressed memory nor an encrypted volume writes keys to a disk."""
    machine.disk("253:3", "virtual/dm-3", uuid="CRYPT-PLAIN-swap")
    machine.write(
        "proc/swaps",
        "Filename\tType\tSize\tUsed\tPriority\n"
        "/dev/sda2 partition 1 0 -2\n/swap.img file 1 0 -3\n"
        "/dev/zram0 partition 1 0 100\n/dev/dm-3 partition 1 0 -4\n",
    )
    assert machine.look().swaps == ("/dev/sda2", "/swap.img")


@pytest.mark.parametrize(
    ("state", "disk", "resume", "can"),
    [
        ("freeze mem disk", "[platform] shutdown", "8:2", True),
        ("freeze mem disk", "[platform] shutdown", "0:0", False),
        ("freeze mem disk", "[platform] shutdown", "", False),
        ("freeze mem disk", "[disabled]", "8:2", False),
        ("freeze mem", "[platform]", "8:2", False),
    ],
)
def test_hibernation(machine: Machine, state: str, disk: str, resume: str, *, can: bool) -> None:
    for name, text in (("state", state), ("disk", disk), ("resume", resume)):
        machine.write(f"sys/power/{name}", text + "\n")
    assert machine.look().hibernation is can


@pytest.mark.parametrize(
    ("pattern", "limit", "dumps"),
    [
        ("core", -1, True),
        ("core", 0, False),
        ("", -1, False),
        ("|/usr/lib/systemd/systemd-coredump %P", 0, True),
        ("|/bin/false", -1, False),
    ],
)
def test_core_dumps(machine: Machine, pattern: str, limit: int, *, dumps: bool) -> None:
    machine.write("proc/sys/kernel/core_pattern", pattern + "\n")
    assert claims._dumps_cores(machine.root, limit) is dumps


def test_a_site_that_is_yet_to_be_made(machine: Machine, tmp_path: Path) -> None:
    """Asked before the vault is made: folders that are missing will be made by this user."""
    there, missing = tmp_path / "slot", tmp_path / "missing"
    facts = foresee(missing, missing, missing, root=machine.root)
    assert (facts.folder_mode, facts.file_mode) == (0o700, 0o600)
    assert facts.user == facts.folder_owner == facts.file_owner
    there.chmod(0o750)
    assert foresee(there, missing, missing, root=machine.root).folder_mode == 0o750


def test_this_very_machine_can_be_looked_at(machine: Machine) -> None:
    folders = (machine.folder / name for name in ("slot", "store", "mirror"))
    facts = collect(*folders)
    assert facts.slot == facts.store
    assert facts.slot.media
    assert len(judge(facts)) == 10

"""A2, the thief of a store or a backup, and the recovery program as a person runs it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lookup.custodian.store.backup import FILE_NAME
from lookup.demo.recover import Evidence, database_keys, main, read_database, recover
from tests.attacks.model import Living, Maker, adding, found, missing, shredding
from tests.attacks.site import Site

ROOT = Path(__file__).parents[2]


class Scene(NamedTuple):
    """A site with a backup from before a record was shredded, and the slot of that time."""

    site: Site
    gone: Living
    kept: list[Living]
    old_slot: Path

    @property
    def slot(self) -> Path:
        (folder,) = self.site.folders.values()
        return folder

    @property
    def files(self) -> list[Path]:
        return [self.site.store, self.site.mirror, self.site.folder / "backup" / FILE_NAME]

    def secrets(self) -> set[bytes]:
        return set().union(*(living.secrets() for living in self.kept))


@pytest.fixture(params=[1, 2], ids=["256 leaves", "65,536 leaves"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    with Site(depth=request.param) as site:
        maker = Maker(site.vault_id)
        gone, *kept = maker.make_many(5)
        site.vault.commit(*adding(gone, *kept))
        site.back_up("backup")
        (slot,) = site.folders.values()
        old = shutil.copytree(slot, site.folder / "old")
        site.vault.commit(*shredding(gone))
        yield Scene(site, gone, kept, old)


def evidence(scene: Scene) -> Evidence:
    """Return every row that the files hold; the database key is given away with them."""
    collected = Evidence()
    for file in scene.files:
        haul = read_database(file, [scene.site.database_key.expose()])
        assert haul is not None
        haul.into(collected)
    return collected


class TestWithoutTheSlotOrThePassphrase:
    """All of storage, and even the key of the database files (THREAT-MODEL.md, A2)."""

    def test_storage_alone_opens_nothing(self, scene: Scene) -> None:
        assert recover(evidence(scene)).texts == []

    def test_the_passphrase_without_the_slot_opens_nothing(self, scene: Scene) -> None:
        collected = evidence(scene)
        collected.passphrases.add(scene.site.passphrase)
        assert recover(collected).texts == []

    def test_the_slot_without_the_passphrase_opens_nothing(self, scene: Scene) -> None:
        collected = evidence(scene)
        collected.slots |= scene.site.slot_bytes()
        collected.passphrases.add(b"a guess")
        assert recover(collected).texts == []
        assert database_keys(collected.slots, collected.passphrases) == set()

    def test_a_slot_with_one_bit_changed_opens_nothing(self, scene: Scene) -> None:
        """Every byte of the blobs is needed."""
        collected = evidence(scene)
        for raw in scene.site.slot_bytes():
            changed = bytearray(raw)
            changed[len(raw) // 2 - 1] ^= 1
            changed[-1] ^= 1
            collected.slots.add(bytes(changed))
        collected.passphrases.add(scene.site.passphrase)
        assert recover(collected).texts == []

    def test_with_both_everything_that_lives_opens(self, scene: Scene) -> None:
        """Or the tests above would show nothing."""
        collected = evidence(scene)
        collected.slots |= scene.site.slot_bytes()
        collected.passphrases.add(scene.site.passphrase)
        loot = recover(collected)
        assert not missing(loot, scene.secrets())
        assert not found(loot, scene.gone.secrets())
        assert loot.records == {living.record.id for living in scene.kept}


def steal(scene: Scene, slot: Path, *texts: bytes) -> list[str]:
    """Run the program on the files of a site that goes on running; return its lines."""
    passphrase, wanted = scene.site.folder / "passphrase", scene.site.folder / "texts"
    passphrase.write_bytes(scene.site.passphrase + b"\n")
    wanted.write_bytes(b"".join(text + b"\n" for text in texts))
    command = [sys.executable, "-m", "lookup.demo.recover", "--passphrase-file", str(passphrase)]
    command += ["--slot", str(slot), "--find", str(wanted), "--database", *map(str, scene.files)]
    return subprocess.run(
        command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE
    ).stdout.splitlines()


class TestTheProgram:
    """What the demonstration shows, in a process of its own."""

    def test_it_opens_every_other_record_from_the_old_ciphertexts_too(self, scene: Scene) -> None:
        store, mirror, backup = scene.files
        texts = scene.gone.payload, scene.kept[0].payload
        assert steal(scene, scene.slot, *texts) == [
            f"{store}: 4 of 4 sealed payloads opened",
            f"{mirror}: 0 of 0 sealed payloads opened",
            f"{backup}: 4 of 5 sealed payloads opened",
            "records opened: 4",
            "line 1: not found",
            "line 2: found",
        ]

    def test_with_an_old_copy_of_the_slot_it_wins(self, scene: Scene) -> None:
        """Class D: that is why a slot is never backed up."""
        lines = steal(scene, scene.old_slot, scene.gone.payload)
        assert lines[-2:] == ["records opened: 5", "line 1: found"]

    def test_what_is_no_database_is_named(
        self, scene: Scene, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = scene.site.folder / "passphrase"
        file.write_bytes(scene.site.passphrase)
        options = ["--passphrase-file", str(file), "--slot", str(scene.slot), "--database"]
        assert main([*options, str(file)]) == 0
        assert capsys.readouterr().out == f"{file}: does not open\nrecords opened: 0\n"

    def test_it_changes_nothing(self, scene: Scene) -> None:
        """The site is in use: its WAL is still there, and the vault goes on."""
        steal(scene, scene.slot)
        wal = scene.site.store.with_name("vault.db-wal")
        assert wal.stat().st_size > 0
        scene.site.vault.commit(*shredding(scene.kept[0]))
        assert len(scene.site.records()) == 3

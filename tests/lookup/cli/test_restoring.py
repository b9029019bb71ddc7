"""`lacuna restore`: what comes back of a site, and what a person is told to do."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys.entry import Kind, Put, new_entry_id
from lookup import exits
from lookup.custodian.clients import Allowance, ClientCard, Secret
from lookup.custodian.unlocking import lock_store
from tests.lookup.cli.commanding import (
    ROOT,
    Folders,
    Result,
    import_records,
    lacuna,
    opened,
    serving,
)

NUMBERS = range(20)


@pytest.fixture(scope="module")
def stopped() -> Iterator[Folders]:
    """A site of twenty records with a backup of its last epoch, stopped. Tests copy it."""
    folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp"))
    site = Folders(folder)
    assert site.init("--demo").status == 0
    with serving(site):
        import_records(site, folder / "results", *NUMBERS)
        assert site.run("backup", folder / "backup").status == 0
    yield site
    site.remove()


@pytest.fixture
def site(stopped: Folders) -> Iterator[Folders]:
    """A copy of that site, in folders of its own."""
    folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp"))
    sockets = shutil.ignore_patterns("*.sock")
    shutil.copytree(stopped.folder, folder, dirs_exist_ok=True, ignore=sockets)
    copied = Folders(folder)
    text = copied.config.read_text().replace(str(stopped.folder), str(folder))
    index = f"/dev/shm/{folder.name}"  # noqa: S108  # tmpfs on purpose
    copied.config.write_text(re.sub("(?m)^index = .*$", f'index = "{index}"', text))
    yield copied
    copied.remove()


def _restore(site: Folders, *arguments: str | Path) -> Result:
    return site.run("restore", *arguments, "--json")


def _lose_store(site: Folders) -> None:
    for file in (site.config.parent / "store").glob("vault.db*"):
        file.unlink()


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_rehearsal_changes_nothing(site: Folders) -> None:
    before = _bytes(site.folder)

    result = _restore(site, "--check", "--from", site.folder / "backup")

    assert result.status == 0
    assert (result.json["restored"], result.json["rehearsal"]) == (len(NUMBERS), True)
    after = _bytes(site.folder)
    assert before.items() <= after.items()
    assert {Path(name).suffix for name in after.keys() - before.keys()} <= {".db-wal", ".db-shm"}


def test_a_store_that_is_there_is_not_overwritten_and_the_hint_works(site: Folders) -> None:
    """A person who types what the hint says has a site again, with every record."""
    refused = site.run("restore", "--from", site.folder / "backup")

    assert refused.status == exits.REFUSED
    hint = refused.stderr.splitlines()[-1]
    commands = hint[hint.index("mkdir") :].replace(
        "&& lacuna", f"&& {sys.executable} -m tests.lookup.cli.commanding"
    )
    done = subprocess.run(
        ["sh", "-c", commands], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert "restored      20 contents" in done.stdout
    assert "destroy it" in done.stdout
    with serving(site) as served:
        assert served.status()["records"] == len(NUMBERS)
        ids = import_records(site, site.folder / "again", *NUMBERS)
    first = (site.folder / "results").read_text()
    assert all(record_id in first for record_id in ids)


def test_from_the_mirror_and_a_backup(site: Folders) -> None:
    _lose_store(site)

    result = _restore(site, "--from", site.folder / "backup")

    assert result.status == 0
    assert result.json["source"].endswith("mirror.db")
    assert result.json["restored"] == len(NUMBERS)


def test_the_mirror_alone_has_no_contents(site: Folders) -> None:
    """It is said how many are missing, by status too."""
    _lose_store(site)

    result = _restore(site)

    assert result.status == exits.FINDING
    assert result.json["key_without_blob"] == len(NUMBERS)


def test_a_backup_of_an_earlier_epoch_is_no_source_alone(site: Folders) -> None:
    with opened(site) as vault:
        vault.purge()
    _lose_store(site)
    (site.config.parent / "mirror" / "mirror.db").unlink()

    result = _restore(site, "--from", site.folder / "backup")

    assert result.status == exits.REFUSED
    assert result.ends_in_a_hint
    assert not (site.config.parent / "store" / "vault.db").exists()


def test_a_loss_is_accepted_by_a_person(site: Folders) -> None:
    with opened(site) as vault:
        entry_id = new_entry_id(Kind.CLIENT)
        card = ClientCard(entry_id, "A", 0, 0, (Secret(bytes(32)),), Allowance())
        vault.commit((Put(card.entry()),))
    _lose_store(site)
    (site.config.parent / "mirror" / "mirror.db").unlink()

    refused = _restore(site, "--from", site.folder / "backup")
    accepted = _restore(site, "--from", site.folder / "backup", "--accept-loss")

    assert refused.status == exits.REFUSED
    assert "--accept-loss" in refused.stderr
    assert accepted.status == exits.FINDING
    assert accepted.json["lost_commits"] == 1
    assert accepted.json["restored"] == len(NUMBERS)


def test_not_while_the_store_is_in_use(site: Folders) -> None:
    _lose_store(site)
    lock = lock_store(site.config.parent / "store")
    try:
        result = _restore(site, "--from", site.folder / "backup")
    finally:
        os.close(lock)

    assert result.status == exits.TEMPORARY
    assert result.ends_in_a_hint


def test_a_wrong_passphrase(site: Folders) -> None:
    wrong = site.folder / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("nothing that opens anything\n")
    backup = site.folder / "backup"

    result = _restore(site, "--check", "--from", backup, "--passphrase-file", wrong)
    wrong.chmod(0o644)
    readable = _restore(site, "--check", "--from", backup, "--passphrase-file", wrong)

    assert result.status == readable.status == exits.NO_PERMISSION
    assert result.ends_in_a_hint


def test_sources_that_are_none(site: Folders) -> None:
    empty, noise = site.folder / "empty", site.folder / "noise"
    empty.mkdir()
    noise.mkdir()
    (noise / "backup.db").write_bytes(b"noise" * 10_000)

    assert _restore(site, "--check", "--from", empty).status == exits.NO_INPUT
    with contextlib.suppress(FileNotFoundError):
        (site.config.parent / "mirror" / "mirror.db").unlink()
    result = _restore(site, "--check", "--from", noise)
    assert result.status == exits.REFUSED
    assert result.ends_in_a_hint


def test_without_its_slots(site: Folders) -> None:
    """Nothing opens; the hint does not suggest that something could."""
    shutil.rmtree(site.slot)

    result = lacuna("--config", site.config, "restore", "--check")

    assert result.status == exits.REFUSED
    assert "no slot is at hand" in result.stderr

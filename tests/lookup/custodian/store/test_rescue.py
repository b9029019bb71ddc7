"""The log after a loss: from whichever copy has it, or another under a name that is new."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from crypto.checkpoint import Checkpoint
from crypto.cosignature import CosigningKey, cosign
from crypto.merkle import Frontier
from crypto.note import add_signature, parse_note, sign_note
from keys.entry import Kind
from keys.errors import LogLost
from keys.log import LogMark, grown
from lookup.custodian.store.backup import FILE_NAME
from lookup.custodian.store.database import Database
from lookup.custodian.store.pages import Mirror, Store
from lookup.custodian.store.restore import RestoreReport, restore
from lookup.custodian.transparency.log import TransparencyLog, Witness
from lookup.custodian.transparency.log_key import LogKey, log_key_entries
from lookup.custodian.transparency.published import Publisher
from tests.attacks.site import Site, wanted_blobs

LEAVES = tuple(b"\1%032d" % number for number in range(600))
WITNESS = CosigningKey.generate()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        made.vault.commit(log_key_entries(made.vault_id))
        yield made


def append(site: Site, *leaves: bytes) -> None:
    site.vault.commit((), log=leaves)


def store_of(site: Site) -> Store:
    assert isinstance(site.keeping.store, Store)
    return site.keeping.store


def log_of(site: Site, publisher: Publisher | None = None) -> TransparencyLog:
    store = store_of(site)
    witness = Witness("a witness", WITNESS.verifier("witness.test"))
    return TransparencyLog(store.log, key_of(site), [witness], store.cosigned, publisher)


def key_of(site: Site) -> LogKey:
    (entry,) = site.vault.scan(Kind.LOG_KEY)
    return LogKey.of(entry)


def publish(site: Site) -> Path:
    folder = site.folder / "published"
    log = log_of(site, Publisher(folder, key_of(site).verifier))
    newest = log.checkpoint()
    while not (folder / "checkpoint").exists() or (folder / "checkpoint").read_bytes() != newest:
        log.publish_some()
    return folder


def edit(site: Site, file: Path, *statements: str) -> None:
    with closing(Database(file, site.database_key)) as database:
        for statement in statements:
            database.connection.execute(statement)


def lose(site: Site, *statements: str) -> None:
    """Lose the store, and do this to the mirror's log."""
    site.leave()
    site.put_aside(site.store)
    edit(site, site.mirror, *statements)


def bring_back(
    site: Site, *sources: Path, published: Path | None = None, accept_loss: bool = False
) -> RestoreReport:
    report = restore(
        sources,
        replace(site._held(), published=published),
        wanted_blobs,
        store=site.store,
        mirror=site.mirror,
        accept_loss=accept_loss,
    )
    site.open()
    return report


def leaves_in(site: Site) -> tuple[bytes, ...]:
    mirror = site.keeping.mirror
    assert isinstance(mirror, Mirror)
    store = store_of(site)
    assert list(mirror.log.leaves(0)) == list(store.log.leaves(0))
    return tuple(store.log.leaves(0))


def test_it_comes_from_the_mirror(site: Site) -> None:
    append(site, *LEAVES)
    lose(site)
    report = bring_back(site)
    assert (report.log, report.lost_log) == (site.vault.log, None)
    assert leaves_in(site) == LEAVES


CUT = "DELETE FROM log_entry WHERE position >= 400"
EDITED = "UPDATE log_entry SET leaf = x'01' WHERE position = 7"
GONE = "DELETE FROM log_tile"


@pytest.mark.parametrize("damage", [CUT, EDITED, "DELETE FROM log_entry"])
def test_it_comes_from_the_published_folder(site: Site, damage: str) -> None:
    """Verified leaf by leaf, up to what the anchors have seen."""
    append(site, *LEAVES)
    folder = publish(site)
    lose(site, damage)
    report = bring_back(site, published=folder)
    assert report.lost_log is None
    assert leaves_in(site) == LEAVES
    assert key_of(site).origin == f"lacuna/{site.vault_id.hex()}"


def test_the_published_folder_has_what_was_put_back_everywhere_else(site: Site) -> None:
    """A7: store, mirror, slot and anchor of yesterday together look like yesterday."""
    append(site, *LEAVES[:400])
    site.leave()
    names = [site.store.parent, site.mirror.parent, *site.folder.glob("slot-*")]
    for folder in names:
        shutil.copytree(folder, site.folder / "yesterday" / folder.name)
    site.open()
    append(site, *LEAVES[400:])
    published = publish(site)
    site.leave()
    for folder in names:
        shutil.rmtree(folder)
        shutil.copytree(site.folder / "yesterday" / folder.name, folder)
    site.put_aside(site.store)
    assert bring_back(site, published=published).lost_log is None
    assert leaves_in(site) == LEAVES


def test_a_strangers_folder_adds_nothing(site: Site) -> None:
    """Nor does one of ours, behind what was signed: nobody vouches for it."""
    with Site() as other:
        other.vault.commit(log_key_entries(other.vault_id))
        append(other, *LEAVES)
        folder = publish(other).rename(site.folder / "a stranger's")
    lose(site)
    for anchor in site.folder.glob("slot-*/anchor"):
        assert anchor.exists()
    assert bring_back(site, published=folder).log.size == 0


def test_tiles_are_made_anew_from_the_leaves(site: Site) -> None:
    """A copy without tiles is as good as any."""
    append(site, *LEAVES)
    lose(site, GONE)
    assert bring_back(site).lost_log is None
    assert leaves_in(site) == LEAVES


def test_it_comes_from_a_backup(site: Site) -> None:
    append(site, *LEAVES)
    site.back_up("backup")
    lose(site, CUT)
    assert bring_back(site, site.folder / "backup" / FILE_NAME).lost_log is None
    assert leaves_in(site) == LEAVES


def spoil_entry(folder: Path) -> None:
    bundle = folder / "tile" / "entries" / "000"
    raw = bytearray(bundle.read_bytes())
    raw[100] ^= 1
    bundle.write_bytes(raw)


def drop_bundle(folder: Path) -> None:
    (folder / "tile" / "entries" / "001").unlink()


def cut_bundle(folder: Path) -> None:
    bundle = folder / "tile" / "entries" / "001"
    bundle.write_bytes(bundle.read_bytes()[:-1])


def spoil_checkpoint(folder: Path) -> None:
    (folder / "checkpoint").write_bytes(b"nonsense")


@pytest.mark.parametrize("spoil", [spoil_entry, drop_bundle, cut_bundle, spoil_checkpoint])
def test_a_published_folder_that_is_not_whole_is_not_believed(site: Site, spoil: object) -> None:
    append(site, *LEAVES)
    folder = publish(site)
    assert callable(spoil)
    spoil(folder)
    lose(site, CUT)
    with pytest.raises(LogLost, match="600 entries of the log were seen"):
        bring_back(site, published=folder)
    assert not site.store.exists()


def test_another_log_begins_where_the_old_one_is_lost(site: Site) -> None:
    """Its first entry tells everybody what is missing, and what is left follows."""
    append(site, *LEAVES)
    seen = site.vault.log
    origin = key_of(site).origin
    lose(site, CUT)
    report = bring_back(site, accept_loss=True)
    assert report.lost_log is not None
    assert (report.lost_log.seen, report.log.size) == (seen, 401)
    gap, *left = leaves_in(site)
    assert tuple(left) == LEAVES[:400]
    assert gap == (
        b"\2lacuna/gap/v1\n"
        b"log before: %b\n"
        b"size: 600\n"
        b"root: %b\n"
        b"missing: 400 to 599 of the log before\n"
        b"kept: 400 entries of it follow this one\n"
        b"time: 2027-01-15T08:00:00Z\n"
    ) % (origin.encode(), b64encode(seen.root))
    assert key_of(site).origin == f"{origin}.2"
    append(site, b"\1goes on")
    lose(site, CUT)
    assert bring_back(site, accept_loss=True).log.size == 401
    assert key_of(site).origin == f"{origin}.3"
    assert leaves_in(site)[1] == gap


def test_without_an_anchor_nobody_knows(site: Site) -> None:
    append(site, *LEAVES[:3])
    lose(site)
    for anchor in site.folder.glob("slot-*/anchor"):
        anchor.write_bytes(bytes(anchor.stat().st_size))
    report = bring_back(site, accept_loss=True)
    assert report.lost_log is not None
    assert report.lost_log.seen is None
    assert b"size: unknown\nroot: unknown\nmissing: unknown\n" in leaves_in(site)[0]


def cosigned(site: Site) -> bytes:
    note = log_of(site).checkpoint()
    return add_signature(note, cosign(parse_note(note).text, "witness.test", WITNESS, 7))


def test_what_a_witness_saw_is_kept_by_a_restore(site: Site) -> None:
    """The newest of what the sources have."""
    append(site, *LEAVES[:3])
    log_of(site).take_cosigned(cosigned(site))
    site.back_up("backup")
    append(site, *LEAVES[3:5])
    newest = cosigned(site)
    log_of(site).take_cosigned(newest)
    site.leave()
    moved = site.put_aside(site.store)
    assert bring_back(site, site.folder / "backup" / FILE_NAME, moved).lost_log is None
    assert log_of(site).cosigned_checkpoint() == newest


def test_what_was_signed_must_be_there(site: Site) -> None:
    """Also if store, mirror and anchors all say that it never was."""
    append(site, *LEAVES[:3])
    key, more = key_of(site), LogMark(4, grown(Frontier(), LEAVES[:4]).root())
    note = sign_note(Checkpoint(key.origin, *more).text(), key.origin, key.signing)
    store_of(site).cosigned.keep("a witness", note)
    site.leave()
    lost = site.put_aside(site.store)
    with pytest.raises(LogLost, match="4 entries of the log were seen"):
        bring_back(site, lost)
    report = bring_back(site, lost, accept_loss=True)
    assert report.lost_log is not None
    assert report.lost_log.seen == more
    assert leaves_in(site)[1:] == LEAVES[:3]

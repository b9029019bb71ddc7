"""The transparency log of a running site: signed, proved, witnessed, published, and never less."""

import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from crypto.cosignature import CosigningKey, cosign
from crypto.merkle import Hash
from crypto.note import SigningKey, VerifierKey, add_signature, open_note, parse_note, sign_note
from keys.errors import LogDamaged, LogForked, LogLost
from lookup.config import InvalidConfig
from lookup.custodian import unlocking
from lookup.custodian.custody import Custody
from lookup.custodian.store.database import Database
from lookup.custodian.transparency.published import Publisher, fetch_from, published_checkpoint
from lookup.transparency.tiles import Bundle, Tile, TileReader
from lookup.transparency.verifying import InvalidLog, verify_log
from tests.lookup.raw_http import wait_until
from tests.rfc6962 import leaf, mth, root_by_path, roots_by_path
from tests.simulator import Custodian, Site

LEAVES = tuple(b"\1" + sha256(b"%d" % number).digest() for number in range(300))
HASHES = tuple(map(leaf, LEAVES))
WITNESS = CosigningKey.generate()
OTHER = CosigningKey.generate()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        made.tables["log"] = {"published": str(made.folder / "published")}
        made.tables["witness"] = [
            {"name": "a university", "key": WITNESS.verifier("witness.test").text()}
        ]
        made.configure()
        yield made


def append(custodian: Custodian, *leaves: bytes) -> range:
    """Append leaves, and change nothing else."""
    return custodian.call(lambda custody: custody.vault.commit((), log=leaves)).logged


def inclusion(index: int, size: int | None, custody: Custody) -> list[Hash]:
    return custody.log.inclusion(index, size)


def consistency(size: int, custody: Custody) -> list[Hash]:
    return custody.log.consistency(size)


def text(custodian: Custodian, path: str) -> bytes:
    answer = custodian.feed.get(path, headers={"authorization": ""})
    assert answer.status_code == 200
    return bytes(answer.content)


def key_of(custodian: Custodian) -> VerifierKey:
    return VerifierKey.parse(text(custodian, "/log/key").decode().strip())


def cosigned(note: bytes, key: CosigningKey, name: str = "witness.test", time: int = 7) -> bytes:
    return add_signature(note, cosign(parse_note(note).text, name, key, time))


def hand_in(custodian: Custodian, note: bytes) -> int:
    headers = {"content-type": "text/plain"}
    url = "/v1/local/log/cosignatures"
    return int(custodian.officer.post(url, content=note, headers=headers).status_code)


def published(site: Site) -> Callable[[str], bytes]:
    return fetch_from(site.folder / "published")


def await_published(site: Site, custodian: Custodian) -> None:
    """Return when the folder has the newest checkpoint."""
    newest = custodian.call(lambda custody: custody.log.checkpoint())

    def there() -> bool:
        file = site.folder / "published" / "checkpoint"
        return file.exists() and file.read_bytes() == newest

    wait_until(there, 10)


class TestCheckpoints:
    """What is signed is what a second implementation computes, and proofs lead there."""

    def test_a_log_is_empty_and_signed_from_the_first_day(self, site: Site) -> None:
        with site.open() as custodian:
            note = open_note(text(custodian, "/log/checkpoint"), [key_of(custodian)])
            vault = custodian.custody.vault.id.hex()
        origin, size, root, end = note.text.split("\n")
        assert (origin, size, end) == (f"lacuna/{vault}", "0", "")
        assert b64decode(root) == mth(())

    def test_a_checkpoint_is_of_all_that_was_appended(self, site: Site) -> None:
        with site.open() as custodian:
            assert append(custodian, *LEAVES[:257]) == range(257)
            assert append(custodian, *LEAVES[257:]) == range(257, 300)
            note = open_note(text(custodian, "/log/checkpoint"), [key_of(custodian)])
        _, size, root, _ = note.text.split("\n")
        assert int(size) == 300
        assert b64decode(root) == mth(HASHES)

    def test_proofs_lead_to_the_root(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            for size in (1, 2, 255, 256, 257, 300):
                old_root = mth(HASHES[:size])
                for index in {0, size // 2, size - 1}:
                    path = custodian.call(partial(inclusion, index, size))
                    assert root_by_path(HASHES[index], index, size, path) == old_root
                path = custodian.call(partial(consistency, size))
                roots = roots_by_path(size, 300, path, old_root)
                assert roots == (old_root, mth(HASHES))

    @pytest.mark.parametrize(("index", "size"), [(0, 301), (300, None), (-1, None), (5, 5)])
    def test_there_is_no_proof_of_what_is_not_there(
        self, site: Site, index: int, size: int | None
    ) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            with pytest.raises(ValueError, match=r"not so large yet|no such leaf"):
                custodian.call(partial(inclusion, index, size))

    def test_an_entry_is_found_by_what_it_is(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            entries = custodian.custody.log.entries
            assert custodian.call(lambda _: entries.find(LEAVES[280])) == 280
            assert custodian.call(lambda _: entries.find(b"nowhere")) is None
            assert custodian.call(lambda _: entries.leaf(280)) == LEAVES[280]
            assert custodian.call(lambda _: entries.leaf(300)) is None


class TestServed:
    """Without a token, as C2SP's clients ask for it."""

    def test_everything_can_be_verified_from_outside(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            found = verify_log(lambda path: text(custodian, f"/log/{path}"), key_of(custodian))
            assert found.checkpoint.size == 300
            read = TileReader(lambda path: text(custodian, f"/log/{path}"), 300)
            assert read(8, 0) == mth(HASHES[:256])

    @pytest.mark.parametrize(
        "path",
        [
            *("tile/0/001.p/45", "tile/0/001", "tile/0/002.p/1", "tile/1/000.p/2", "tile/0/0"),
            *("tile/64/000", "tile/entries/001.p/45", "tile/entries/x000/001", "tile/entries"),
            *(
                "tile/0/000.p/0",
                "tile/0/000.p/256",
                "tile/%2e%2e/checkpoint",
                "tile/",
                "tile",
                "nothing",
            ),
        ],
    )
    def test_what_is_not_there_is_not_found(self, site: Site, path: str) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            answer = custodian.feed.get(f"/log/{path}", headers={"authorization": ""})
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/problem+json"

    def test_what_never_changes_may_be_kept(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES)
            for _ in ("asked", "remembered"):
                answer = custodian.feed.get("/log/tile/0/000")
                assert "immutable" in answer.headers["cache-control"]
                assert len(answer.content) == 8192
            checkpoint = custodian.feed.get("/log/checkpoint")
            assert checkpoint.headers["cache-control"] == "no-store"
            assert checkpoint.headers["content-type"].startswith("text/plain")
            assert custodian.feed.post("/log/checkpoint").status_code == 405
            assert custodian.feed.get("/log/checkpoint?x=1").status_code == 400


class TestWitnesses:
    """A cosignature is kept if a configured witness made it of this log as it is."""

    def test_it_is_served_with_its_checkpoint_and_survives(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
            note = cosigned(text(custodian, "/log/checkpoint"), WITNESS, time=1_700_000_000)
            assert hand_in(custodian, note) == 200
            assert text(custodian, "/log/checkpoint") == note
        with site.open() as custodian:
            assert text(custodian, "/log/checkpoint") == note
            append(custodian, b"\1one more")
            (kept,) = custodian.call(lambda custody: custody.log.cosignatures())
            assert (kept.witness.name, kept.checkpoint.size) == ("a university", 5)
            assert kept.time == 1_700_000_000
            assert custodian.call(lambda custody: custody.log.cosigned_checkpoint()) == note
            status = custodian.officer.get("/v1/local/status").json()["log"]
            assert status["size"] == 6
            assert status["witnesses"] == [
                {"name": "a university", "size": 5, "time": 1_700_000_000}
            ]

    def test_the_newest_counts(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
            five = custodian.call(lambda custody: custody.log.checkpoint())
            append(custodian, *LEAVES[5:9])
            nine = custodian.call(lambda custody: custody.log.checkpoint())
            for note, time in ((nine, 20), (five, 30), (nine, 10)):
                assert hand_in(custodian, cosigned(note, WITNESS, time=time)) == 200
            (kept,) = custodian.call(lambda custody: custody.log.cosignatures())
            assert (kept.checkpoint.size, kept.time) == (9, 20)
            assert text(custodian, "/log/checkpoint") == cosigned(nine, WITNESS, time=20)

    def test_without_one_there_is_no_cosigned_checkpoint(self, site: Site) -> None:
        with site.open() as custodian:
            assert custodian.call(lambda custody: custody.log.cosigned_checkpoint()) is None

    def test_what_is_not_right_is_refused(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
            note = text(custodian, "/log/checkpoint")
            origin = custodian.custody.log.origin
            right = cosigned(note, WITNESS)
            foreign = sign_note(parse_note(note).text, origin, SigningKey.generate())
            forged = right[:-10] + bytes((right[-10] ^ 1,)) + right[-9:]
            assert hand_in(custodian, note) == 400, "nobody cosigned it"
            assert hand_in(custodian, cosigned(note, OTHER)) == 400, "an unknown witness did"
            assert hand_in(custodian, cosigned(note, OTHER, "other.test")) == 400
            assert hand_in(custodian, cosigned(foreign, WITNESS)) == 400, "another log's"
            assert hand_in(custodian, forged) == 400
            assert hand_in(custodian, b"nonsense") == 400
            assert hand_in(custodian, right.replace(b"\n5\n", b"\n6\n")) == 400, "another size"
            assert hand_in(custodian, bytes(1 << 17)) == 413
            assert custodian.call(lambda custody: custody.log.cosignatures()) == []
            assert hand_in(custodian, right) == 200

    def test_a_checkpoint_that_the_log_contradicts_is_refused(self, site: Site) -> None:
        """Somebody has the log's key, or the log was another once."""
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
            log = custodian.custody.log
            other = parse_note(text(custodian, "/log/checkpoint")).text.replace("\n5\n", "\n4\n")
            note = cosigned(sign_note(other, log.origin, log._key.signing), WITNESS)
            assert hand_in(custodian, note) == 409

    def test_a_witness_that_left_is_not_served(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
            note = text(custodian, "/log/checkpoint")
            assert hand_in(custodian, cosigned(note, WITNESS)) == 200
        del site.tables["witness"]
        site.configure()
        with site.open() as custodian:
            assert text(custodian, "/log/checkpoint") == note

    def test_a_key_that_is_none_is_named(self, site: Site) -> None:
        site.tables["witness"][0]["key"] = key = "witness.test+00000000+AAAA"
        site.configure()
        with pytest.raises(InvalidConfig, match="witness 1: "):
            site.open()
        assert key


class TestPublished:
    """A folder that a web server serves, and that brings the log back."""

    def test_it_follows_the_log(self, site: Site) -> None:
        with site.open() as custodian:
            key = key_of(custodian)
            for leaves in (LEAVES[:3], LEAVES[3:250], LEAVES[250:]):
                append(custodian, *leaves)
                await_published(site, custodian)
                verify_log(published(site), key)
            folder = site.folder / "published"
            assert not (folder / "tile" / "0" / "000.p").exists(), "it is complete by now"
            assert {
                path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()
            } == {0o644}
            note = cosigned(custodian.call(lambda custody: custody.log.checkpoint()), WITNESS)
            assert hand_in(custodian, note) == 200
            await_published(site, custodian)
            assert published(site)("checkpoint") == note
        with site.open() as custodian:
            append(custodian, b"\1after the restart")
            await_published(site, custodian)
            assert verify_log(published(site), key).checkpoint.size == 301

    def test_a_folder_that_cannot_be_written_stops_nobody(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        (site.folder / "published").write_text("a file where a folder should be")
        with site.open() as custodian:
            append(custodian, *LEAVES)
            wait_until(lambda: "the log is not published" in caplog.text, 10)
            append(custodian, b"\1more")
            assert custodian.failures == []

    def test_a_log_that_is_damaged_is_told_and_stops_nobody(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """No checkpoint comes out that promises what is not there."""

        def damaged(_: Tile | Bundle) -> bytes:
            raise LogDamaged("a tile of the log is missing")

        publisher = Publisher(tmp_path / "published", SigningKey.generate().verifier("log.test"))
        for _ in range(2):
            publisher.step(lambda: b"a note", lambda: 300, damaged)
        assert caplog.text.count("the log is not published: a tile of the log is missing") == 1
        assert published_checkpoint(tmp_path / "published") == []

    def test_another_logs_files_are_put_aside(self, site: Site) -> None:
        with Site() as other:
            other.tables["log"] = {"published": str(site.folder / "published")}
            other.configure()
            with other.open() as custodian:
                append(custodian, *LEAVES)
                await_published(site, custodian)
                origin, key = custodian.custody.log.origin, key_of(custodian)
        with site.open() as custodian:
            append(custodian, b"\1ours")
            await_published(site, custodian)
            assert verify_log(published(site), key_of(custodian)).checkpoint.size == 1
        former = site.folder / "published" / "former" / origin.replace("/", "_")
        assert verify_log(fetch_from(former), key).checkpoint.size == 300


def rolled_back(site: Site, then: Callable[[Custodian], object]) -> None:
    """Copy everything a site has, let it go on, and put all of it back: nothing here can tell."""
    names = ("store", "mirror", "slot-0")
    for name in names:
        shutil.copytree(site.folder / name, site.folder / "before" / name)
    with site.open() as custodian:
        then(custodian)
    for name in names:
        shutil.rmtree(site.folder / name)
        shutil.copytree(site.folder / "before" / name, site.folder / name)


class TestForgotten:
    """A7: what was signed and is still to be found says more than all that was put back."""

    def test_the_published_folder_knows(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])

        def go_on(custodian: Custodian) -> None:
            append(custodian, *LEAVES[5:9])
            await_published(site, custodian)

        rolled_back(site, go_on)
        with pytest.raises(LogLost, match=r"signed 9 entries and has only 5: see lacuna restore"):
            site.open()

    def test_another_log_of_the_same_size_is_a_fork(self, site: Site) -> None:
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])

        def go_on(custodian: Custodian) -> None:
            append(custodian, *LEAVES[5:9])
            await_published(site, custodian)

        rolled_back(site, go_on)
        (site.folder / "published").rename(site.folder / "hidden")
        with site.open() as custodian:
            append(custodian, *LEAVES[10:20])
            custodian.writer.call(lambda _: None).result(10)
        shutil.rmtree(site.folder / "published", ignore_errors=True)
        (site.folder / "hidden").rename(site.folder / "published")
        with pytest.raises(LogForked, match="first 9 entries are not those"):
            site.open()

    def test_a_witness_knows(self, site: Site) -> None:
        """Its note is kept in the store: whoever puts back the rest has to put that back too."""
        with site.open() as custodian:
            append(custodian, *LEAVES[:5])
        notes: list[bytes] = []

        def go_on(custodian: Custodian) -> None:
            append(custodian, *LEAVES[5:9])
            notes.append(cosigned(text(custodian, "/log/checkpoint"), WITNESS))

        del site.tables["log"]
        site.configure()
        rolled_back(site, go_on)
        with site.open() as custodian:
            assert hand_in(custodian, notes[0]) == 409
            custodian.opened.store.cosigned.keep(WITNESS.verifier("witness.test").text(), notes[0])
        with pytest.raises(LogLost, match="signed 9 entries"):
            site.open()


class TestTampered:
    """Somebody has the key of the database, and edits below a complete tile."""

    def test_it_is_found_by_whoever_verifies(self, site: Site) -> None:
        """A start compares the frontier alone; every leaf is hashed here."""
        with site.open() as custodian:
            append(custodian, *LEAVES)
            key = key_of(custodian)
            database_key = custodian.opened.database_key
        for file in (site.config.store_file, site.config.mirror_file):
            with closing(Database(file, database_key)) as database:
                database.connection.execute(
                    "UPDATE log_entry SET leaf = ? WHERE position = 7", (b"\1another",)
                )
        with (
            site.open() as custodian,
            pytest.raises(InvalidLog, match="tile/0/000 does not follow from the entries"),
        ):
            verify_log(lambda path: text(custodian, f"/log/{path}"), key)


def test_a_log_with_a_gap_serves_no_shorter_bundle(site: Site) -> None:
    """A row is gone from store and mirror: whoever asks hears of a failure, not of less."""
    with site.open() as custodian:
        append(custodian, *LEAVES)
        database_key = custodian.opened.database_key
    for file in (site.config.store_file, site.config.mirror_file):
        with closing(Database(file, database_key)) as database:
            database.connection.execute("DELETE FROM log_entry WHERE position = 7")
    with site.open() as custodian:
        assert custodian.feed.get("/log/tile/entries/000").status_code == 503


def test_the_running_time_is_kept_without_a_commit(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the writer, ten minutes after it was written down last; and the time of day is not it."""
    clock = [1_000.0]
    monkeypatch.setattr(unlocking, "running", lambda: clock[0])
    with site.open() as custodian:
        custodian.custody.audit._intake_due = float("inf")
        state = custodian.opened.vault._state
        clock[0] += 601
        assert custodian.officer.get("/v1/local/status").json()["running_seconds"] == 601
        wait_until(lambda: state.unanchored == 0, 10)
    with site.open() as custodian:
        assert custodian.opened.vault.elapsed == 601

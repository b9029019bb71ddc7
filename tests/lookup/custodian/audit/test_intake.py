"""Taking segments in: once, in order, and never less than what was acknowledged."""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from keys.anchor import NOTHING_AUDITED
from keys.errors import RolledBack
from keys.vault import Vault
from lookup.audit.segment import (
    HEADER_SIZE,
    make_group,
    open_header,
    parse_header,
    split_group,
)
from lookup.custodian.audit import intake
from lookup.custodian.store.chain import AuditChain, Row, follow
from lookup.custodian.store.database import connect
from tests.keys.disks import Crash
from tests.keys.site import DATABASE_KEY, Place
from tests.lookup.custodian.segments import (
    Keeper,
    head_of,
    id_of,
    kept,
    make_keeper_place,
)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_keeper_place(tmp_path / "site")


@pytest.fixture
def keeper(place: Place) -> Iterator[Keeper]:
    with kept(place) as opened:
        yield opened


def rows(keeper: Keeper) -> int:
    """Return the number of rows that follow from each other, up to what the anchors say."""
    count = len(list(follow(NOTHING_AUDITED, keeper.chain.walk())))
    assert keeper.vault.audit == keeper.chain.mark()
    return count


def test_what_a_living_writer_has_written_is_taken_as_it_comes(keeper: Keeper) -> None:
    segment = keeper.segment()
    assert keeper.take() == []
    first = [segment.ask([[secrets.token_bytes(10)]]), segment.ask([[]])]
    assert keeper.take() == first
    assert keeper.take() == []
    second = [segment.ask([[]])]
    assert keeper.take() == second
    assert rows(keeper) == 3
    assert keeper.files() == [segment.path.name], "the writer goes on"


def test_a_group_of_many_entries_is_one_row(keeper: Keeper) -> None:
    segment = keeper.segment()
    entries = [segment.maker.make(head_of(), [[]] * count) for count in (1, 1_000, 3)]
    segment.append(entries)
    assert keeper.take() == [id_of(entry) for entry in entries]
    assert rows(keeper) == 1


def test_a_finished_segment_is_taken_whole_and_removed(keeper: Keeper) -> None:
    segment = keeper.segment()
    asked = [segment.ask([[]]) for _ in range(3)]
    segment.end()
    assert keeper.take() == asked
    assert keeper.files() == []
    assert keeper.alarms.damage == 0


def test_what_a_dead_writer_left_is_taken_and_removed(keeper: Keeper) -> None:
    segment = keeper.segment()
    asked = [segment.ask([[]])]
    assert keeper.take() == asked
    asked = [segment.ask([[]])]
    segment.close()
    assert keeper.take() == asked
    assert keeper.files() == []


@pytest.mark.parametrize("size", [1, 7, 8, 60, 300])
def test_a_torn_group_is_left_to_its_writer_and_dropped_when_that_is_dead(
    keeper: Keeper, size: int
) -> None:
    """It was never acknowledged: its write did not return."""
    segment = keeper.segment()
    asked = segment.ask([[]])
    segment.write(make_group(segment.sealer, [segment.maker.make(head_of(), [[]])])[:size])
    assert keeper.take() == [asked]
    assert keeper.take() == []
    assert keeper.files() == [segment.path.name]
    segment.close()
    assert keeper.take() == []
    assert keeper.files() == []
    assert keeper.alarms.damage == 0


def test_a_group_that_was_written_late_is_not_missed(keeper: Keeper) -> None:
    """Its bytes come in pieces; whoever read the first piece reads the whole later."""
    segment = keeper.segment()
    entry = segment.maker.make(head_of(), [[]])
    group = make_group(segment.sealer, [entry])
    os.pwrite(segment.descriptor, group[:100], segment.at)
    assert keeper.take() == []
    os.pwrite(segment.descriptor, group[100:], segment.at + 100)
    assert keeper.take() == [id_of(entry)]


def test_a_segment_of_the_first_format_is_put_aside(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is lost, and what to do is said."""
    with monkeypatch.context() as patch:
        patch.setattr("lookup.audit.segment.FORMAT", 1)
        segment = keeper.segment()
    segment.ask([[]])
    segment.close()
    assert keeper.take() == []

    assert keeper.files() == [f"{segment.path.name}.damaged"]
    assert "the version before reads it" in caplog.text


def test_a_damaged_segment_is_put_aside_with_an_alarm(keeper: Keeper) -> None:
    """What can be read of it is kept; the rest may have been acknowledged."""
    segment = keeper.segment()
    first = segment.ask([[]])
    damaged = segment.at
    segment.ask([[]])
    segment.ask([[]])
    os.pwrite(segment.descriptor, b"\xff", damaged + 50)
    assert keeper.take() == [first]
    assert keeper.alarms.damage == 0, "it may be half written"
    segment.close()
    assert keeper.take() == []
    assert keeper.files() == [f"{segment.path.name}.damaged"]
    assert keeper.alarms.damage == 1


def test_a_segment_of_another_vault_is_put_aside(keeper: Keeper) -> None:
    segment = keeper.segment()
    segment.ask([[]])
    raw = bytearray(os.pread(segment.descriptor, HEADER_SIZE, 0))
    raw[40] ^= 1
    os.pwrite(segment.descriptor, raw, 0)
    segment.close()
    assert keeper.take() == []
    assert keeper.files() == [f"{segment.path.name}.damaged"]


def test_a_file_without_a_header_is_removed_when_it_has_been_left_alone(keeper: Keeper) -> None:
    """A spare that was never begun; but not one that is just being made."""
    spare = keeper.folder / secrets.token_hex(16)
    spare.write_bytes(bytes(HEADER_SIZE * 2))
    assert keeper.take() == []
    assert keeper.files() == [spare.name]
    os.utime(spare, (0, 0))
    assert keeper.take() == []
    assert keeper.files() == []


def test_a_spare_of_a_living_worker_stays(keeper: Keeper) -> None:
    segment = keeper.segment()
    os.pwrite(segment.descriptor, bytes(HEADER_SIZE), 0)
    os.utime(segment.path, (0, 0))
    assert keeper.take() == []
    assert keeper.files() == [segment.path.name]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc")])
def test_what_is_no_segment_is_left_alone(keeper: Keeper, make: Callable[[Path], None]) -> None:
    """A pipe in its place must not stop the writer thread."""
    strange = keeper.folder / secrets.token_hex(16)
    make(strange)
    (keeper.folder / "README").touch()
    segment = keeper.segment()
    asked = segment.ask([[]])
    for _ in range(3):
        asked_now = keeper.take()
        assert asked_now == ([asked] if asked else [])
        asked = b""
    assert keeper.alarms.damage == 1


def test_a_folder_that_is_away_is_an_alarm(keeper: Keeper) -> None:
    keeper.folder.rename(keeper.folder.with_name("away"))
    assert keeper.take() == []
    assert keeper.alarms.damage == 1


def test_much_is_taken_in_pieces(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that memory is bounded, whatever has waited while no custodian ran."""
    monkeypatch.setattr(intake, "_AT_ONCE", 2_000)
    segments = [keeper.segment() for _ in range(2)]
    asked = [segment.ask([[]] * 5) for segment in segments for _ in range(10)]
    assert sorted(keeper.take()) == sorted(asked)
    assert rows(keeper) == 20


def test_another_start_goes_on_where_the_last_one_was(place: Place) -> None:
    with kept(place) as keeper:
        segment = keeper.segment()
        asked = [segment.ask([[]])]
        assert keeper.take() == asked
        keeper.vault.close()
    asked = [segment.ask([[]])]
    with kept(place) as keeper:
        assert keeper.take() == asked
        assert rows(keeper) == 2


def test_a_chain_that_was_put_back_is_refused(place: Place) -> None:
    """A7: no map commit has passed since, so the pages alone would not show it."""
    with kept(place) as keeper:
        segment = keeper.segment()
        segment.ask([[]])
        keeper.take()
        keeper.vault.close()
    database = connect(place.folder / "store" / "vault.db", DATABASE_KEY)
    database.execute("DELETE FROM audit_group")
    database.close()
    with pytest.raises(RolledBack, match="1 rows of the audit chain"), kept(place):
        pass


def entries_of(keeper: Keeper, row: Row) -> list[bytes]:
    """Open a row of the chain."""
    header = keeper.chain.header(row.segment)
    assert header is not None
    opener = open_header(parse_header(header), keeper.keys.audit, keeper.vault.id)
    return split_group(opener, row.number, row.sealed)


@dataclass(frozen=True)
class Death:
    """Where a custodian dies: around this call."""

    owner: object
    name: str
    after: bool


DEATHS = {
    f"{'after' if after else 'before'} {label}": Death(owner, name, after)
    for label, owner, name in (
        ("the rows", AuditChain, "append"),
        ("the anchor", Vault, "note_audit"),
        ("the removal", Path, "unlink"),
        ("the reading", intake, "read_groups"),
    )
    for after in (False, True)
}


@contextmanager
def dying(death: Death, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = getattr(death.owner, death.name)

    def die(*args: object, **kwargs: object) -> object:
        if death.after:
            real(*args, **kwargs)
        raise Crash

    with monkeypatch.context() as patched, suppress(Crash):
        patched.setattr(death.owner, death.name, die)
        yield


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_whenever_a_custodian_dies_each_entry_is_taken_once(
    place: Place, death: Death, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G3, G6: a living segment, a finished one, and one of a dead writer."""
    with kept(place) as keeper:
        segments = [keeper.segment() for _ in range(3)]
        asked = [segment.ask([[]]) for segment in segments for _ in range(2)]
        segments[1].end()
        segments[2].close()
        with dying(death, monkeypatch):
            keeper.take()
    with kept(place) as keeper:
        asked.append(segments[0].ask([[]]))
        keeper.take()
        found = Counter(
            id_of(entry) for row in keeper.chain.walk() for entry in entries_of(keeper, row)
        )
        assert found == Counter(asked)
        assert keeper.files() == [segments[0].path.name]
        rows(keeper)

"""The running time on the anchors: no clock that somebody sets moves it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import pytest

from keys.errors import Stopped
from keys.opening import open_vault
from keys.restoring import restore_vault
from keys.vault import KEEP_SECONDS, Vault
from tests.keys.site import Place


@dataclass
class Clocks:
    """The time of day, which anybody sets, and what a machine has been running."""

    day: int = 1_000_000
    running: float = 5_000.5

    def pass_by(self, seconds: float) -> None:
        self.day += int(seconds)
        self.running += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@contextmanager
def started(place: Place, clocks: Clocks) -> Iterator[Vault]:
    """Start; the clock that counts begins anew with the machine."""
    with place.keeping() as keeping:
        driven = replace(keeping, clock=lambda: clocks.day, running=lambda: clocks.running)
        with closing(open_vault(driven)) as vault:
            yield vault


def test_it_adds_up_over_starts(place: Place, clocks: Clocks) -> None:
    """Fractions of a second are nobody's; what passes between a stop and a start does not count."""
    with started(place, clocks) as vault:
        assert vault.elapsed == 0
        clocks.pass_by(100.9)
        assert vault.elapsed == 100
    clocks.pass_by(1_000_000)
    with started(place, clocks) as vault:
        assert vault.elapsed == 100
        clocks.pass_by(20)
    clocks.running = 3.0  # another boot of the machine
    with started(place, clocks) as vault:
        assert vault.elapsed == 120


@pytest.mark.parametrize("jump", [-900_000, 900_000])
def test_the_time_of_day_changes_nothing(place: Place, clocks: Clocks, jump: int) -> None:
    with started(place, clocks) as vault:
        clocks.pass_by(100)
        clocks.day += jump
        assert vault.elapsed == 100
    clocks.day -= 2 * jump
    with started(place, clocks) as vault:
        assert vault.elapsed == 100


def test_an_anchor_that_was_put_back_loses_time(place: Place, clocks: Clocks) -> None:
    """And gains none."""
    anchor = place.slot_folder(0) / "anchor"
    with started(place, clocks) as vault:
        clocks.pass_by(100)
    before = anchor.read_bytes()
    with started(place, clocks) as vault:
        clocks.pass_by(50)
        vault.keep_time()
    anchor.write_bytes(before)
    with started(place, clocks) as vault:
        assert vault.elapsed == 100


def test_a_crash_loses_ten_minutes_at_most(place: Place, clocks: Clocks) -> None:
    with place.keeping() as keeping:
        vault = open_vault(replace(keeping, running=lambda: clocks.running))
        clocks.pass_by(KEEP_SECONDS - 1)
        vault.keep_time()
        clocks.pass_by(1)
        vault.keep_time()
        clocks.pass_by(KEEP_SECONDS - 1)
        vault.keep_time()
    with started(place, clocks) as vault:
        assert vault.elapsed == KEEP_SECONDS
    vault.stop()
    clocks.pass_by(KEEP_SECONDS)
    with pytest.raises(Stopped):
        vault.keep_time()


def test_a_commit_writes_it_down(place: Place, clocks: Clocks) -> None:
    with place.keeping() as keeping:
        vault = open_vault(replace(keeping, running=lambda: clocks.running))
        clocks.pass_by(30)
        vault.commit(())
    with started(place, clocks) as vault:
        assert vault.elapsed == 30


def test_a_restore_goes_on_counting(place: Place, clocks: Clocks) -> None:
    with started(place, clocks) as vault:
        clocks.pass_by(100)
    with place.keeping() as keeping:
        restore_vault(keeping, [keeping.mirror], accept_loss=False).vault.close()
    with started(place, clocks) as vault:
        assert vault.elapsed == 100

"""How much a client may ask, counted over workers: the arithmetic, and a race of processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.cells import MAX_CLIENTS, Cells, make_cells
from lookup.errors import TooManyRequests
from lookup.handoff import Client
from lookup.worker.quota import Quotas
from lookup.worker.view import DAY_SECONDS

MIDNIGHT = 20_000 * DAY_SECONDS
NOON = MIDNIGHT + DAY_SECONDS // 2


@dataclass
class Shared:
    """Two workers' quotas on the same cells, and a clock that tests turn."""

    descriptor: int
    second: float = 1_000.5
    now: float = NOON
    workers: list[Quotas] = field(default_factory=list)

    def __post_init__(self) -> None:
        for slot in range(2):
            self.restart(slot)

    def restart(self, slot: int) -> None:
        quotas = Quotas(Cells(self.descriptor), slot, clock=lambda: self.second)
        self.workers[slot : slot + 1] = [quotas]

    def take(self, client: Client, count: int = 1, slot: int = 0) -> int:
        """Return 0, or after how many seconds to come back."""
        try:
            self.workers[slot].account_of(client).take(count, self.now)
        except TooManyRequests as refusal:
            return refusal.retry_after
        return 0

    def sleep(self, seconds: float) -> None:
        self.second += seconds
        self.now += seconds


@pytest.fixture
def shared() -> Iterator[Shared]:
    descriptor = make_cells(2)
    yield Shared(descriptor)
    os.close(descriptor)


def client(per_second: int = 10, per_day: int = 100, name: str = "01", cell: int = 0) -> Client:
    return Client(name * 14, "A", per_second, per_day, cell=cell)


def test_a_second_has_so_many_tokens_over_all_workers(shared: Shared) -> None:
    assert [shared.take(client(), 1, slot % 2) for slot in range(12)] == [0] * 10 + [1, 1]
    shared.sleep(1)
    assert shared.take(client(), 10) == 0
    assert shared.take(client(), 1, slot=1) == 1


def test_a_day_has_so_many_tokens_and_ends_at_midnight(shared: Shared) -> None:
    fast = client(per_second=1_000)
    assert [shared.take(fast, 30, slot % 2) for slot in range(3)] == [0, 0, 0]
    assert shared.take(fast, 11) == DAY_SECONDS // 2  # whole, or not at all
    assert shared.take(fast, 10, slot=1) == 0
    assert shared.take(fast, 1) == DAY_SECONDS // 2
    shared.sleep(DAY_SECONDS // 2 - 1)
    assert shared.take(fast) == 1
    shared.sleep(1)
    assert shared.take(fast, 100) == 0


def test_what_a_batch_takes_beyond_its_second_is_taken_from_those_to_come(shared: Shared) -> None:
    slow = client(per_second=10, per_day=10_000)
    assert shared.take(slow, 3, slot=1) == 0
    assert shared.take(slow, 95) == 0  # 3 + 95 are this second's and those of nine more
    assert shared.take(slow, slot=1) == 9
    shared.sleep(8)
    assert (shared.take(slow), shared.take(slow, slot=1)) == (1, 1)
    shared.sleep(1)
    assert [shared.take(slow, slot=1) for _ in range(3)] == [0, 0, 1]


def test_clients_do_not_count_for_each_other(shared: Shared) -> None:
    first, second = client(name="01", cell=0), client(name="02", cell=MAX_CLIENTS - 1)
    assert shared.take(first, 10) == 0
    assert shared.take(first) == 1
    assert shared.take(second, 10) == 0


def test_a_number_that_is_given_again_inherits_nothing(shared: Shared) -> None:
    """Nor does the former client's count come back, in whatever order workers notice."""
    gone, new = client(name="01"), client(name="02")
    assert shared.take(gone, 10, slot=0) == shared.take(new, 5, slot=1) == 0
    assert shared.take(new, 5, slot=0) == 0
    assert shared.take(new, 1, slot=1) == 1


def test_a_restarted_worker_goes_on_with_its_counts(shared: Shared) -> None:
    assert shared.take(client(), 10) == 0
    shared.restart(0)
    assert shared.take(client()) == 1
    assert shared.take(client(), slot=1) == 1


def test_what_is_refused_is_not_counted(shared: Shared) -> None:
    for _ in range(50):
        shared.take(client(per_day=20), 21)
    assert shared.take(client(per_day=20), 20) == 0


def test_a_wall_clock_that_is_set_back_locks_nobody_out(shared: Shared) -> None:
    assert shared.take(client(), 10) == 0
    shared.now -= 3 * DAY_SECONDS
    shared.second += 1
    assert shared.take(client()) == 0


def test_a_slot_has_to_be_there(shared: Shared) -> None:
    for slot in (-1, 2):
        with pytest.raises(ValueError, match="cells for 2 workers"):
            Quotas(Cells(shared.descriptor), slot)


@given(
    st.integers(1, 20),
    st.integers(1, 200),
    st.lists(
        st.tuples(st.integers(1, 60), st.integers(0, 1), st.sampled_from([0.0, 0.3, 1.0, 2.5])),
        max_size=60,
    ),
)
def test_the_law(per_second: int, per_day: int, asked: list[tuple[int, int, float]]) -> None:
    """Never more than the day has; and in any span of seconds what they have, and one request."""
    descriptor = make_cells(2)
    shared, who = Shared(descriptor), client(per_second, per_day)
    answered: list[tuple[int, int]] = []
    for count, slot, pause in asked:
        shared.sleep(pause)
        retry_after = shared.take(who, count, slot)
        if retry_after == 0:
            answered.append((int(shared.second), count))
        assert retry_after >= 0
    os.close(descriptor)

    assert sum(count for _, count in answered) <= per_day
    for at, (first, _) in enumerate(answered):
        for end in range(at, len(answered)):
            span = answered[end][0] - first + 1
            before_the_last = sum(count for _, count in answered[at:end])
            assert before_the_last < per_second * span


RACE = """
import sys, time
from lookup.cells import Cells
from lookup.errors import TooManyRequests
from lookup.handoff import Client
from lookup.worker.quota import Quotas
quotas = Quotas(Cells(int(sys.argv[1])), int(sys.argv[2]))
client, taken = Client("01" * 14, "A", 10**6, int(sys.argv[3])), 0
account = quotas.account_of(client)
print("ready", flush=True)
sys.stdin.readline()
try:
    while True:
        account.take(1, 86_400.0)
        taken += 1
except TooManyRequests:
    print(taken)
"""
QUOTA = 20_000
WORKERS = 4


def test_a_race_exceeds_a_quota_by_what_is_in_flight_at_most() -> None:
    """Processes that do nothing else; each may have one request between reading and writing."""
    descriptor = make_cells(WORKERS)
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(descriptor), str(slot), str(QUOTA)],
            pass_fds=[descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for slot in range(WORKERS)
    ]
    for process in racing:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    taken: list[int] = []

    def run(process: subprocess.Popen[str]) -> None:
        taken.append(int(process.communicate("go\n", timeout=60)[0]))

    threads = [threading.Thread(target=run, args=(process,)) for process in racing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = Cells(descriptor).row(0)
    os.close(descriptor)

    assert QUOTA <= sum(taken) <= QUOTA + WORKERS - 1
    assert sum(taken) == sum(day & 0xFFFF_FFFF for day in counted[2::3])


def test_the_hand_off_can_tell_a_client_apart() -> None:
    """What is written here is what a view holds."""
    sent = msgspec.msgpack.encode(client(cell=7))
    assert msgspec.msgpack.decode(sent, type=Client) == client(cell=7)

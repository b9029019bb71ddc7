"""The door, and workers that do not behave."""

import fcntl
import os
import resource
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from lookup.custodian import door as doors
from lookup.custodian.door import Door, Guest
from lookup.handoff import (
    Authority,
    Category,
    Channel,
    HandoffError,
    Hello,
    PassPage,
    PassReader,
    View,
)
from tests.lookup.custodian.puppeteer import Puppet
from tests.lookup.raw_http import WAIT, wait_until

SHORT = 0.3


def view(number: int) -> View:
    """A view that says nothing."""
    return View(
        number=number,
        vault=bytes(16),
        table="/nowhere",
        index_key=bytes(32),
        kids=[],
        clients={},
        authorities=[Authority("AXT", "A", "1", "2")],
        categories=[Category("test", answerable=True)],
        belt_seconds=60,
    )


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short path
        yield Path(folder) / "worker.sock"


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def door(path: Path, notes: list[str]) -> Iterator[Door]:
    made = Door(path, notes.append)
    yield made
    made.close()


@pytest.fixture
def worker(door: Door, path: Path) -> Iterator[Puppet]:
    """A worker that has view 1 in force."""
    puppet = Puppet(path)
    puppet("connect")
    wait_until(lambda: bool(door.workers()))
    publishing = start(lambda: door.publish(view(1)))
    assert puppet("receive", "confirm") == "confirmed"
    publishing.result(WAIT)
    yield puppet
    puppet.close()


def start(run: object) -> Future[float]:
    """Run something in a thread; the result is how long it took."""
    done: Future[float] = Future()

    def work() -> None:
        begun = time.monotonic()
        try:
            run()  # type: ignore[operator]  # a function
        except BaseException as error:  # noqa: BLE001  # it is the test's to hear
            done.set_exception(error)
        else:
            done.set_result(time.monotonic() - begun)

    threading.Thread(target=work, daemon=True).start()
    return done


def is_waiting(done: Future[float]) -> bool:
    time.sleep(0.1)
    return not done.done()


def test_a_view_that_is_only_offered_kills_nobody(
    door: Door, worker: Puppet, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes it in time is waited for; whoever does not takes it later."""
    offering = start(lambda: door.offer(view(2)))
    assert worker("receive", "confirm") == "confirmed"
    assert offering.result(WAIT) < doors.OFFER_DEADLINE
    monkeypatch.setattr(doors, "OFFER_DEADLINE", SHORT)
    assert start(lambda: door.offer(view(3))).result(WAIT) >= SHORT
    publishing = start(lambda: door.publish(view(4)))
    assert is_waiting(publishing)
    assert worker("receive", "receive", "confirm") == "confirmed"
    publishing.result(WAIT)
    assert notes == []


def test_a_view_is_published_when_the_worker_has_it_in_force(door: Door, worker: Puppet) -> None:
    publishing = start(lambda: door.publish(view(2)))
    assert worker("receive") == "2"
    assert is_waiting(publishing)
    assert [current for *_, current in door.workers()] == [False]
    worker("confirm")
    publishing.result(WAIT)
    assert [current for *_, current in door.workers()] == [True]


def test_a_worker_that_comes_late_gets_the_newest_view(
    door: Door, path: Path, worker: Puppet
) -> None:
    late = Puppet(path)
    assert late("connect", "receive") == "1"
    late("confirm")
    wait_until(lambda: len([1 for *_, current in door.workers() if current]) == 2)
    late.close()
    worker("enter", "leave")


def test_a_worker_that_does_not_take_a_view_is_killed(
    door: Door, worker: Puppet, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might honour a lookup key or a client that was taken back."""
    monkeypatch.setattr(doors, "CONFIRM_DEADLINE", SHORT)
    os.kill(worker.process.pid, signal.SIGSTOP)
    assert start(lambda: door.publish(view(2))).result(WAIT) >= SHORT
    assert worker.process.wait(WAIT) == -signal.SIGKILL
    assert notes == ["worker 0 did not take the newest view in time: killed"]


def test_a_worker_without_a_connection_is_waited_for_too(
    door: Door, worker: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It serves its last view; when it comes back it gets the new one."""
    worker("hang-up")
    wait_until(lambda: not door.workers())
    publishing = start(lambda: door.publish(view(2)))
    assert is_waiting(publishing)
    assert worker("connect", "receive") == "2"
    worker("confirm")
    publishing.result(WAIT)
    worker("hang-up")
    monkeypatch.setattr(doors, "CONFIRM_DEADLINE", SHORT)
    door.publish(view(3))
    assert worker.process.wait(WAIT) == -signal.SIGKILL


def test_a_worker_that_dies_keeps_nobody_waiting(door: Door, worker: Puppet) -> None:
    worker("enter")
    publishing, passing = start(lambda: door.publish(view(2))), start(door.await_passes)
    assert is_waiting(publishing)
    assert is_waiting(passing)
    worker.process.kill()
    assert max(publishing.result(WAIT), passing.result(WAIT)) < doors.PASS_DEADLINE
    door.await_passes()
    wait_until(lambda: door.workers() == [])


def test_answers_on_their_way_are_waited_for(door: Door, worker: Puppet) -> None:
    """Those that were begun before, and no others."""
    door.await_passes()
    worker("enter")
    passing = start(door.await_passes)
    assert is_waiting(passing)
    worker("leave", "enter")
    passing.result(WAIT)
    worker("leave")


def test_a_worker_stopped_in_an_answer_is_killed(
    door: Door, worker: Puppet, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, it would send an answer from before; it is not resumed."""
    monkeypatch.setattr(doors, "PASS_DEADLINE", SHORT)
    worker("enter")
    os.kill(worker.process.pid, signal.SIGSTOP)
    door.await_passes()
    assert worker.process.wait(WAIT) == -signal.SIGKILL
    assert notes == ["worker 0 did not finish an answer in time: killed"]


def test_a_lost_connection_is_no_excuse(door: Door, worker: Puppet) -> None:
    """An answer is waited for over any number of connections of its process."""
    worker("enter", "hang-up")
    wait_until(lambda: not door.workers())
    passing = start(door.await_passes)
    assert is_waiting(passing)
    worker("connect", "receive")
    assert is_waiting(passing)
    worker("leave")
    passing.result(WAIT)


def test_coming_back_costs_nothing_that_stays(door: Door, worker: Puppet) -> None:
    """No descriptor, no thread, no second entry for one process."""
    worker("hang-up")
    wait_until(lambda: not door.workers())

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    descriptors, threads = held()
    for _ in range(20):
        worker("connect", "receive", "confirm", "hang-up")

    def no_more() -> bool:
        """What other tests of this process have left may still go meanwhile."""
        now, running = held()
        return now <= descriptors and running <= threads

    wait_until(no_more)
    assert len(door._guests) == 1


def test_an_older_view_never_follows_a_newer_one() -> None:
    """However the threads run that welcome a worker and publish a view at once."""
    ours, theirs = socket.socketpair()
    descriptor = os.dup(PassPage().descriptor)
    guest = Guest(0, os.getpid(), os.pidfd_open(os.getpid()), PassReader(descriptor))
    guest.meet(ours)
    guest.send(view(2))
    guest.send(view(1))
    guest.send(view(3))
    guest.part(ours)
    channel = Channel(theirs)
    received = [channel.receive(View, 1.0) for _ in range(2)]
    assert [each.number for each in received if each] == [2, 3]
    with pytest.raises(HandoffError):
        channel.receive(View, 1.0)
    channel.close()
    guest.forget()


def test_a_process_is_seen_by_a_descriptor_of_any_number() -> None:
    """select() knows none above 1,023; a custodian with many connections does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    low = os.pidfd_open(os.getpid())
    high = fcntl.fcntl(low, fcntl.F_DUPFD, 1500)
    guest = Guest(0, os.getpid(), high, PassReader(os.dup(PassPage().descriptor)))
    assert guest.alive()
    guest.forget()
    os.close(low)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_worker_acknowledges_is_handed_on(door: Door, worker: Puppet) -> None:
    """With the client whose recalls they are."""
    heard: list[tuple[str, list[bytes]]] = []
    door.on_acknowledged = lambda client, recalls: heard.append((client, recalls))
    worker("acknowledge")

    wait_until(lambda: heard == [("c1" * 14, [bytes(16)])])


def test_whatever_comes_of_an_acknowledgement_the_worker_is_listened_to(
    door: Door, worker: Puppet, caplog: pytest.LogCaptureFixture
) -> None:
    """Else its confirmations would not be heard, and it would be killed for nothing."""

    def fail(client: str, _recalls: list[bytes]) -> None:
        raise KeyError(client)

    worker("acknowledge")  # nobody has said what is to come of it
    door.on_acknowledged = fail
    worker("acknowledge")
    publishing = start(lambda: door.publish(view(2)))
    worker("receive", "confirm")
    publishing.result(WAIT)

    assert "defect in taking an acknowledgement: KeyError" in caplog.text
    assert "c1c1" not in caplog.text


@pytest.mark.parametrize(
    "send",
    [
        lambda _: None,
        lambda channel: channel._socket.sendall(b"\xff" * 100),
        lambda channel: channel._socket.sendall(b"\x00\x00\x00\x05hello"),
        lambda channel: channel.send(Hello(slot=0, pid=1)),
    ],
    ids=["nothing", "no frame", "no hello", "no pass page"],
)
def test_whoever_does_not_keep_to_the_protocol_is_turned_away(
    door: Door, path: Path, notes: list[str], send: object
) -> None:
    """And the door stays open."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connected.connect(str(path))
    channel = Channel(connected)
    send(channel)  # type: ignore[operator]  # a function
    channel.close()
    wait_until(lambda: len(notes) == 1)
    assert notes[0].startswith("a worker was turned away: ")
    assert door.workers() == []
    door.await_passes()


def test_without_descriptors_the_door_stays_open(
    path: Path, worker: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed accept is not the end of it."""
    accept, failures = socket.socket.accept, iter([OSError(24, "too many open files")] * 2)

    def fail_first(self: socket.socket) -> object:
        for failure in failures:
            raise failure
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", fail_first)
    worker("hang-up", "connect", "receive", "confirm")
    other = Puppet(path)
    assert other("connect", "receive") == "1"
    other.close()

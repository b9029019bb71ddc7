"""The door: where workers fetch what they need, and where they are waited for.

Invariants:

* A worker gets whole views, over a UNIX socket in a 0700 folder, from a process of its own user;
  never an older one after a newer.
* `publish` returns when every worker that has ever come answers by the view or has died: what was
  taken back (a lookup key, a client) is not honoured any more.
* `offer` does not insist: a view that takes nothing back may come into force later.
* `await_passes` returns only when every worker that could still answer from before has answered,
  thrown away or died.
* A worker that does not move within a deadline is killed: its supervisor starts another one, and
  a child's answer is not left to chance.
* What a worker acknowledges for a client is handed on as it said it; nothing that comes of that,
  not a defect either, keeps its confirmations from being heard.
* A worker whose connection is gone but whose process is not is still waited for: it serves its
  last view. What one has counted still counts when it is dead.

References: lookup/handoff.py for the protocol and the pass page.
"""

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lookup.handoff import (
    FROM_WORKER,
    Acknowledge,
    Channel,
    HandoffError,
    Hello,
    PassReader,
    View,
    hang_up,
    verify_peer,
)
from lookup.logs import log_defect
from lookup.metering import NOTHING, add_counters, counters_of

PASS_DEADLINE: Final = 2.0  # seconds; an honest answer takes microseconds
CONFIRM_DEADLINE: Final = 5.0  # to map a table, or to come back after a lost connection
OFFER_DEADLINE: Final = 0.5
HELLO_DEADLINE: Final = 5.0
SEND_DEADLINE: Final = 2.0
_LOOK_AGAIN: Final = (
    0.05  # seconds until a worker that has died is noticed while others are awaited
)
_LISTEN: Final = 3600.0


@dataclass(eq=False, slots=True)
class Guest:
    """One worker process that has said hello, connected or not.

    `confirmed` is the newest view that it has put in force; it keeps that one without us.
    """

    slot: int
    pid: int
    pidfd: int
    passes: PassReader
    outgoing: socket.socket | None = None
    sent: int = 0
    confirmed: int = 0
    sending: threading.Lock = field(default_factory=threading.Lock)

    def meet(self, outgoing: socket.socket) -> None:
        """Talk over this connection from now on; a process has only one."""
        with self.sending:
            before, self.outgoing, self.sent = self.outgoing, outgoing, 0
        if before is not None:
            hang_up(before)
            before.close()

    def part(self, outgoing: socket.socket) -> None:
        """Let go of a connection, unless another one took its place."""
        with self.sending:
            if self.outgoing is outgoing:
                self.outgoing = None
        outgoing.close()

    def send(self, view: View) -> None:
        """Send a view; a worker that does not take it in time loses its connection."""
        with self.sending:
            if self.outgoing is None or view.number <= self.sent:
                return  # a newer one was sent while this worker was welcomed
            self.sent = view.number
            try:
                Channel(self.outgoing).send(view)
            except HandoffError:
                hang_up(self.outgoing)

    def alive(self) -> bool:
        """Say whether the process still runs."""
        ended = select.poll()  # unlike select(), it takes descriptors above 1,023
        ended.register(self.pidfd, select.POLLIN)
        return not ended.poll(0)

    def forget(self) -> None:
        """Let go of the process. Only for the thread that waits for it."""
        if self.outgoing is not None:
            hang_up(self.outgoing)  # and the thread that listens there parts from it
        os.close(self.pidfd)

    def kill(self) -> None:
        """End the process, now."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


def ignore_acknowledged(_client: str, _recalls: list[bytes]) -> None:
    """Let nothing come of it: the recalls stay listed."""


class Door:
    """Listens for workers; knows which of them may be answering from what.

    `on_acknowledged` is called with a client's id and the ids of recalls, by the thread that
    listens to a worker. It must only take note: while it waits for a view to be published, say,
    that worker's confirmation of the view is not heard.
    """

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self.on_acknowledged: Callable[[str, list[bytes]], None] = ignore_acknowledged
        self._note = note
        self._guests: list[Guest] = []
        self._view: View | None = None
        self._moved = threading.Condition()
        self._counted_by_the_gone: Sequence[int] = NOTHING
        self._closed = False
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, name="door", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let nobody in any more. Workers go on with their last view, for the belt's time."""
        self._closed = True
        hang_up(self._listener)
        self._thread.join()
        self._listener.close()
        with self._moved:
            guests, self._guests = self._guests, []
        for guest in guests:
            guest.forget()

    def workers(self) -> list[tuple[int, int, bool]]:
        """Return slot, pid and "has the current view" of each worker that is connected."""
        with self._moved:
            number = self._view.number if self._view else 0
            return sorted(
                (guest.slot, guest.pid, guest.confirmed == number)
                for guest in self._guests
                if guest.outgoing
            )

    def counters(self) -> list[int]:
        """Return what all workers have counted that have ever come; it never goes back."""
        with self._moved:
            return self._count(self._guests)

    def gauges(self) -> dict[int, Sequence[int]]:
        """Return what each connected worker counts, by its slot, for what is not to be added up."""
        with self._moved:
            return {g.slot: counters_of(g.passes.counters()) for g in self._guests if g.outgoing}

    def _count(self, guests: Iterable[Guest]) -> list[int]:
        counted = (counters_of(guest.passes.counters()) for guest in guests)
        return add_counters([self._counted_by_the_gone, *counted])

    def publish(self, view: View) -> None:
        """Give every worker this view; return when no living one answers by an older."""
        self._send(view)
        deadline = time.monotonic() + CONFIRM_DEADLINE
        with self._moved:
            while behind := self._behind(view):
                if time.monotonic() > deadline:
                    self._kill(behind, "did not take the newest view")
                    deadline += CONFIRM_DEADLINE
                self._moved.wait(_LOOK_AGAIN)

    def offer(self, view: View) -> None:
        """Give every worker this view; return when all have taken it, or after a moment.

        For what a worker may learn later without harm: nobody is killed for being stopped.
        """
        self._send(view)
        deadline = time.monotonic() + OFFER_DEADLINE
        with self._moved:
            while self._behind(view) and time.monotonic() < deadline:
                self._moved.wait(_LOOK_AGAIN)

    def _send(self, view: View) -> None:
        with self._moved:
            self._view = view
            guests = list(self._guests)
        for guest in guests:
            guest.send(view)

    def _behind(self, view: View) -> list[Guest]:
        return [guest for guest in self._living() if guest.confirmed < view.number]

    def await_passes(self) -> None:
        """Return when no answer that was begun before this call can leave after it."""
        # Taking the lock also orders what was written to the table before what is read here: a
        # lookup that did not see the change is seen to have entered (lookup/worker/passage.py).
        with self._moved:
            waiting = [(guest, guest.passes.entered()) for guest in self._living()]
        deadline = time.monotonic() + PASS_DEADLINE
        pause = 20e-6
        while waiting := [(g, at) for g, at in waiting if g.passes.left() < at and g.alive()]:
            if time.monotonic() > deadline:
                self._kill((guest for guest, _ in waiting), "did not finish an answer")
                deadline += PASS_DEADLINE
            time.sleep(pause)
            pause = min(2 * pause, 2e-3)

    def _living(self) -> list[Guest]:
        """Return the workers whose process runs; forget the others."""
        gone = [guest for guest in self._guests if not guest.alive()]
        if gone:
            self._counted_by_the_gone = self._count(gone)
        for guest in gone:
            self._guests.remove(guest)
            guest.forget()
        return list(self._guests)

    def _kill(self, guests: Iterable[Guest], fact: str) -> None:
        for guest in guests:
            self._note(f"worker {guest.slot} {fact} in time: killed")
            guest.kill()

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(_LOOK_AGAIN)  # out of descriptors, say: the door stays open
                continue
            threading.Thread(
                target=self._serve, args=(connected,), name="door-guest", daemon=True
            ).start()

    def _serve(self, connected: socket.socket) -> None:
        channel = Channel(connected)
        # A socket object of its own: its time-out for sending is not the other's for receiving.
        outgoing = connected.dup()
        outgoing.settimeout(SEND_DEADLINE)
        try:
            guest = self._welcome(connected, channel)
        except (HandoffError, OSError) as error:
            self._note(f"a worker was turned away: {error}")
            outgoing.close()
            channel.close()
            return
        guest.meet(outgoing)
        try:
            if self._view is not None:
                guest.send(self._view)
            self._listen_to(guest, channel)
        except HandoffError:
            pass  # it went; a worker that lives on comes back by itself
        finally:
            guest.part(outgoing)
            channel.close()
            with self._moved:
                self._moved.notify_all()

    def _welcome(self, connected: socket.socket, channel: Channel) -> Guest:
        """Return the guest that a process is, or was already before it lost its connection."""
        peer = verify_peer(connected, frozenset({os.geteuid()}))
        hello = channel.receive(Hello, HELLO_DEADLINE)
        if hello is None:
            raise HandoffError("no hello came in time")
        passes = PassReader(channel.take_descriptor())
        with self._moved:
            for guest in self._guests:
                if guest.pid == peer.pid and guest.alive():
                    return guest
            guest = Guest(hello.slot, peer.pid, os.pidfd_open(peer.pid), passes)
            self._guests.append(guest)
            return guest

    def _listen_to(self, guest: Guest, channel: Channel) -> None:
        while True:
            said = channel.receive(FROM_WORKER, _LISTEN)
            if isinstance(said, Acknowledge):
                self._hand_on(said)
            elif said is not None:
                with self._moved:
                    guest.confirmed = max(guest.confirmed, said.number)
                    self._moved.notify_all()

    def _hand_on(self, said: Acknowledge) -> None:
        try:
            self.on_acknowledged(said.client, said.recalls)
        except Exception as error:  # noqa: BLE001  # this thread must not end
            log_defect("taking an acknowledgement", error)

"""The door: where workers fetch what they need, and where they are waited for.

Invariants:

* A worker gets whole views, over a UNIX socket in a 0700 folder, from a process of its own user.
* `await_passes` returns only when every worker that could still answer from before has answered,
  thrown away or died. A worker that does not move within the deadline is killed: its supervisor
  starts another one, and a child's answer is not left to chance.
* A worker whose connection is gone but whose process is not is still waited for: it serves its
  last view.

References: lookup/handoff.py for the protocol and the pass page.
"""

import contextlib
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from lookup.handoff import Channel, Confirm, HandoffError, Hello, PassReader, View, verify_peer

PASS_DEADLINE: Final = 2.0  # seconds; an honest answer takes microseconds
CONFIRM_DEADLINE: Final = 5.0  # seconds to map a table
HELLO_DEADLINE: Final = 5.0
SEND_DEADLINE: Final = 2.0


@dataclass(eq=False, slots=True)
class Guest:
    """One worker process that has said hello, connected or not."""

    slot: int
    pid: int
    pidfd: int
    passes: PassReader
    outgoing: socket.socket | None
    confirmed: int = 0
    sending: threading.Lock = field(default_factory=threading.Lock)

    def send(self, view: View) -> None:
        """Send a view; a worker that does not take it in time loses its connection."""
        with self.sending:
            if self.outgoing is None:
                return
            try:
                Channel(self.outgoing).send(view)
            except HandoffError:
                with contextlib.suppress(OSError):
                    self.outgoing.shutdown(socket.SHUT_RDWR)

    def alive(self) -> bool:
        """Say whether the process still runs."""
        readable, _, _ = select.select([self.pidfd], [], [], 0)
        return not readable

    def close(self) -> None:
        """Let go of a process that has ended."""
        os.close(self.pidfd)

    def kill(self) -> None:
        """End the process, now."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


class Door:
    """Listens for workers; knows which of them may be answering from what."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        self._note = note
        self._guests: list[Guest] = []
        self._view: View | None = None
        self._moved = threading.Condition()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        path.chmod(0o600)
        self._listener.listen(64)
        threading.Thread(target=self._accept, name="door", daemon=True).start()

    def close(self) -> None:
        """Let nobody in any more. Workers go on with their last view, for the belt's time."""
        self._listener.close()

    def workers(self) -> list[tuple[int, bool]]:
        """Return slot and "has the current view" of each worker that is connected."""
        with self._moved:
            number = self._view.number if self._view else 0
            return sorted(
                (guest.slot, guest.confirmed == number) for guest in self._guests if guest.outgoing
            )

    def publish(self, view: View) -> None:
        """Give every worker this view; return when those connected have it in force.

        One that does not confirm in time is left behind: the view it has is superseded, so that
        it answers *could not check*.
        """
        with self._moved:
            self._view = view
            guests = [guest for guest in self._guests if guest.outgoing]
        for guest in guests:
            guest.send(view)
        deadline = time.monotonic() + CONFIRM_DEADLINE
        with self._moved:
            self._moved.wait_for(
                lambda: all(g.confirmed >= view.number or not g.outgoing for g in guests),
                timeout=deadline - time.monotonic(),
            )

    def await_workers(self, seconds: float) -> None:
        """Give workers that served an earlier custodian a moment to come and take the view."""
        with self._moved:
            self._moved.wait_for(lambda: bool(self._guests), timeout=seconds)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not all(current for _, current in self.workers()):
            time.sleep(0.01)

    def await_passes(self) -> None:
        """Return when no answer that was begun before this call can leave after it."""
        with self._moved:
            for guest in [guest for guest in self._guests if not guest.alive()]:
                self._guests.remove(guest)
                guest.close()
            waiting = [(guest, guest.passes.entered()) for guest in self._guests]
        deadline = time.monotonic() + PASS_DEADLINE
        pause = 20e-6
        while waiting := [(g, at) for g, at in waiting if g.passes.left() < at and g.alive()]:
            if time.monotonic() > deadline:
                for guest, _ in waiting:
                    self._note(f"worker {guest.slot} did not move for {PASS_DEADLINE} s: killed")
                    guest.kill()
                deadline += PASS_DEADLINE
            time.sleep(pause)
            pause = min(2 * pause, 2e-3)

    def _accept(self) -> None:
        while True:
            try:
                connected, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(connected,), name="door-guest", daemon=True
            ).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected:
            try:
                guest, channel = self._welcome(connected)
            except (HandoffError, OSError) as error:
                self._note(f"a worker was turned away: {error}")
                return
            try:
                self._listen_to(guest, channel)
            except HandoffError:
                pass  # it went; a worker that lives on comes back by itself
            finally:
                self._part(guest)

    def _welcome(self, connected: socket.socket) -> tuple[Guest, Channel]:
        peer = verify_peer(connected, frozenset({os.geteuid()}))
        channel = Channel(connected)
        hello = channel.receive(Hello, HELLO_DEADLINE)
        if hello is None:
            raise HandoffError("no hello came in time")
        passes = PassReader(channel.take_descriptor())
        # A socket object of its own: its time-out for sending is not the other's for receiving.
        outgoing = connected.dup()
        outgoing.settimeout(SEND_DEADLINE)
        guest = Guest(hello.slot, peer.pid, os.pidfd_open(peer.pid), passes, outgoing)
        with self._moved:
            # The same process again: it has the same pass page, and only one connection.
            self._guests = [other for other in self._guests if other.pid != guest.pid]
            self._guests.append(guest)
            view = self._view
            self._moved.notify_all()
        if view is not None:
            guest.send(view)
        return guest, channel

    def _listen_to(self, guest: Guest, channel: Channel) -> None:
        while True:
            confirm = channel.receive(Confirm, 3600.0)
            if confirm is not None:
                with self._moved:
                    guest.confirmed = confirm.number
                    self._moved.notify_all()

    def _part(self, guest: Guest) -> None:
        with guest.sending, self._moved:
            if guest.outgoing is not None:
                guest.outgoing.close()
            guest.outgoing = None
            self._moved.notify_all()

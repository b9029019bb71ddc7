"""The worker's end of the hand-off: a thread that takes views and confirms them.

Invariants:

* A view is confirmed only after it is in force: table mapped, put in place between two lookups.
* Messages leave one after the other, whole, from whichever thread; one that does not leave in time
  ends the connection.
* When the connection ends the last view stays in force, until its belt; the thread connects again
  for ever, waiting at most a second in between.
* The belt counts from the last time that the connection was seen open *and* had given a view, so
  that neither a stopped worker nor a custodian that has nothing to say yet makes it longer.
"""

import asyncio
import logging
import os
import socket
import threading
from concurrent.futures import Future
from typing import Final

from lookup import handoff
from lookup.handoff import Acknowledge, Channel, Confirm, HandoffClosed, HandoffError
from lookup.logs import log_defect
from lookup.worker.view import InvalidView, OpenView, Standing, open_view

logger = logging.getLogger("lookup.worker.link")

_POLL_SECONDS: Final = 1.0
_SHORTEST_WAIT: Final = 0.05
_LONGEST_WAIT: Final = 1.0
# The event loop is at most one batch away; if it is stuck, so is everything else.
_IN_FORCE_SECONDS: Final = 10.0


class Link(threading.Thread):
    """Keeps a Standing up to date with the custodian behind a socket."""

    def __init__(
        self,
        path: str,
        hello: handoff.Hello,
        pass_page: int,
        standing: Standing,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(name="hand-off", daemon=True)
        self._path = path
        self._hello = hello
        self._pass_page = pass_page
        self._standing = standing
        self._loop = loop
        self._stopping = threading.Event()
        self._sending = threading.Lock()
        self._channel: Channel | None = None  # to a custodian that has had our hello
        self._told = ""

    def stop(self) -> None:
        """End soon: within the time of a poll."""
        self._stopping.set()

    def send(self, message: Acknowledge | Confirm) -> None:
        """Send it to the custodian of now, from any thread. Raises HandoffError."""
        with self._sending:
            if self._channel is None:
                raise HandoffClosed("no custodian is connected")
            self._channel.send(message)

    def run(self) -> None:
        """Connect, listen, and begin again."""
        wait = _SHORTEST_WAIT
        while not self._stopping.is_set():
            number = self._number()
            try:
                self._follow()
            except (HandoffError, InvalidView, OSError) as error:
                self._tell_once(_fact(error))
            except Exception as error:  # noqa: BLE001  # this thread must not end
                log_defect("the hand-off", error)
            wait = _SHORTEST_WAIT if self._number() != number else min(wait * 2, _LONGEST_WAIT)
            self._stopping.wait(wait)

    def _number(self) -> int | None:
        view = self._standing.view
        return None if view is None else view.number

    def _follow(self) -> None:
        """Take views from one connection until it ends."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
            connected.settimeout(_POLL_SECONDS)
            connected.connect(self._path)
            handoff.verify_peer(connected, frozenset({os.geteuid(), 0}))
            channel = Channel(connected)
            channel.send(self._hello, self._pass_page)
            self._meet(channel)
            try:
                self._listen(channel)
            finally:
                self._meet(None)

    def _meet(self, channel: Channel | None) -> None:
        with self._sending:
            self._channel = channel

    def _listen(self, channel: Channel) -> None:
        given = False
        while not self._stopping.is_set():
            view = channel.receive(handoff.View, _POLL_SECONDS)
            if view is not None:
                self._put_in_force(open_view(view, self._standing.view))
                self.send(Confirm(view.number))
                self._tell_once("a custodian has handed over")
                given = True
            if given:
                self._standing.heard()

    def _put_in_force(self, view: OpenView) -> None:
        """Put it in place in the event loop's thread, and wait until that is done."""
        done: Future[None] = Future()

        def replace() -> None:
            try:
                self._standing.replace(view)
                self._standing.heard()
            finally:
                done.set_result(None)

        self._loop.call_soon_threadsafe(replace)
        done.result(_IN_FORCE_SECONDS)

    def _tell_once(self, fact: str) -> None:
        if fact != self._told:
            logger.info("%s", fact)
            self._told = fact


def _fact(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"no custodian at the hand-off socket: {error.strerror or type(error).__name__}"
    return f"the hand-off ended: {error}"

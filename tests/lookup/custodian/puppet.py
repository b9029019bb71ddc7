"""A worker that does what it is told, a word a line, and answers each line when it is done.

python -m tests.lookup.custodian.puppet SOCKET

connect     say hello, over a new connection        receive   wait for a view; says its number
enter       a lookup begins                         confirm   confirm the last view
leave       all lookups have been answered          hang-up   close the connection
acknowledge   say that a client has acknowledged a recall
"""

import os
import socket
import sys

from lookup.handoff import Acknowledge, Channel, Confirm, Hello, PassPage, View


class Puppet:
    """One worker process's end of the hand-off."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._page = PassPage()
        self._entered = 0
        self._number = 0
        self._channel: Channel | None = None

    def connect(self) -> str:
        """Say hello."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.connect(self._path)
        self._channel = Channel(connected)
        self._channel.send(Hello(slot=0, pid=os.getpid()), self._page.descriptor)
        return "connected"

    def receive(self) -> str:
        """Wait for a view."""
        assert self._channel is not None
        view = self._channel.receive(View, 5.0)
        self._number = view.number if view else 0
        return str(self._number)

    def confirm(self) -> str:
        """Confirm it."""
        assert self._channel is not None
        self._channel.send(Confirm(self._number))
        return "confirmed"

    def acknowledge(self) -> str:
        """Say that a client has acknowledged a recall."""
        assert self._channel is not None
        self._channel.send(Acknowledge("c1" * 14, [bytes(16)]))
        return "acknowledged"

    def enter(self) -> str:
        """Begin a lookup."""
        self._entered += 1
        self._page.write_entered(self._entered)
        return "entered"

    def leave(self) -> str:
        """Answer all."""
        self._page.write_left(self._entered)
        return "left"

    def hang_up(self) -> str:
        """Close the connection."""
        assert self._channel is not None
        self._channel.close()
        return "hung up"


def main() -> None:
    """Obey until standard input ends."""
    puppet = Puppet(sys.argv[1])
    for line in sys.stdin:
        said = getattr(puppet, line.strip().replace("-", "_"))()
        sys.stdout.write(f"{said}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

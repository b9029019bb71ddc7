"""A flood, in a process of its own, so that it slows down nobody but its target.

    python -m tests.attacks.flood PORT LENGTH SECONDS

Reads from standard input what a connection begins with, LENGTH bytes, and what is then sent for as
long as it is taken. Prints over how many connections it came.
"""

import contextlib
import socket
import sys
import time


def main(port: int, length: int, seconds: float) -> None:
    """Send, and begin anew whenever the connection is closed."""
    data = sys.stdin.buffer.read()
    first, then = data[:length], data[length:]
    end = time.monotonic() + seconds
    connections = 0
    while time.monotonic() < end:
        connections += 1
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as open_:
            open_.settimeout(0.5)
            open_.sendall(first)
            while time.monotonic() < end:
                open_.sendall(then)
    print(connections)  # noqa: T201  # this is how it is known


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

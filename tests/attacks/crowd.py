"""A crowd of idle connections, in a process whose limit of open files is its own.

    python -m tests.attacks.crowd PORT COUNT

Each asks for something once, so that it may stay; then it stays, until standard input ends.
"""

import resource
import selectors
import socket
import sys

REQUEST = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"


def main(port: int, count: int) -> None:
    """Open all, wait for all answers, and say so."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    waiting = selectors.DefaultSelector()
    crowd = []
    for _ in range(count):
        connected = socket.create_connection(("127.0.0.1", port), 30)
        connected.sendall(REQUEST)
        waiting.register(connected, selectors.EVENT_READ)
        crowd.append(connected)
    told = 0
    while waiting.get_map():
        for key, _ in waiting.select():
            assert isinstance(key.fileobj, socket.socket)
            told += key.fileobj.recv(4_096).startswith(b"HTTP/1.1 404 ")
            waiting.unregister(key.fileobj)
    print(told, flush=True)  # noqa: T201  # this is how it is known
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

"""HTTP for tests, by the byte: to send what no library would."""

import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

WAIT = 10.0


def wait_until(true: Callable[[], bool], seconds: float = WAIT) -> None:
    """Return once it is true; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@dataclass
class Response:
    """One answer, as it was received."""

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The header fields, in lower case."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever it says
        """The body, read."""
        return json.loads(self.body)


class Connection:
    """A raw connection, to send exactly these bytes."""

    def __init__(self, address: tuple[str, int], **options: int) -> None:
        self.socket = socket.socket()
        if "receive_buffer" in options:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options["receive_buffer"])
        self.socket.settimeout(WAIT)
        self.socket.connect(address)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send it all."""
        self.socket.sendall(data)

    def receive(self, *, head_only: bool = False) -> Response:
        """Read one answer."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        response = Response(int(head.split(b" ", 2)[1]), head, b"")
        length = 0 if head_only else int(response.headers.get("content-length", "0"))
        while len(rest) < length:
            self._buffer = b""
            self._fill()
            rest += self._buffer
        response.body, self._buffer = rest[:length], rest[length:]
        return response

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self._buffer += data

    def closed_by_peer(self, seconds: float = WAIT) -> bool:
        """Whether the other side closes within the time; discards what it sends before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.socket], [], [], 0.05)[0]:
                try:
                    if not self.socket.recv(65536):
                        return True
                except ConnectionResetError:
                    return True
        return False

"""The open loop: requests at random moments (Poisson) at a given rate, whatever the answers do.

Latency is counted from when a request was due, not from when a connection was free for it: a
server that stalls is charged for everybody who would have come meanwhile (no coordinated
omission).

A generator of its own, for what Debian has is a closed loop: raw sockets in one thread that spins
on epoll. All answers of a server have one length, so that they need not be parsed; it is learnt
from the first one. About 12 µs a request: enough for 60,000 a second.
"""

import gc
import random
import re
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from bench.load.closed import LoadFailed
from bench.processors import pinned
from lookup.config import Address

CONNECTIONS: Final = 128
_OK: Final = b"HTTP/1.1 200 "
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_READ: Final = 1 << 16
_LAST_WAIT: Final = 2.0
_TIMEOUT: Final = 5.0


@dataclass(frozen=True, slots=True)
class Offered:
    """What came of one rate. Seconds, sorted; `late`: requests without an answer at the end."""

    rate: float
    latencies: tuple[float, ...]
    late: int

    def percentile(self, share: float) -> float:
        """Return the latency that this share of requests did not exceed; in seconds."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


def offer(  # noqa: PLR0913  # one load has this many sides
    address: Address,
    calls: Sequence[bytes],
    rate: float,
    seconds: float,
    cpu: int,
    *,
    connections: int = CONNECTIONS,
) -> Offered:
    """Send at this rate for so long. Raises LoadFailed when an answer is not 200."""
    source = random.Random(2026)  # noqa: S311  # arrivals, no secret
    count = max(1, int(rate * seconds))
    due = tuple(accumulate(source.expovariate(rate) for _ in range(count)))
    with ExitStack() as stack:
        stack.enter_context(pinned(cpu))
        lines = [connect(address) for _ in range(connections)]
        for line in lines:
            stack.callback(line.close)
        size = learn_size(lines, calls)
        gc.disable()
        stack.callback(gc.enable)
        latencies = _Loop(lines, calls, size).run(due)
    return Offered(rate, tuple(sorted(latencies)), count - len(latencies))


def connect(address: Address) -> socket.socket:
    """Return a connection that sends at once."""
    line = socket.create_connection((address.host, address.port), timeout=_TIMEOUT)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def learn_size(lines: Sequence[socket.socket], calls: Sequence[bytes]) -> int:
    """Ask once over every connection; return how long an answer is. Raises LoadFailed."""
    sizes = {_ask(line, calls[n % len(calls)]) for n, line in enumerate(lines)}
    if len(sizes) != 1:
        raise LoadFailed(f"answers have lengths between {min(sizes)} and {max(sizes)}")
    return sizes.pop()


def _ask(line: socket.socket, call: bytes) -> int:
    line.sendall(call)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _some(line)
    head, _, body = answer.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n")
    if not head.startswith(_OK) or found is None:
        raise LoadFailed(f"answered {head[:40]!r}")
    left = int(found[1]) - len(body)
    while left > 0:
        left -= len(_some(line))
    return len(head) + 4 + int(found[1])


def _some(line: socket.socket) -> bytes:
    data = line.recv(_READ)
    if not data:
        raise LoadFailed("the server closed a connection")
    return data


class _Loop:
    """Sends what is due over whatever connection is free, and notes when its answer is whole."""

    def __init__(self, lines: Sequence[socket.socket], calls: Sequence[bytes], size: int) -> None:
        self._lines = {line.fileno(): line for line in lines}
        self._calls = calls
        self._size = size
        self._free = deque(self._lines)
        self._since: dict[int, float] = {}
        self._left: dict[int, int] = {}
        self._epoll = select.epoll()
        for line in lines:
            line.settimeout(0)  # as setblocking(False)
            self._epoll.register(line.fileno(), select.EPOLLIN)

    def run(self, due: Sequence[float]) -> list[float]:
        """Return the latencies of all that was answered."""
        calls, number, sent, total = self._calls, len(self._calls), 0, len(due)
        found: list[float] = []
        clock, poll, free = time.perf_counter, self._epoll.poll, self._free
        begun = clock() + 0.01
        end = begun + due[-1] + _LAST_WAIT
        try:
            while len(found) < total and (now := clock()) < end:
                while sent < total and free and begun + due[sent] <= now:
                    self._send(free.popleft(), calls[sent % number], begun + due[sent])
                    sent += 1
                for descriptor, _ in poll(0):
                    self._read(descriptor, found)
        finally:
            self._epoll.close()
        return found

    def _send(self, descriptor: int, call: bytes, due: float) -> None:
        self._since[descriptor], self._left[descriptor] = due, self._size
        if self._lines[descriptor].send(call) != len(call):
            raise LoadFailed("a connection does not take a whole request")

    def _read(self, descriptor: int, found: list[float]) -> None:
        data = self._lines[descriptor].recv(_READ)
        left = self._left.get(descriptor, 0)
        if not data or (left == self._size and not data.startswith(_OK)):
            raise LoadFailed(f"answered {data[:40]!r}")
        self._left[descriptor] = left = left - len(data)
        if left == 0:
            found.append(time.perf_counter() - self._since[descriptor])
            self._free.append(descriptor)
        elif left < 0:
            raise LoadFailed("an answer is longer than the others")

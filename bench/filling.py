"""Filling a site through the custodian's own import, in this process.

The application is called as its server calls it (ASGI), with a file's bytes for a body: routing,
splitting into lines, parsing one batch while the one before is stored, commit to store, mirror,
anchor and index, and the results. Only sockets and HTTP are not there.
"""

import asyncio
import json
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

import uvloop

from bench.held import held
from lookup.config import Config

_PART: Final = 64 << 10  # as much as uvicorn hands on at once
_SEGMENTS: Final = 10


class ImportFailed(Exception):
    """Not every record was added; there is nothing to time."""


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import went. `rates`: records a second in each tenth of it."""

    records: int
    seconds: float
    cpu: float
    rates: tuple[tuple[int, float], ...]
    longest_batch: float
    store_size: int
    mirror_size: int


def fill(config: Config, lines: Path, records: int, tell: Callable[[str], None]) -> Imported:
    """Import a file into a site without records."""
    with held(config) as custodian, lines.open("rb") as file:
        exchange = _Exchange(file, lambda done: tell(f"importing: {done:,} of {records:,}"))
        wall, cpu = time.perf_counter(), time.process_time()
        uvloop.run(_call(custodian.app, exchange))
        seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if exchange.summary.get("added") != records:
        raise ImportFailed(f"of {records} records not all were added: {exchange.summary}")
    return Imported(
        records=records,
        seconds=seconds,
        cpu=cpu,
        rates=_rates(exchange.told, wall, records),
        longest_batch=_longest_pause(exchange.told, wall),
        store_size=config.store_file.stat().st_size,
        mirror_size=config.mirror_file.stat().st_size,
    )


@dataclass(slots=True)
class _Exchange:
    """One request and its response: bytes in from a file, results counted."""

    file: IO[bytes]
    tell: Callable[[int], None]
    told: list[tuple[int, float]] = field(default_factory=list)
    done: int = 0
    last: bytes = b""

    async def receive(self) -> dict[str, Any]:
        """Give the next part, after whatever else waits for its turn, as a socket would."""
        await asyncio.sleep(0)
        body = self.file.read(_PART)
        return {"type": "http.request", "body": body, "more_body": bool(body)}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Take results."""
        body = message.get("body", b"")
        if not body:
            return
        self.last = body
        lines = body.count(b"\n")
        if not body.startswith(b'{"summary"'):
            self.done += lines
            self.told.append((self.done, time.perf_counter()))
            self.tell(self.done)

    @property
    def summary(self) -> dict[str, int]:
        """What the import says at its end."""
        found: dict[str, int] = json.loads(self.last.splitlines()[-1]).get("summary", {})
        return found


async def _call(app: Any, exchange: _Exchange) -> None:  # noqa: ANN401  # any ASGI application
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/records/import",
        "raw_path": b"/v1/records/import",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")],
        "client": None,
        "server": ("officer.sock", None),  # a UNIX socket: no token is asked for
    }
    await app(scope, exchange.receive, exchange.send)


def _rates(
    told: list[tuple[int, float]], begun: float, records: int
) -> tuple[tuple[int, float], ...]:
    rates: list[tuple[int, float]] = []
    last_done, last_at = 0, begun
    for done, at in told:
        if done >= (len(rates) + 1) * records / _SEGMENTS:
            rates.append((done, (done - last_done) / (at - last_at)))
            last_done, last_at = done, at
    return tuple(rates)


def _longest_pause(told: list[tuple[int, float]], begun: float) -> float:
    times = [begun, *(at for _, at in told)]
    return max(after - before for before, after in pairwise(times))

"""The closed loop: 32 keep-alive connections, each asks again when it has its answer. By wrk.

What a server can do at most, and what a request then costs it. The requests are made beforehand,
all of one length, and sent in turn, so that no cache is asked for the same thing twice in a row.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.processors import cpu_seconds, pin
from lookup.config import Address

CONNECTIONS: Final = 32

# wrk calls request() once for each request. One string per request is cut beforehand.
_SCRIPT: Final = """\
local calls, at = {}, 0
function init(args)
    local file, size = io.open(args[1], "rb"), tonumber(args[2])
    local call = file:read(size)
    while call do
        calls[#calls + 1] = call
        call = file:read(size)
    end
    file:close()
end
function request()
    at = at % #calls + 1
    return calls[at]
end
function done(summary, latency, requests)
    local failed = summary.errors
    io.write(string.format(
        '\\n{"requests":%d,"duration":%d,"refused":%d,"broken":%d,"p50":%d,"p99":%d}\\n',
        summary.requests, summary.duration, failed.status,
        failed.connect + failed.read + failed.write + failed.timeout,
        latency:percentile(50), latency:percentile(99)))
end
"""


class LoadFailed(Exception):
    """Answers were errors, or did not come; nothing that was timed means anything."""


class ToolMissing(Exception):
    """wrk is not installed."""


@dataclass(frozen=True, slots=True)
class Closed:
    """One round."""

    requests: int
    seconds: float
    cpu: float  # seconds, of all processes named
    apart: dict[str, float]  # seconds of CPU of others that were asked for

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def micros(self) -> float:
        """µs of CPU for each request."""
        return self.cpu / self.requests * 1e6


def require_wrk() -> str:
    """Return its path. Raises ToolMissing."""
    path = shutil.which("wrk")
    if path is None:
        raise ToolMissing("wrk is not installed (Debian package wrk)")
    return path


def drive(  # noqa: PLR0913  # one load has this many sides
    address: Address,
    pids: Sequence[int],
    calls: Sequence[bytes],
    seconds: float,
    cpu: int,
    *,
    connections: int = CONNECTIONS,
    scheme: str = "http",
    apart: Mapping[str, Sequence[int]] | None = None,
) -> Closed:
    """Load a server for so long; return what it did and used. Raises LoadFailed, ToolMissing."""
    wrk = require_wrk()
    sizes = {len(call) for call in calls}
    if len(sizes) != 1:
        raise ValueError("all requests of one load must have one length")
    with tempfile.TemporaryDirectory() as folder:
        script, file = Path(folder) / "calls.lua", Path(folder) / "calls"
        script.write_text(_SCRIPT)
        file.write_bytes(b"".join(calls))
        command = (
            *(wrk, "--threads", "1", "--connections", str(connections), "--timeout", "10s"),
            *("--duration", f"{max(1, round(seconds))}s", "--script", script),
            *(f"{scheme}://{address}/", "--", file, str(sizes.pop())),
        )
        others = apart or {}
        spent, before = cpu_seconds(pids), {name: cpu_seconds(of) for name, of in others.items()}
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=pin(cpu),  # sched_setaffinity(2) alone
        )
        spent = cpu_seconds(pids) - spent
        after = {name: cpu_seconds(of) - before[name] for name, of in others.items()}
    return _parsed(done, spent, after)


def _parsed(
    done: subprocess.CompletedProcess[str], spent: float, apart: dict[str, float]
) -> Closed:
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        raise LoadFailed(f"wrk ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
    told = json.loads(lines[-1])
    if told["refused"] or told["broken"] or not told["requests"]:
        raise LoadFailed(
            f"of {told['requests']} requests {told['refused']} were refused,"
            f" {told['broken']} connections failed"
        )
    return Closed(told["requests"], told["duration"] / 1e6, spent, apart)


def in_turn(
    rounds: int, drives: Mapping[str, Callable[[], Closed]], tell: Callable[[str], None]
) -> dict[str, list[Closed]]:
    """Load several servers one after another, so many times; the order turns round each time.

    What drifts on the machine, slowly or with every other round, then meets all of them alike.
    """
    found: dict[str, list[Closed]] = {name: [] for name in drives}
    for at in range(rounds):
        names = list(drives)[:: -1 if at % 2 else 1]
        for name in names:
            tell(f"round {at + 1} of {rounds}: {name}")
            found[name].append(drives[name]())
    return found

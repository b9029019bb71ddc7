"""Claim: in a batch of a thousand a token costs at most 3 µs of CPU, audit included.

Floor: 3 µs of CPU per token at 1,000,000 records.

Method: `POST /v1/lookups` with 1,000 tokens, half of them known; 8 keep-alive connections by wrk;
one worker on one CPU, the load on another one; the median of five rounds of three seconds. CPU is
that of all of the worker's threads, receiving 46 KB and sending 257 KB for each batch included.
"""

from statistics import median
from typing import Final

from bench.asking import NO_AUDIT, are_audited, asked, batches, mixed
from bench.claim import Claim, Floor, Outcome
from bench.load.closed import ToolMissing, drive, require_wrk
from bench.running import Run
from lookup.wire import MAX_TOKENS

_FLOOR: Final = Floor("<=", 3)
_SIZES: Final = (10, 100, MAX_TOKENS)
_BATCHES: Final = 16
_CONNECTIONS: Final = 8


def measure(run: Run) -> Outcome:
    """Load one worker with batches of each size in turn."""
    try:
        require_wrk()
    except ToolMissing as error:
        return Outcome((), (), (), (f"anything: {error}",))
    rounds = run.rounds(5)
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in _SIZES}
    with asked(run, run.largest) as site:
        tokens = mixed(site.known, _BATCHES * MAX_TOKENS)
        for at in range(rounds):
            run.progress.tell(f"batches, round {at + 1} of {rounds}")
            for size, figures in found.items():
                address, authorization = site.answering.address, site.authorization()
                calls = batches(site.enrolment.kid, authorization, address, tokens, size)
                once = drive(
                    *(address, site.answering.pids, calls, 1 if run.quick else 3),
                    site.processors.load,
                    connections=_CONNECTIONS,
                )
                figures.append((once.micros / size, once.rate * size))
    rows = tuple(
        {
            "tokens in a batch": size,
            "CPU, µs/token": round(median(micros for micros, _ in figures), 3),
            "tokens/s": round(median(rate for _, rate in figures)),
        }
        for size, figures in found.items()
    )
    claim = Claim(
        name="batch-token-cpu",
        says=f"CPU of one token in a batch of {MAX_TOKENS:,}",
        value=median(micros for micros, _ in found[MAX_TOKENS]),
        unit="µs",
        records=run.largest,
        judged=run.judged and are_audited(),
        floor=_FLOOR,
        bound_by="the interpreter: one tag, one probe and one answer of 256 bytes for each token",
    )
    return Outcome((claim,), rows, (), () if are_audited() else (NO_AUDIT,))

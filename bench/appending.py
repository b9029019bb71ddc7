"""Claim: the log takes 2,000 entries a second, and proves any of a million in a millisecond.

Floors: 2,000 entries a second in commits of 64 entries each, mirror on the same disk; an inclusion
proof within 1 ms, median, at 1,000,000 entries.

Method: a site of its own, without records; commits of its vault with nothing in them but entries,
as the writer makes them when decisions wait together: store, mirror and anchors are synced in each.
Then the log is made as long as the site is large, in commits of 4,096 entries, and entries all over
it are proved to be in it, one after the other as a custodian does: what is near the root is in
memory soon, the leaves' own tiles are not. That is what a certificate costs; verifying one needs no
site.
"""

import secrets
import time
from statistics import median
from typing import Final

from bench.claim import Claim, Floor, Json, Outcome
from bench.held import opened
from bench.machine import fdatasync
from bench.running import Run
from crypto.merkle import inclusion_proof
from keys.vault import Vault
from lookup.custodian.store.pages import Store

APPEND: Final = Floor(">=", 2_000)
PROOF: Final = Floor("<=", 1)
GROUP: Final = 64
_LARGE: Final = 4_096
_PROOFS: Final = 300


def measure(run: Run) -> Outcome:
    """Append, grow, prove."""
    site = run.sites.fresh("log", 0)
    rates: list[float] = []
    disk: list[float] = []
    with opened(site.config) as custodian:
        for at in range(run.rounds(20)):
            run.progress.tell(f"commits of {GROUP} entries, round {at + 1}")
            disk.append(fdatasync(run.sites.folder, 1))
            rates.append(_append(custodian.vault, commits=10))
        rows: list[Json] = []
        for size in run.sizes:
            run.progress.tell(f"growing the log to {size:,} entries")
            grown = _grow(custodian.vault, size)
            proofs = [_prove(custodian.store, size) for _ in range(run.rounds(5))]
            rows.append(
                {
                    "entries": size,
                    "entries/s, 64 a commit": round(median(rates)),
                    "entries/s, 4,096 a commit": round(grown),
                    "proof, ms": round(median(proofs), 3),
                    "bare sync, ms": round(median(disk) * 1e3, 2),
                }
            )
    return Outcome(_claims(run, rows), tuple(rows))


def _leaves(count: int) -> tuple[bytes, ...]:
    return tuple(b"\1" + secrets.token_bytes(32) for _ in range(count))


def _append(vault: Vault, commits: int) -> float:
    """Return the entries a second of some commits."""
    groups = [_leaves(GROUP) for _ in range(commits)]
    begun = time.perf_counter()
    for leaves in groups:
        vault.commit((), log=leaves)
    return commits * GROUP / (time.perf_counter() - begun)


def _grow(vault: Vault, size: int) -> float:
    """Make the log this long; return the entries a second, 0 where it was."""
    begun, before = time.perf_counter(), vault.log.size
    while vault.log.size < size:
        vault.commit((), log=_leaves(min(_LARGE, size - vault.log.size)))
    return (vault.log.size - before) / (time.perf_counter() - begun)


def _prove(store: Store, size: int) -> float:
    """Return the median milliseconds of proofs of entries all over the log."""
    log, took = store.log, []
    for place in [secrets.randbelow(size) for _ in range(_PROOFS)]:
        begun = time.perf_counter()
        inclusion_proof(place, log.size, log.read_hash)
        took.append((time.perf_counter() - begun) * 1e3)
    return median(took)


def _claims(run: Run, rows: list[Json]) -> tuple[Claim, ...]:
    return (
        Claim(
            name="log-append",
            says=f"entries of the log a second, {GROUP} in each commit",
            value=rows[-1]["entries/s, 64 a commit"],
            unit="entries/s",
            records=run.largest,
            judged=run.judged,
            floor=APPEND,
            bound_by="the disk: store, mirror and anchor are synced in each commit",
        ),
        Claim(
            name="log-proof",
            says=f"inclusion proof in a log of {run.largest:,} entries",
            value=rows[-1]["proof, ms"],
            unit="ms",
            records=run.largest,
            judged=run.judged,
            floor=PROOF,
            bound_by="a tile of 8 KiB to read and decrypt, and 255 hashes in it",
        ),
    )

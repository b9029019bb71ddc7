"""Claim: a custodian with a million records starts within six seconds per live lookup key.

Floor: 6 s with one live key at 1,000,000 records, 12 s with two.

Method: the custodian's own process, from its start to its first answer to GET /health/ready: the
interpreter and its imports, the passphrase (Argon2id), opening the vault, reading every leaf,
tokens, tags and the table, the hand-off to one worker that was up before. It had been stopped
cleanly; files are in the page cache, as after a restart. Median of three starts, those with one key
and with two in turn. `index` is the part that the custodian's log gives for building the table.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from statistics import median

from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.held import opened
from bench.running import Run
from bench.served import Served, ask, served
from bench.sites import Site
from crypto.token import LookupKey
from keys.entry import Kind, Put, Remove
from lookup.custodian.policy import lookup_key_entry

KEYS = {1: "one key", 2: "two keys"}
_FLOORS = {1: Floor("<=", 6), 2: Floor("<=", 12)}


@dataclass(frozen=True, slots=True)
class Start:
    """One start of a custodian, and what it then was."""

    records: int
    keys: int
    seconds: float
    cpu: float
    indexed_in: float
    memory: dict[str, int]
    links: int
    table_size: int


def measure(run: Run) -> Outcome:
    """Start custodians at each size."""
    starts = observe(run)
    rows = tuple(_row(starts, records, keys) for records in run.sizes for keys in KEYS)
    claims = tuple(
        Claim(
            name=f"start-{KEYS[keys].replace(' ', '-')}",
            says=f"custodian start to ready, {KEYS[keys]}",
            value=median(start.seconds for start in pick(starts, run.largest, keys)),
            unit="s",
            records=run.largest,
            judged=run.judged,
            floor=_FLOORS[keys],
            bound_by="CPU: opening leaves and making a token and a tag per link and key",
        )
        for keys in KEYS
    )
    lines = {
        KEYS[keys]: [
            (float(row["records"]), float(row["start, s"])) for row in rows if row["keys"] == keys
        ]
        for keys in KEYS
    }
    plot = Plot("Custodian start", "records in the site", "s", lines, _FLOORS[1].limit)
    return Outcome(claims, rows, (plot,))


@cache
def observe(run: Run) -> tuple[Start, ...]:
    """Start custodians; once per run, for what they are after it interests others too."""
    sites = {records: run.sites.filled(records)[0] for records in run.sizes}
    starts = []
    for at in range(rounds := run.rounds(3)):
        for records, site in sites.items():
            for keys, name in KEYS.items():
                run.progress.tell(f"start {at + 1} of {rounds}: {records:,} records, {name}")
                with second_key(site) if keys == 2 else nullcontext(), served(site) as custodian:
                    starts.append(_observed(custodian, records, keys))
    return tuple(starts)


def pick(starts: tuple[Start, ...], records: int, keys: int) -> list[Start]:
    """Return the starts of one kind."""
    return [start for start in starts if (start.records, start.keys) == (records, keys)]


@contextmanager
def second_key(site: Site) -> Iterator[None]:
    """Let a site have two live lookup keys."""
    entry = lookup_key_entry(LookupKey.generate(), int(time.time()))
    with opened(site.config) as vault:
        vault.vault.commit((Put(entry),))
    try:
        yield
    finally:
        with opened(site.config) as vault:
            vault.vault.commit((Remove(Kind.LOOKUP_KEY, entry.id),))


def _observed(custodian: Served, records: int, keys: int) -> Start:
    memory = custodian.memory()
    table = ask(custodian.local(), "/v1/local/status")["table"]
    (path,) = custodian.site.config.index.glob("*.table")
    return Start(
        records,
        keys,
        custodian.ready_after,
        custodian.cpu_at_ready,
        custodian.indexed_in,
        memory,
        table["links"],
        path.stat().st_size,
    )


def _row(starts: tuple[Start, ...], records: int, keys: int) -> Json:
    chosen = pick(starts, records, keys)
    return {
        "records": records,
        "keys": keys,
        "start, s": round(median(start.seconds for start in chosen), 2),
        "CPU, s": round(median(start.cpu for start in chosen), 2),
        "index, s": round(median(start.indexed_in for start in chosen), 2),
        "links": chosen[0].links,
    }

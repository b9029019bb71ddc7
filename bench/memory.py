"""Claim: a custodian with a million records takes at most a gigabyte.

Floor: 1,000 MB (10^6 bytes each) of peak resident memory at 1,000,000 records, one live lookup key.

Method: proc_pid_status(5) of the custodian's process when it has just become ready, in the starts
of starting.py. `peak` is VmHWM: the most that was ever resident at once, Argon2id and the arrays of
the build included. `now` is VmRSS, the sum of `private` (RssAnon), `files` (RssFile: the
interpreter and libraries, which processes share) and `shared` (RssShmem: the pages of the table on
tmpfs, which workers share; they are counted here in full). The median of the starts.
"""

from statistics import median

from bench.claim import Claim, Floor, Json, Outcome, Plot
from bench.running import Run
from bench.starting import KEYS, Start, observe, pick

_FLOOR = Floor("<=", 1_000)
_COLUMNS = {
    "peak, MB": "VmHWM",
    "now, MB": "VmRSS",
    "private, MB": "RssAnon",
    "files, MB": "RssFile",
    "shared, MB": "RssShmem",
}


def measure(run: Run) -> Outcome:
    """Look at custodians that have just started."""
    starts = observe(run)
    rows = tuple(_row(pick(starts, n, keys), n, keys) for n in run.sizes for keys in KEYS)
    claim = Claim(
        name="custodian-memory",
        says="custodian's peak resident memory, start included",
        value=median(start.memory["VmHWM"] / 1e6 for start in pick(starts, run.largest, 1)),
        unit="MB",
        records=run.largest,
        judged=run.judged,
        floor=_FLOOR,
        bound_by="the table, the arrays that it is placed from, and a dict entry per record for"
        " its source reference",
    )
    lines = {
        f"{name.partition(',')[0]}, {text}": [
            (float(row["records"]), float(row[name])) for row in rows if row["keys"] == keys
        ]
        for keys, text in KEYS.items()
        for name in ("peak, MB", "now, MB")
    }
    plot = Plot("Custodian's memory after start", "records in the site", "MB", lines, _FLOOR.limit)
    return Outcome((claim,), rows, (plot,))


def _row(starts: list[Start], records: int, keys: int) -> Json:
    sizes = {
        column: round(median(start.memory[name] / 1e6 for start in starts), 1)
        for column, name in _COLUMNS.items()
    }
    return {"records": records, "keys": keys, **sizes}

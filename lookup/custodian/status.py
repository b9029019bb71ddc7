"""Where a site stands, in facts that name nobody."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from keys.entry import Kind
from keys.pages import SlotId
from lookup.cases.standing import State
from lookup.custodian.custody import Custody
from lookup.custodian.running import Running
from lookup.custodian.transparency.log import TransparencyLog
from lookup.metering import (
    ANSWERS,
    AUDIT_COMMITS,
    AUDIT_ENTRIES,
    COULD_NOT_CHECK,
    GAUGES,
    NOTHING,
    TOKENS,
    WORDS,
    Times,
    quantile,
    read_numbers,
    read_times,
)

ALARMS: Final = ("honey", "enumeration", "damage", "hidden", "escalated", "untold")


def report(custody: Custody, site: Running) -> dict[str, Any]:
    """Return the status that `lacuna status` prints."""
    version = custody.vault.version
    return {
        "demo": custody.policy.demo,
        "vault": custody.vault.id.hex(),
        "epoch": version.epoch,
        "sequence": version.sequence,
        "started": site.started,
        "processes": {"supervisor": os.getppid(), "custodian": os.getpid()},
        "workers": _workers(custody, site),
        "records": len(custody.sources),
        "clients": len(custody.policy.clients),
        "mirror": _mirror(custody, site),
        "slots": slots(custody),
        "absent_slots": [str(folder) for folder in site.absent_slots],
        "lookup_keys": lookup_keys(custody),
        "table": _table(custody),
        "damaged_pages": custody.damaged,
        "log": _log(custody.log),
        "running_seconds": custody.vault.elapsed,
        "finished_at_start": len(site.finished_at_start),
        "traffic": _traffic(custody.door.counters()),
        "work": {
            "import_lines": dict(site.counts.import_lines),
            "destroyed": custody.destroyed,
        },
        "cases": _cases(custody),
        "retention": _retention(custody),
        "alarms": _alarms(custody),
    }


def lookup_keys(custody: Custody) -> list[dict[str, Any]]:
    """Return each lookup key's kid and whether every link is indexed under it."""
    indexed = custody.kids
    return [
        {"kid": key.kid, "made": key.made, "indexed": key.kid in indexed}
        for key in custody.policy.live_keys()
    ]


def slots(custody: Custody) -> list[dict[str, Any]]:
    """Return each slot's id, class and label, and what it has shown.

    *lagging*: it has not shown that it holds this epoch's key alone; *lost*: the same, and it was
    decided to wait no longer.
    """
    lagging, lost = custody.vault.lagging, custody.vault.lost
    return [
        {
            "id": entry.id.hex(),
            "class": entry.body[:1].decode(),
            "label": entry.body[1:].decode(errors="replace"),
            "lagging": SlotId(entry.id) in lagging,
            "lost": SlotId(entry.id) in lost,
        }
        for entry in custody.vault.scan(Kind.SLOT)
    ]


def _log(log: TransparencyLog) -> dict[str, Any]:
    """Return how large the log is, and what each witness saw last."""
    return {
        "origin": log.origin,
        "size": log.size,
        "witnesses": [
            {"name": each.witness.name, "size": each.checkpoint.size, "time": each.time}
            for each in log.cosignatures()
        ],
    }


def _workers(custody: Custody, site: Running) -> list[dict[str, Any]]:
    """Return every worker that there should be, and whether it has the current view."""
    seen = {slot: (pid, current) for slot, pid, current in custody.door.workers()}
    pages = custody.door.gauges()
    return [
        {
            "slot": slot,
            "pid": pid,
            "connected": pid is not None,
            "current": current,
            **{gauge.name: page[WORDS[gauge].start] for gauge in GAUGES},
        }
        for slot in range(site.config.workers)
        for pid, current in [seen.get(slot, (None, False))]
        for page in [pages.get(slot, NOTHING)]
    ]


def _alarms(custody: Custody) -> dict[str, int]:
    """Return how often each alarm was raised; nothing for a custodian that takes no audit in."""
    alarms = getattr(custody, "alarms", None)
    return {} if alarms is None else {kind: getattr(alarms, kind) for kind in ALARMS}


def _traffic(page: Sequence[int]) -> dict[str, Any]:
    """Return what all workers have counted together."""
    return {
        "tokens": read_numbers(page, TOKENS),
        "could_not_check": read_numbers(page, COULD_NOT_CHECK),
        **{route: _times(times) for route, times in read_times(page, ANSWERS).items()},
        "audit": {
            "entries": page[WORDS[AUDIT_ENTRIES].start],
            **_times(read_times(page, AUDIT_COMMITS)[""]),
        },
    }


def _times(times: Times) -> dict[str, Any]:
    """Return a histogram; its quantiles are of all since the workers started, in microseconds."""
    return {
        "count": times.count,
        "p50": quantile(times.buckets, 0.5),
        "p99": quantile(times.buckets, 0.99),
        "buckets": times.buckets,
        "microseconds": times.microseconds,
    }


def _cases(custody: Custody) -> dict[str, int]:
    """Return how many cases stand where, and what waits."""
    docket = custody.docket
    standings = [docket.standing(case) for case in docket.cases.values()]
    today, now = custody.today(), custody.moment()
    return {
        "requested": sum(each.state is State.REQUESTED for each in standings),
        "cooling_off": sum(each.state is State.COOLING_OFF for each in standings),
        "recalling": sum(each.state is State.RECALLING for each in standings),
        "recalls_overdue": sum(each.is_overdue(now) for each in standings),
        "held": sum(each.is_open and each.held_by is not None for each in standings),
        "overdue": sum(
            docket.standing(case).is_open and docket.clock(case, today).state == "overdue"
            for case in docket.cases.values()
        ),
        "hidden_records": sum(each is None for each in custody.instead.values()),
        "parked": len(custody.lot.parked),
        "lost": len(docket.lost) + len(custody.stuck),
        "certificates_waiting": len(custody.uncertified),
    }


def _retention(custody: Custody) -> dict[str, Any]:
    """Return which classes are in force, whether officers approved just these, and what is listed.

    *differs*: there is an approval, and not of these classes, or of too few who are officers yet:
    nothing is swept by it.
    """
    classes, approvals = custody.classes, custody.sweeps.approvals.values()
    return {
        "version": classes.version,
        "policy": classes.policy.hex(),
        "approvals": len(approvals),
        "differs": sum(not each.is_in_force(classes, custody.office) for each in approvals),
        "listed": len(custody.sweeps.listed),
        "holds": len(custody.holds.holds),
    }


def _mirror(custody: Custody, site: Running) -> dict[str, Any]:
    """Return how far the mirror is behind, and how long ago it was last written."""
    root = site.mirror.root()
    if root is None:
        return {"sequence": None, "behind": None, "age_seconds": None}
    written = _written(site.config.mirror_file)
    return {
        "sequence": root.version.sequence,
        "behind": custody.vault.version.sequence - root.version.sequence,
        "age_seconds": None if written is None else max(0, site.clock() - written),
    }


def _written(database: Path) -> int | None:
    """Return when a database file was last written: its WAL is, before it is itself."""
    times = []
    for path in (database, database.with_name(f"{database.name}-wal")):
        with suppress(OSError):
            times.append(int(path.stat().st_mtime))
    return max(times, default=None)


def _table(custody: Custody) -> dict[str, Any]:
    publication = custody.publication
    return {
        "links": len(publication.table) if publication else 0,
        "load": round(publication.table.load, 3) if publication else 0,
        "generation": custody.generation,
        "complete": publication is not None and not custody.damaged,
        "building": custody.build.progress if custody.build else None,
    }

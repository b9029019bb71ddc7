"""How a site's status is judged and shown. Pure.

Invariant: whoever watches a site by exit status alone misses nothing: what needs a person is a
finding, and any finding is status 1.
"""

from datetime import UTC, datetime
from typing import Any, Final

Json = dict[str, Any]


def judge(report: Json) -> list[str]:
    """Return what needs a person, in plain words; nothing for a healthy site."""
    found = [
        *(f"slot {s['id'][:8]} lags: {s['label']}" for s in report["slots"] if s["lagging"]),
        *(f"no slot was at hand in {folder} at the start" for folder in report["absent_slots"]),
        *_worker_findings(report["workers"]),
    ]
    if report["damaged_pages"]:
        found.append(
            f"{len(report['damaged_pages'])} pages are damaged in store and mirror:"
            " every miss is could-not-check until `lacuna restore`"
        )
    elif not report["table"]["complete"]:
        found.append("the index is not complete: every miss is could-not-check")
    if report["mirror"]["behind"] is None:
        found.append("the mirror holds nothing")
    elif report["mirror"]["behind"]:
        found.append(f"the mirror is {report['mirror']['behind']} commits behind")
    found += _case_findings(report["cases"])
    if report["retention"]["differs"]:
        found.append(
            "the retention classes are not those that officers approved, or too few of these are"
            " officers yet: nothing is swept until others approve with `lacuna officer"
            " set-retention`"
        )
    if not report["lookups"]["ready"]:
        found.append(f"lookups: {report['lookups']['detail']}")
    return found


def _case_findings(cases: Json) -> list[str]:
    return [
        text.format(cases[what])
        for what, text in (
            ("overdue", "{} cases are past the day that the law sets: `lacuna case list`"),
            (
                "recalls_overdue",
                "{} cases wait for hospitals that do not acknowledge: `lacuna case write-letters`",
            ),
            ("hidden_records", "{} records that protect a child are hidden by cases"),
            ("certificates_waiting", "{} certificates wait for a slot that lags"),
            ("lost", "{} cases lost their content with a store: open them anew"),
        )
        if cases[what]
    ]


def _worker_findings(workers: list[Json]) -> list[str]:
    missing = [str(worker["slot"]) for worker in workers if not worker["connected"]]
    behind = [str(w["slot"]) for w in workers if w["connected"] and not w["current"]]
    return [
        *([f"missing workers: {', '.join(missing)}"] if missing else []),
        *([f"workers without the current view: {', '.join(behind)}"] if behind else []),
    ]


def facts(report: Json) -> dict[str, object]:
    """Return a report as names and values for `console.fact_lines`."""
    processes, mirror, lookups = report["processes"], report["mirror"], report["lookups"]
    shown: dict[str, object] = {"vault": report["vault"] + (" (demo)" if report["demo"] else "")}
    shown["epoch"] = f"{report['epoch']}, sequence {report['sequence']}"
    shown["records"] = report["records"]
    shown["cases"] = _cases(report["cases"])
    shown["retention"] = _retention(report["retention"])
    shown["clients"] = report["clients"]
    shown["supervisor"] = f"pid {processes['supervisor']}"
    shown["custodian"] = f"pid {processes['custodian']}, since {moment(report['started'])}"
    shown["workers"] = [_worker(worker) for worker in report["workers"]]
    shown["lookups"] = f"{lookups['base_url']}: {lookups['detail']}"
    shown["answered"] = _answered(report["traffic"])
    shown["table"] = table_line(report["table"])
    shown["mirror"] = mirror_line(mirror)
    shown["slots"] = [slot_line(slot) for slot in report["slots"]]
    shown["lookup keys"] = [_lookup_key(key) for key in report["lookup_keys"]]
    shown["alarms"] = _alarms(report["alarms"])
    shown["needs you"] = report["findings"] or ["nothing"]
    return shown


def moment(seconds: int) -> str:
    """Return a time as people and programs read it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _cases(cases: Json) -> str:
    parts = [f"{cases['requested']} requested", f"{cases['cooling_off']} cooling off"]
    parts += [f"{cases[what]} {words}" for what, words in _ALSO.items() if cases[what]]
    return ", ".join(parts)


def _retention(retention: Json) -> str:
    swept = "swept by approval" if retention["approvals"] else "nothing is swept: not approved"
    parts = [f"classes version {retention['version']}", swept, f"{retention['listed']} listed"]
    return ", ".join([*parts, f"{retention['holds']} holds"])


_ALSO: Final = {
    "recalling": "telling recipients",
    "held": "on hold",
    "parked": "updates parked",
}


def _worker(worker: Json) -> str:
    if not worker["connected"]:
        return f"{worker['slot']}: missing"
    standing = "current" if worker["current"] else "not current"
    return f"{worker['slot']}: pid {worker['pid']}, {standing}"


def _answered(traffic: Json) -> str:
    problems = sum(traffic["could_not_check"].values())
    tokens = sum(traffic["tokens"].values())
    return f"{tokens} tokens since the workers started; {problems} requests could not be checked"


def table_line(table: Json) -> str:
    """Return how full the table is, and whether a miss in it proves anything."""
    parts = [
        f"{table['links']} links, {round(100 * table['load'])} % full",
        "complete" if table["complete"] else "not complete",
    ]
    if table["building"] is not None:
        parts.append(f"the next one is {int(100 * table['building'])} % built")
    return ", ".join(parts)


def mirror_line(mirror: Json) -> str:
    """Return how far the mirror is behind."""
    if mirror["behind"] is None:
        return "empty"
    age = "" if mirror["age_seconds"] is None else f", written {mirror['age_seconds']} s ago"
    return f"{mirror['behind']} commits behind{age}"


def slot_line(slot: Json) -> str:
    """Return what a slot is, and what it has shown."""
    standing = "lost" if slot["lost"] else "lagging" if slot["lagging"] else "confirmed"
    return f"{slot['id']} class {slot['class']}, {standing}: {slot['label']}"


def _alarms(alarms: Json) -> str:
    raised = ", ".join(f"{count} {kind}" for kind, count in alarms.items() if count)
    return f"{raised or 'none'} since the custodian started"


def _lookup_key(key: Json) -> str:
    standing = "indexed" if key["indexed"] else "not indexed yet"
    return f"{key['kid']} of {moment(key['made'])}, {standing}"

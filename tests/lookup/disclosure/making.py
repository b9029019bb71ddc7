"""What a site says of a record, line by line, as lookup/custodian/records/disclosing.py does."""

# ruff: noqa: ANN401  # whatever JSON holds

import json
from typing import Any, Final

from lookup.disclosure.export import Export, make_export
from lookup.disclosure.redacting import Reason, Redaction, redact

Json = dict[str, Any]

PAYLOAD: Final = {
    "notes": [
        {"author": "M. Okoro", "text": "Visited. The neighbour, Mr Bexley, had telephoned."},
        {"author": "P. Lund", "text": "No further action."},
    ],
    "outcome": {"no_further_action": True, "score": 1.50, "closed": None},
}


def told(payload: Any = PAYLOAD, **changes: Any) -> Json:
    """Return the first line: the record with its payload; `changes` may give that as text."""
    return {
        "record_id": "00112233445566778899aabbccddeeff",
        "version": 2,
        "source_ref": "CASE-17",
        "identifiers": ["nhs:9990000042", "local:AXT:17"],
        "category": "child-protection-plan",
        "since": "2026-01-02",
        "until": None,
        "answer_until": None,
        "kept": None,
        "payload": json.dumps(payload),
        "site": "101112131415161718191a1b1c1d1e1f",
        "time": "2026-11-27T21:03:00.000Z",
        "authority": {
            "code": "AXT",
            "name": "Axtonbury City Council",
            "office_hours": "01632 960110",
            "out_of_hours": "",
        },
    } | changes


def access(**changes: Any) -> Json:
    """Return one access, of a nurse."""
    return {
        "time": "2026-11-20T09:15:00.000Z",
        "officer": False,
        "client": "c1" * 14,
        "client_name": "St. Elsewhere",
        "user": "nurse-17",
        "role": "triage nurse",
        "purpose": "unscheduled-care",
        "encounter": "visit-3",
        "request_id": "ab" * 16,
    } | changes


def step(act: str, **changes: Any) -> Json:
    """Return a step of a case."""
    at = "2026-11-21T10:00:00.000Z"
    return {"act": act, "time": at, "by": "requester", "words": None} | changes


CASE: Final = {
    "state": "refused",
    "remedy": "erase",
    "ground": "art-17-1-g",
    "received": "2026-11-01",
    "steps": [
        step("open"),
        step("refuse", by="legal", words="A court has yet to decide."),
        step("escalate", by="site"),
        step("review", by=None),
    ],
}
STATEMENT: Final = {
    "statement": "00" * 16,
    "day": "2026-05-03",
    "text": "It is not true.\n\nWe said so.",
}
OFFICER: Final = access(
    officer=True, client=None, client_name=None, user="leo", role="legal", purpose=None,
    encounter=None,
)  # fmt: skip


def lines(payload: Any = PAYLOAD, **changes: Any) -> list[Json]:
    """Return all lines of a site that has one of everything, progress left out."""
    return [
        {"record": told(payload, **changes)},
        {"statement": STATEMENT},
        {"case": CASE},
        {"waiting": 1},
        {"access": access()},
        {"access": OFFICER},
        {"complete": True, "missing": 0},
    ]


def export(payload: Any = PAYLOAD, **changes: Any) -> Export:
    """Return the export that these are."""
    return make_export(lines(payload, **changes))


def without(*paths: str, payload: Any = PAYLOAD, reason: Reason = Reason.THIRD_PARTY) -> Export:
    """Return the export with these left out."""
    return redact(export(payload), [Redaction(path, reason) for path in paths])

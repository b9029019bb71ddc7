"""`lacuna officer place-hold`, `lift-hold`, `holds`: one protects, several end it."""

from pathlib import Path

import pytest

from lookup import exits
from tests.lookup.cli.commanding import Served, approve_case, open_case, own_records


def place(served: Served, record: str) -> str:
    """Put a record on hold; return the hold's id."""
    words = ("place-hold", "--reason", "court-case", "--record", record, "--yes", "--json")
    placed = served.site.act("safeguarding", "officer", *words)
    assert placed.status == 0, placed.stderr
    return str(placed.json["proposal"])


def lift(served: Served, hold: str) -> None:
    """Have a hold lifted by two."""
    wanted = served.site.act("requester", "officer", "lift-hold", hold, "--yes", "--json")
    assert wanted.status == 0, wanted.stderr
    for role in ("approver", "legal"):
        words = ("approve", wanted.json["proposal"], "--yes")
        assert served.site.act(role, "officer", *words).status == 0


def test_a_case_on_hold_is_carried_out_after_it_is_lifted(served: Served, tmp_path: Path) -> None:
    """The case says so, the list of holds does; then it goes."""
    (record,) = own_records(served.site, tmp_path, "held")
    hold = place(served, record)
    opened = open_case(served.site, tmp_path, record)
    approve_case(served.site, opened["case"])

    shown = served.site.act("auditor", "case", "show", opened["case"])
    listed = served.site.act("auditor", "officer", "holds")
    early = served.site.act("requester", "case", "carry-out", opened["case"], "--yes")

    assert f"{hold} covers a record of the case" in shown.stdout
    assert f"record {record} (court-case)" in listed.stdout
    assert early.status == exits.REFUSED
    assert early.ends_in_a_hint
    assert "a hold covers a record" in early.stderr

    lift(served, hold)
    listed = served.site.act("auditor", "officer", "holds", "--json")
    assert hold not in {each["hold"] for each in listed.json["holds"]}
    served.site.act("requester", "case", "carry-out", opened["case"], "--yes")
    gone = served.site.act("auditor", "case", "show", opened["case"])
    assert gone.status == exits.REFUSED


def test_what_is_signed_is_said_in_words(served: Served, tmp_path: Path) -> None:
    """Also to whoever approves the lifting, which names nothing but an id."""
    (record,) = own_records(served.site, tmp_path, "worded")
    words = ("--reason", "inquiry", "--record", record, "--authority", "AXT")
    placed = served.site.act("legal", "officer", "place-hold", *words, "--yes")
    assert f"nothing is destroyed of: record {record}, of AXT (inquiry)" in placed.stdout
    assert "made" in placed.stdout
    (hold,) = (
        each["hold"]
        for each in served.site.act("auditor", "officer", "holds", "--json").json["holds"]
        if each["scope"]["record"] == record
    )
    proposed = served.site.act("requester", "officer", "lift-hold", hold, "--yes")
    assert f"the hold {hold} ends; it covers: record {record}, of AXT" in proposed.stdout
    lift(served, hold)


@pytest.mark.parametrize(
    ("role", "words", "status"),
    [
        ("legal", ("place-hold", "--reason", "because of Sorrel"), exits.USAGE),
        ("legal", ("place-hold", "--reason", "a", "--record", "9434765919"), exits.USAGE),
        ("legal", ("place-hold", "--reason", "a", "--record", "0" * 32), exits.REFUSED),
        ("legal", ("place-hold", "--reason", "a", "--category", "moon"), exits.REFUSED),
        ("auditor", ("place-hold", "--reason", "a"), exits.REFUSED),
        ("requester", ("place-hold", "--reason", "a"), exits.REFUSED),
        ("requester", ("lift-hold", "0" * 32), exits.REFUSED),
        ("requester", ("lift-hold", "9434765919"), exits.USAGE),
    ],
)
def test_what_cannot_be(served: Served, role: str, words: tuple[str, ...], status: int) -> None:
    """Nothing is placed; the error ends in a hint, and repeats no number that was no id."""
    before = served.site.act("auditor", "officer", "holds", "--json").json
    done = served.site.act(role, "officer", *words, "--yes")

    assert done.status == status
    assert done.ends_in_a_hint
    assert "9434765919" not in done.stderr
    assert served.site.act("auditor", "officer", "holds", "--json").json == before

"""A7, the operator who rolls back: holds, approvals, dismissals, rules, by old rows or files.

Whoever keeps the machine has the database key and the slots, stops the custodian, and puts back
what lay there before. The start refuses; or what was newer holds, because nothing was put back.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from crypto.sshsig import OfficerKey, format_public_key
from keys.errors import KeysError
from lookup.custodian.cases.carrying_out import tend
from lookup.custodian.store.database import connect
from lookup.officers.proposal import AddOfficer, Change, RemoveOfficer, SetRules
from lookup.officers.roles import Act, Role
from tests.clocks import SetClocks
from tests.officers import ROLES, Json
from tests.simulator import Custodian, Site, nhs


class Crew(Site):
    """A site with a third who may approve."""

    roles = ROLES | {"max": frozenset({Role.APPROVER})}


@pytest.fixture
def site() -> Iterator[Site]:
    with Crew() as made:
        made.clocks = SetClocks()
        yield made


FILES = ("store", "mirror")


def keep(site: Site) -> Path:
    """Keep a copy of store and mirror; the custodian has stopped."""
    kept = site.folder / "kept"
    for name in FILES:
        shutil.copytree(site.folder / name, kept / name)
    return kept


def put_back_files(site: Site, kept: Path) -> None:
    """Put back whole files, of store and mirror."""
    for name in FILES:
        shutil.rmtree(site.folder / name)
        shutil.copytree(kept / name, site.folder / name)


def put_back_store(site: Site, kept: Path) -> None:
    """Put back the store, and leave the mirror."""
    shutil.rmtree(site.folder / "store")
    shutil.copytree(kept / "store", site.folder / "store")


def put_back_rows(site: Site, kept: Path) -> None:
    """Put back every page and blob, row by row, and leave root, wraps and log as they are."""
    with site.open() as running:
        key = running.opened.database_key
    for folder, file in (("store", "vault.db"), ("mirror", "mirror.db")):
        with closing(connect(site.folder / folder / file, key, "rw")) as now:
            with closing(connect(kept / folder / file, key, "rw")) as old:
                pages = old.execute("SELECT number, sealed FROM page").fetchall()
            now.executemany("UPDATE page SET sealed = ? WHERE number = ?", [p[::-1] for p in pages])


WAYS = [put_back_files, put_back_store, put_back_rows]


def decide(custodian: Custodian, change: Change) -> None:
    """Have a change of officers or rules made."""
    desk = custodian.desk
    changes = desk.told("ada", "GET", "/v1/officers")["changes"]
    told = desk.told(
        "rita", "POST", "/v1/officers/proposals", desk.signer("rita").proposal(change, changes)
    )
    for name in ("ana", "leo"):
        signed = desk.signer(name).approval(bytes.fromhex(told["proposal"]), change)
        desk.told(name, "POST", "/v1/officers/proposals/approve", signed)


def approve(custodian: Custodian, case: Json) -> Json:
    for name in ("ana", "leo"):
        case = custodian.desk.take(name, case, Act.APPROVE)
    return case


def hold(custodian: Custodian, case: Json) -> None:
    custodian.desk.take("sam", case, Act.HOLD, reason="court-case")


def dismiss(custodian: Custodian, case: Json) -> None:
    del case
    decide(custodian, RemoveOfficer(officer=custodian.site.officers.officers["max"].id.hex()))


def make_stricter(custodian: Custodian, case: Json) -> None:
    del case
    decide(custodian, SetRules(approvals=3, cooling_off_days=30))


def void(custodian: Custodian, case: Json) -> None:
    custodian.desk.take("rita", case, Act.WITHDRAW)


def amend(custodian: Custodian, case: Json) -> None:
    ids = [bytes.fromhex(each["record_id"]) for each in case["named"]]
    content = custodian.desk.content(ids, note="amended")  # type: ignore[arg-type]
    signed = custodian.desk.signer("rita").amendment(case["next"], content)
    custodian.desk.told("rita", "POST", f"/v1/cases/{case['case']}/steps", signed)


def enlist(custodian: Custodian, case: Json) -> None:
    del case
    key = format_public_key(OfficerKey.generate().public())
    decide(custodian, AddOfficer(name="new", roles=[Role.LEGAL], key=key))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("newer", [hold, dismiss, make_stricter, void, amend, enlist])
def test_what_was_before_does_not_come_back(
    site: Site,
    newer: Callable[[Custodian, Json], None],
    way: Callable[[Site, Path], None],
) -> None:
    """Approved by two, then stopped by one of these; the operator wants it as it was."""
    assert isinstance(site.clocks, SetClocks)
    with site.open() as custodian:
        case = approve(custodian, custodian.desk.open([custodian.add("one", nhs(1))]))
    kept = keep(site)
    with site.open() as custodian:
        newer(custodian, case)
        before = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
        office = custodian.desk.told("ada", "GET", "/v1/officers")
    way(site, kept)
    site.clocks.let_days_pass(14)
    try:
        with site.open() as custodian:
            # What was put back has been put right from the mirror, or was the same.
            again = custodian.desk.told("ada", "GET", f"/v1/cases/{case['case']}")
            assert again["steps"] == before["steps"]
            assert custodian.desk.told("ada", "GET", "/v1/officers") == office
    except KeysError:
        return


def test_nothing_is_due_because_an_anchor_was_put_back(site: Site) -> None:
    """It only loses time: the case waits longer."""
    assert isinstance(site.clocks, SetClocks)
    anchor = site.folder / "slot-0" / "anchor"
    with site.open() as custodian:
        approve(custodian, custodian.desk.open([custodian.add("one", nhs(1))]))
    old = anchor.read_bytes()
    with site.open() as custodian:
        site.clocks.let_days_pass(13)
    anchor.write_bytes(old)
    with site.open() as custodian:
        site.clocks.let_days_pass(13)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"
        site.clocks.let_days_pass(1)
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "no-record"


@pytest.mark.parametrize("days", [-3_000, 3_000])
def test_a_clock_that_is_set_over_a_restart_makes_nothing_due(site: Site, days: int) -> None:
    assert isinstance(site.clocks, SetClocks)
    with site.open() as custodian:
        approve(custodian, custodian.desk.open([custodian.add("one", nhs(1))]))
    site.clocks.at += days * 86_400
    with site.open() as custodian:
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"
        site.clocks.run += 13 * 86_400
        custodian.call(tend)
        assert custodian.outcome(nhs(1)) == "known"

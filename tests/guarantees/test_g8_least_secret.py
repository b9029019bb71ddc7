"""G8: least secret. What each process's memory holds, and what it does not.

*Worker.* The index key, the token key, tags, handles and the hashes of clients' secrets: never a
data key, a lookup key, an identifier, a payload, or anything that opens the vault, whatever it was
asked.

*Custodian.* While it runs it holds what opens the vault, by necessity. After a shred nothing in it
refers to the record's key, identifiers, handles or content any more. Freed memory is another
matter: CPython and its libraries do not wipe what they free, so copies may stay until something
else is written there. That is why the process is undumpable, has no core dumps, and why the service
has no swap (deploy/lacuna.service). With the next start they are certainly gone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from keys.entry import EntryId
from lookup.officers.roles import Act
from tests.guarantees.memory import find_in_memory, find_reachable
from tests.simulator import Custodian, Json, Site, nhs, record

MARKER = "Sorrel-Bexley-7731"
LOCAL = "local:AXT:MARKER-7731"


@dataclass
class Known:
    """What a test knows of a record, to look for it."""

    id: EntryId
    needles: dict[str, bytes]


def know(custodian: Custodian, members: Json) -> Known:
    """Add a record; return all that says something of it."""
    added = custodian.feed.post("/v1/records", json=members)
    record_id = EntryId(bytes.fromhex(added.json()["record_id"]))
    found = custodian.call(lambda custody: custody.record(record_id))
    assert found is not None
    return Known(
        record_id,
        {
            "data key": found.body.dek,
            "identifier": nhs(1)[4:].encode(),
            "local number": LOCAL[6:].encode(),
            "handle": found.body.links[0].handle,
            "other handle": found.body.links[1].handle,
            "fingerprint": found.body.fingerprint,
            "source reference": members["source_ref"].encode(),
            "payload": MARKER.encode(),
        },
    )


def secrets_of(custodian: Custodian) -> dict[str, bytes]:
    """Return what opens the vault, or finds children in it."""
    key = custodian.call(lambda custody: custody.policy.live_keys()[0].key.expose())
    lock = custodian.call(lambda custody: custody.lock)
    root_key = custodian.call(lambda custody: custody.vault._state.tree.root_key.expose())
    return {
        "lookup key": key,
        "database key": lock.database_key.expose(),
        "key encryption key": lock.kek.expose(),
        "root key": root_key,
        "officer's private key": custodian.site.officers.keys["ana"].expose(),
    }


def _case_key(custodian: Custodian) -> bytes:
    """Return the key of the only case."""
    (case,) = custodian.call(lambda custody: list(custody.docket.cases.values()))
    return case.key.expose()


def _salt(case: Json) -> bytes:
    """Return what opens the case's commitments in the log."""
    return bytes.fromhex(case["next"]["salt"])


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


MEMBERS = record("source-7731", nhs(1), LOCAL, payload={"note": MARKER})


def test_a_worker_holds_nothing_that_opens_a_record_or_makes_a_token(site: Site) -> None:
    """Nor whom it was asked about; also after answers, a rotation and a change."""
    worker = site.spawn_worker(0, "--testing-only-dumpable")
    with site.open() as custodian:
        known = know(custodian, MEMBERS)
        asking = custodian.enrol()
        worker.ready()
        for _ in range(20):
            assert worker.outcome(asking, nhs(1)) == "known"
            assert worker.outcome(asking, nhs(2)) == "no-record"
        custodian.officer.post("/v1/local/lookup-keys")
        custodian.await_build()
        assert worker.outcome(asking, nhs(1)) == "known"
        secret = secrets_of(custodian)
        publication = custodian.call(lambda custody: custody.publication)
        assert publication is not None
        held = {
            "index key": publication.key.expose(),
            "handle": known.needles.pop("handle"),
            "other handle": known.needles.pop("other handle"),
            "client": bytes.fromhex(asking.secret.fingerprint()),
            "token key": custodian.custody.token_key,
        }
        asked = {"unknown identifier": nhs(2)[4:].encode()}
        found = find_in_memory(worker.process.pid, held | known.needles | secret | asked)
    assert {name for name, count in found.items() if count} == set(held)


def test_after_a_shred_nothing_refers_to_the_record(site: Site) -> None:
    """In the custodian; nor, once another epoch has begun, to the keys of the one before."""
    with site.open() as custodian:
        known = know(custodian, MEMBERS)
        secret = secrets_of(custodian)
        roots = [custodian.custody, custodian.writer, custodian.app]
        assert custodian.feed.get(f"/v1/records/{known.id.hex()}").status_code == 200
        held = find_reachable(roots, known.needles | secret)
        assert "root key" in held
        custodian.call(lambda custody: custody.begin_build())
        with custodian.unscheduled():
            case = custodian.desk.approved([known.id], note=MARKER)
            known.needles |= {"case's key": _case_key(custodian), "case's salt": _salt(case)}
            assert "case's key" in find_reachable(roots, known.needles)
            custodian.desk.take("rita", case, Act.CARRY_OUT)
        custodian.await_build()
        custodian.call(lambda _: None)
        found = find_reachable(roots, known.needles | {"root key": secret["root key"]})
        assert found == set()
        table = custodian.call(lambda custody: custody.publication)
        assert table is not None
        raw = table.table.path.read_bytes()
        assert not any(known.needles[name] in raw for name in ("handle", "other handle"))


def test_freed_memory_is_not_wiped_and_a_restart_ends_it(site: Site) -> None:
    """The scan of a real process: what it shows after a shred is told, not promised."""
    with site.open() as custodian:
        known = know(custodian, MEMBERS)
        opens = {"database key": secrets_of(custodian)["database key"]}
    process = site.spawn_custodian("--testing-only-dumpable")
    process.await_log("ready: ")
    with site.feed() as feed, site.officer() as officer:
        path = f"/v1/records/{known.id.hex()}"
        assert feed.get(path).json()["payload"]["note"] == MARKER
        before = find_in_memory(process.pid, known.needles | opens)
        assert before["database key"]
        assert any(before[name] for name in known.needles)  # so that the scan is known to work
        site.desk(officer).expunge(known.id)
        assert feed.get(path).status_code == 404
        remains = find_in_memory(process.pid, known.needles)
    # Copies in freed memory: a few at most, of whatever was not overwritten yet.
    assert max(remains.values()) <= 16, remains
    process.stop()
    again = site.spawn_custodian("--testing-only-dumpable")
    again.await_log("ready: ")
    found = find_in_memory(again.pid, known.needles | opens)
    assert {name for name, count in found.items() if count} == {"database key"}

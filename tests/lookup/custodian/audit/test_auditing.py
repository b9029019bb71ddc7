"""The custodian's half of the audit, in a custodian with its writer thread and its interfaces."""

import json
import secrets
import time
from collections.abc import Iterator

import pytest

from keys.entry import EntryId, Kind, Remove
from keys.slot.lock import Passphrase
from lookup.audit.entry import ABSENT, SCHEDULED, UNSCHEDULED
from lookup.custodian.audit.alarms import MOST_IN_AN_HOUR
from lookup.custodian.audit.notices import DAY
from lookup.custodian.custody import Custody
from lookup.custodian.unlocking import open_site
from lookup.handoff import Audit
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.lookup.raw_http import wait_until
from tests.processes import LONG
from tests.simulator import PASSPHRASE, Custodian, Json, Site, nhs


def segment_of(custodian: Custodian) -> SegmentFile:
    """Begin a segment as a worker of this custodian would."""

    def handed_out(custody: Custody) -> Audit:
        return custody.audit.handed_out(demo=True)

    return SegmentFile(custodian.call(handed_out), custodian.custody.vault.id)


def handles_of(custodian: Custodian, record_id: EntryId) -> list[bytes]:
    record = custodian.call(lambda custody: custody.record(record_id))
    assert record is not None
    return [link.handle for link in record.body.links]


def accesses(custodian: Custodian, query: str = "") -> Json:
    """Read the authority's feed."""
    response = custodian.feed.get(f"/v1/accesses{query}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def walk(custodian: Custodian, path: str) -> list[Json]:
    """Have the chain walked; return what was said but for the progress."""
    response = custodian.officer.post(f"/v1/local/audit/{path}")
    assert response.status_code == 200, response.text
    lines = [json.loads(line) for line in response.text.splitlines()]
    return [line for line in lines if "done" not in line]


def verdict(custodian: Custodian) -> Json:
    (said,) = walk(custodian, "verify")
    return dict(said["verdict"])


@pytest.fixture
def segment(custodian: Custodian) -> Iterator[SegmentFile]:
    made = segment_of(custodian)
    yield made
    made.close()


class TestFeed:
    """Who looked at which record of an authority."""

    def test_an_access_is_told_with_its_record(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        enrolment = custodian.enrol("St. Elsewhere")
        record_id = custodian.add("one", nhs(1), nhs(2))
        handles = handles_of(custodian, record_id)
        client = bytes.fromhex(enrolment.client_id)
        segment.ask([[handles[1]]], head_of(client=client, encounter=b"e-1"))
        found = accesses(custodian)
        (access,) = found["accesses"]
        assert access == {
            "cursor": found["cursor"],
            "record_id": record_id.hex(),
            "authority": "AXT",
            "source_ref": "one",
            "time": "2027-01-15T08:00:00.000Z",
            "client": enrolment.client_id,
            "client_name": "St. Elsewhere",
            "user": "a user",
            "role": "a role",
            "purpose": "unscheduled-care",
        }
        assert found["more"] is False
        after = accesses(custodian, f"?after={found['cursor']}")
        assert after == {"accesses": [], "cursor": found["cursor"], "more": False}

    @pytest.mark.parametrize(
        ("purpose", "told"), [(UNSCHEDULED, True), (SCHEDULED, False), (ABSENT, True)]
    )
    def test_scheduled_care_is_silent(self, shared: Custodian, purpose: int, *, told: bool) -> None:
        """CP-IS: a planned appointment is no news to a social worker; no purpose is one."""
        record_id = shared.add(f"purpose-{purpose}", nhs(10 + purpose))
        segment = segment_of(shared)
        segment.ask([handles_of(shared, record_id)], head_of(purpose=purpose))
        found = [a["record_id"] for a in accesses(shared, "?limit=1000")["accesses"]]
        assert (record_id.hex() in found) == told

    def test_one_notice_for_an_encounter(self, custodian: Custodian, segment: SegmentFile) -> None:
        """However often, by whomever, with either identifier; also over several intakes."""
        record_id = custodian.add("one", nhs(1), nhs(2))
        one, two = handles_of(custodian, record_id)
        for _ in range(2):
            segment.ask([[one]], head_of(encounter=b"e-1"))
            segment.ask([[two], [one, two]], head_of(encounter=b"e-1", user=b"another"))
            segment.ask([[one]], head_of(encounter=b"e-2"))
            segment.ask([[one]], head_of(encounter=b"e-1", client=b"d" * 14))
            assert len(accesses(custodian)["accesses"]) == 3
        for _ in range(2):
            segment.ask([[one]])
        assert len(accesses(custodian)["accesses"]) == 5, "without an encounter each counts"

    def test_pages_follow_each_other(self, custodian: Custodian, segment: SegmentFile) -> None:
        record_id = custodian.add("one", nhs(1))
        handles = handles_of(custodian, record_id)
        for _ in range(50):
            segment.ask([handles])
        cursor, seen = "0" * 16, []
        more = True
        while more:
            found = accesses(custodian, f"?after={cursor}&limit=7")
            seen += [access["cursor"] for access in found["accesses"]]
            cursor, more = found["cursor"], found["more"]
        assert len(seen) == len(set(seen)) == 50
        assert seen == sorted(seen)

    @pytest.mark.parametrize(
        "query",
        ["after=1", "limit=0", "limit=1001", "limit=5&after=" + "0" * 16, "after=" + "f" * 16, "x"],
    )
    def test_anything_else_in_a_query_is_refused(self, shared: Custodian, query: str) -> None:
        assert shared.feed.get(f"/v1/accesses?{query}").status_code == 400

    def test_it_is_for_officers(self, shared: Custodian) -> None:
        headers = {"authorization": "Bearer no"}
        assert shared.feed.get("/v1/accesses", headers=headers).status_code == 401

    def test_notices_leave_with_their_record(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        """G1: and in the same epoch change; those of others stay, also in the same batch."""
        kept, gone = (custodian.add(ref, nhs(n)) for n, ref in enumerate(("kept", "gone")))
        for record_id in (kept, gone, kept):
            segment.ask([handles_of(custodian, record_id)])
        before = custodian.call(lambda custody: custody.vault.version.epoch)
        assert len(accesses(custodian)["accesses"]) == 3
        segment.ask([handles_of(custodian, gone)])
        custodian.shred(gone)

        def notices(custody: Custody) -> tuple[int, bytes]:
            vault = custody.vault
            bodies = vault.scan_bodies(Kind.NOTICE, range(vault.leaves))
            return vault.version.epoch, b"".join(bytes(body) for _, body in bodies)

        epoch, stored = custodian.call(notices)
        assert epoch == before + 1
        assert bytes(gone) not in stored
        assert bytes(kept) in stored
        assert {a["record_id"] for a in accesses(custodian)["accesses"]} == {kept.hex()}

    def test_it_survives_a_restart(self, site: Site) -> None:
        """Stored or not yet; and no visit is told twice."""
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            handles = handles_of(custodian, record_id)
            segment = segment_of(custodian)
            segment.ask([handles], head_of(encounter=b"e-1"))
            assert len(accesses(custodian)["accesses"]) == 1
            segment.ask([handles], head_of(encounter=b"e-2"))
            custodian.call(lambda custody: custody.audit.take_in())
        segment.ask([handles], head_of(encounter=b"e-3"))
        segment.ask([handles], head_of(encounter=b"e-1"))
        with site.open() as custodian:
            cursors = [access["cursor"] for access in accesses(custodian)["accesses"]]
            assert len(cursors) == 3
            assert cursors == sorted(cursors)

    def test_what_was_delivered_leaves_with_a_purge_a_day_later(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        record_id = custodian.add("one", nhs(1))
        handles = handles_of(custodian, record_id)
        now = int(time.time())
        segment.ask([handles], head_of((now - 2 * DAY) * 1_000_000))
        cursor = accesses(custodian)["cursor"]
        segment.ask([handles], head_of((now - 2 * DAY) * 1_000_000))
        accesses(custodian)
        custodian.call(lambda custody: custody.purge(now))
        assert len(accesses(custodian)["accesses"]) == 2, "not delivered"
        accesses(custodian, f"?after={cursor}")
        custodian.call(lambda custody: custody.purge(now))
        assert len(accesses(custodian)["accesses"]) == 1
        custodian.call(lambda custody: custody.purge(now + 100 * DAY))
        assert accesses(custodian)["accesses"] == [], "nobody fetches them any more"


class TestRenewal:
    """What was answered before a removal is learnt before its answers close."""

    def test_an_epoch_change_takes_in_what_there_is(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        ids = [custodian.add(f"ref-{n}", nhs(n)) for n in range(2)]
        old = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
        for record_id in ids:
            segment.ask([handles_of(custodian, record_id)])
        custodian.shred(ids[0])
        new = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
        assert new.answer_key != old.answer_key
        assert (new.witness_key, new.public_key) == (old.witness_key, old.public_key)
        (access,) = accesses(custodian)["accesses"]
        assert access["record_id"] == ids[1].hex()
        assert custodian.custody.alarms.untold == 0
        view = custodian.custody.door._view
        assert view is not None
        assert view.audit == new

    def test_what_a_cut_off_key_sealed_is_found_by_witnesses(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        """In idle moments; an entry that says *no record* has nothing to be found."""
        record_id = custodian.add("one", nhs(1), nhs(2))
        one, two = handles_of(custodian, record_id)
        custodian.call(lambda custody: custody.vault.purge())
        segment.ask([[], [one, two]], head_of(encounter=b"e-1"))
        segment.ask([[]])
        told = custodian.call(lambda custody: custody.audit.keys.told)
        found: list[Json] = []

        def is_told() -> bool:
            found[:] = accesses(custodian)["accesses"]
            return bool(found)

        wait_until(is_told, LONG)
        assert [access["record_id"] for access in found] == [record_id.hex()]
        assert custodian.call(lambda custody: custody.audit.keys.told) == told + 2

    def test_what_waits_when_a_custodian_dies_is_opened_by_the_next(self, site: Site) -> None:
        """Its start changes the epoch, and keeps the former key until all is taken in."""
        with site.open() as custodian:
            record_id = custodian.add("one", nhs(1))
            segment = segment_of(custodian)
            segment.ask([handles_of(custodian, record_id)])
            custodian.opened.vault.stop()
        with site.open() as custodian:
            assert len(custodian.opened.vault.started_with) == 1
            assert len(accesses(custodian)["accesses"]) == 1
            assert custodian.custody.audit._former == []

    def test_a_vault_of_before_gets_its_keys(self, site: Site) -> None:
        opened = open_site(site.config, Passphrase(PASSPHRASE.encode()), int)
        keys = [
            Remove(kind, entry.id)
            for kind in (Kind.AUDIT_KEY, Kind.ANSWER_KEY)
            for entry in opened.vault.scan(kind)
        ]
        opened.vault.commit(tuple(keys))
        opened.close()
        site.config.audit.rmdir()
        with site.open() as custodian:
            segment = segment_of(custodian)
            segment.ask([handles_of(custodian, custodian.add("one", nhs(1)))])
            assert len(accesses(custodian)["accesses"]) == 1


class TestOfficers:
    """What `lacuna audit` asks."""

    def test_a_records_accesses_are_all_found(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        """Also those of before a key was renewed, scheduled ones, and in a batch."""
        wanted, other = (custodian.add(f"ref-{n}", nhs(n), nhs(n + 10)) for n in range(2))
        one, two = handles_of(custodian, wanted)
        asked = [segment.ask([[one]], head_of(encounter=b"e-1"))]
        custodian.call(lambda custody: custody.vault.purge())
        asked.append(segment_of(custodian).ask([[], [two]], head_of(purpose=SCHEDULED)))
        segment_of(custodian).ask([handles_of(custodian, other)])
        segment_of(custodian).ask([[]])
        *found, end = walk(custodian, f"accesses/{wanted.hex()}")
        assert end == {"complete": True}
        assert {each["access"]["purpose"] for each in found} == {
            "unscheduled-care",
            "scheduled-care",
        }
        shown = custodian.feed.get(f"/v1/records/{wanted.hex()}").json()["accesses"]
        assert shown["complete"]
        own, *others = shown["latest"]
        assert own["client_name"] == "officer feed"
        assert sorted(map(str, others)) == sorted(str(each["access"]) for each in found)

    def test_the_last_accesses_are_shown_with_the_record(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        record_id = custodian.add("one", nhs(1))
        handles = handles_of(custodian, record_id)
        for at in range(30):
            segment.ask([handles], head_of(encounter=b"e-%d" % at))
        custodian.call(lambda custody: custody.audit.take_in())
        shown = custodian.feed.get(f"/v1/records/{record_id.hex()}").json()["accesses"]
        assert [each["encounter"] for each in shown["latest"]] == [
            None,  # whoever reads it now
            *(f"e-{at}" for at in range(29, 5, -1)),
        ]

    def test_nobody_has_asked_for_a_record_that_is_not_there(self, shared: Custodian) -> None:
        path = f"/v1/local/audit/accesses/{secrets.token_hex(16)}"
        assert shared.officer.post(path).status_code == 404

    @pytest.mark.parametrize("path", ["verify", "export"])
    def test_the_chain_is_for_this_machines_officers(self, shared: Custodian, path: str) -> None:
        assert shared.feed.post(f"/v1/local/audit/{path}").status_code == 404

    def test_a_sound_chain(self, custodian: Custodian, segment: SegmentFile) -> None:
        for _ in range(3):
            segment.append([segment.maker.make(head_of(), [[]]) for _ in range(2)])
        said = verdict(custodian)
        assert said == {
            "rows": 3,
            "entries": 6,
            "gaps": [],
            "unreadable": [],
            "broken": None,
            "anchored": True,
            "sound": True,
        }

    def test_an_export_says_who_asked_and_not_what_was_answered(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        record_id = custodian.add("one", nhs(1))
        handles = handles_of(custodian, record_id)
        asked = segment.ask([handles, []], head_of(encounter=b"e-1"))
        (said, end) = walk(custodian, "export")
        assert end == {"complete": True}
        entry = said["entry"]
        assert (entry["id"], entry["tokens"], entry["encounter"]) == (asked.hex(), 2, "e-1")
        text = json.dumps(said)
        assert record_id.hex() not in text
        assert handles[0].hex() not in text


class TestAlarms:
    """G12: counted, and logged without a name."""

    def test_a_client_that_asks_for_more_than_care_explains(
        self, custodian: Custodian, segment: SegmentFile
    ) -> None:
        record_id = custodian.add("one", nhs(1))
        handles = handles_of(custodian, record_id)
        for _ in range(-(-MOST_IN_AN_HOUR // 1_000)):
            segment.ask([handles] * 1_000)
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.enumeration == 0
        segment.ask([handles])
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.enumeration == 1
        segment.ask([handles])
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.enumeration == 1, "once an hour"

    @pytest.mark.parametrize(("known", "alarm"), [(2, True), (3, False)])
    def test_a_client_that_hits_hardly_any_child(
        self, custodian: Custodian, segment: SegmentFile, known: int, *, alarm: bool
    ) -> None:
        handles = handles_of(custodian, custodian.add("one", nhs(1)))
        segment.ask([handles] * known + [[]] * (1_000 - known))
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.enumeration == alarm

    def test_other_hours_count_anew(self, custodian: Custodian, segment: SegmentFile) -> None:
        for hour in range(3):
            segment.ask([[]] * 900, head_of(hour * 3_600_000_000))
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.enumeration == 0
        assert custodian.custody.alarms.entries == 3

    def test_honey(self, site: Site, caplog: pytest.LogCaptureFixture) -> None:
        """It is in the table, marked, and answered like nothing; to ask for it is an alarm."""
        names = {"honey": False, "child-protection-plan": True}
        site.tables["category"] = [{"name": n, "answerable": a} for n, a in names.items()]
        site.configure()
        with site.open() as custodian:
            enrolment = custodian.enrol()
            record_id = custodian.add("nobody", nhs(1), category="honey")
            publication = custodian.custody.publication
            assert publication is not None
            assert len(publication.table) == 2
            assert custodian.outcome(nhs(1)) == "no-record"
            segment = segment_of(custodian)
            client = bytes.fromhex(enrolment.client_id)
            segment.ask([handles_of(custodian, record_id)], head_of(client=client))
            assert accesses(custodian)["accesses"] == []
            assert custodian.custody.alarms.honey == 1
        assert f"client {enrolment.client_id} asked for a honey record" in caplog.text
        assert nhs(1) not in caplog.text
        assert record_id.hex() not in caplog.text

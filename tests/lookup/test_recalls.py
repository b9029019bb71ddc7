"""Recalls all the way: the SDK of two hospitals, two real workers, a real door.

What the custodian recalls is written by hand here; when it forgets that again is its own matter.
"""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import msgspec
import pytest

from lookup.client.attempts import Patience
from lookup.client.enrolment import Enrolment
from lookup.client.outcome import Known, Recall
from lookup.client.questions import Occasion, User
from lookup.client.sync import LookupClient
from lookup.custodian.custody import Custody
from lookup.handoff import Recall as Listed
from lookup.identifiers import parse_identifier
from tests.lookup.raw_http import wait_until
from tests.simulator import Custodian, Site, Worker, nhs

CHILD = parse_identifier(nhs(1))
OCCASION = Occasion(User("nurse-4711", "triage nurse"))
# A worker that was killed leaves its socket listening: only the time limit of an attempt helps.
PATIENT = Patience(total_seconds=30, attempt_seconds=3, attempts=8)


class Recalling:
    """A site whose custodian recalls what it is told to, until that is acknowledged."""

    def __init__(self, site: Site, custodian: Custodian) -> None:
        self.site, self.custodian = site, custodian
        self.workers = [site.spawn_worker(slot) for slot in range(2)]
        self.enrolments = [custodian.enrol(name) for name in ("St. Elsewhere", "St. Somewhere")]
        self.listed: dict[bytes, Listed] = {}
        self.heard: list[tuple[str, list[bytes]]] = []
        custodian.custody.door.on_acknowledged = self._take
        custodian.await_build()
        wait_until(lambda: len(custodian.custody.door.workers()) == 2, 60)

    def recall(self, number: int, enrolment: Enrolment, *requests: UUID) -> Recall:
        """Recall these; return what a client reads of it."""
        listed = Listed(
            enrolment.client_id, number.to_bytes(16, "big"), [each.bytes for each in requests]
        )
        self.listed[listed.id] = listed
        self.custodian.call(self._publish)
        return Recall(listed.id.hex(), requests)

    def client(self, enrolment: Enrolment, *workers: Worker) -> LookupClient:
        """A hospital that knows these workers' addresses, in this order."""
        urls = tuple(f"http://127.0.0.1:{worker.address[1]}" for worker in workers)
        return LookupClient(replace(enrolment, base_urls=urls), patience=PATIENT)

    def _take(self, client: str, recalls: list[bytes]) -> None:
        """Only take note, as a door wants it; the writer's thread does the rest."""
        self.heard.append((client, recalls))
        self.custodian.writer.call(lambda custody: self._forget(custody, client, recalls))

    def _forget(self, custody: Custody, client: str, recalls: list[bytes]) -> None:
        for each in recalls:
            if each in self.listed and self.listed[each].client == client:
                del self.listed[each]
        self._publish(custody)

    def _publish(self, custody: Custody) -> None:
        assert custody.publication is not None
        view = custody._next_view(custody.publication)
        recalls = list(self.listed.values())
        custody.door.publish(msgspec.structs.replace(view, recalls=recalls))


@pytest.fixture(scope="module")
def recalling() -> Iterator[Recalling]:
    """One site for all tests; each leaves it without recalls."""
    with Site(workers=2) as site, site.open() as custodian:
        yield Recalling(site, custodian)


def test_a_recall_names_what_was_answered(recalling: Recalling) -> None:
    """An answer's request_id is the one that the custodian's audit has, and so the recall's."""
    mine, _ = recalling.enrolments
    record_id = recalling.custodian.add("recalled", CHILD.text)
    with recalling.client(mine, *recalling.workers) as client:
        answer = client.lookup(CHILD, OCCASION)
        assert isinstance(answer, Known)

        def audited() -> list[str]:
            content = recalling.custodian.feed.get(f"/v1/records/{record_id.hex()}").json()
            found = [each["request_id"] for each in content["accesses"]["latest"]]
            return [each for each in found if each == answer.request_id.hex]

        wait_until(lambda: bool(audited()))
        recall = recalling.recall(1, mine, answer.request_id)
        (found,) = client.recalls()
        assert found == recall
        assert answer.request_id in found.requests
        client.acknowledge([found])


def test_a_hospital_deletes_and_acknowledges_until_nothing_is_left(recalling: Recalling) -> None:
    """More than one list holds; each is gone at every worker as soon as it is acknowledged."""
    mine, _ = recalling.enrolments
    for number in range(130):
        recalling.listed[number.to_bytes(16, "big")] = Listed(
            mine.client_id, number.to_bytes(16, "big"), [UUID(int=number).bytes]
        )
    recalling.custodian.call(recalling._publish)
    first, second = recalling.workers
    deleted: list[UUID] = []
    with recalling.client(mine, first) as client, recalling.client(mine, second) as other:
        while recalls := client.recalls():
            deleted += [request for recall in recalls for request in recall.requests]
            client.acknowledge(recalls)
            assert not set(recalls) & set(other.recalls())

    assert deleted == [UUID(int=number) for number in range(130)]
    assert recalling.listed == {}


def test_what_one_worker_told_another_one_acknowledges(recalling: Recalling) -> None:
    """Whichever answers next; and twice does no harm."""
    mine, _ = recalling.enrolments
    recall = recalling.recall(7, mine, UUID(int=7))
    first, second = recalling.workers
    with recalling.client(mine, first) as client, recalling.client(mine, second) as other:
        assert client.recalls() == (recall,)
        other.acknowledge([recall])
        client.acknowledge([recall])
        assert client.recalls() == other.recalls() == ()


class TestAnotherClient:
    """A hospital that is curious about what was withdrawn from others (THREAT-MODEL.md, A4)."""

    def test_hears_nothing_of_it_and_cannot_hide_it(self, recalling: Recalling) -> None:
        """What it acknowledges of another's is told like any id, and reaches no custodian."""
        mine, theirs = recalling.enrolments
        recall = recalling.recall(8, theirs, UUID(int=8))
        heard = len(recalling.heard)
        with (
            recalling.client(mine, *recalling.workers) as curious,
            recalling.client(theirs, *recalling.workers) as client,
        ):
            assert curious.recalls() == ()
            curious.acknowledge([recall])
            assert len(recalling.heard) == heard
            assert client.recalls() == (recall,)
            client.acknowledge([recall])
        assert recalling.heard[heard:] == [(theirs.client_id, [bytes.fromhex(recall.id)])]


def test_a_worker_that_is_killed_takes_no_acknowledgement_with_it(recalling: Recalling) -> None:
    """The other one is asked, and a new one knows what is left."""
    mine, _ = recalling.enrolments
    recall = recalling.recall(9, mine, UUID(int=9))
    first, second = recalling.workers
    with recalling.client(mine, first, second) as client:
        assert client.recalls() == (recall,)
        first.process.kill()
        client.acknowledge([recall])
    recalling.workers[0] = recalling.site.spawn_worker(0).ready()
    with recalling.client(mine, recalling.workers[0]) as client:
        assert client.recalls() == ()

"""G2: expunged looks like never stored, byte by byte, through a real worker.

That both cost the same work is for tests/lookup/worker/test_no_record.py and bench/: what remains
of a record that may not be answered is either nothing, or a link that is read like any other.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lookup.client.enrolment import Enrolment
from tests.lookup.raw_http import Connection, Response
from tests.simulator import Custodian, Site, Worker, nhs, question, record

NEVER, SHREDDED, SHREDDED_OF_A_BATCH, REPLACED, ALLEGATION, RESTRICTED, EXPIRED, EXPIRES, KNOWN = (
    nhs(number) for number in range(1, 10)
)
UNKNOWN = {
    "never known": NEVER,
    "shredded": SHREDDED,
    "shredded with others": SHREDDED_OF_A_BATCH,
    "an alias that was taken away": REPLACED,
    "stored, of a category that is not answered": ALLEGATION,
    "changed to such a category": RESTRICTED,
    "expired before the table was made": EXPIRED,
    "expired since": EXPIRES,
}


@pytest.fixture(scope="module")
def plane() -> Iterator[tuple[Worker, Enrolment]]:
    with Site() as site:
        worker = site.spawn_worker()
        with site.open() as custodian:
            asking = custodian.enrol()
            fill(custodian)
            worker.ready()
            yield worker, asking
        assert custodian.failures == []


def fill(custodian: Custodian) -> None:
    """Make each of them what its name says."""
    custodian.add("known", KNOWN)
    custodian.shred(custodian.add("shredded", SHREDDED))
    batch = [custodian.add(f"batch-{n}", SHREDDED_OF_A_BATCH, nhs(50 + n)) for n in range(3)]
    custodian.shred(*batch)
    custodian.add("allegation", ALLEGATION, category="allegation")
    put(custodian, custodian.add("alias", REPLACED, nhs(60)).hex(), record("alias", nhs(60)))
    restricted = record("restricted", RESTRICTED, category="enquiry-no-further-action")
    put(custodian, custodian.add("restricted", RESTRICTED).hex(), restricted)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    ended = {"since": "2020-01-01", "until": "2020-02-01", "answer_until": yesterday.isoformat()}
    custodian.add("expired", EXPIRED, **ended)
    # A table that was begun before it expired has it still, and the worker sees that it is over.
    custodian.call(lambda custody: setattr(custody, "today", lambda: yesterday))
    custodian.call(lambda custody: custody.begin_build())
    custodian.await_build()
    custodian.add("expires", EXPIRES, **ended)


def put(custodian: Custodian, record_id: str, members: object) -> None:
    headers = {"if-match": '"1"'}
    answer = custodian.feed.put(f"/v1/records/{record_id}", json=members, headers=headers)
    assert answer.status_code == 200


_SPECIFIC = re.compile(rb"(?i)^(x-request-id|date): [^\r]*", re.MULTILINE)


def specific_left_out(answer: Response) -> tuple[int, bytes, bytes]:
    """Return status, head and body without what belongs to the one request, and the padding."""
    members = json.loads(answer.body)
    members.pop("padding")
    order = re.findall(rb'"([a-z]+)":', answer.body)
    return answer.status, _SPECIFIC.sub(rb"\1: ...", answer.head), repr((members, order)).encode()


def test_all_reasons_not_to_answer_look_alike(plane: tuple[Worker, Enrolment]) -> None:
    """Status, headers and their order, length, body: all but request id, date and padding."""
    worker, asking = plane
    answers = {name: worker.ask(asking, child) for name, child in UNKNOWN.items()}
    seen = {name: specific_left_out(answer) for name, answer in answers.items()}
    assert seen["never known"][0] == 200
    assert {"no-record"} == {answer.json["outcome"] for answer in answers.values()}
    assert {name: each for name, each in seen.items() if each != seen["never known"]} == {}
    assert {len(answer.body) for answer in answers.values()} == {2048}


def test_a_known_child_has_the_same_head_and_length(plane: tuple[Worker, Enrolment]) -> None:
    """Whoever sees the encrypted traffic learns nothing of the outcome."""
    worker, asking = plane
    known, unknown = worker.ask(asking, KNOWN), worker.ask(asking, NEVER)
    assert known.json["outcome"] == "known"
    assert specific_left_out(known)[:2] == specific_left_out(unknown)[:2]
    assert len(known.body) == len(unknown.body)


def test_in_a_batch_they_look_alike_too(plane: tuple[Worker, Enrolment]) -> None:
    """256 bytes each, of which only the padding differs."""
    worker, asking = plane
    bodies = [json.loads(question(asking, child)) for child in UNKNOWN.values()]
    tokens = [body.pop("token") for body in bodies]
    body = json.dumps(bodies[0] | {"tokens": tokens}).encode()
    request = worker.request_for(asking, NEVER).replace(b"/v1/lookup ", b"/v1/lookups ")
    head = request.partition(b"\r\n\r\n")[0]
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(body), head)
    with Connection(worker.address) as connection:
        connection.send(head + b"\r\n\r\n" + body)
        answer = connection.receive()
    assert len(answer.body) == 257 * len(tokens) + 1
    pieces = [answer.body[1 + 257 * n :][:256] for n in range(len(tokens))]
    assert len({re.sub(rb'"padding":"[^"]*"', b"", piece) for piece in pieces}) == 1
    assert {json.loads(piece)["outcome"] for piece in pieces} == {"no-record"}


def test_asked_again_each_of_them_looks_the_same(plane: tuple[Worker, Enrolment]) -> None:
    """No counter, no cache, no header that depends on how often somebody was asked about."""
    worker, asking = plane
    with Connection(worker.address) as connection:
        for child in (*UNKNOWN.values(), *UNKNOWN.values()):
            connection.send(worker.request_for(asking, child))
            first = connection.receive()
            assert specific_left_out(first)[0] == 200
            assert first.json["outcome"] == "no-record"
            assert first.json["more"] is False

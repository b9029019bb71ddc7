"""G9: with everything logged that any library can log, nothing of a request is in the logs.

Identifiers, tokens, keys, secrets, users, roles, encounters, source references and payloads are
markers here, sent to both planes in requests that are answered, refused, and not even HTTP.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator

import pytest

from crypto.token import TokenMaker
from lookup.client.enrolment import Enrolment
from lookup.identifiers import parse_identifier
from lookup.officers.roles import Act
from tests.lookup.raw_http import Connection
from tests.processes import Process
from tests.simulator import (
    Json,
    Site,
    Worker,
    add,
    enrol,
    import_lines,
    nhs,
    record,
)

EVERYTHING = "--testing-only-log-everything"
MARKERS = {
    "nurse-1": "MARK-US",
    "triage nurse": "MARK-OF-ROLE",
    "encounter-1": "MARK-OF-ENC",
}
NAMED = ("MARK-SOURCE", "MARK-PAYLOAD", "MARK-CLIENT", "MARK-TOKEN", "MARK-PATH", "MARK-AUTHORITY")
CASE = ("MARK-NOTE", "MARK-EVIDENCE", "MARK-STEP")
EVIDENCE = {"purpose": "MARK-EVIDENCE", "retention": "MARK-EVIDENCE"}


@pytest.fixture(params=["text", "json"])
def logged(request: pytest.FixtureRequest) -> Iterator[tuple[Site, Process, Worker]]:
    """A custodian and a worker, in processes of their own, that log all they can."""
    options = ("--log-format", request.param, EVERYTHING)
    with Site() as site:
        worker = site.spawn_worker(0, *options)
        custodian = site.spawn_custodian(*options)
        worker.ready()
        yield site, custodian, worker


def marked(worker: Worker, asking: Enrolment, identifier: str) -> bytes:
    """A whole lookup with a marker, of the same length, wherever it names somebody."""
    request = worker.request_for(asking, identifier)
    for plain, marker in MARKERS.items():
        assert len(plain) == len(marker)
        request = request.replace(plain.encode(), marker.encode())
    return request


def send(address: tuple[str, int], *requests: bytes) -> list[int]:
    statuses = []
    for request in requests:
        with Connection(address) as connection:
            connection.send(request)
            statuses.append(connection.receive().status)
    return statuses


def spoiled(request: bytes) -> list[bytes]:
    """The same request with something wrong in each part of it."""
    return [
        request.replace(b'"user"', b'"MARK-PATH"'),
        request.replace(b"/v1/lookup", b"/v1/lookup?MARK-PATH"),
        request.replace(b"/v1/lookup", b"/MARK-PATH"),
        request.replace(b"Bearer ", b"Bearer MARK-TOKEN"),
        request.replace(b"X-Request-ID: ", b"X-Request-ID: MARK-TOKEN"),
        request.replace(b"HTTP/1.1", b"MARK-PATH/9"),
        b"MARK-PATH\x00 \r\n\r\n",
    ]


def test_nothing_of_a_request_is_in_a_log(logged: tuple[Site, Process, Worker]) -> None:
    site, custodian, worker = logged
    with site.feed() as feed, site.officer() as officer:
        asking = enrol(officer, "MARK-CLIENT")
        note = {"note": "MARK-PAYLOAD"}
        record_id = add(feed, record("MARK-SOURCE", nhs(1), payload=note))
        lines: list[Json | bytes] = [
            record("MARK-SOURCE-2", nhs(2), payload=note),
            record("MARK-SOURCE-3", "nhs:1234567890", payload=note),
            record("MARK-SOURCE-4", nhs(4), authority="MARK-AUTHORITY"),
            b'{"MARK-PAYLOAD',
        ]
        import_lines(feed, lines)
        requests = [marked(worker, asking, nhs(number)) for number in (1, 2, 3)]
        assert send(worker.address, *requests) == [200, 200, 200]
        for bad in spoiled(requests[0]):
            (status,) = send(worker.address, bad)
            assert status >= 400
        desk = site.desk(officer)
        case = desk.approved([record_id], note="MARK-NOTE", evidence=EVIDENCE)
        for path in (f"/v1/cases/{case['case']}", "/v1/cases/MARK-PATH", "/v1/cases?MARK-PATH"):
            desk.ask("ana", "GET", path)
        wrong = desk.signer("rita").step(case["next"], Act.CARRY_OUT)
        wrong |= {"text": wrong["text"] + "MARK-STEP", "content": "MARK-NOTE"}
        assert desk.ask("rita", "POST", f"/v1/cases/{case['case']}/steps", wrong).status_code >= 400
        desk.step("rita", case, Act.CARRY_OUT)
        for path in ("/MARK-PATH", "/v1/records/MARK-PATH", "/v1/records?MARK-PATH"):
            assert feed.get(path).status_code >= 400
        wrong = {"authorization": "Bearer MARK-TOKEN"}
        assert feed.post("/v1/records", json=lines[0], headers=wrong).status_code == 401
        assert feed.post("/v1/records", json=lines[2]).status_code == 400
        send(site.listening[0].getsockname(), *spoiled(requests[0])[5:])
    logs = {"worker": worker.process.log, "custodian": custodian.log}

    secrets = [*MARKERS.values(), *NAMED, *CASE, *secrets_of(asking), record_id.hex()]
    secrets += [case["case"], case["next"]["salt"], case["certificate"]]
    for name, log in logs.items():
        assert "Started server process" in log, name  # a foreign logger's INFO: all is on
        assert [secret for secret in secrets if secret in log] == [], name


def secrets_of(asking: Enrolment) -> list[str]:
    """What identifies children and the client, as it may be spelled."""
    found = [
        asking.secret.text(),
        asking.kid,
        urlsafe_b64encode(asking.lookup_key.expose()).decode(),
    ]
    maker = TokenMaker(asking.lookup_key)
    for number in (1, 2, 3, 4):
        scheme, value = parse_identifier(nhs(number))
        token = maker.make(scheme, value)
        found += [value, token.hex(), urlsafe_b64encode(token).rstrip(b"=").decode()]
    return [json.dumps(each)[1:-1] for each in found]

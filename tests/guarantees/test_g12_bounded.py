"""G12: enumeration is bounded. Quotas hold over all workers, and a revoked client asks no more.

A custodian and two real workers, which share the cells that a supervisor would have made. The
arithmetic alone is in tests/lookup/worker/test_quota.py, a flood of wrong secrets in test_oauth.py.
"""

import json
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from lookup.client.enrolment import Enrolment, parse_enrolment
from lookup.custodian import door as doors
from lookup.identifiers import parse_identifier
from lookup.worker.access import SPREADING_SECONDS
from tests.lookup.raw_http import Connection, wait_until
from tests.simulator import Custodian, Json, Site, Worker, nhs, question, token_request

Plane = tuple[Custodian, list[Worker]]
SECOND = 1.0


@pytest.fixture(scope="module")
def plane() -> Iterator[Plane]:
    with Site(workers=2) as site, site.open() as custodian:
        custodian.add("known", nhs(1))
        yield custodian, [site.spawn_worker(slot).ready() for slot in range(2)]
        assert custodian.failures == []


def hammer(workers: list[Worker], asking: Enrolment, times: int) -> Counter[int]:
    """Ask both workers at once, over two connections each; count the statuses."""
    statuses: list[int] = []

    def ask(worker: Worker) -> None:
        with Connection(worker.address) as connection:
            for _ in range(times):
                connection.send(worker.request_for(asking, nhs(2)))
                statuses.append(connection.receive().status)

    for worker in workers:
        worker.ask(asking, nhs(2))  # so that an access token is there; both count
    threads = [threading.Thread(target=ask, args=(worker,)) for worker in workers for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(statuses)


def test_a_daily_quota_holds_over_workers_and_their_restarts(plane: Plane) -> None:
    """Over by one request for each other worker at most, and never again that day.

    The two access tokens and the two questions before count, too.
    """
    custodian, workers = plane
    asking = custodian.enrol("A hungry client", per_day=104)

    counted = hammer(workers, asking, 100)

    assert counted.keys() == {200, 429}
    assert 100 <= counted[200] <= 101
    assert {worker.ask(asking, nhs(2)).status for worker in workers} == {429}
    workers[0].process.kill()
    workers[0] = custodian.site.spawn_worker(0).ready()
    assert workers[0].outcome(asking, nhs(2)) == "too-many-requests"
    assert hammer(workers[1:], asking, 5) == {429: 10}
    other = custodian.enrol("A client beside it", per_day=104)
    assert {worker.outcome(other, nhs(1)) for worker in workers} == {"known"}


def test_a_rate_holds_over_workers(plane: Plane) -> None:
    """So many in a second, from wherever they come; who is refused hears when to come back."""
    custodian, workers = plane
    asking = custodian.enrol("A quick client", per_second=20)
    begun = time.monotonic()

    counted = hammer(workers, asking, 100)
    seconds = int(time.monotonic() - begun) + 2

    assert counted[429] > 0
    assert counted[200] <= seconds * (20 + 1)
    # A new second may begin at any of them, and answers twenty more.
    asked = [workers[0].ask(asking, nhs(2)) for _ in range(100)]
    refused = [answer for answer in asked if answer.status == 429]
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    time.sleep(1.0)
    assert workers[0].outcome(asking, nhs(1)) == "known"


def test_a_client_whose_number_is_given_again(plane: Plane) -> None:
    """Its successor begins at nothing, whatever the other has used up."""
    custodian, workers = plane
    asking = custodian.enrol("First", per_day=3)
    assert workers[0].ask(asking, nhs(2)).status == workers[0].ask(asking, nhs(2)).status == 200
    assert workers[0].ask(asking, nhs(2)).status == 429
    cell = custodian.call(lambda custody: _cell(custody.policy.clients.values(), asking))
    revoke(custodian, asking)

    successor = custodian.enrol("Second", per_day=3)

    assert custodian.call(lambda c: _cell(c.policy.clients.values(), successor)) == cell
    assert [worker.ask(successor, nhs(2)).status for worker in workers[:1]] == [200]


def _cell(cards: object, asking: Enrolment) -> int:
    return next(int(card.cell) for card in cards if card.id == asking.client_id)  # type: ignore[attr-defined]


def revoke(custodian: Custodian, asking: Enrolment) -> Json:
    response = custodian.officer.post(f"/v1/local/clients/{asking.client_id}/revoke")
    assert response.status_code == 200, response.text
    return dict(response.json())


class TestRevoked:
    """On every worker within a second; in fact before the officer hears that it is done."""

    def test_it_is_refused_by_every_worker(self, plane: Plane) -> None:
        custodian, workers = plane
        asking, other = custodian.enrol("To be revoked"), custodian.enrol("To stay")
        for worker in workers:
            assert worker.outcome(asking, nhs(1)) == worker.outcome(other, nhs(1)) == "known"
        refused: dict[int, float] = {}
        begun = time.monotonic()

        def watch(number: int) -> None:
            with Connection(workers[number].address) as connection:
                while number not in refused:
                    connection.send(workers[number].request_for(asking, nhs(1)))
                    if connection.receive().status == 401:
                        refused[number] = time.monotonic() - begun

        threads = [threading.Thread(target=watch, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        done = revoke(custodian, asking)
        took = time.monotonic() - begun
        after = [worker.outcome(asking, nhs(1)) for worker in workers]
        for thread in threads:
            thread.join()
        print(f"refused after {max(refused.values()):.3f} s, told after {took:.3f} s")  # noqa: T201  # shown by -rP

        assert after == ["unauthorized", "unauthorized"]
        assert max(refused.values()) <= SECOND
        assert done["epoch"] == custodian.custody.vault.version.epoch
        for worker in workers:
            assert worker.outcome(other, nhs(1)) == "known"
            with Connection(worker.address) as connection:
                connection.send(token_request(asking))
                assert connection.receive().json["error"] == "invalid_client"

    def test_a_request_that_has_begun_is_refused_too(self, plane: Plane) -> None:
        custodian, (worker, _) = plane
        asking = custodian.enrol("In the middle")
        request = worker.request_for(asking, nhs(1))
        with Connection(worker.address) as connection:
            connection.send(request[:-10])
            revoke(custodian, asking)
            connection.send(request[-10:])
            assert connection.receive().status == 401

    def test_it_is_not_there_again_after_a_start(self, site: Site) -> None:
        """Its entry is forgotten by an epoch change, like any that a removal is about."""
        with site.open() as custodian:
            asking, other = custodian.enrol("Gone"), custodian.enrol("Here")
            cells = custodian.call(lambda c: _cell(c.policy.clients.values(), other))
            revoke(custodian, asking)
        worker = site.spawn_worker()
        with site.open() as custodian:
            worker.ready()
            assert worker.outcome(asking, nhs(1)) == "invalid_client"
            assert worker.outcome(other, nhs(1)) == "no-record"
            assert custodian.call(lambda c: _cell(c.policy.clients.values(), other)) == cells

    def test_a_worker_that_cannot_be_told_is_killed(
        self, plane: Plane, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that nobody is answered by a view that the officer believes is gone."""
        monkeypatch.setattr(doors, "CONFIRM_DEADLINE", 0.5)
        custodian, workers = plane
        asking = custodian.enrol("Stopped")
        workers[1].process.signal(signal.SIGSTOP)
        revoke(custodian, asking)

        assert workers[1].process.process.wait(1) == -signal.SIGKILL
        assert workers[0].outcome(asking, nhs(1)) == "invalid_client"
        workers[1] = custodian.site.spawn_worker(1).ready()


def test_a_custodian_that_starts_anew_refuses_no_access_token() -> None:
    """It draws another token key; what was given before goes on, on every worker."""
    with Site(workers=2) as site:
        workers = [site.spawn_worker(slot) for slot in range(2)]
        with site.open() as custodian:
            asking = custodian.enrol()
            first = custodian.custody.token_key
            assert {worker.ready().outcome(asking, nhs(1)) for worker in workers} == {"no-record"}
        with site.open() as custodian:
            assert custodian.custody.token_key != first
            wait_until(lambda: [c for *_, c in custodian.custody.door.workers()] == [True, True])
            assert {worker.outcome(asking, nhs(1)) for worker in workers} == {"no-record"}


def test_a_new_key_is_used_only_when_every_worker_must_have_it() -> None:
    """Until then the former one is: a custodian kills who does not take a view before that."""
    assert SPREADING_SECONDS > doors.CONFIRM_DEADLINE + doors.SEND_DEADLINE


def test_what_one_worker_gives_every_worker_takes(plane: Plane) -> None:
    custodian, (one, other) = plane
    asking = custodian.enrol("Anywhere")
    with Connection(other.address) as connection:
        connection.send(one.request_for(asking, nhs(1)))
        assert connection.receive().status == 200


def test_nothing_of_an_attempt_is_logged(plane: Plane) -> None:
    """Neither id nor secret, neither token nor name, whether it went well or not."""
    custodian, (worker, _) = plane
    asking = custodian.enrol("Sorrel-Bexley General")
    request = worker.request_for(asking, nhs(1))
    with Connection(worker.address) as connection:
        connection.send(token_request(asking)[:-1] + b"%")
        connection.receive()
    worker.ask(asking, nhs(1))
    revoke(custodian, asking)
    worker.ask(asking, nhs(1))
    access = re.findall(rb"Bearer (\S+)", request)[0].decode()
    told = "".join(path.read_text() for path in custodian.site.folder.glob("log-*"))
    scheme, value = parse_identifier(nhs(1))
    for hidden in (asking.client_id, asking.secret.text(), access, "Sorrel", f"{scheme}:{value}"):
        assert hidden not in told
    assert json.loads(question(asking, nhs(1)))["token"] not in told


def rotate(custodian: Custodian, asking: Enrolment, grace_seconds: int) -> Enrolment:
    path = f"/v1/local/clients/{asking.client_id}/rotate"
    response = custodian.officer.post(path, json={"grace_seconds": grace_seconds})
    assert response.status_code == 200, response.text
    return parse_enrolment(json.dumps(response.json()["enrolment"]).encode())


def accepted(worker: Worker, *enrolments: Enrolment) -> list[bool]:
    """Say whose secret is taken."""
    found = []
    for each in enrolments:
        with Connection(worker.address) as connection:
            connection.send(token_request(each))
            found.append(connection.receive().status == 200)
    return found


class TestRotated:
    """A new secret; the former one has its time, which workers keep themselves."""

    def test_both_are_good_for_the_time_of_grace(self, plane: Plane) -> None:
        custodian, (worker, _) = plane
        first = custodian.enrol("Rotating")
        second = rotate(custodian, first, 2)

        assert (second.client_id, second.kid) == (first.client_id, first.kid)
        assert accepted(worker, first, second) == [True, True]
        wait_until(lambda: accepted(worker, first, second) == [False, True])

    def test_without_grace_the_former_ones_end_at_once(self, plane: Plane) -> None:
        custodian, (worker, _) = plane
        first = custodian.enrol("Stolen")
        second = rotate(custodian, first, 3_600)
        third = rotate(custodian, second, 0)

        assert accepted(worker, first, second, third) == [False, False, True]

    def test_a_new_secret_that_was_lost_locks_nobody_out(self, plane: Plane) -> None:
        """Rotated again, the one in use is good still; but not without end."""
        custodian, (worker, _) = plane
        first = custodian.enrol("Unlucky")
        lost = [rotate(custodian, first, 3_600) for _ in range(3)]

        assert accepted(worker, first, *lost) == [True] * 4
        path = f"/v1/local/clients/{first.client_id}/rotate"
        fourth = custodian.officer.post(path, json={})
        assert fourth.status_code == 409
        assert accepted(worker, first, lost[2]) == [True, True]

    def test_what_it_may_do_and_what_it_has_used_stays(self, plane: Plane) -> None:
        custodian, (worker, _) = plane
        first = custodian.enrol("Thrifty", per_day=2)
        assert worker.ask(first, nhs(1)).status == 200
        second = rotate(custodian, first, 0)

        assert accepted(worker, second) == [False]
        assert worker.ask(first, nhs(1)).status == 429

    def test_it_survives_a_start(self, site: Site) -> None:
        with site.open() as custodian:
            first = custodian.enrol("Rotated")
            second = rotate(custodian, first, 3_600)
        worker = site.spawn_worker()
        with site.open():
            assert accepted(worker.ready(), first, second) == [True, True]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made

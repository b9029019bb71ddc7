"""What a hospital is answered."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import uuid4

import pytest

from tests.lookup.worker.plane import (
    Plane,
    make_batch,
    make_body,
    make_request,
)

TODAY = datetime.now(UTC).date()
DAY = timedelta(days=1)


def test_a_known_child(shared: Plane) -> None:
    """Category, dates and whom to ring; in 2,048 bytes that nobody may keep or transform."""
    token = shared.custodian.add(since=date(2026, 1, 2), until=date(2027, 1, 2), authority=1)
    request_id = str(uuid4()).upper()
    response = shared.ask(make_request(make_body(token), x_request_id=request_id))

    assert response.status == 200
    assert len(response.body) == 2_048
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert response.headers["x-request-id"] == request_id
    assert "server" not in response.headers
    answer = response.json
    assert (answer["outcome"], answer["more"]) == ("known", False)
    assert answer["records"] == [
        {
            "category": "child-protection-plan",
            "since": "2026-01-02",
            "until": "2027-01-02",
            "authority": {
                "code": "BEL",
                "name": 'Belham "East" Ünit',
                "office_hours": "01632 960200",
                "out_of_hours": "01632 960299",
            },
        }
    ]


def test_an_unknown_child(shared: Plane) -> None:
    response = shared.look_up(b"?" * 32)

    assert response.status == 200
    assert len(response.body) == 2_048
    padding = response.json.pop("padding")
    assert {k: v for k, v in response.json.items() if k != "padding"} == {
        "outcome": "no-record",
        "records": [],
        "more": False,
    }
    assert len(padding) > 1_900


def test_the_canary_answers_known_test_and_nobody_is_rung(shared: Plane) -> None:
    token = shared.custodian.add(test=True, category=3, authority=0)
    [record] = shared.look_up(token).json["records"]

    assert record["category"] == "test"
    assert record["authority"]["code"] == "TEST"
    assert "01632" not in json.dumps(record)


def test_a_child_with_several_records(shared: Plane) -> None:
    """Newest first; of those that may not be answered nothing is seen."""
    token = shared.custodian.add(since=date(2025, 1, 1))
    for changes in (
        {"since": date(2026, 1, 1), "category": 1},
        {"since": date(2026, 6, 1), "category": 2},
        {"since": date(2026, 7, 1), "answer_until": TODAY - DAY},
    ):
        shared.custodian.add_to(token, **changes)

    answer = shared.look_up(token).json
    assert [(each["since"], each["category"]) for each in answer["records"]] == [
        ("2026-01-01", "looked-after"),
        ("2025-01-01", "child-protection-plan"),
    ]
    assert not answer["more"]


def test_a_child_with_more_records_than_fit(shared: Plane) -> None:
    token = shared.custodian.add()
    for _ in range(11):
        shared.custodian.add_to(token)

    response = shared.look_up(token)
    assert len(response.body) == 2_048
    assert len(response.json["records"]) == 8
    assert response.json["more"]


@pytest.mark.parametrize(
    ("answer_until", "outcome"),
    [(None, "known"), (TODAY + DAY, "known"), (TODAY, "known"), (TODAY - DAY, "no-record")],
)
def test_the_answer_window_ends_with_its_last_day(
    shared: Plane, answer_until: date | None, outcome: str
) -> None:
    """UTC decides which day it is."""
    token = shared.custodian.add(answer_until=answer_until)
    assert shared.look_up(token).json["outcome"] == outcome


def test_changes_are_seen_at_once(shared: Plane) -> None:
    """When the custodian's call has returned, the next answer knows."""
    custodian = shared.custodian
    token = custodian.add()
    assert shared.look_up(token).json["outcome"] == "known"

    custodian.table.remove(custodian.tag(token), custodian.handles[token])
    assert shared.look_up(token).json["outcome"] == "no-record"


def test_a_batch_in_the_order_of_its_tokens(shared: Plane) -> None:
    """257 n + 1 bytes; each answer is at its place and names the authority by its code."""
    known, unknown = shared.custodian.add(), b"?" * 32
    many = shared.custodian.add()
    shared.custodian.add_to(many)
    tokens = [unknown, known, unknown, many, known]

    response = shared.ask(make_request(make_batch(tokens), "/v1/lookups"))
    assert response.status == 200
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert len(response.body) == 257 * len(tokens) + 1
    answers = [json.loads(response.body[1 + 257 * n :][:256]) for n in range(len(tokens))]
    assert response.json == answers
    assert [each["outcome"] for each in answers] == [
        "no-record",
        "known",
        "no-record",
        "known",
        "known",
    ]
    assert answers[1]["records"][0]["authority"] == {"code": "AXT"}
    assert [each["more"] for each in answers] == [False, False, False, True, False]


def test_a_batch_of_the_largest_size(shared: Plane) -> None:
    known = shared.custodian.add()
    tokens = [known, *(bytes([n % 256]) * 32 for n in range(999))]
    response = shared.ask(make_request(make_batch(tokens), "/v1/lookups"))

    assert len(response.body) == 257_001
    assert [each["outcome"] for each in response.json].count("known") == 1


def test_purpose_and_encounter_may_be_left_out(shared: Plane) -> None:
    response = shared.look_up(b"?" * 32, purpose=None, encounter=None)
    assert response.status == 200


def test_answers_are_not_mixed_up(shared: Plane) -> None:
    """Many connections, many requests on each: every answer has its own request's id."""
    known, unknown = shared.custodian.add(), b"?" * 32

    def ask_often(_: int) -> bool:
        with shared.connect() as connection:
            for _ in range(10):
                sent = [(str(uuid4()), token) for token in (known, unknown, known)]
                connection.send(
                    b"".join(make_request(make_body(t), x_request_id=i) for i, t in sent)
                )
                for request_id, token in sent:
                    response = connection.receive()
                    assert response.headers["x-request-id"] == request_id
                    outcome = "known" if token == known else "no-record"
                    assert response.json["outcome"] == outcome
        return True

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask_often, range(32)))


def test_every_answer_has_the_date_of_its_second(shared: Plane) -> None:
    """Also on a connection that has asked before."""
    token = shared.custodian.add()
    dates = []
    with shared.connect() as connection:
        for _ in range(2):
            connection.send(make_request(make_body(token)))
            sent = parsedate_to_datetime(connection.receive().headers["date"])
            assert abs(sent.timestamp() - time.time()) < 2.5
            dates.append(sent)
            time.sleep(3)

    assert dates[0] < dates[1]


@pytest.mark.parametrize("pause", [0, 2.5])
def test_a_connection_goes_on_under_another_view(plane: Plane, pause: float) -> None:
    """At once, and when the sweeper has let go of the former view."""
    token = plane.custodian.add()
    with plane.connect() as connection:
        for _ in range(3):
            connection.send(make_request(make_body(token)))
            assert connection.receive().json["outcome"] == "known"
            plane.custodian.publish_and_wait()
            time.sleep(pause)


def test_health(shared: Plane) -> None:
    live = shared.ask(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n")
    ready = shared.ask(b"GET /health/ready HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (live.status, live.json) == (200, {"status": "live"})
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    head = shared.ask(b"HEAD /health/ready HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/v1/lookup", "POST, OPTIONS"), ("/health/live", "GET, HEAD, OPTIONS")],
)
def test_options_say_what_is_allowed(shared: Plane, path: str, allowed: str) -> None:
    """And nothing about other origins: no browser has business here."""
    response = shared.ask(f"OPTIONS {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())

    assert (response.status, response.headers["allow"], response.body) == (204, allowed, b"")
    assert not any(name.startswith("access-control") for name in response.headers)

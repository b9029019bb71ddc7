"""The recall desk of a real worker: who hears what is withdrawn, and when that is acknowledged."""

import json
import select
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.errors import InvalidRequest
from lookup.handoff import Acknowledge, Client, Recall
from lookup.index.folder import is_read
from lookup.wire import MAX_ACKNOWLEDGE_BODY, MAX_RECALLS_BODY
from lookup.worker.recalls import parse_acknowledgement
from tests.lookup.raw_http import Connection, Response, wait_until
from tests.lookup.worker.plane import (
    ACCESS_TOKEN,
    CLIENT,
    SECRET,
    Plane,
    make_access_token,
    make_request,
    running_plane,
)

OTHER = Client("c2" * 14, "St. Somewhere", cell=1)
BOTH = {sha256(SECRET.encode()).hexdigest(): CLIENT, "ab" * 32: OTHER}
OTHER_TOKEN = make_access_token(OTHER.id, lives=86_400)
MARKER = "QUITE-A-MARKER"
LIST, ACKNOWLEDGE = "/v1/recalls", "/v1/recalls/acknowledge"


def recall(number: int, client: Client = CLIENT, requests: int = 1) -> Recall:
    """A recall of this number, of so many requests."""
    named = [bytes([1, *n.to_bytes(2, "big"), number % 256] * 4) for n in range(requests)]
    return Recall(client.id, number.to_bytes(16, "big"), named)


MINE, ALSO_MINE, THEIRS = recall(1, requests=3), recall(2), recall(3, OTHER)


def as_told(*recalls: Recall) -> list[dict[str, object]]:
    """What a client reads of these."""
    return [
        {"recall": each.id.hex(), "requests": [str(UUID(bytes=name)) for name in each.requests]}
        for each in recalls
    ]


def listing(path: str = LIST, method: str = "GET", **headers: str | None) -> bytes:
    fields = {"content_type": None, "content_length": None} | headers
    return make_request(b"", path, method, **fields)


def acknowledging(*ids: bytes, **headers: str | None) -> bytes:
    body = json.dumps({"recalls": [each.hex() for each in ids]}).encode()
    return make_request(body, ACKNOWLEDGE, "POST", **headers)


def listed(plane: Plane, token: str = ACCESS_TOKEN) -> list[dict[str, object]]:
    response = plane.ask(listing(authorization=f"Bearer {token}"))
    assert response.status == 200, response.body
    told: list[dict[str, object]] = response.json["recalls"]
    return told


class Asked:
    """A request that is under way."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_answered(self) -> bool:
        return bool(select.select([self._connection.socket], [], [], 0)[0])

    def result(self) -> Response:
        with self._connection:
            return self._connection.receive()


def begin(plane: Plane, request: bytes) -> Asked:
    connection = plane.connect()
    connection.send(request)
    return Asked(connection)


def is_problem(response: Response, status: int, name: str) -> bool:
    assert response.headers["content-type"] == "application/problem+json"
    found = (response.status, response.json["type"], response.json["outcome"])
    return found == (status, f"urn:lacuna:problem:{name}", "could-not-check")


@pytest.fixture
def recalling(plane: Plane) -> Plane:
    """A plane of the test's own with recalls of two clients."""
    plane.custodian.publish_and_wait(clients=BOTH, recalls=[MINE, THEIRS, ALSO_MINE])
    return plane


class TestList:
    """GET /v1/recalls."""

    def test_each_client_hears_of_its_own(self, recalling: Plane) -> None:
        """In the custodian's order; nothing of it is to be stored on the way."""
        request_id = str(uuid4())
        response = recalling.ask(listing(x_request_id=request_id))

        assert response.json == {"recalls": as_told(MINE, ALSO_MINE), "more": False}
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-request-id"] == request_id
        theirs = listed(recalling, OTHER_TOKEN)
        assert theirs == as_told(THEIRS)

    def test_a_body_that_nobody_asked_for_is_not_read(self, recalling: Plane) -> None:
        """Nor taken for the next request on the connection."""
        with recalling.connect() as connection:
            connection.send(make_request(listing(), LIST, "GET") + listing())
            assert [connection.receive().status for _ in range(2)] == [200, 200]

    def test_whoever_has_none_is_told_none(self, plane: Plane) -> None:
        assert plane.ask(listing()).json == {"recalls": [], "more": False}

    def test_an_answer_is_bounded(self, plane: Plane) -> None:
        """In recalls and in their requests, so that nobody's list keeps lookups waiting."""
        many = [recall(number) for number in range(101)]
        plane.custodian.publish_and_wait(recalls=many)
        assert plane.ask(listing()).json == {"recalls": as_told(*many[:100]), "more": True}

        large = [recall(number, requests=200) for number in range(6)]
        plane.custodian.publish_and_wait(recalls=large)
        response = plane.ask(listing())
        assert response.json == {"recalls": as_told(*large[:5]), "more": True}
        assert len(response.body) <= MAX_RECALLS_BODY

    def test_a_view_is_the_whole_of_it(self, recalling: Plane) -> None:
        """What the next view does not list is gone, whatever the one before said."""
        recalling.custodian.publish_and_wait(clients=BOTH, recalls=[ALSO_MINE])
        assert listed(recalling) == as_told(ALSO_MINE)
        recalling.custodian.publish_and_wait(clients=BOTH)
        assert listed(recalling) == []

    def test_it_needs_no_audit_and_no_table(self) -> None:
        """What has to be deleted is told, and taken back, while lookups cannot be answered."""
        with running_plane() as plane:
            plane.ready(audit=None, recalls=[MINE])
            assert is_problem(plane.look_up(b"?" * 32), 503, "audit-unavailable")
            plane.custodian.table.supersede()

            assert listed(plane) == as_told(MINE)
            asking = begin(plane, acknowledging(MINE.id))
            wait_until(lambda: bool(plane.custodian.acknowledged))
            plane.custodian.publish_and_wait(audit=None)
            assert asking.result().status == 200


class TestAcknowledge:
    """POST /v1/recalls/acknowledge."""

    def test_it_is_answered_when_no_view_lists_it(self, recalling: Plane) -> None:
        """Which a custodian makes after its commit; another view that still does is not enough."""
        asking = begin(recalling, acknowledging(ALSO_MINE.id, MINE.id))
        wait_until(lambda: bool(recalling.custodian.acknowledged))
        assert recalling.custodian.acknowledged == [Acknowledge(CLIENT.id, [ALSO_MINE.id, MINE.id])]
        recalling.custodian.publish_and_wait(clients=BOTH, recalls=[THEIRS, ALSO_MINE])
        assert listed(recalling) == as_told(ALSO_MINE)
        assert not asking.is_answered()
        recalling.custodian.publish_and_wait(clients=BOTH, recalls=[THEIRS])

        response = asking.result()
        assert response.status == 200
        assert response.json == {"acknowledged": [ALSO_MINE.id.hex(), MINE.id.hex()]}
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert listed(recalling) == []

    def test_what_has_gone_is_acknowledged_already(self, recalling: Plane) -> None:
        """So that to acknowledge again does no harm; the custodian is told nothing of it."""
        recalling.custodian.publish_and_wait()

        assert recalling.ask(acknowledging(MINE.id)).status == 200
        assert recalling.custodian.acknowledged == []

    def test_nothing_is_acknowledged_of_anybody_else(self, recalling: Plane) -> None:
        """Theirs and one that never was are told alike, and neither is touched."""
        never = b"\xff" * 16
        answers = [recalling.ask(acknowledging(each)) for each in (THEIRS.id, never)]

        assert [each.json for each in answers] == [
            {"acknowledged": [THEIRS.id.hex()]},
            {"acknowledged": [never.hex()]},
        ]
        assert recalling.custodian.acknowledged == []
        assert listed(recalling, OTHER_TOKEN) == as_told(THEIRS)

    def test_only_what_is_the_clients_own_goes_to_the_custodian(self, recalling: Plane) -> None:
        asking = begin(recalling, acknowledging(THEIRS.id, MINE.id))
        wait_until(lambda: bool(recalling.custodian.acknowledged))
        recalling.custodian.publish_and_wait(clients=BOTH, recalls=[THEIRS, ALSO_MINE])

        assert asking.result().json == {"acknowledged": [THEIRS.id.hex(), MINE.id.hex()]}
        assert recalling.custodian.acknowledged == [Acknowledge(CLIENT.id, [MINE.id])]

    def test_a_custodian_that_does_nothing(self, recalling: Plane) -> None:
        """Nobody is told that something is durable which is not; nor is anybody kept for long."""
        response = recalling.ask(acknowledging(MINE.id))

        assert is_problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
        assert listed(recalling) == as_told(MINE, ALSO_MINE)

    def test_a_custodian_that_dies_in_between(self, recalling: Plane) -> None:
        """Between the acknowledgement and the view; to acknowledge again brings it to an end."""
        old = recalling.custodian
        asking = begin(recalling, acknowledging(MINE.id))
        wait_until(lambda: bool(old.acknowledged))
        old.close()
        assert is_problem(asking.result(), 503, "unavailable")
        without = recalling.ask(acknowledging(MINE.id))
        assert is_problem(without, 503, "custodian-unavailable")

        new = recalling.start_custodian(2)
        recalling.ready(clients=BOTH, recalls=[MINE, ALSO_MINE])
        again = begin(recalling, acknowledging(MINE.id))
        wait_until(lambda: bool(new.acknowledged))
        new.publish_and_wait(clients=BOTH, recalls=[ALSO_MINE])
        assert again.result().status == 200
        old.table.close()

    def test_one_that_comes_back_with_the_commit_done(self, recalling: Plane) -> None:
        """Whoever waits hears of it from the new one's view."""
        old = recalling.custodian
        asking = begin(recalling, acknowledging(MINE.id))
        wait_until(lambda: bool(old.acknowledged))
        old.close()
        recalling.start_custodian(2)
        recalling.ready(clients=BOTH, recalls=[ALSO_MINE])

        assert asking.result().status == 200
        old.table.close()

    def test_a_client_that_was_revoked_meanwhile(self, recalling: Plane) -> None:
        """It is told nothing any more, although its recalls have gone with it."""
        asking = begin(recalling, acknowledging(MINE.id))
        wait_until(lambda: bool(recalling.custodian.acknowledged))
        recalling.custodian.publish_and_wait(clients={"ab" * 32: OTHER})

        assert is_problem(asking.result(), 401, "unauthorized")

    def test_who_waits_keeps_no_table(self, recalling: Plane) -> None:
        """An old table is let go as soon as the next view is in force, whoever waits for what."""
        old = recalling.custodian.table
        asking = begin(recalling, acknowledging(MINE.id))
        wait_until(lambda: bool(recalling.custodian.acknowledged))
        assert is_read(old.path)
        recalling.custodian.table = old.grow(2)
        recalling.custodian.table.complete()
        recalling.custodian.publish_and_wait(clients=BOTH, recalls=[MINE])

        assert not is_read(old.path)
        assert not asking.is_answered()
        recalling.custodian.publish_and_wait(clients=BOTH)
        assert asking.result().status == 200
        old.close()


REQUESTS: dict[str, Callable[[], bytes]] = {
    "list": listing,
    "acknowledge": lambda: acknowledging(MINE.id),
}


@pytest.mark.parametrize("name", REQUESTS)
class TestRefused:
    """What holds for both."""

    def test_before_the_hand_off(self, name: str) -> None:
        with running_plane() as plane:
            assert is_problem(plane.ask(REQUESTS[name]()), 503, "custodian-unavailable")

    def test_beyond_the_belt(self, recalling: Plane, name: str) -> None:
        """A list that may be old is no list: what it lacks could be withdrawn by now."""
        recalling.custodian.publish_and_wait(belt_seconds=1, recalls=[])
        recalling.custodian.close()

        wait_until(lambda: recalling.ask(REQUESTS[name]()).status == 503)
        assert is_problem(recalling.ask(REQUESTS[name]()), 503, "custodian-unavailable")

    def test_beyond_the_quota(self, plane: Plane, name: str) -> None:
        """G12. Each costs what a lookup costs, and what is over is told with when to come back."""
        client = msgspec.structs.replace(CLIENT, per_day=3)
        plane.custodian.publish_and_wait(clients={sha256(SECRET.encode()).hexdigest(): client})
        responses = [plane.ask(REQUESTS[name]()) for _ in range(4)]

        assert [each.status for each in responses] == [200, 200, 200, 429]
        assert is_problem(responses[3], 429, "too-many-requests")
        assert plane.look_up(b"?" * 32).status == 429

    def test_from_a_connection_without_the_certificate(self, plane: Plane, name: str) -> None:
        bound = msgspec.structs.replace(CLIENT, certificates=["ab" * 32])
        plane.custodian.publish_and_wait(clients={sha256(SECRET.encode()).hexdigest(): bound})

        assert is_problem(plane.ask(REQUESTS[name]()), 401, "unauthorized")


class Bad(NamedTuple):
    """A request, and how it is refused."""

    request: bytes
    status: int
    name: str


def body(content: object, **headers: str | None) -> bytes:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return make_request(raw, ACKNOWLEDGE, "POST", **headers)


def chunked(content: bytes) -> bytes:
    head = body(b"", content_length=None, transfer_encoding="chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


GOOD_ID = "00" * 16
INVALID, UNAUTHORIZED = (400, "invalid-request"), (401, "unauthorized")
METHOD, NOT_FOUND = (405, "method-not-allowed"), (404, "not-found")
LARGE, MEDIA_TYPE = (413, "too-large"), (415, "unsupported-media-type")
BAD = {
    # path and method
    "post to the list": Bad(body({}).replace(b"/acknowledge", b"", 1), *METHOD),
    "delete the list": Bad(listing(method="DELETE"), *METHOD),
    "put an acknowledgement": Bad(make_request(b"{}", ACKNOWLEDGE, "PUT"), *METHOD),
    "get an acknowledgement": Bad(listing(ACKNOWLEDGE), *METHOD),
    "one recall": Bad(listing(f"{LIST}/{GOOD_ID}"), *NOT_FOUND),
    "trailing slash": Bad(listing(f"{LIST}/"), *NOT_FOUND),
    # request id
    "list without a request id": Bad(listing(x_request_id=None), *INVALID),
    "list with a request id that is none": Bad(listing(x_request_id=MARKER), *INVALID),
    "two request ids": Bad(listing(cookie=f"x\r\nX-Request-ID: {uuid4()}"), *INVALID),
    "acknowledge without a request id": Bad(
        body({"recalls": [GOOD_ID]}, x_request_id=None, authorization=None), *INVALID
    ),
    # who asks
    "list without authorization": Bad(listing(authorization=None), *UNAUTHORIZED),
    "list with a secret": Bad(listing(authorization=f"Bearer {SECRET}"), *UNAUTHORIZED),
    "expired": Bad(listing(authorization=f"Bearer {make_access_token(lives=0)}"), *UNAUTHORIZED),
    "of nobody": Bad(
        listing(authorization=f"Bearer {make_access_token('c3' * 14)}"), *UNAUTHORIZED
    ),
    "two authorizations": Bad(
        listing(cookie=f"x\r\nAuthorization: Bearer {ACCESS_TOKEN}"), *UNAUTHORIZED
    ),
    "authorization before the query": Bad(
        listing(f"{LIST}?all=1", authorization=None), *UNAUTHORIZED
    ),
    "authorization before the body": Bad(body(b"{", authorization=None), *UNAUTHORIZED),
    # query, and what is said of the body
    "list with a query": Bad(listing(f"{LIST}?after={MARKER}"), *INVALID),
    "acknowledge in the query": Bad(
        make_request(b"{}", f"{ACKNOWLEDGE}?recalls={GOOD_ID}", "POST"), *INVALID
    ),
    "no content type": Bad(body({}, content_type=None), *MEDIA_TYPE),
    "form": Bad(body(b"recalls=1", content_type="application/x-www-form-urlencoded"), *MEDIA_TYPE),
    "compressed": Bad(body({}, content_encoding="gzip"), *MEDIA_TYPE),
    "two content types": Bad(body({}, cookie="x\r\nContent-Type: application/json"), *INVALID),
    "no length": Bad(body(b"", content_length=None), 411, "length-required"),
    "too large": Bad(body(b" " * 4_097), *LARGE),
    "too large, in chunks": Bad(chunked(b" " * 4_097), *LARGE),
    # the body
    "empty": Bad(body(b""), *INVALID),
    "no json": Bad(body(b"{"), *INVALID),
    "no utf-8": Bad(body(b'{"recalls":["\xff"]}'), *INVALID),
    "a list": Bad(body([GOOD_ID]), *INVALID),
    "null": Bad(body(None), *INVALID),
    "no member": Bad(body({}), *INVALID),
    "an unknown member": Bad(body({"recalls": [GOOD_ID], MARKER: 1}), *INVALID),
    "a member twice": Bad(
        body(f'{{"recalls":["{GOOD_ID}"],"recalls":["{GOOD_ID}"]}}'.encode()), *INVALID
    ),
    "no list": Bad(body({"recalls": GOOD_ID}), *INVALID),
    "none": Bad(body({"recalls": []}), *INVALID),
    "101": Bad(
        body(b'{"recalls":[%b]}' % b",".join([b'"%032x"' % n for n in range(101)])), *INVALID
    ),
    "one twice": Bad(body({"recalls": [GOOD_ID, GOOD_ID]}), *INVALID),
    "in capitals": Bad(body({"recalls": ["AB" * 16]}), *INVALID),
    "too short": Bad(body({"recalls": [GOOD_ID[1:]]}), *INVALID),
    "too long": Bad(body({"recalls": [GOOD_ID + "0"]}), *INVALID),
    "a line behind it": Bad(body({"recalls": [GOOD_ID + "\n"]}), *INVALID),
    "as a uuid": Bad(body({"recalls": [str(UUID(int=0))]}), *INVALID),
    "no hexadecimal": Bad(body({"recalls": [MARKER.ljust(32, "-")]}), *INVALID),
    "other digits": Bad(body({"recalls": ["\N{FULLWIDTH DIGIT ONE}" * 32]}), *INVALID),
    "a number": Bad(body({"recalls": [1]}), *INVALID),
    "one among others": Bad(body({"recalls": [GOOD_ID, "x"]}), *INVALID),
}


@pytest.fixture(scope="module")
def shared() -> object:
    """One plane with a recall for the whole table."""
    with running_plane() as running:
        yield running.ready(recalls=[MINE])


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(shared: Plane, name: str) -> None:
    """By its rule, without a word of what was sent; nothing reaches the custodian.

    The connection goes on wherever what follows can still be made sense of.
    """
    bad = BAD[name]
    response = shared.ask(bad.request)

    assert is_problem(response, bad.status, bad.name)
    assert response.headers["cache-control"] == "no-store"
    everything = response.head + response.body
    assert not any(each.encode() in everything for each in (MARKER, ACCESS_TOKEN, SECRET))
    assert shared.custodian.acknowledged == []
    assert listed(shared) == as_told(MINE)


@pytest.mark.parametrize(
    ("path", "allowed"), [(LIST, "GET, OPTIONS"), (ACKNOWLEDGE, "POST, OPTIONS")]
)
def test_what_may_be_done_can_be_asked(shared: Plane, path: str, allowed: str) -> None:
    """OPTIONS and 405 say the same; HEAD of a list is none of them."""
    assert shared.ask(listing(path, "OPTIONS")).headers["allow"] == allowed
    response = shared.ask(listing(path, "HEAD"))
    assert (response.status, response.headers["allow"]) == (405, allowed)


IDS = st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=100, unique=True)


@given(IDS)
def test_what_is_acknowledged_is_read_as_it_was_meant(ids: list[bytes]) -> None:
    """And fits into the body that is allowed, in either usual way to write JSON."""
    content = json.dumps({"recalls": [each.hex() for each in ids]}).encode()

    assert len(content) <= MAX_ACKNOWLEDGE_BODY
    assert parse_acknowledgement(content) == ids


@given(st.binary(max_size=100))
def test_nothing_else_is_read(content: bytes) -> None:
    """Any other bytes are refused by one error, whatever is wrong with them."""
    with pytest.raises(InvalidRequest):
        parse_acknowledgement(content)


def test_nothing_of_recalls_is_logged(recalling: Plane) -> None:
    """G9. Neither ids nor request ids, of those that went through and those that did not."""
    recalling.ask(acknowledging(MINE.id))
    recalling.ask(body({"recalls": [MARKER]}))
    listed(recalling)

    names = [MINE.id.hex(), str(UUID(bytes=MINE.requests[0])), MARKER, CLIENT.id]
    assert not any(each in recalling.log for each in names)

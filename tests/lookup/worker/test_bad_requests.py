"""What is not a lookup is refused, in a fixed order, and nothing of it is repeated."""

import json
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

from tests.lookup.raw_http import wait_until
from tests.lookup.worker.plane import (
    ACCESS_TOKEN,
    SECRET,
    Plane,
    encode_token,
    make_batch,
    make_body,
    make_request,
)

TOKEN = b"?" * 32
TEXT = encode_token(TOKEN)
MARKER = "QUITE-A-MARKER"
GOOD = make_body(TOKEN)


class Bad(NamedTuple):
    """A request, and how it is refused."""

    request: bytes
    status: int
    name: str
    mirrored: bool = True


def lookup(body: bytes = GOOD, **headers: str | None) -> bytes:
    return make_request(body, "/v1/lookup", "POST", **headers)


def member(**changes: Any) -> bytes:  # noqa: ANN401  # any JSON
    return lookup(make_body(TOKEN, **changes))


def without(name: str) -> bytes:
    members = json.loads(GOOD)
    del members[name]
    return lookup(json.dumps(members).encode())


def batch(*tokens: bytes, **headers: str | None) -> bytes:
    return make_request(make_batch(list(tokens)), "/v1/lookups", "POST", **headers)


def chunked(body: bytes, path: str = "/v1/lookup") -> bytes:
    head = make_request(b"", path, content_length=None, transfer_encoding="chunked")
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


BAD_REQUEST, TOO_LARGE = (400, "invalid-request"), (413, "too-large")
UNTRACEABLE = (*BAD_REQUEST, False)
NOT_FOUND, METHOD = (404, "not-found"), (405, "method-not-allowed")
UNAUTHORIZED, MEDIA_TYPE = (401, "unauthorized"), (415, "unsupported-media-type")

BAD = {
    # path and method
    "no such path": Bad(make_request(GOOD, "/v1/nothing"), *NOT_FOUND),
    "token in the path": Bad(make_request(GOOD, f"/v1/lookup/{TEXT}"), *NOT_FOUND),
    "trailing slash": Bad(make_request(GOOD, "/v1/lookup/"), *NOT_FOUND),
    "double slash": Bad(make_request(GOOD, "//v1/lookup"), *NOT_FOUND),
    "dots in the path": Bad(make_request(GOOD, "/v1/x/../lookup"), *NOT_FOUND),
    "root": Bad(make_request(b"", "/", method="GET"), *NOT_FOUND),
    "metrics are elsewhere": Bad(make_request(b"", "/metrics", method="GET"), *NOT_FOUND),
    "no interface description": Bad(make_request(b"", "/openapi.json", method="GET"), *NOT_FOUND),
    "get": Bad(make_request(b"", method="GET"), *METHOD),
    "put": Bad(make_request(GOOD, method="PUT"), *METHOD),
    "delete": Bad(make_request(b"", method="DELETE"), *METHOD),
    "patch": Bad(make_request(GOOD, method="PATCH"), *METHOD),
    "trace": Bad(make_request(b"", method="TRACE"), *METHOD),
    "health by post": Bad(make_request(b"", "/health/live"), *METHOD),
    # the request id comes first
    "no request id": Bad(lookup(x_request_id=None), *UNTRACEABLE),
    "request id empty": Bad(lookup(x_request_id=""), *UNTRACEABLE),
    "request id no uuid": Bad(lookup(x_request_id=MARKER), *UNTRACEABLE),
    "request id in braces": Bad(lookup(x_request_id=f"{{{uuid4()}}}"), *UNTRACEABLE),
    "request id without hyphens": Bad(lookup(x_request_id=uuid4().hex), *UNTRACEABLE),
    "two request ids": Bad(lookup(cookie=f"x\r\nX-Request-ID: {uuid4()}"), *UNTRACEABLE),
    "request id before authorization": Bad(
        lookup(x_request_id=None, authorization=None), *UNTRACEABLE
    ),
    # then the client
    "no authorization": Bad(lookup(authorization=None), *UNAUTHORIZED),
    "basic": Bad(lookup(authorization=f"Basic {ACCESS_TOKEN}"), *UNAUTHORIZED),
    "no scheme": Bad(lookup(authorization=ACCESS_TOKEN), *UNAUTHORIZED),
    "the secret itself": Bad(lookup(authorization=f"Bearer {SECRET}"), *UNAUTHORIZED),
    "no token": Bad(lookup(authorization="Bearer"), *UNAUTHORIZED),
    "empty token": Bad(lookup(authorization="Bearer "), *UNAUTHORIZED),
    "wrong token": Bad(lookup(authorization=f"Bearer {'x' * 56}"), *UNAUTHORIZED),
    "half a token": Bad(lookup(authorization=f"Bearer {ACCESS_TOKEN[:-1]}"), *UNAUTHORIZED),
    "more than the token": Bad(lookup(authorization=f"Bearer {ACCESS_TOKEN}="), *UNAUTHORIZED),
    "two spaces": Bad(lookup(authorization=f"Bearer  {ACCESS_TOKEN}"), *UNAUTHORIZED),
    "long token": Bad(lookup(authorization=f"Bearer {'x' * 15_000}"), *UNAUTHORIZED),
    "two authorizations": Bad(
        lookup(cookie=f"x\r\nAuthorization: Bearer {ACCESS_TOKEN}"), *UNAUTHORIZED
    ),
    "authorization before body": Bad(lookup(b"{", authorization=None), *UNAUTHORIZED),
    "authorization before size": Bad(lookup(bytes(5_000), authorization=None), *UNAUTHORIZED),
    # then the body's description
    "token in the query": Bad(make_request(GOOD, f"/v1/lookup?token={TEXT}"), *BAD_REQUEST),
    "no content type": Bad(lookup(content_type=None), *MEDIA_TYPE),
    "form": Bad(lookup(content_type="application/x-www-form-urlencoded"), *MEDIA_TYPE),
    "text": Bad(lookup(content_type="text/json"), *MEDIA_TYPE),
    "nearly json": Bad(lookup(content_type="application/jsonp"), *MEDIA_TYPE),
    "two content types": Bad(lookup(cookie="x\r\nContent-Type: text/plain"), *BAD_REQUEST),
    "compressed": Bad(lookup(content_encoding="gzip"), *MEDIA_TYPE),
    "no length": Bad(lookup(b"", content_length=None), 411, "length-required"),
    "too long": Bad(lookup(GOOD + b" " * 4_096), *TOO_LARGE),
    "too long in chunks": Bad(chunked(GOOD + b" " * 4_096), *TOO_LARGE),
    "batch too long": Bad(make_request(b" " * 131_073, "/v1/lookups"), *TOO_LARGE),
    # then the body
    "empty body": Bad(lookup(b""), *BAD_REQUEST),
    "no json": Bad(lookup(MARKER.encode()), *BAD_REQUEST),
    "half of it": Bad(lookup(GOOD[:-2]), *BAD_REQUEST),
    "array": Bad(lookup(b"[%b]" % GOOD), *BAD_REQUEST),
    "deep": Bad(lookup(b"[" * 4_000), *BAD_REQUEST),
    "deep in a member": Bad(lookup(b'{"user":' * 500), *BAD_REQUEST),
    "not utf-8": Bad(lookup(GOOD.replace(b"nurse", b"n\xffrse")), *BAD_REQUEST),
    "utf-16": Bad(lookup(GOOD.decode().encode("utf-16")), *BAD_REQUEST),
    "unknown member": Bad(member(**{MARKER: 1}), *BAD_REQUEST),
    "an identifier": Bad(member(identifier=f"nhs:{MARKER}"), *BAD_REQUEST),
    "no kid": Bad(without("kid"), *BAD_REQUEST),
    "no token in it": Bad(without("token"), *BAD_REQUEST),
    "no user": Bad(without("user"), *BAD_REQUEST),
    "kid empty": Bad(member(kid=""), *BAD_REQUEST),
    "kid unknown": Bad(member(kid="k" * 16), 422, "unknown-kid"),
    "token of zeros": Bad(member(token="\0" * 43), *BAD_REQUEST),
    "token not canonical": Bad(member(token=TEXT[:-1] + "_"), *BAD_REQUEST),
    "token in hex": Bad(member(token=TOKEN.hex()), *BAD_REQUEST),
    "token in plain base64": Bad(member(token=f"+/{TEXT[2:]}"), *BAD_REQUEST),
    "token twice": Bad(lookup(GOOD[:-1] + b', "token": "%b"}' % TEXT.encode()), *BAD_REQUEST),
    "user empty": Bad(member(user={}), *BAD_REQUEST),
    "user id a number": Bad(member(user={"id": 1, "role": "x"}), *BAD_REQUEST),
    "user id long": Bad(member(user={"id": MARKER * 5, "role": "x"}), *BAD_REQUEST),
    "user id unprintable": Bad(member(user={"id": f"{MARKER}\n", "role": "x"}), *BAD_REQUEST),
    "purpose unknown": Bad(member(purpose=MARKER), *BAD_REQUEST),
    "encounter long": Bad(member(encounter=MARKER * 5), *BAD_REQUEST),
    "batch of nothing": Bad(batch(), *BAD_REQUEST),
    "batch too big": Bad(batch(*[TOKEN] * 1_001), *BAD_REQUEST),
    "batch with a bad token": Bad(
        make_request(
            make_batch([TOKEN]).replace(TEXT.encode(), TEXT[:-1].encode() + b"_"), "/v1/lookups"
        ),
        *BAD_REQUEST,
    ),
    "batch to the wrong path": Bad(lookup(make_batch([TOKEN])), *BAD_REQUEST),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_lookup_is_refused(shared: Plane, name: str) -> None:
    """The right status, a complete problem, no lookup begun, and the connection still in step."""
    bad = BAD[name]
    begun = shared.passes.entered()
    with shared.connect() as connection:
        connection.send(bad.request)
        response = connection.receive()

        assert response.status == bad.status
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json["type"] == f"urn:lacuna:problem:{bad.name}"
        assert response.json["outcome"] == "could-not-check"
        assert response.headers["cache-control"] == "no-store"
        assert ("x-request-id" in response.headers) == bad.mirrored
        everything = response.head + response.body
        assert not any(
            each.encode() in everything
            for each in (MARKER, TEXT, ACCESS_TOKEN, SECRET, "nurse-4711")
        )
        connection.send(make_request(GOOD))
        assert connection.receive().json["outcome"] == "no-record"
    assert shared.passes.entered() - begun <= 2
    wait_until(lambda: shared.passes.left() == shared.passes.entered())


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 60


def test_401_does_not_say_which_part_was_wrong(shared: Plane) -> None:
    bodies = {shared.ask(bad.request).body for bad in BAD.values() if bad.name == "unauthorized"}
    assert len(bodies) == 1


def test_404_and_405_of_a_head_request_have_no_body(shared: Plane) -> None:
    for path, status in (("/v1/nothing", 404), ("/v1/lookup", 405)):
        response = shared.ask(make_request(b"", path, method="HEAD"))
        assert (response.status, response.body) == (status, b"")


GOOD_REQUESTS = {
    "in chunks": chunked(GOOD),
    "with a charset": lookup(content_type="application/json; charset=utf-8"),
    "scheme in another case": lookup(authorization=f"bearer {ACCESS_TOKEN}"),
    "white space": lookup(b"\n " + GOOD + b"\r\n"),
    "absolute target": make_request(GOOD, "http://lookup.test/v1/lookup"),
    "escaped target": make_request(GOOD, "/v1/%6cookup"),
    "http/1.0": make_request(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "of the largest size": lookup(GOOD + b" " * (4_096 - len(GOOD))),
    "unicode names": member(user={"id": "Zoë Ŵ", "role": "🩺"}),
}


@pytest.mark.parametrize("name", GOOD_REQUESTS)
def test_what_is_a_lookup_is_answered(shared: Plane, name: str) -> None:
    """Strict about what matters, not about what HTTP leaves open."""
    assert shared.ask(GOOD_REQUESTS[name]).json["outcome"] == "no-record"

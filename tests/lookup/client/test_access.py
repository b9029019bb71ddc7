"""Access tokens, as the SDK handles them: fetched, kept, replaced in time, shown to nobody."""

import json
from base64 import b64decode

import pytest

from lookup.client.access import TokenRequest
from lookup.client.attempts import Failure, Reply, Send
from lookup.client.outcome import CouldNotCheck, NoRecord, Reason
from tests.lookup.client.conftest import Connect
from tests.lookup.client.scripted_site import (
    CHILD,
    CLIENT_ID,
    KNOWN_TEST,
    NO_RECORD,
    OCCASION,
    SECRET,
    Play,
    ScriptedSite,
    grant,
    granted,
    hang,
    make_enrolment,
    problem,
    respond,
)
from tests.lookup.client.test_attempts import FIRST, SECOND, World, honest

REFUSED = problem(401, "unauthorized")


def access_of(site: ScriptedSite) -> list[str]:
    """Return what the questions came with, in their order."""
    return [each.headers["authorization"] for each in site.received]


def test_the_secret_is_sent_for_a_token_and_never_with_a_question(
    connect: Connect, site: ScriptedSite
) -> None:
    """RFC 6749 sections 2.3.1 and 4.4."""
    client = connect(site)
    for _ in range(3):
        client.lookup(CHILD, OCCASION)

    (request,) = site.access_requests
    scheme, pair = request.headers["authorization"].split()
    assert scheme == "Basic"
    assert b64decode(pair).decode() == f"{CLIENT_ID}:{SECRET.text()}"
    assert request.body == {"grant_type": "client_credentials"}
    assert access_of(site) == ["Bearer access-1"] * 4
    assert all(SECRET.text() not in str(each) for each in site.received)


@pytest.mark.parametrize("about", ["about_canary", "about_children"])
def test_a_token_that_is_refused_is_replaced_once(
    connect: Connect, site: ScriptedSite, about: str
) -> None:
    """A worker that does not know it has started since; the question is sent again, the same."""
    client = connect(site)
    client.lookup(CHILD, OCCASION)
    answer = respond(KNOWN_TEST if about == "about_canary" else NO_RECORD)
    site.received.clear()
    setattr(site, about, [REFUSED, answer])
    if about == "about_canary":
        client.check()
    else:
        assert client.lookup(CHILD, OCCASION) == NoRecord()

    first, second = site.received
    assert access_of(site) == ["Bearer access-1", "Bearer access-2"]
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert first.body == second.body


def test_a_new_token_that_is_refused_is_the_end(
    connect: Connect, site: ScriptedSite, other_site: ScriptedSite
) -> None:
    """No loop, and no other base URL: it is the client that is refused."""
    site.about_canary = [REFUSED]
    with pytest.raises(CouldNotCheck) as caught:
        connect(site, other_site).lookup(CHILD, OCCASION)

    assert caught.value.reason is Reason.UNAUTHORIZED
    assert len(site.received) == len(site.access_requests) == 1
    assert other_site.access_requests == []


def not_granted(**changes: object) -> Play:
    members = {name: value for name, value in (granted("x") | changes).items() if value is not None}
    return respond(json.dumps(members).encode())


NO_ACCESS: dict[str, tuple[Play, Reason]] = {
    "wrong secret": (respond(b'{"error":"invalid_client"}', status=401), Reason.UNAUTHORIZED),
    "a grant that is not known": (respond(b"{}", status=400), Reason.REQUEST_REFUSED),
    "too many": (problem(429, "too-many-requests"), Reason.TOO_MANY_REQUESTS),
    "no such path": (respond(status=404), Reason.NOT_A_SITE),
    "a redirect": (respond(status=307, location="https://elsewhere"), Reason.NOT_A_SITE),
    "busy": (problem(503, "custodian-unavailable"), Reason.UNAVAILABLE),
    "no json": (respond(b"access"), Reason.MALFORMED_ANSWER),
    "another kind of token": (not_granted(token_type="mac"), Reason.MALFORMED_ANSWER),
    "no token": (not_granted(access_token=None), Reason.MALFORMED_ANSWER),
    "a token with a line end": (not_granted(access_token="a\r\nX: y"), Reason.MALFORMED_ANSWER),
    "a token without end": (not_granted(access_token="a" * 2_049), Reason.MALFORMED_ANSWER),
    "a token for ever": (not_granted(expires_in=10**9), Reason.MALFORMED_ANSWER),
    "a token for no time": (not_granted(expires_in=0), Reason.MALFORMED_ANSWER),
    "a token for a while": (not_granted(expires_in="long"), Reason.MALFORMED_ANSWER),
}


@pytest.mark.parametrize("name", NO_ACCESS)
def test_without_a_token_nothing_is_asked(connect: Connect, site: ScriptedSite, name: str) -> None:
    """No question leaves with the secret, or with nothing."""
    play, reason = NO_ACCESS[name]
    site.about_access = [play]
    with pytest.raises(CouldNotCheck) as caught:
        connect(site).lookup(CHILD, OCCASION)

    assert caught.value.reason is reason
    assert site.received == []


def test_another_base_url_gives_tokens_too(
    connect: Connect, site: ScriptedSite, other_site: ScriptedSite
) -> None:
    """And all of them take it: they are one site."""
    site.about_access = [problem(503, "custodian-unavailable")]
    client = connect(site, other_site)

    assert client.lookup(CHILD, OCCASION) == NoRecord()
    assert len(other_site.access_requests) == 1


class TestRenewal:
    """On a clock that the test turns."""

    def test_a_token_is_replaced_before_its_end(self) -> None:
        """By one question, which does not wait for anything else."""
        world = World({FIRST: honest})
        world.lookup()
        for _ in range(10):
            world.now += 53
            world.lookup()
        assert len(world.fetched) == 1
        world.now += 15
        world.lookup()
        world.lookup()

        assert len(world.fetched) == 2

    def test_a_renewal_that_fails_takes_nothing_away(self) -> None:
        """The token of now is good still; and not every question tries."""
        world = World({FIRST: honest})
        world.lookup()
        world.access = lambda _: Failure.BROKEN
        world.now += 545
        for _ in range(20):
            assert world.lookup() == (NoRecord(),)
        assert len(world.fetched) == 2
        world.now += 6
        world.lookup()
        assert len(world.fetched) == 3

    def test_nothing_is_asked_with_a_token_that_has_ended(self) -> None:
        world = World({FIRST: honest})
        world.lookup()
        world.access = lambda _: Failure.UNREACHABLE
        world.now += 601
        before = len(world.sent)

        assert world.lookup() is Reason.UNREACHABLE
        assert len(world.sent) == before

    def test_the_time_under_way_counts(self) -> None:
        """A slow answer tells of a token that is older than it says."""
        world = World({FIRST: honest}, takes=0.7)
        world.lookup()
        world.now = world.fetched[0][0] + 599.9
        assert world.attempts._access is not None
        assert world.attempts._access.until <= world.fetched[0][0] + 600

    def test_the_whole_takes_no_longer(self) -> None:
        """Asking for a token is part of the time, and of the visits."""
        world = World({FIRST: honest, SECOND: honest}, access=lambda _: Failure.TIMED_OUT)
        began = world.now

        assert world.lookup() is Reason.TIMED_OUT
        assert world.now - began <= world.patience.total_seconds + 1e-9
        assert len(world.fetched) <= world.patience.attempts

    def test_a_host_that_refuses_everybody_is_asked_twice_a_question(self) -> None:
        world = World({FIRST: honest})
        world.lookup()
        world.hosts[FIRST] = lambda _: Reply(401, {}, b"")
        before = len(world.sent)

        assert world.lookup() is Reason.UNAUTHORIZED
        assert len(world.sent) - before == 2


def test_nothing_of_it_prints(
    connect: Connect, site: ScriptedSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    site.about_access = [grant("QUITE-A-MARKER"), hang]
    client = connect(site)
    client.lookup(CHILD, OCCASION)
    request = TokenRequest(make_enrolment(site.base_url))
    access = request.parse(json.dumps(granted("QUITE-A-MARKER")).encode(), 0.0)
    send = Send("https://x", request.headers, request.body, 1.0, 1)

    shown = f"{caplog.text} {request!r} {access!r} {send!r} {vars(client)!r}"
    assert repr(access) == "<AccessToken>"
    assert not any(each in shown for each in ("QUITE-A-MARKER", SECRET.text(), "Basic"))

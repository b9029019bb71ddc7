"""Both clients against a real HTTP server: what comes back, and what is asked how often."""

import socket
import threading
import time
import zlib
from dataclasses import dataclass, replace
from datetime import date

import pytest

from lookup.catalogue import Authority
from lookup.client.attempts import Patience
from lookup.client.outcome import (
    BriefRecord,
    CouldNotCheck,
    Known,
    KnownRecord,
    NoRecord,
    Reason,
)
from lookup.identifiers import parse_identifier
from tests.lookup.client.conftest import PATIENT, Connect
from tests.lookup.client.scripted_site import (
    AUTHORITY,
    CHILD,
    KNOWN,
    KNOWN_TEST,
    NO_RECORD,
    OCCASION,
    RECORD,
    Play,
    ScriptedSite,
    hang,
    known,
    no_record,
    padded,
    problem,
    raw,
    respond,
)

THE_RECORD = KnownRecord(
    "child-protection-plan",
    date(2026, 1, 2),
    None,
    Authority("AXT", "Axtonbury City Council", "01632 960100", "01632 960199"),
)
OTHER_ID = "00000000-0000-4000-8000-000000000000"


def test_known_child(connect: Connect, site: ScriptedSite) -> None:
    site.about_children = [respond(KNOWN)]

    assert connect(site).lookup(CHILD, OCCASION) == Known((THE_RECORD,))


def test_unknown_child(connect: Connect, site: ScriptedSite) -> None:
    assert connect(site).lookup(CHILD, OCCASION) == NoRecord()


def test_what_is_sent(connect: Connect, site: ScriptedSite) -> None:
    """The request of the protocol, and nothing that the protocol does not know."""
    connect(site).lookup(CHILD, OCCASION)

    (question,) = site.questions
    assert question.path == "/v1/lookup"
    assert question.body.keys() == {"kid", "token", "purpose", "user", "encounter"}
    assert question.body["user"] == {"id": "nurse-4711", "role": "triage nurse"}
    assert question.body["purpose"] == "unscheduled-care"
    assert question.headers["authorization"].startswith("Bearer ")
    assert question.headers["accept-encoding"] == "identity"
    assert "cookie" not in question.headers


def test_the_canary_is_asked_first_and_once(connect: Connect, site: ScriptedSite) -> None:
    client = connect(site)
    for _ in range(3):
        client.lookup(CHILD, OCCASION)

    assert [each.is_canary for each in site.received] == [True, False, False, False]
    assert site.connections == 1


def test_every_question_has_its_own_request_id(connect: Connect, site: ScriptedSite) -> None:
    client = connect(site)
    for _ in range(3):
        client.lookup(CHILD, OCCASION)

    assert len({each.headers["x-request-id"] for each in site.received}) == 4


@dataclass(frozen=True)
class Case:
    """What a site plays, why that is no answer, and whether to ask another one."""

    play: Play
    reason: Reason
    again: bool = True

    def patience(self, *, attempts: int) -> Patience:
        """Little where time runs out anyway; otherwise more than a busy machine needs."""
        if self.reason is not Reason.TIMED_OUT:
            return replace(PATIENT, attempts=attempts)
        return replace(PATIENT, attempts=attempts, attempt_seconds=0.1 if attempts == 1 else 0.5)


def _chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nX-Request-ID: $ID\r\nContent-Type: application/json\r\n"
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(body), body)


def _changed(**members: object) -> bytes:
    return padded({"outcome": "no-record", "records": [], "more": False} | members, 2_048)


TWO_OUTCOMES = b'{"outcome":"known",' + no_record(2_048 - 18)[1:]

BAD_RECORDS: dict[str, dict[str, object]] = {
    "an unknown member": RECORD | {"note": "x"},
    "a missing member": {"category": "looked-after"},
    "no such day": RECORD | {"since": "2026-02-30"},
    "a time for a day": RECORD | {"since": "2026-02-03T00:00:00Z"},
    "a category that plays with the terminal": RECORD | {"category": "\x1b[2J"},
    "an authority that does": RECORD | {"authority": AUTHORITY | {"name": "\x1b[2J"}},
    "an authority without numbers": RECORD | {"authority": {"code": "AXT"}},
    "the canary's category": RECORD | {"category": "test"},
}

CASES = {
    "busy": Case(problem(503, "index-not-ready"), Reason.UNAVAILABLE),
    "too slow for us": Case(problem(408, "request-timed-out"), Reason.UNAVAILABLE),
    "proxy without a worker": Case(respond(status=502), Reason.UNAVAILABLE),
    "proxy with a slow worker": Case(respond(status=504), Reason.UNAVAILABLE),
    "a defect": Case(problem(500, "internal-error"), Reason.SERVER_ERROR),
    "unknown kid": Case(problem(422, "unknown-kid"), Reason.UNKNOWN_KID, again=False),
    "wrong secret": Case(problem(401, "unauthorized"), Reason.UNAUTHORIZED, again=False),
    "forbidden": Case(respond(status=403), Reason.FORBIDDEN, again=False),
    "over quota": Case(respond(status=429), Reason.TOO_MANY_REQUESTS, again=False),
    "refused": Case(problem(400, "invalid-request"), Reason.REQUEST_REFUSED, again=False),
    "refused oddly": Case(respond(b"]", status=422), Reason.REQUEST_REFUSED, again=False),
    "some other server": Case(respond(status=404), Reason.NOT_A_SITE),
    "redirect": Case(respond(KNOWN, status=307, location="/v1/other"), Reason.NOT_A_SITE),
    "another success": Case(respond(NO_RECORD, status=206), Reason.NOT_A_SITE),
    "silence": Case(hang, Reason.TIMED_OUT),
    "a dripping head": Case(
        raw(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", pause=0.05, forever=True), Reason.TIMED_OUT
    ),
    "early hints for ever": Case(
        raw(b"HTTP/1.1 103 x\r\n\r\n", pause=0.01, forever=True), Reason.TIMED_OUT
    ),
    "a dripping body": Case(
        raw(_chunked(b"{"), b"1\r\n \r\n", pause=0.05, forever=True), Reason.TIMED_OUT
    ),
    "an endless body": Case(
        raw(_chunked(b" " * 65_536), b"10000\r\n%b\r\n" % (b" " * 65_536), forever=True),
        Reason.MALFORMED_ANSWER,
    ),
    "hangs up": Case(raw(), Reason.DISCONNECTED),
    "no http": Case(raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Reason.DISCONNECTED),
    "a body cut short": Case(respond(NO_RECORD, cut=1), Reason.DISCONNECTED),
    "one byte short": Case(respond(NO_RECORD[:-1]), Reason.MALFORMED_ANSWER),
    "one byte long": Case(respond(NO_RECORD + b" "), Reason.MALFORMED_ANSWER),
    "empty": Case(respond(b""), Reason.MALFORMED_ANSWER),
    "an answer to another question": Case(
        respond(NO_RECORD, request_id=OTHER_ID), Reason.MALFORMED_ANSWER
    ),
    "an answer to no question": Case(respond(NO_RECORD, request_id=""), Reason.MALFORMED_ANSWER),
    "two request ids": Case(respond(NO_RECORD, x_request_id=OTHER_ID), Reason.MALFORMED_ANSWER),
    "another media type": Case(
        respond(NO_RECORD, content_type="text/html"), Reason.MALFORMED_ANSWER
    ),
    "compressed": Case(
        respond(zlib.compress(NO_RECORD), content_encoding="deflate"), Reason.MALFORMED_ANSWER
    ),
    "garbage": Case(respond(b"\xff" * 2_048), Reason.MALFORMED_ANSWER),
    "a deep nest": Case(respond(b"[" * 2_048), Reason.MALFORMED_ANSWER),
    "not a number": Case(respond(b"NaN".ljust(2_048)), Reason.MALFORMED_ANSWER),
    "a list": Case(respond(b"[]".ljust(2_048)), Reason.MALFORMED_ANSWER),
    "an unknown outcome": Case(respond(_changed(outcome="maybe")), Reason.MALFORMED_ANSWER),
    "no outcome": Case(respond(padded({"records": []}, 2_048)), Reason.MALFORMED_ANSWER),
    "an unknown member": Case(respond(_changed(note="x")), Reason.MALFORMED_ANSWER),
    "no record, and one": Case(respond(_changed(records=[RECORD])), Reason.MALFORMED_ANSWER),
    "no record, and more": Case(respond(_changed(more=True)), Reason.MALFORMED_ANSWER),
    "known, and nothing": Case(respond(_changed(outcome="known")), Reason.MALFORMED_ANSWER),
    "a number for a flag": Case(respond(_changed(more=0)), Reason.MALFORMED_ANSWER),
    "two outcomes": Case(respond(TWO_OUTCOMES), Reason.MALFORMED_ANSWER),
    "nine records": Case(respond(known(*([RECORD] * 9), size=2_048)), Reason.MALFORMED_ANSWER),
} | {
    name: Case(respond(known(record)), Reason.MALFORMED_ANSWER)
    for name, record in BAD_RECORDS.items()
}


CANARYS_CATEGORY = CASES["the canary's category"]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
class TestNotAnAnswer:
    """Whatever is not exactly an answer is *could not check*, never *no record*."""

    def test_about_a_child(self, connect: Connect, site: ScriptedSite, case: Case) -> None:
        site.about_children = [case.play]

        with pytest.raises(CouldNotCheck) as caught:
            connect(site, patience=case.patience(attempts=1)).lookup(CHILD, OCCASION)

        assert caught.value.reason is case.reason

    def test_about_the_canary(self, connect: Connect, site: ScriptedSite, case: Case) -> None:
        """Nothing is asked about a child where the canary was not answered."""
        site.about_canary = [case.play]

        if case.play is CANARYS_CATEGORY.play:
            assert connect(site).lookup(CHILD, OCCASION) == NoRecord()
            return
        with pytest.raises(CouldNotCheck) as caught:
            connect(site, patience=case.patience(attempts=1)).lookup(CHILD, OCCASION)

        assert caught.value.reason is case.reason
        assert site.questions == []

    def test_elsewhere(
        self, connect: Connect, site: ScriptedSite, other_site: ScriptedSite, case: Case
    ) -> None:
        """Another base URL is asked the same under the same id, unless it could not help."""
        site.about_children = [case.play]
        client = connect(site, other_site, patience=case.patience(attempts=2))

        if not case.again:
            with pytest.raises(CouldNotCheck):
                client.lookup(CHILD, OCCASION)
            assert other_site.received == []
            return
        assert client.lookup(CHILD, OCCASION) == NoRecord()
        (first,), (second,) = site.questions, other_site.questions
        assert first.headers["x-request-id"] == second.headers["x-request-id"]
        assert first.body == second.body


def test_nobody_listens(connect: Connect, dead_url: str) -> None:
    with pytest.raises(CouldNotCheck) as caught:
        connect(dead_url).lookup(CHILD, OCCASION)

    assert caught.value.reason is Reason.UNREACHABLE


def test_a_dead_site_is_asked_last_for_a_while(
    connect: Connect, site: ScriptedSite, other_site: ScriptedSite
) -> None:
    site.about_canary = [problem(503, "index-not-ready")]
    client = connect(site, other_site)
    for _ in range(3):
        assert client.lookup(CHILD, OCCASION) == NoRecord()

    assert len(site.received) == 1


def test_one_site_is_asked_again(connect: Connect, site: ScriptedSite) -> None:
    site.about_children = [problem(503, "index-superseded"), respond(KNOWN)]

    assert connect(site).lookup(CHILD, OCCASION) == Known((THE_RECORD,))
    first, second = site.questions
    assert first == second


def test_retry_after_is_honoured(connect: Connect, site: ScriptedSite) -> None:
    site.about_children = [problem(503, "index-not-ready", retry_after="1"), respond(KNOWN)]
    client = connect(site)
    before = time.monotonic()

    assert client.lookup(CHILD, OCCASION) == Known((THE_RECORD,))
    assert time.monotonic() - before >= 1


def test_a_long_retry_after_is_not_waited_for(connect: Connect, site: ScriptedSite) -> None:
    site.about_children = [problem(503, "index-not-ready", retry_after="3600")]

    with pytest.raises(CouldNotCheck) as caught:
        connect(site).lookup(CHILD, OCCASION)

    assert caught.value.reason is Reason.UNAVAILABLE
    assert len(site.questions) == 1


def test_the_whole_takes_no_longer_than_promised(
    connect: Connect, site: ScriptedSite, other_site: ScriptedSite
) -> None:
    site.about_canary = other_site.about_canary = [hang]
    patience = Patience(total_seconds=0.5, attempt_seconds=0.3, attempts=16)
    client = connect(site, other_site, patience=patience)
    before = time.monotonic()

    with pytest.raises(CouldNotCheck) as caught:
        client.lookup(CHILD, OCCASION)

    assert caught.value.reason is Reason.TIMED_OUT
    assert 0.5 <= time.monotonic() - before < 2.5


def test_a_name_that_does_not_resolve_ends_in_time(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver without a network takes ten seconds and more; nobody in A&E should."""
    resolved = threading.Event()
    patience = Patience(total_seconds=0.3, attempt_seconds=0.3)
    client = connect("http://localhost:1", patience=patience)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved.wait() and [])
    before = time.monotonic()
    try:
        with pytest.raises(CouldNotCheck) as caught:
            client.lookup(CHILD, OCCASION)
        assert time.monotonic() - before < 2.5
    finally:
        resolved.set()

    assert caught.value.reason is Reason.TIMED_OUT


@pytest.mark.parametrize("answer", [NO_RECORD, KNOWN], ids=["no record", "known, no test"])
class TestWrongCanary:
    """The site answers well, and wrongly: it has another key, or does not hold what it should."""

    def test_no_record_is_not_believed(
        self, connect: Connect, site: ScriptedSite, answer: bytes
    ) -> None:
        site.about_canary = [respond(answer)]

        with pytest.raises(CouldNotCheck) as caught:
            connect(site).lookup(CHILD, OCCASION)

        assert caught.value.reason is Reason.CANARY_FAILED

    def test_known_is_believed(self, connect: Connect, site: ScriptedSite, answer: bytes) -> None:
        """Nobody fails to hear of a child because the canary is broken."""
        site.about_canary = [respond(answer)]
        site.about_children = [respond(KNOWN)]

        assert connect(site).lookup(CHILD, OCCASION) == Known((THE_RECORD,))

    def test_another_base_url_may_be_better(
        self, connect: Connect, site: ScriptedSite, other_site: ScriptedSite, answer: bytes
    ) -> None:
        site.about_canary = [respond(answer)]

        assert connect(site, other_site).lookup(CHILD, OCCASION) == NoRecord()
        assert other_site.canaries == 1

    def test_it_is_asked_again_until_it_is_right(
        self, connect: Connect, site: ScriptedSite, answer: bytes
    ) -> None:
        site.about_canary = [respond(answer), respond(KNOWN_TEST)]

        assert connect(site).lookup(CHILD, OCCASION) == NoRecord()
        assert site.canaries == 2

    def test_check_says_so(self, connect: Connect, site: ScriptedSite, answer: bytes) -> None:
        site.about_canary = [respond(answer)]

        with pytest.raises(CouldNotCheck) as caught:
            connect(site).check()

        assert caught.value.reason is Reason.CANARY_FAILED


def test_check_is_good_for_later(connect: Connect, site: ScriptedSite) -> None:
    client = connect(site)
    client.check()
    client.lookup(CHILD, OCCASION)

    assert [each.is_canary for each in site.received] == [True, False]


TWIN = parse_identifier("nhs:9000000009")
BRIEF = RECORD | {"authority": {"code": "AXT"}}


def _batch(*answers: bytes) -> bytes:
    return b"[" + b",".join(answers) + b"]"


def test_a_batch_keeps_its_order(connect: Connect, site: ScriptedSite) -> None:
    site.about_children = [respond(_batch(known(BRIEF, size=256), no_record(256)))]

    answers = connect(site).lookup_many([CHILD, TWIN], OCCASION)

    record = BriefRecord("child-protection-plan", date(2026, 1, 2), None, "AXT")
    assert answers == (Known((record,)), NoRecord())
    (question,) = site.questions
    assert question.path == "/v1/lookups"
    assert len(question.body["tokens"]) == 2


BAD_BATCHES = {
    "one too few": _batch(no_record(513)),
    "one too many": _batch(*[no_record(170)] * 3) + b"  ",
    "a long and a short one": _batch(no_record(257), no_record(255)),
    "the canary's category": _batch(no_record(256), known(BRIEF | {"category": "test"}, size=256)),
    "whole authorities": _batch(known(RECORD, size=300), no_record(212)),
    "one of the other size": NO_RECORD,
}


@pytest.mark.parametrize("body", BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_one_bad_answer_spoils_a_batch(connect: Connect, site: ScriptedSite, body: bytes) -> None:
    site.about_children = [respond(body)]

    with pytest.raises(CouldNotCheck) as caught:
        connect(site).lookup_many([CHILD, TWIN], OCCASION)

    assert caught.value.reason is Reason.MALFORMED_ANSWER


def test_a_batch_needs_the_canary_too(connect: Connect, site: ScriptedSite) -> None:
    site.about_canary = [respond(NO_RECORD)]
    site.about_children = [respond(_batch(known(BRIEF, size=256), no_record(256)))]

    with pytest.raises(CouldNotCheck) as caught:
        connect(site).lookup_many([CHILD, TWIN], OCCASION)

    assert caught.value.reason is Reason.CANARY_FAILED


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_has_bounds(connect: Connect, site: ScriptedSite, count: int) -> None:
    with pytest.raises(ValueError, match="1 to 1000 identifiers"):
        connect(site).lookup_many([CHILD] * count, OCCASION)

    assert site.received == []


def test_only_canonical_identifiers_are_hashed(connect: Connect, site: ScriptedSite) -> None:
    """The token of another spelling finds nothing, which would be a wrong *no record*."""
    with pytest.raises(ValueError, match="canonical"):
        connect(site).lookup(CHILD._replace(value="943 476 5919"), OCCASION)

    assert site.received == []


class TestEnvironment:
    """Nothing around the process changes where a question goes or what is in it."""

    def test_no_redirect_is_followed(
        self, connect: Connect, site: ScriptedSite, other_site: ScriptedSite
    ) -> None:
        location = f"{other_site.base_url}/v1/lookup"
        site.about_children = [respond(status=308, location=location)]

        with pytest.raises(CouldNotCheck):
            connect(site).lookup(CHILD, OCCASION)

        assert other_site.received == []

    def test_no_proxy_is_taken_from_it(
        self,
        connect: Connect,
        site: ScriptedSite,
        other_site: ScriptedSite,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other_site.base_url)

        assert connect(site).lookup(CHILD, OCCASION) == NoRecord()
        assert other_site.received == []

    def test_no_cookie_is_kept(self, connect: Connect, site: ScriptedSite) -> None:
        site.about_canary = [respond(KNOWN_TEST, set_cookie="seen=1")]
        connect(site).lookup(CHILD, OCCASION)

        assert all("cookie" not in each.headers for each in site.received)

"""Both clients, when answers are withdrawn: what they hear, what they say, what is retried."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import pytest

from lookup.client.attempts import Patience
from lookup.client.outcome import CouldNotCheck, Reason, Recall
from tests.lookup.client.conftest import AnyClient, Connect
from tests.lookup.client.scripted_site import (
    CHILD,
    KNOWN,
    NO_RECORD,
    OCCASION,
    Play,
    ScriptedSite,
    acknowledge,
    known,
    no_record,
    problem,
    recalled,
    respond,
)

ONE, TWO = "01" * 16, "02" * 16
REQUEST, OTHER = UUID(int=1), UUID(int=2)
LISTED = recalled((ONE, [str(REQUEST), str(OTHER)]), (TWO, []))
ONCE = Patience(total_seconds=20, attempt_seconds=10, attempts=1)
RECALLS = (Recall(ONE, (REQUEST, OTHER)), Recall(TWO, ()))


def test_what_is_withdrawn_is_told(connect: Connect, site: ScriptedSite) -> None:
    site.about_recalls = [respond(LISTED), respond(recalled())]
    client = connect(site)

    assert client.recalls() == RECALLS
    assert client.recalls() == ()


def test_the_list_is_asked_for_without_a_word(connect: Connect, site: ScriptedSite) -> None:
    """A GET with the access token and a request id, and nothing besides."""
    connect(site).recalls()

    (asked,) = site.recall_requests
    assert (asked.method, asked.path, asked.body) == ("GET", "/v1/recalls", {})
    assert asked.headers["authorization"] == "Bearer access-1"
    assert UUID(asked.headers["x-request-id"]).version == 4
    assert not asked.headers.keys() & {"content-type", "content-length", "cookie"}


def test_what_is_deleted_is_acknowledged(connect: Connect, site: ScriptedSite) -> None:
    """By the ids of its recalls, each once."""
    site.about_recalls = [acknowledge]
    connect(site).acknowledge([*RECALLS, RECALLS[0]])

    (asked,) = site.recall_requests
    assert (asked.method, asked.path) == ("POST", "/v1/recalls/acknowledge")
    assert asked.body == {"recalls": [ONE, TWO]}
    assert asked.headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", [0, 101])
def test_an_acknowledgement_has_bounds(connect: Connect, site: ScriptedSite, count: int) -> None:
    recalls = [Recall(f"{number:032x}", ()) for number in range(count)]
    with pytest.raises(ValueError, match="1 to 100 recalls"):
        connect(site).acknowledge(recalls)

    assert site.recall_requests == []


def test_no_canary_is_asked(connect: Connect, site: ScriptedSite) -> None:
    """Neither the index nor the audit is needed, so neither is put to the test."""
    site.about_recalls = [respond(LISTED), acknowledge]
    client = connect(site)
    client.acknowledge(client.recalls())

    assert site.received == []


@dataclass(frozen=True)
class Call:
    """What is asked of a site, and how a good one plays."""

    ask: Callable[[AnyClient], object]
    good: Play


CALLS = {
    "list": Call(lambda client: client.recalls(), respond(LISTED)),
    "acknowledge": Call(lambda client: client.acknowledge(RECALLS), acknowledge),
}


@dataclass(frozen=True)
class Case:
    """What a site plays, why that is no answer, and whether to ask another one."""

    play: Play
    reason: Reason
    again: bool = True


FAILURES = {
    "no custodian": Case(problem(503, "custodian-unavailable"), Reason.UNAVAILABLE),
    "not durable": Case(problem(503, "unavailable"), Reason.UNAVAILABLE),
    "a defect": Case(problem(500, "internal-error"), Reason.SERVER_ERROR),
    "an older site": Case(problem(404, "not-found"), Reason.NOT_A_SITE),
    "a proxy's page": Case(respond(b"<html>", content_type="text/html"), Reason.MALFORMED_ANSWER),
    "no JSON": Case(respond(b"{"), Reason.MALFORMED_ANSWER),
    "somebody else's": Case(respond(LISTED, str(OTHER)), Reason.MALFORMED_ANSWER),
    "cut off": Case(respond(LISTED, cut=3), Reason.DISCONNECTED),
    "over the quota": Case(
        problem(429, "too-many-requests", retry_after="1"), Reason.TOO_MANY_REQUESTS, again=False
    ),
    "refused": Case(problem(400, "invalid-request"), Reason.REQUEST_REFUSED, again=False),
    "not admitted": Case(problem(401, "unauthorized"), Reason.UNAUTHORIZED, again=False),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("case", FAILURES.values(), ids=FAILURES.keys())
def test_what_fails_is_could_not_check(
    connect: Connect, site: ScriptedSite, other_site: ScriptedSite, case: Case, call: Call
) -> None:
    """Never an empty list; and another base URL is asked where that may help, as with a lookup."""
    site.about_recalls = [case.play]
    other_site.about_recalls = [call.good]
    with pytest.raises(CouldNotCheck) as caught:
        call.ask(connect(site, patience=ONCE))
    assert caught.value.reason is case.reason

    with suppress(CouldNotCheck):
        call.ask(connect(site, other_site))
    assert len(other_site.recall_requests) == case.again


def test_a_request_keeps_its_id_when_it_is_sent_again(connect: Connect, site: ScriptedSite) -> None:
    site.about_recalls = [problem(503, "unavailable"), acknowledge]
    connect(site).acknowledge(RECALLS)

    first, second = site.recall_requests
    assert first.headers["x-request-id"] == second.headers["x-request-id"]


def test_an_access_token_that_has_ended_is_replaced(connect: Connect, site: ScriptedSite) -> None:
    site.about_recalls = [respond(LISTED), problem(401, "unauthorized"), respond(LISTED)]
    client = connect(site)
    client.recalls()

    assert client.recalls() == RECALLS
    assert len(site.access_requests) == 2


ITEM = {"recall": ONE, "requests": [str(REQUEST)]}
BAD_LISTS: dict[str, object] = {
    "no object": [],
    "nothing said": {},
    "no more": {"recalls": []},
    "no recalls": {"more": False},
    "more than nothing": {"recalls": [], "more": True},
    "an unknown member": {"recalls": [], "more": False, "x": 1},
    "more as text": {"recalls": [], "more": "no"},
    "an id that is too short": {"recalls": [ITEM | {"recall": ONE[1:]}], "more": False},
    "an id in capitals": {"recalls": [ITEM | {"recall": "AB" * 16}], "more": False},
    "an id and a line": {"recalls": [ITEM | {"recall": ONE + "\n"}], "more": False},
    "a request that is none": {"recalls": [ITEM | {"requests": ["\x1b[2J"]}], "more": False},
    "no requests": {"recalls": [{"recall": ONE}], "more": False},
    "an unknown member of one": {"recalls": [ITEM | {"x": 1}], "more": False},
    "101": {"recalls": [ITEM] * 101, "more": False},
    "too long": {"recalls": [ITEM | {"requests": [str(REQUEST)] * 2_000}], "more": False},
}


@pytest.mark.parametrize("content", BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_a_list_is_read_strictly(connect: Connect, site: ScriptedSite, content: object) -> None:
    """What is read generously could be read as "nothing is withdrawn"."""
    site.about_recalls = [respond(json.dumps(content).encode())]
    with pytest.raises(CouldNotCheck) as caught:
        connect(site, patience=ONCE).recalls()

    assert caught.value.reason is Reason.MALFORMED_ANSWER


BAD_ACKNOWLEDGEMENTS: dict[str, object] = {
    "no object": [ONE, TWO],
    "nothing": {"acknowledged": []},
    "fewer": {"acknowledged": [ONE]},
    "others": {"acknowledged": [TWO, ONE]},
    "more": {"acknowledged": [ONE, TWO], "x": 1},
    "no list": {"acknowledged": True},
}


@pytest.mark.parametrize("content", BAD_ACKNOWLEDGEMENTS.values(), ids=BAD_ACKNOWLEDGEMENTS.keys())
def test_an_acknowledgement_is_believed_only_to_the_letter(
    connect: Connect, site: ScriptedSite, content: object
) -> None:
    site.about_recalls = [respond(json.dumps(content).encode())]
    with pytest.raises(CouldNotCheck) as caught:
        connect(site, patience=ONCE).acknowledge(RECALLS)

    assert caught.value.reason is Reason.MALFORMED_ANSWER


@pytest.mark.parametrize("body", [KNOWN, NO_RECORD], ids=["known", "no record"])
def test_an_answer_names_the_request_that_a_recall_will_name(
    connect: Connect, site: ScriptedSite, body: bytes
) -> None:
    """As the site has heard it, also where the first attempt came to nothing."""
    site.about_children = [problem(503, "unavailable"), respond(body)]
    answer = connect(site).lookup(CHILD, OCCASION)

    sent = {question.headers["x-request-id"] for question in site.questions}
    assert sent == {str(answer.request_id)}


def test_the_answers_of_a_batch_have_one_request(connect: Connect, site: ScriptedSite) -> None:
    brief = {"category": "looked-after", "since": "2026-01-02", "until": None}
    body = known(brief | {"authority": {"code": "AXT"}}, size=256)
    site.about_children = [respond(b"[" + body + b"," + no_record(256) + b"]")]
    answers = connect(site).lookup_many([CHILD, CHILD], OCCASION)

    (question,) = site.questions
    named = [str(answer.request_id) for answer in answers]
    assert named == [question.headers["x-request-id"]] * 2

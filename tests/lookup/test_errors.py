import inspect
import json
from http import HTTPStatus

import pytest

from lookup import errors
from lookup.errors import (
    PROBLEMS,
    IndexStale,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    ServiceError,
    TooManyRequests,
    Unauthorized,
    UnknownKid,
    problem_body,
    problem_headers,
    problem_of,
)

FACTS = [
    fact
    for _, fact in inspect.getmembers(errors, inspect.isclass)
    if issubclass(fact, ServiceError) and fact is not ServiceError
]


def make(fact: type[ServiceError]) -> ServiceError:
    if fact is TooManyRequests:
        return TooManyRequests("so many", 7)
    return fact("GET") if fact is MethodNotAllowed else fact()


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_has_its_own_problem(fact: type[ServiceError]) -> None:
    """No fact is told as another by accident."""
    assert fact in PROBLEMS
    assert problem_of(make(fact)) is PROBLEMS[fact]


def test_types_are_stable_and_distinct() -> None:
    types = [problem.type for problem in PROBLEMS.values()]

    assert len(set(types)) == len(types)
    assert all(each.startswith("urn:lacuna:problem:") for each in types)


@pytest.mark.parametrize("fact", FACTS)
def test_the_module_draws_every_fact(fact: type[ServiceError]) -> None:
    assert f"─ {fact.__name__}" in (errors.__doc__ or "")


def test_a_problem_says_type_status_title_and_detail() -> None:
    """RFC 9457, with members of our own."""
    body = json.loads(problem_body(UnknownKid("retired"), outcome="could-not-check"))

    assert body == {
        "type": "urn:lacuna:problem:unknown-kid",
        "status": 422,
        "title": "Unknown or retired lookup key",
        "detail": "retired",
        "outcome": "could-not-check",
    }


def test_a_fact_without_words_has_no_detail() -> None:
    assert "detail" not in json.loads(problem_body(Unauthorized()))


def test_a_more_special_fact_is_told_as_the_nearest_one() -> None:
    class BadDate(InvalidRequest):
        pass

    class Unlisted(ServiceError):
        pass

    assert problem_of(BadDate()) is PROBLEMS[InvalidRequest]
    assert problem_of(Unlisted()) is PROBLEMS[InternalError]


def test_headers_belong_to_the_fact() -> None:
    assert problem_headers(Unauthorized())["www-authenticate"] == "Bearer"
    assert problem_headers(MethodNotAllowed("GET, HEAD"))["allow"] == "GET, HEAD"
    assert problem_headers(IndexStale())["retry-after"] == "1"
    assert problem_headers(TooManyRequests("so many", 7))["retry-after"] == "7"
    assert problem_headers(InvalidRequest()) == {
        "content-type": "application/problem+json",
        "cache-control": "no-store",
    }


def test_what_may_go_better_elsewhere_is_503() -> None:
    """A client tries another base URL after 503, and after no other status."""
    for fact, problem in PROBLEMS.items():
        unavailable = problem.status is HTTPStatus.SERVICE_UNAVAILABLE
        assert unavailable == issubclass(fact, errors.Unavailable)

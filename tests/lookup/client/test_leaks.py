"""G9: whatever goes wrong, no identifier, token, secret or name of a user shows anywhere."""

import asyncio
import logging
import pickle
import traceback

import pytest

from lookup.client.aio import AsyncLookupClient
from lookup.client.outcome import CouldNotCheck
from lookup.client.questions import Occasion, Questioner, User
from lookup.client.sync import LookupClient
from tests.lookup.client.conftest import PATIENT, Connect
from tests.lookup.client.scripted_site import (
    CHILD,
    OCCASION,
    SECRETS,
    ScriptedSite,
    hang,
    make_enrolment,
    respond,
)
from tests.lookup.client.test_clients import CASES, Case


def _assert_shows_nothing(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


def _with_locals(error: BaseException) -> str:
    """Print as the most talkative of error reporters would, but for the test's own frame."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    printed = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    return "".join(printed.format())


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_errors_show_nothing(
    connect: Connect, site: ScriptedSite, case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    """Not printed, pickled, logged, or reached through the exceptions behind."""
    caplog.set_level(logging.DEBUG)
    site.about_children = [case.play]

    with pytest.raises(CouldNotCheck) as caught:
        connect(site, patience=case.patience(attempts=1)).lookup(CHILD, OCCASION)

    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    _assert_shows_nothing(_with_locals(error))
    _assert_shows_nothing(f"{error} {error!r} {error.args} {vars(error)}")
    _assert_shows_nothing(caplog.text)
    pickled = pickle.dumps(error)
    _assert_shows_nothing(repr(pickled))
    assert pickle.loads(pickled).reason is error.reason  # noqa: S301  # made two lines above


def test_answers_log_nothing(
    connect: Connect, site: ScriptedSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    connect(site).lookup(CHILD, OCCASION)

    _assert_shows_nothing(caplog.text)


def test_a_cancelled_question_shows_nothing(site: ScriptedSite) -> None:
    """A caller's own time limit cancels; the frames that it went through hold the request."""
    site.about_canary = [hang]

    async def ask() -> None:
        async with AsyncLookupClient(make_enrolment(site.base_url), patience=PATIENT) as client:
            async with asyncio.timeout(0.1):
                await client.lookup(CHILD, OCCASION)

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(ask())

    _assert_shows_nothing(_with_locals(caught.value))


def test_misuse_shows_nothing(connect: Connect, site: ScriptedSite) -> None:
    """The identifier in another spelling, and a bare string, are refused without being shown."""
    client = connect(site)
    spelled = "943 476 5919"
    for wrong in (CHILD._replace(value=spelled), f"nhs:{spelled}"):
        with pytest.raises((ValueError, AttributeError)) as caught:
            client.lookup(wrong, OCCASION)  # type: ignore[arg-type]  # misuse is the point
        assert spelled not in "".join(traceback.format_exception(caught.value))


def test_nothing_prints_itself() -> None:
    enrolment = make_enrolment("http://127.0.0.1:1")
    question = Questioner(enrolment).one(CHILD, OCCASION)

    shown = f"{enrolment!r} {question!r} {OCCASION!r} {OCCASION.user!r} {CHILD!r} {respond()!r}"

    _assert_shows_nothing(shown)


NAMES = ["", "x" * 65, "line\nbreak", "\x1b[2J"]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_a_site_would_refuse_are_refused_here(name: str) -> None:
    for make in (
        lambda: User(name, "nurse"),
        lambda: User("4711", name),
        lambda: Occasion(OCCASION.user, encounter=name),
    ):
        with pytest.raises(ValueError, match="1 to 64 printable characters") as caught:
            make()
        assert name == "" or name not in str(caught.value)


def test_a_client_prints_nothing_of_its_enrolment(site: ScriptedSite) -> None:
    with LookupClient(make_enrolment(site.base_url)) as client:
        _assert_shows_nothing(f"{client!r} {vars(client)!r}")

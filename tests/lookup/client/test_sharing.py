"""A client is shared by threads, tasks, and processes, and can be closed under all of them."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from socket import socket

import pytest

from lookup.client.aio import AsyncLookupClient
from lookup.client.outcome import Answer, CouldNotCheck, Known, NoRecord
from lookup.client.sync import LookupClient
from lookup.identifiers import Identifier, parse_identifier
from tests.lookup.client.conftest import PATIENT
from tests.lookup.client.scripted_site import (
    CHILD,
    KEY,
    KNOWN,
    NO_RECORD,
    OCCASION,
    Received,
    ScriptedSite,
    hang,
    make_enrolment,
    respond,
    token_text,
)

FLAGGED = parse_identifier("nhs:9000000009")


def _answer_truly(connection: socket, received: Received) -> None:
    flagged = received.body["token"] == token_text(KEY, FLAGGED)
    respond(KNOWN if flagged else NO_RECORD)(connection, received)


def _is_true(identifier: Identifier, answer: Answer) -> bool:
    return isinstance(answer, Known if identifier == FLAGGED else NoRecord)


MANY = [CHILD, FLAGGED, FLAGGED, CHILD, CHILD] * 30


@pytest.fixture
def client(site: ScriptedSite) -> Iterator[LookupClient]:
    with LookupClient(make_enrolment(site.base_url), patience=PATIENT) as client:
        yield client


def test_threads_get_their_own_answers(site: ScriptedSite, client: LookupClient) -> None:
    site.about_children = [_answer_truly]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda each: client.lookup(each, OCCASION), MANY))

    assert all(map(_is_true, MANY, answers))


def test_tasks_get_their_own_answers(site: ScriptedSite) -> None:
    site.about_children = [_answer_truly]

    async def ask() -> list[Answer]:
        async with AsyncLookupClient(make_enrolment(site.base_url), patience=PATIENT) as client:
            return await asyncio.gather(*(client.lookup(each, OCCASION) for each in MANY))

    assert all(map(_is_true, MANY, asyncio.run(ask())))
    assert site.connections <= 32


def test_a_synchronous_client_inside_a_running_loop(client: LookupClient) -> None:
    async def ask() -> Answer:
        return client.lookup(CHILD, OCCASION)

    assert asyncio.run(ask()) == NoRecord()


def test_closing_ends_what_is_under_way(site: ScriptedSite, client: LookupClient) -> None:
    """A question that is cut off is *could not check* for whoever waits for it."""
    asked = threading.Event()

    def play(connection: socket, received: Received) -> None:
        asked.set()
        hang(connection, received)

    site.about_canary = [play]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.lookup, CHILD, OCCASION)
        assert asked.wait(10)
        client.close()
        with pytest.raises(CouldNotCheck):
            waiting.result()


def test_a_closed_client_says_so(client: LookupClient) -> None:
    client.close()
    client.close()

    with pytest.raises(RuntimeError, match="closed"):
        client.lookup(CHILD, OCCASION)


FORK = """
import os, sys
from lookup.client.sync import LookupClient
from tests.lookup.client.scripted_site import CHILD, OCCASION, make_enrolment

with LookupClient(make_enrolment(sys.argv[1])) as client:
    print(client.lookup(CHILD, OCCASION), flush=True)
    child = os.fork()
    print(client.lookup(CHILD, OCCASION), flush=True)
    if child:
        assert os.waitpid(child, 0)[1] == 0
"""


def test_a_forked_child_has_connections_of_its_own(site: ScriptedSite) -> None:
    """Two processes on one connection would read each other's answers."""
    run = subprocess.run(
        [sys.executable, "-c", FORK, site.base_url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert run.stdout.splitlines() == ["NoRecord()"] * 3
    assert run.stderr == ""
    assert site.connections == 2

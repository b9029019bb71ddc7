"""`lacuna recalls`: what it prints, what it acknowledges, and with which exit status."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from lookup.client.enrolment import store_enrolment
from lookup.client.outcome import MEANINGS, Reason
from tests.lookup.cli.commanding import Result, lacuna
from tests.lookup.client.scripted_site import (
    SECRETS,
    ScriptedSite,
    acknowledge,
    make_enrolment,
    problem,
    recalled,
    respond,
    scripted_site,
)

ONE, TWO = "01" * 16, "02" * 16
FIRST, SECOND, THIRD = (str(UUID(int=number)) for number in range(1, 4))
LISTED = respond(recalled((ONE, [FIRST, SECOND]), (TWO, [THIRD])))


@pytest.fixture
def site() -> Iterator[ScriptedSite]:
    with scripted_site() as site:
        yield site


@pytest.fixture
def enrolment(site: ScriptedSite, tmp_path: Path) -> Path:
    path = tmp_path / "enrolment.json"
    store_enrolment(path, make_enrolment(site.base_url))
    return path


def run(enrolment: Path, *arguments: str) -> Result:
    return lacuna("recalls", "--enrolment", enrolment, *arguments)


def acknowledged(site: ScriptedSite) -> list[str]:
    """What the site was told."""
    return [
        each
        for asked in site.recall_requests
        if asked.method == "POST"
        for each in asked.body["recalls"]
    ]


def test_what_is_withdrawn_is_printed_with_what_to_do(site: ScriptedSite, enrolment: Path) -> None:
    """And the exit status says that somebody has to; nothing is acknowledged by looking."""
    site.about_recalls = [LISTED]
    result = run(enrolment)

    assert result.status == 1
    heading, *requests = result.stdout.splitlines()
    assert "Delete what you stored" in heading
    assert "ask again" in heading
    assert requests == [f"  {FIRST}", f"  {SECOND}", f"  {THIRD}"]
    assert acknowledged(site) == []


def test_no_more_is_said_than_that_an_answer_is_withdrawn(
    site: ScriptedSite, enrolment: Path
) -> None:
    """Whether a record is destroyed or corrected would tell whoever looks whether there is one."""
    site.about_recalls = [LISTED]

    assert not re.search("destroy|eras|correct|unlink", run(enrolment).stdout)


def test_nothing_withdrawn(enrolment: Path) -> None:
    result = run(enrolment)

    assert (result.status, result.stdout) == (0, "no answer is withdrawn\n")


def test_json(site: ScriptedSite, enrolment: Path) -> None:
    site.about_recalls = [LISTED]
    result = run(enrolment, "--json")

    assert result.status == 1
    assert result.json == {
        "recalls": [
            {"recall": ONE, "requests": [FIRST, SECOND], "acknowledged": False},
            {"recall": TWO, "requests": [THIRD], "acknowledged": False},
        ]
    }


@pytest.mark.parametrize(
    ("named", "said", "status"),
    [([], [ONE, TWO], 0), ([TWO], [TWO], 1), ([TWO, ONE], [ONE, TWO], 0), (["03" * 16], [], 1)],
    ids=["all", "one", "both", "one that has gone"],
)
def test_what_is_acknowledged(
    site: ScriptedSite, enrolment: Path, named: list[str], said: list[str], status: int
) -> None:
    """All that was printed just now, or what is named; the status tells whether any is left."""
    site.about_recalls = [LISTED, acknowledge]
    result = run(enrolment, *named, "--acknowledge", "--yes")

    assert result.status == status
    assert acknowledged(site) == said
    assert (f"acknowledged: {len(said)} of 2 recalls" in result.stdout) == bool(said)


def test_a_script_is_told_what_it_acknowledged(site: ScriptedSite, enrolment: Path) -> None:
    site.about_recalls = [LISTED, acknowledge]
    result = run(enrolment, TWO, "--acknowledge", "--yes", "--json")

    assert [each["acknowledged"] for each in result.json["recalls"]] == [False, True]


MISUSE = {
    "a recall without --acknowledge": [ONE],
    "a recall that is none": ["--acknowledge", "nhs:9434765919"],
    "a request instead": ["--acknowledge", FIRST],
    "a script that names none": ["--acknowledge", "--json", "--yes"],
    "a key without a certificate": ["--key", "key.pem"],
    "an unknown option": ["--all"],
}


@pytest.mark.parametrize("arguments", MISUSE.values(), ids=MISUSE.keys())
def test_misuse(site: ScriptedSite, enrolment: Path, arguments: list[str]) -> None:
    """Nothing is asked, and nothing that was typed is repeated."""
    result = run(enrolment, *arguments)

    assert result.status == 64
    assert result.ends_in_a_hint
    assert "9434765919" not in result.stdout + result.stderr
    assert site.recall_requests == []


@pytest.mark.parametrize("plays", [[problem(429, "x")], [LISTED, problem(429, "x")]])
def test_what_could_not_be_checked(
    site: ScriptedSite, enrolment: Path, plays: list[object]
) -> None:
    """When the list is asked for, and when it is acknowledged; nothing secret is shown."""
    site.about_recalls = plays  # type: ignore[assignment]  # plays
    result = run(enrolment, "--acknowledge", "--yes")

    assert result.status == 75
    assert MEANINGS[Reason.TOO_MANY_REQUESTS] in result.stderr
    assert result.ends_in_a_hint
    assert not any(secret in result.stdout + result.stderr for secret in SECRETS)


def test_an_enrolment_that_others_can_read(enrolment: Path) -> None:
    enrolment.chmod(0o644)

    assert run(enrolment).status == 66


ASK = "from lookup.cli.main import main; main()"


@pytest.mark.parametrize(("typed", "status", "said"), [("y", 0, [ONE, TWO]), ("n", 1, [])])
def test_at_a_terminal_it_asks_first(
    site: ScriptedSite, enrolment: Path, typed: str, status: int, said: list[str]
) -> None:
    """Whoever says that it is deleted has just seen what."""
    site.about_recalls = [LISTED, acknowledge]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{typed}\n".encode())
        done = subprocess.run(
            [sys.executable, "-c", ASK, "recalls", "--enrolment", enrolment, "--acknowledge"],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == status
    assert FIRST in done.stdout
    assert "You say that all that was stored" in done.stderr
    assert acknowledged(site) == said

"""`lacuna lookup`: what it says, where it says it, and with which exit status."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from lookup.cli.main import main
from lookup.client.enrolment import store_enrolment
from lookup.client.outcome import MEANINGS, Reason
from tests.lookup.client.scripted_site import (
    CHILD,
    KNOWN,
    RECORD,
    SECRETS,
    ScriptedSite,
    make_enrolment,
    padded,
    problem,
    respond,
    scripted_site,
)

SPELLED = "nhs:943 476 5919"


@pytest.fixture
def site() -> Iterator[ScriptedSite]:
    with scripted_site() as site:
        yield site


@pytest.fixture
def enrolment(site: ScriptedSite, tmp_path: Path) -> Path:
    path = tmp_path / "enrolment.json"
    store_enrolment(path, make_enrolment(site.base_url))
    return path


@dataclass(frozen=True)
class Result:
    """What a run of the real `lacuna` came to."""

    exit_code: int
    stdout: str
    stderr: str

    def shows(self, text: str) -> bool:
        return text in self.stdout + self.stderr


def _lacuna(*arguments: str, typed: str | bytes = "") -> Result:
    with CliRunner().isolation(input=typed) as (stdout, stderr, _):
        with patch.object(sys, "argv", ["lacuna", *arguments]), pytest.raises(SystemExit) as stop:
            main()
        sys.stdout.flush()
    assert isinstance(stop.value.code, int)
    return Result(stop.value.code, stdout.getvalue().decode(), stderr.getvalue().decode())


def _run(enrolment: Path, *arguments: str, typed: str | bytes = f"{SPELLED}\n") -> Result:
    return _lacuna("lookup", "--enrolment", str(enrolment), *arguments, typed=typed)


def test_known(site: ScriptedSite, enrolment: Path) -> None:
    """Whom to ring, by day and by night, is what the person needs."""
    site.about_children = [respond(KNOWN)]

    result = _run(enrolment)

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "known",
        "  child-protection-plan since 2026-01-02",
        "    ring Axtonbury City Council (AXT)",
        "    office hours 01632 960100, out of hours 01632 960199",
    ]
    assert result.stderr == ""


def test_known_with_an_end_and_more(site: ScriptedSite, enrolment: Path) -> None:
    ended = RECORD | {"until": "2026-05-01"}
    body = padded({"outcome": "known", "records": [ended], "more": True}, 2_048)
    site.about_children = [respond(body)]

    lines = _run(enrolment).stdout.splitlines()

    assert lines[1] == "  child-protection-plan since 2026-01-02 until 2026-05-01"
    assert lines[-1] == "  There are more records than an answer holds: ask the authority."


def test_no_record_says_what_it_does_not_mean(enrolment: Path) -> None:
    result = _run(enrolment)

    assert result.exit_code == 0
    assert result.stdout.startswith("no record\n")
    assert "does not mean that there is no concern" in result.stdout


def test_could_not_check_is_an_error_of_its_own(site: ScriptedSite, enrolment: Path) -> None:
    site.about_children = [problem(422, "unknown-kid")]

    result = _run(enrolment)

    assert result.exit_code == 75
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"lacuna: error: could not check (unknown-kid): {MEANINGS[Reason.UNKNOWN_KID]}",
        'lacuna: hint: this is not "no record": treat as unknown, and ring the authority',
    ]


JSON = {
    "known": (
        KNOWN,
        0,
        {"outcome": "known", "records": [RECORD], "more": False},
    ),
    "no record": (
        padded({"outcome": "no-record", "records": [], "more": False}, 2_048),
        0,
        {"outcome": "no-record", "records": [], "more": False},
    ),
    "could not check": (b"", 75, {"outcome": "could-not-check", "reason": "malformed-answer"}),
}


@pytest.mark.parametrize(("body", "status", "printed"), JSON.values(), ids=JSON.keys())
def test_json(
    site: ScriptedSite, enrolment: Path, body: bytes, status: int, printed: dict[str, object]
) -> None:
    site.about_children = [respond(body)]

    result = _run(enrolment, "--json")

    assert result.exit_code == status
    shown = json.loads(result.stdout)
    request_id = site.questions[0].headers["x-request-id"]
    assert shown.pop("request_id", request_id) == request_id
    assert shown == printed


def test_who_asks_is_told_to_the_site(site: ScriptedSite, enrolment: Path) -> None:
    _run(enrolment, "--user-id", "4711", "--user-role", "nurse", "--purpose", "scheduled-care")

    (question,) = site.questions
    assert question.body["user"] == {"id": "4711", "role": "nurse"}
    assert question.body["purpose"] == "scheduled-care"


def test_who_asks_may_stand_in_the_environment(
    site: ScriptedSite, enrolment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arguments can be seen by other users of the machine."""
    monkeypatch.setenv("LACUNA_USER_ID", "4711")
    _run(enrolment)

    assert site.questions[0].body["user"] == {"id": "4711", "role": "command line"}


def test_who_asks_is_the_one_who_is_logged_in(
    site: ScriptedSite, enrolment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a container whose user has no name."""
    _run(enrolment)
    monkeypatch.setattr(os, "geteuid", lambda: 54_321)
    monkeypatch.setattr("lookup.client.enrolment._check_private", lambda _: None)
    _run(enrolment)

    users = [question.body["user"]["id"] for question in site.questions]
    assert users[0] != ""
    assert users[1] == "uid 54321"


IN_ARGV = [SPELLED, CHILD.text, CHILD.value, "943 476 5919", "NHS:1", "chi:"]


@pytest.mark.parametrize("argument", IN_ARGV)
@pytest.mark.parametrize("before", [[], ["--"], ["--purpose"], ["--unknown"]])
def test_an_identifier_is_never_an_argument(
    site: ScriptedSite, enrolment: Path, before: list[str], argument: str
) -> None:
    """It is refused wherever it stands, before anything is asked, and is not repeated."""
    result = _run(enrolment, *before, argument)

    assert result.exit_code == 64
    assert "not given as an argument" in result.stderr
    assert not result.shows(argument)
    assert site.received == []


def test_nor_is_anything_else_an_argument(site: ScriptedSite, enrolment: Path) -> None:
    """It may be an identifier with a slip in it."""
    result = _run(enrolment, "94347659I9")

    assert result.exit_code == 64
    assert not result.shows("94347659I9")
    assert site.received == []


BAD_INPUT: dict[str, str | bytes] = {
    "nothing": "",
    "an empty line": "\n",
    "two": f"{SPELLED}\n{SPELLED}\n",
    "no scheme": f"{CHILD.value}\n",
    "a wrong check digit": "nhs:9434765918\n",
    "no text": b"\xff\xfe",
    "a null": b"nhs:943\x00476\n",
    "too much": "1" * 100_000,
}


@pytest.mark.parametrize("typed", BAD_INPUT.values(), ids=BAD_INPUT.keys())
def test_what_is_no_identifier(site: ScriptedSite, enrolment: Path, typed: str | bytes) -> None:
    result = _run(enrolment, typed=typed)

    assert result.exit_code == 64
    assert "lacuna: error: " in result.stderr
    assert "lacuna: hint: " in result.stderr
    assert not any(map(result.shows, (*SECRETS, "943 476 5919", "943476591")))
    assert site.received == []


def test_a_spelling_without_a_newline(enrolment: Path) -> None:
    assert _run(enrolment, typed=f"  {SPELLED} ").exit_code == 0


def test_an_enrolment_that_others_can_read(enrolment: Path) -> None:
    enrolment.chmod(0o644)

    result = _run(enrolment)

    assert result.exit_code == 66
    assert "must have mode 0600, and has 0644" in result.stderr
    assert "chmod 600" in result.stderr


@pytest.mark.parametrize("option", ["--user-id", "--user-role"])
def test_a_user_that_no_site_would_take(enrolment: Path, option: str) -> None:
    result = _run(enrolment, option, "x" * 65)

    assert result.exit_code == 64
    assert "1 to 64 printable characters" in result.stderr


def test_a_ca_file_that_is_none(enrolment: Path) -> None:
    result = _run(enrolment, "--ca-file", str(enrolment))

    assert result.exit_code == 66
    assert "CA file" in result.stderr


@pytest.mark.parametrize("arguments", [[], ["--unknown"], ["--enrolment"]])
def test_misuse(arguments: list[str]) -> None:
    result = _lacuna("lookup", *arguments)

    assert result.exit_code == 64


def test_help_tells_the_exit_statuses() -> None:
    result = _lacuna("lookup", "--help")

    assert result.exit_code == 0
    for line in ("0   answered", "64  ", "66  ", "75  could not check"):
        assert line in result.stdout


ASK = "from lookup.cli.main import main; main()"


def test_at_a_terminal_it_asks(site: ScriptedSite, enrolment: Path) -> None:
    """The prompt goes to standard error: standard output is the answer alone."""
    site.about_children = [respond(KNOWN)]
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{SPELLED}\n".encode())
        run = subprocess.run(
            [sys.executable, "-c", ASK, "lookup", "--enrolment", str(enrolment)],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert run.stdout.startswith("known\n")
    assert run.stderr.startswith("identifier (scheme:number): ")


LAZY = """
import sys
import lookup.cli.lookup
assert not {"httpx2", "asyncio", "msgspec", "ssl"} & sys.modules.keys()
import lookup.client.sync
assert "httpx2" not in sys.modules
assert not {"numpy", "fastapi", "keys", "lookup.custodian"} & sys.modules.keys()
"""


def test_help_does_not_pay_for_the_sdk() -> None:
    """And the SDK does not pay for what only a custodian needs."""
    subprocess.run([sys.executable, "-c", LAZY], timeout=60, check=True)

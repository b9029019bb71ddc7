"""`lacuna certificate`: what a family runs, without a site (G10)."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from crypto.cosignature import CosignerKey, cosign
from crypto.note import format_note, parse_note
from lookup import exits
from lookup.transparency import meaning
from lookup.transparency.certificate import parse_certificate
from tests.lookup.cli.commanding import ROOT, Result, lacuna
from tests.lookup.transparency.making import (
    COSIGNERS,
    COSIGNING,
    LOG,
    NHS,
    OPENING,
    ORIGIN,
    STATEMENT,
    STRANGER,
    certificate_of,
    demonstration,
    raw_certificate,
)

RAW = raw_certificate()
LOG_KEY = LOG.text()


@dataclass(frozen=True)
class Given:
    """The files that a family has."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "destruction.certificate"

    @property
    def opening(self) -> Path:
        return self.folder / "opening.json"

    @property
    def key(self) -> Path:
        return self.folder / "log.key"

    @property
    def letter(self) -> Path:
        return self.folder / "letter.html"

    def verify(self, *more: str | Path) -> Result:
        return lacuna("certificate", "verify", self.certificate, "--log-key", self.key, *more)

    def write_letter(self, *more: str | Path) -> Result:
        words = ("certificate", "letter", self.certificate, "--output", self.letter)
        return lacuna(*words, "--log-key", self.key, *more)


@pytest.fixture
def given(tmp_path: Path) -> Given:
    files = Given(tmp_path)
    files.certificate.write_bytes(RAW)
    files.opening.write_bytes(OPENING.json())
    files.key.write_text(f"{LOG_KEY}\n")
    return files


def test_verify_says_what_is_shown_and_what_it_means(given: Given) -> None:
    """In plain words: what is gone, what each slot's class promises, what is not covered."""
    result = given.verify()

    assert result.status == exits.OK
    assert result.stderr == ""
    for said in (
        f"entry 5 of 12 in the log {ORIGIN}",
        "2 records, 2026-12-11T10:00:07Z",
        meaning.GROUND["art-17-1-g"],
        meaning.SLOT["D"],
        meaning.LOST_SLOT,
        *meaning.NOT_COVERED.values(),
        "14 days were left",
        "2 more signatures, of unknown keys",
        "not given: whose records",
    ):
        assert said in result.stdout
    assert "demo         no\n" in result.stdout


def test_verify_without_an_opening_names_nobody(given: Given) -> None:
    for result in (given.verify(), given.verify("--json")):
        assert "CASE-1" not in result.stdout
        assert NHS[-3:] not in result.stdout


def test_verify_with_an_opening_shows_whose_records_they_were(given: Given) -> None:
    """The last three characters of each identifier, and never one whole."""
    text = given.verify("--opening", given.opening).stdout
    opened = given.verify("--opening", given.opening, "--json").json["opened"]

    assert "speaks of 2 of 2 records" in text
    assert "AXT CASE-1, nhs:*******014" in text
    assert [record["source_ref"] for record in opened] == ["CASE-1", "CASE-2"]
    assert NHS not in text + json.dumps(opened)


def test_verify_with_witnesses(given: Given) -> None:
    keys = [word for key in COSIGNERS for word in ("--witness-key", key.text())]

    result = given.verify(*keys)

    assert result.status == exits.OK
    assert "by one.witness.example at 2026-11-26T10:00:00Z" in result.stdout
    assert "unknown keys" not in result.stdout


def test_verify_answers_a_program(given: Given) -> None:
    """With all that another program needs to verify the same."""
    document = given.verify("--json").json

    assert document["verified"]
    assert document["statement"]["ground"] == STATEMENT.ground
    assert document["statement"]["lost_slot"] == list(STATEMENT.lost_slots)
    assert document["log"]["index"] == 5
    assert document["opened"] is None


def test_a_demonstration_says_so(given: Given) -> None:
    given.certificate.write_bytes(certificate_of(demonstration()).text())

    result = given.verify()

    assert "it is proof of nothing" in result.stdout
    assert "because it is a demonstration" in result.stdout
    given.write_letter()
    assert "proof of nothing" in given.letter.read_text()


def test_a_certificate_of_no_lost_slot(given: Given) -> None:
    given.certificate.write_bytes(certificate_of(replace(STATEMENT, lost_slots=())).text())

    result = given.verify("--json")

    assert result.json["statement"]["lost_slot"] == []


def test_keys_come_as_text_or_as_files(given: Given) -> None:
    verify = ("certificate", "verify", given.certificate)

    assert lacuna(*verify, "--log-key", LOG_KEY).status == exits.OK
    assert lacuna(*verify, "--log-key", given.key).status == exits.OK


def test_the_letter_is_private_and_says_how_to_check_it(given: Given) -> None:
    result = given.write_letter("--opening", given.opening)

    text = given.letter.read_text()
    assert result.status == exits.OK
    assert str(given.letter) in result.stdout
    assert given.letter.stat().st_mode & 0o777 == 0o600
    assert f"lacuna certificate verify {given.certificate.name} --log-key {LOG_KEY}" in text
    assert "nhs:*******014" in text
    assert given.write_letter("--json").status == exits.CANNOT_CREATE


def test_the_letter_answers_a_program(given: Given) -> None:
    document = given.write_letter("--json").json

    assert document == {"certificate": STATEMENT.certificate, "letter": str(given.letter)}


def test_a_cosigner_may_say_any_time(given: Given) -> None:
    """It is its own word, and may lie on no calendar."""
    name, key = next(iter(COSIGNING.items()))
    certificate = certificate_of(STATEMENT)
    text, (log, *_) = parse_note(certificate.unverified_checkpoint)
    note = format_note(text, [log, cosign(text, name, key, 2**62)])
    given.certificate.write_bytes(replace(certificate, unverified_checkpoint=note).text())

    result = given.verify("--witness-key", key.verifier(name).text())

    assert f"by {name} at second {2**62} since 1970" in result.stdout


def test_the_command_of_the_letter_works(given: Given) -> None:
    """As it stands there, where the certificate is."""
    given.write_letter()
    start = "<code>lacuna "
    (line,) = [line for line in given.letter.read_text().splitlines() if start in line]
    words = line.partition(start)[2].partition("</code>")[0].split()

    done = subprocess.run(
        (sys.executable, "-c", "from lookup.cli.main import main; main()", *words),
        cwd=given.folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_little_is_imported(given: Given) -> None:
    """A family's computer has no site: no key code, no server, no numerics."""
    code = (
        "import sys\nfrom lookup.cli.main import group\n"
        f"group.main(['certificate', 'verify', {str(given.certificate)!r},"
        f" '--log-key', {LOG_KEY!r}], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        (sys.executable, "-c", code), cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1].split()

    assert "lookup.transparency.certificate" in loaded
    heavy = {"keys", "lookup.custodian", "lookup.config", "fastapi", "numpy", "httpx2", "msgspec"}
    assert not {"asyncio", "rich", "sqlcipher3", "argon2", "socket", *heavy} & set(loaded)


def with_file(name: str, content: bytes) -> Callable[[Given], list[str | Path]]:
    """Return how to put a file in the place of one of those that are given."""

    def put(given: Given) -> list[str | Path]:
        (given.folder / name).write_bytes(content)
        return []

    return put


def without(name: str) -> Callable[[Given], list[str | Path]]:
    """Return how to put a folder, or nothing, in the place of a file."""

    def remove(given: Given) -> list[str | Path]:
        (given.folder / name).unlink()
        return []

    return remove


def a_folder(name: str) -> Callable[[Given], list[str | Path]]:
    """Return how to put a folder in the place of a file."""

    def replace_by_folder(given: Given) -> list[str | Path]:
        (given.folder / name).unlink()
        (given.folder / name).mkdir()
        return []

    return replace_by_folder


def options(*words: str) -> Callable[[Given], list[str | Path]]:
    """Return how to say more on the command line."""
    return lambda _: list(words)


CERTIFICATE, KEY, OPENED = "destruction.certificate", "log.key", "opening.json"
STATEMENT_TEXT, _, PROOF = RAW.partition(b"\n\n")
UNREADABLE: dict[str, tuple[Callable[[Given], list[str | Path]], int]] = {
    "no certificate": (without(CERTIFICATE), exits.NO_INPUT),
    "a folder": (a_folder(CERTIFICATE), exits.NO_INPUT),
    "an empty file": (with_file(CERTIFICATE, b""), exits.REFUSED),
    "a huge file": (with_file(CERTIFICATE, b"a\n" * 4_000_000), exits.REFUSED),
    "zeros": (with_file(CERTIFICATE, bytes(1_000)), exits.REFUSED),
    "a binary": (with_file(CERTIFICATE, bytes(range(256)) * 9), exits.REFUSED),
    "JSON": (with_file(CERTIFICATE, b"{}"), exits.REFUSED),
    "a web page": (with_file(CERTIFICATE, b"<html>\n\n<p>\n\n</p>"), exits.REFUSED),
    "windows line ends": (with_file(CERTIFICATE, RAW.replace(b"\n", b"\r\n")), exits.REFUSED),
    "a byte order mark": (with_file(CERTIFICATE, b"\xef\xbb\xbf" + RAW), exits.REFUSED),
    "utf-16": (with_file(CERTIFICATE, RAW.decode().encode("utf-16")), exits.REFUSED),
    "the statement alone": (with_file(CERTIFICATE, STATEMENT_TEXT + b"\n"), exits.REFUSED),
    "the proof alone": (with_file(CERTIFICATE, PROOF), exits.REFUSED),
    "half of it": (with_file(CERTIFICATE, RAW[: len(RAW) // 2]), exits.REFUSED),
    "two of them": (with_file(CERTIFICATE, RAW + RAW), exits.REFUSED),
    "another word": (with_file(CERTIFICATE, RAW.replace(b"demo: no", b"demo: yes")), exits.REFUSED),
    "quoted by mail": (with_file(CERTIFICATE, b"> " + RAW.replace(b"\n", b"\n> ")), exits.REFUSED),
    "a key of another log": (
        with_file(KEY, STRANGER.verifier(ORIGIN).text().encode()),
        exits.REFUSED,
    ),
    "no key file": (without(KEY), exits.NO_INPUT),
    "a folder as the key": (a_folder(KEY), exits.NO_INPUT),
    "an empty key file": (with_file(KEY, b""), exits.USAGE),
    "a key file with two": (with_file(KEY, f"{LOG_KEY}\n{LOG_KEY}\n".encode()), exits.USAGE),
    "a huge key file": (with_file(KEY, b"a" * 1_000_000), exits.USAGE),
    "a binary key file": (with_file(KEY, bytes(range(256))), exits.USAGE),
    "a key that is no key": (options("--log-key", "a+00000000+AAAA"), exits.USAGE),
    "a key of another id": (
        options("--log-key", LOG_KEY.replace(LOG.key_id.hex(), "00000000")),
        exits.USAGE,
    ),
    "a key without a name": (options("--log-key", "+00000000+AAAA"), exits.NO_INPUT),
    "an empty key": (options("--log-key", ""), exits.NO_INPUT),
    "a witness key as the log's": (options("--log-key", COSIGNERS[0].text()), exits.USAGE),
    "the log's key as a witness's": (options("--witness-key", LOG_KEY), exits.USAGE),
    "a witness that is not there": (
        options("--witness-key", CosignerKey("x.example", bytes(32)).text()),
        exits.REFUSED,
    ),
    "no opening": (options("--opening", "nowhere.json"), exits.NO_INPUT),
    "a folder as the opening": (options("--opening", "/"), exits.NO_INPUT),
    "an empty opening": (with_file(OPENED, b""), exits.REFUSED),
    "a binary opening": (with_file(OPENED, bytes(range(256))), exits.REFUSED),
    "a huge opening": (with_file(OPENED, b" " * 1_000_000), exits.REFUSED),
    "an opening of another": (
        with_file(OPENED, OPENING.json().replace(b"CASE-1", b"CASE-9")),
        exits.REFUSED,
    ),
    "a deep opening": (with_file(OPENED, b"[" * 100_000), exits.REFUSED),
    "an option that is none": (options("--url", "x"), exits.USAGE),
    "a path longer than any": (options("--log-key", "a" * 5_000), exits.NO_INPUT),
}


@pytest.mark.parametrize(("spoil", "status"), UNREADABLE.values(), ids=UNREADABLE)
def test_whatever_is_wrong_ends_in_something_to_do(
    given: Given, spoil: Callable[[Given], list[str | Path]], status: int
) -> None:
    """A status of its own, two lines, nothing on standard output, and never a letter."""
    more = [*spoil(given)]
    if "--opening" not in more:
        more += ["--opening", given.opening]
    for run in (given.verify, given.write_letter):
        result = run(*more)
        assert result.status == status
        assert result.stdout == ""
        assert len(result.stderr.splitlines()) == 2
        assert result.ends_in_a_hint
        assert "defect" not in result.stderr
        assert NHS not in result.stderr
    assert not given.letter.exists()


def test_a_key_is_demanded(given: Given) -> None:
    """A certificate that is verified with a key of its own would show nothing."""
    result = lacuna("certificate", "verify", given.certificate)

    assert result.status == exits.USAGE
    assert "--log-key" in result.stderr


def test_a_letter_that_cannot_be_made(given: Given) -> None:
    given.letter.write_text("mine")
    nowhere = ("--output", given.folder / "none" / "letter.html")

    assert given.write_letter().status == exits.CANNOT_CREATE
    assert given.letter.read_text() == "mine"
    assert given.write_letter(*nowhere).status == exits.CANNOT_CREATE


def test_a_certificate_with_another_file_name_verifies(given: Given) -> None:
    """Nothing is read from a name."""
    moved = given.folder / "-a 'strange' \" name"
    moved.write_bytes(parse_certificate(RAW).text())

    result = lacuna("certificate", "verify", "--log-key", LOG_KEY, "--", moved)

    assert result.status == exits.OK

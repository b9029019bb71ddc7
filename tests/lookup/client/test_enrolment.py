"""Enrolment files: what is written is read, and nothing else is."""

import base64
import copy
import json
import os
import pickle
import stat
import traceback
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from crypto.token import Kid, LookupKey
from lookup.client.enrolment import (
    MAX_FILE_SIZE,
    ClientSecret,
    Enrolment,
    InvalidEnrolment,
    format_enrolment,
    load_enrolment,
    parse_enrolment,
    store_enrolment,
)
from lookup.identifiers import Identifier
from tests.lookup.client.scripted_site import SECRETS, make_enrolment

ENROLMENT = make_enrolment("https://one.example.nhs.uk", "http://127.0.0.1:8440/lookup")
MEMBERS = json.loads(format_enrolment(ENROLMENT))


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "enrolment.json"
    store_enrolment(path, ENROLMENT)
    return path


def _same(one: Enrolment, other: Enrolment) -> bool:
    return format_enrolment(one) == format_enrolment(other)


def test_what_is_stored_is_loaded(stored: Path) -> None:
    assert _same(load_enrolment(stored), ENROLMENT)


def test_the_format_is_what_sites_write() -> None:
    assert list(MEMBERS) == [
        "format",
        "client_id",
        "client_name",
        "secret",
        "base_urls",
        "kid",
        "lookup_key",
        "canary",
    ]
    assert MEMBERS["format"] == "lacuna-enrolment/1"


def test_a_site_knows_a_secret_by_the_hash_of_its_text() -> None:
    text = ENROLMENT.secret.text()

    assert len(text) == 43
    assert ENROLMENT.secret.fingerprint() == sha256(text.encode("ascii")).hexdigest()


def test_a_file_is_private_from_its_first_moment(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        store_enrolment(tmp_path / "enrolment.json", ENROLMENT)
    finally:
        os.umask(mask)

    assert stat.S_IMODE((tmp_path / "enrolment.json").stat().st_mode) == 0o600


def test_nothing_is_overwritten(stored: Path, tmp_path: Path) -> None:
    before = stored.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (stored, tmp_path / "link"):
        with pytest.raises(FileExistsError):
            store_enrolment(path, ENROLMENT)

    assert stored.read_bytes() == before
    assert not (tmp_path / "elsewhere").exists()


def test_half_a_file_does_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store_enrolment(tmp_path / "enrolment.json", ENROLMENT)

    assert list(tmp_path.iterdir()) == []


def _link(path: Path) -> Path:
    (path.parent / "link").symlink_to(path)
    return path.parent / "link"


def _pipe(path: Path) -> Path:
    os.mkfifo(path.parent / "pipe", 0o600)
    return path.parent / "pipe"


def _large(path: Path) -> Path:
    path.write_bytes(path.read_bytes() + b" " * MAX_FILE_SIZE)
    return path


def _with_mode(mode: int) -> Callable[[Path], Path]:
    def change(path: Path) -> Path:
        path.chmod(mode)
        return path

    return change


FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path.parent / "missing", "No such file"),
    "a folder": (lambda path: path.parent, "not a regular file"),
    "a link": (_link, "does not open"),
    "a pipe": (_pipe, "not a regular file"),
    "too large": (_large, "larger than"),
    "group may read": (_with_mode(0o640), "must have mode 0600, and has 0640"),
    "all may read": (_with_mode(0o604), "must have mode 0600"),
    "group may write": (_with_mode(0o620), "must have mode 0600"),
    "setuid": (_with_mode(0o4600), "must have mode 0600"),
}


@pytest.mark.parametrize(("change", "message"), FILES.values(), ids=FILES.keys())
def test_a_file_that_others_could_reach_is_refused(
    stored: Path, change: Callable[[Path], Path], message: str
) -> None:
    path = change(stored)

    with pytest.raises(InvalidEnrolment, match=message):
        load_enrolment(path)


def test_a_file_of_another_user_is_refused(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: stored.stat().st_uid + 1)

    with pytest.raises(InvalidEnrolment, match="another user"):
        load_enrolment(stored)


def test_a_file_that_its_owner_may_only_read_is_as_good(stored: Path) -> None:
    stored.chmod(0o400)

    assert _same(load_enrolment(stored), ENROLMENT)


def _json(**changes: object) -> bytes:
    return json.dumps(MEMBERS | changes).encode()


def _without(name: str) -> bytes:
    return json.dumps({key: MEMBERS[key] for key in MEMBERS if key != name}).encode()


OTHER_KEY = base64.urlsafe_b64encode(bytes(32)).decode().rstrip("=")
# The last of 43 characters carries two bits too many.
OTHER_SPELLING = MEMBERS["secret"][:-1] + chr(ord(MEMBERS["secret"][-1]) + 1)

TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a JSON object"),
    "no json": (b"{", "not a JSON object"),
    "no text": (b"\xff\xfe", "not a JSON object"),
    "a list": (b"[]", "not a JSON object"),
    "a deep nest": (b"[" * 10_000, "not a JSON object"),
    "a member twice": (_json()[:-1] + b', "kid": "x"}', "distinct members"),
    "another format": (_json(format="lacuna-enrolment/2"), "format is not"),
    "no format": (_without("format"), "format is not"),
    "no secret": (_without("secret"), "lacks a member"),
    "one member more": (_json(note="x"), "one too many"),
    "a number for a name": (_json(client_id=1), "client_id is not a string"),
    "an id that is none": (_json(client_id="a/b"), "client_id is not"),
    "no name": (_json(client_name=""), "client_name is not"),
    "a name that does not print": (_json(client_name="\x1b"), "client_name is not"),
    "a short secret": (_json(secret="x"), "secret is not 43 characters"),
    "a padded secret": (_json(secret=MEMBERS["secret"] + "="), "secret is not 43 characters"),
    "another spelling": (_json(secret=OTHER_SPELLING), "secret is not canonical"),
    "another key": (_json(lookup_key=OTHER_KEY), "kid is not the fingerprint"),
    "another kid": (_json(kid="x" * 16), "kid is not the fingerprint"),
    "a canary that is none": (_json(canary="nhs:1"), "not a canary's value"),
    "no base url": (_json(base_urls=[]), "1 to 8 URLs"),
    "too many": (_json(base_urls=[f"https://a{n}.example" for n in range(9)]), "1 to 8 URLs"),
    "one url twice": (_json(base_urls=["https://a.example"] * 2), "given twice"),
    "one url as text": (_json(base_urls="https://a.example"), "not a list of strings"),
    "no url": (_json(base_urls=[1]), "not a list of strings"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS.keys())
def test_a_text_that_breaks_the_format_is_refused(
    tmp_path: Path, text: bytes, message: str
) -> None:
    """By the rule's name, and without showing what is in the file."""
    path = tmp_path / "enrolment.json"
    path.write_bytes(text)
    path.chmod(0o600)

    with pytest.raises(InvalidEnrolment, match=message) as caught:
        load_enrolment(path)

    error = caught.value
    assert error.__context__ is None
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    printed = traceback.TracebackException(type(error), error, frames, capture_locals=True)
    shown = "".join(printed.format())
    assert [secret for secret in SECRETS if secret in shown] == []


GOOD_URLS = [
    "https://lacuna.example.nhs.uk",
    "https://lacuna.example.nhs.uk:8443/site-1",
    "https://192.0.2.1",
    "https://[2001:db8::1]:8443",
    "http://127.0.0.1:8440",
    "http://127.9.9.9",
    "http://[::1]:8440",
    "http://localhost:8440",
]
BAD_URLS = [
    "",
    "lacuna.example",
    "ftp://lacuna.example",
    "HTTPS://lacuna.example",
    "https://",
    "https://:8440",
    "https://lacuna.example:0",
    "https://lacuna.example:65536",
    "https://lacuna.example:x",
    "https://lacuna.example/",
    "https://lacuna.example//a",
    "https://user:secret@lacuna.example",
    "https://lacuna.example?a=b",
    "https://lacuna.example#a",
    "https://lacuna.example/%61",
    "https://lacuna.example\n",
    " https://lacuna.example",
    "https://läcuna.example",
    "https://[::1",
    "https://" + "a" * 256,
    "http://lacuna.example",
    "http://192.168.0.1:8440",
    "http://0.0.0.0:8440",
    "http://localhost.example",
    "http://127.0.0.1.example",
]


@pytest.mark.parametrize("base_url", GOOD_URLS)
def test_good_base_urls(base_url: str) -> None:
    assert make_enrolment(base_url).base_urls == (base_url,)


@pytest.mark.parametrize("base_url", BAD_URLS)
def test_bad_base_urls(base_url: str) -> None:
    """Above all: no secret leaves this machine without TLS."""
    with pytest.raises(InvalidEnrolment, match="base URL"):
        make_enrolment(base_url)


def test_a_canary_is_no_child() -> None:
    with pytest.raises(InvalidEnrolment, match="canary"):
        replace(ENROLMENT, canary=Identifier("nhs", "9000000009"))


def test_an_enrolment_made_in_memory_obeys_too() -> None:
    with pytest.raises(InvalidEnrolment, match="fingerprint"):
        replace(ENROLMENT, kid=Kid("x" * 16))


def test_an_enrolment_does_not_print_compare_or_pickle() -> None:
    assert [secret for secret in SECRETS if secret in f"{ENROLMENT}{ENROLMENT!r}"] == []
    for use in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="not serialized"):
            use(ENROLMENT)
    with pytest.raises(TypeError, match="compare key ids"):
        _ = ENROLMENT.secret == ENROLMENT.secret


def test_reading_a_format_twice_gives_it_twice() -> None:
    assert _same(parse_enrolment(format_enrolment(ENROLMENT)), ENROLMENT)
    fresh = replace(ENROLMENT, secret=ClientSecret.generate())
    assert not _same(fresh, ENROLMENT)
    with pytest.raises(InvalidEnrolment, match="fingerprint"):
        replace(ENROLMENT, lookup_key=LookupKey.generate())

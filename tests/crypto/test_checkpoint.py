"""Checkpoints: one text for each, and of the log that was asked for."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.checkpoint import (
    MAX_SIZE,
    Checkpoint,
    InvalidCheckpoint,
    open_checkpoint,
    parse_checkpoint,
)
from crypto.merkle import EMPTY_ROOT, Hash
from crypto.note import InvalidNote, SigningKey, VerifierKey, sign_note
from tests.vectors import load

ORIGIN = "log.example/lacuna"
KEY = SigningKey(bytes(range(32)))
ROOT = b64encode(EMPTY_ROOT).decode()

lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
checkpoints = st.builds(
    Checkpoint,
    lines,
    st.integers(0, MAX_SIZE),
    st.binary(min_size=32, max_size=32).map(Hash),
    st.lists(lines, max_size=3).map(tuple),
)


def test_a_published_checkpoint() -> None:
    """Of a public log, signed by it."""
    vector = load("tlog-cosignature.json")
    key = VerifierKey.parse(vector["log_key"])
    raw = vector["checkpoint"].encode()

    checkpoint = open_checkpoint(raw, vector["origin"], [key])

    assert (checkpoint.origin, checkpoint.size) == (vector["origin"], vector["size"])
    assert raw.startswith(checkpoint.text().encode())


@given(checkpoints)
def test_what_is_written_is_read(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(checkpoint.text()) == checkpoint
    raw = sign_note(checkpoint.text(), ORIGIN, KEY)
    opened = open_checkpoint(raw, checkpoint.origin, [KEY.verifier(ORIGIN)])
    assert opened == checkpoint


@given(st.text())
def test_whatever_parses_is_written_alike(text: str) -> None:
    """Any text: InvalidCheckpoint is all that is raised."""
    _parse_or_refuse(text)


@given(st.lists(st.sampled_from(["\n", ORIGIN, "0", "7", ROOT, "=", "é", "\r", "\u2028"])))
def test_whatever_is_near_a_checkpoint_too(pieces: list[str]) -> None:
    _parse_or_refuse("".join(pieces))


def _parse_or_refuse(text: str) -> None:
    try:
        checkpoint = parse_checkpoint(text)
    except InvalidCheckpoint:
        return
    assert checkpoint.text() == text


REFUSED = {
    "nothing": "",
    "two lines": f"{ORIGIN}\n0\n",
    "no newline at the end": f"{ORIGIN}\n0\n{ROOT}",
    "an empty origin": f"\n0\n{ROOT}\n",
    "an empty extension": f"{ORIGIN}\n0\n{ROOT}\n\n",
    "a control character": f"{ORIGIN}\r\n0\n{ROOT}\n",
    "no size": f"{ORIGIN}\n\n{ROOT}\n",
    "a leading zero": f"{ORIGIN}\n07\n{ROOT}\n",
    "two zeroes": f"{ORIGIN}\n00\n{ROOT}\n",
    "a sign": f"{ORIGIN}\n+7\n{ROOT}\n",
    "a negative size": f"{ORIGIN}\n-7\n{ROOT}\n",
    "digits of another script": f"{ORIGIN}\n\N{ARABIC-INDIC DIGIT SEVEN}\n{ROOT}\n",
    "an underscore": f"{ORIGIN}\n1_0\n{ROOT}\n",
    "a size of 64 bits": f"{ORIGIN}\n{MAX_SIZE + 1}\n{ROOT}\n",
    "a size of many digits": f"{ORIGIN}\n{'9' * 5_000}\n{ROOT}\n",
    "a short root": f"{ORIGIN}\n0\n{b64encode(bytes(31)).decode()}\n",
    "a long root": f"{ORIGIN}\n0\n{b64encode(bytes(33)).decode()}\n",
    "no base64": f"{ORIGIN}\n0\n{'é' * 44}\n",
    "base64 of another spelling": f"{ORIGIN}\n0\n{'A' * 42}B=\n",
    "base64 for urls": f"{ORIGIN}\n0\n{ROOT.replace('/', '_').replace('+', '-')}\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidCheckpoint) as caught:
        parse_checkpoint(text)
    assert caught.value.args == ()


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 0, EMPTY_ROOT, ()),
        ("two\nlines", 0, EMPTY_ROOT, ()),
        (ORIGIN, -1, EMPTY_ROOT, ()),
        (ORIGIN, MAX_SIZE + 1, EMPTY_ROOT, ()),
        (ORIGIN, 0, Hash(bytes(31)), ()),
        (ORIGIN, 0, EMPTY_ROOT, ("",)),
        (ORIGIN, 0, EMPTY_ROOT, ("a\nb",)),
    ],
)
def test_nothing_else_can_be_made(
    origin: str, size: int, root: Hash, extensions: tuple[str, ...]
) -> None:
    """An origin of two lines would frame another checkpoint."""
    with pytest.raises(ValueError, match=r"lines|bits"):
        Checkpoint(origin, size, root, extensions)


def test_another_log_s_checkpoint_is_refused() -> None:
    """Also where one key signs for both."""
    raw = sign_note(Checkpoint("other.example", 0, EMPTY_ROOT).text(), ORIGIN, KEY)
    key = KEY.verifier(ORIGIN)

    assert open_checkpoint(raw, "other.example", [key]).size == 0
    with pytest.raises(InvalidCheckpoint):
        open_checkpoint(raw, ORIGIN, [key])


def test_every_changed_byte_is_refused() -> None:
    raw = sign_note(Checkpoint(ORIGIN, 7, EMPTY_ROOT).text(), ORIGIN, KEY)

    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises((InvalidCheckpoint, InvalidNote)):
            open_checkpoint(changed, ORIGIN, [KEY.verifier(ORIGIN)])

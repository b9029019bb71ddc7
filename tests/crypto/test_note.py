"""Signed notes: what a known key did not sign is not shown."""

from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.note import (
    MAX_SIGNATURES,
    InvalidNote,
    InvalidVerifierKey,
    Signature,
    SigningKey,
    VerifierKey,
    add_signature,
    format_note,
    open_note,
    parse_note,
    sign_note,
    sign_text,
)
from tests.vectors import load

VECTORS = load("signed-note.json")
PETER = VECTORS["private_key"]["verifier_key"]

NAME = "log.example/lacuna"
KEY = SigningKey(bytes(range(32)))
OTHER = SigningKey(bytes(32))
VERIFIER = KEY.verifier(NAME)

lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40)
texts = st.lists(lines, min_size=1, max_size=5).map(lambda them: "".join(f"{x}\n" for x in them))
names = st.text(st.sampled_from("abc./-é—0"), min_size=1, max_size=20)
signatures = st.builds(
    Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80)
)


def refuse(raw: bytes, *keys: VerifierKey) -> None:
    with pytest.raises(InvalidNote) as caught:
        open_note(raw, keys)
    assert caught.value.args == ()


class TestPublishedVectors:
    """Those of the specification and of Go's implementation."""

    @pytest.mark.parametrize("vector", VECTORS["notes"], ids=lambda vector: vector["keys"][-1])
    def test_notes_open(self, vector: dict[str, Any]) -> None:
        keys = [VerifierKey.parse(key) for key in vector["keys"]]
        note = open_note(vector["note"].encode(), keys)

        assert note.text == vector["text"]
        assert [key.name for key in note.verified] == vector["verified"]

    @pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["why"])
    def test_others_do_not(self, vector: dict[str, Any]) -> None:
        refuse(vector["note"].encode(), VerifierKey.parse(PETER))

    def test_a_signed_note(self) -> None:
        """Ed25519 is deterministic, so signing gives the published bytes."""
        key = SigningKey(bytes.fromhex(VECTORS["private_key"]["seed"]))
        verifier = VerifierKey.parse(PETER)
        expected = VECTORS["private_key"]["note"]

        assert key.verifier(verifier.name) == verifier
        assert sign_note(expected.split("\n\n")[0] + "\n", verifier.name, key).decode() == expected

    @pytest.mark.parametrize("key", VECTORS["refused_keys"])
    def test_keys_of_another_length_or_type_are_refused(self, key: str) -> None:
        with pytest.raises(InvalidVerifierKey):
            VerifierKey.parse(key)

    def test_mangled_keys_are_refused(self) -> None:
        """Every part of it, and every byte one higher."""
        parts = {PETER[i:j] for i in range(len(PETER)) for j in range(i, len(PETER) + 1)} - {PETER}
        higher = {PETER[:i] + chr(ord(PETER[i]) + 1) + PETER[i + 1 :] for i in range(len(PETER))}

        for wrong in parts | higher:
            with pytest.raises(InvalidVerifierKey):
                VerifierKey.parse(wrong)


class TestOpening:
    """What is shown was signed by a key that the caller knows."""

    @given(texts)
    def test_what_is_signed_opens(self, text: str) -> None:
        raw = sign_note(text, NAME, KEY)
        note = open_note(raw, [VERIFIER, OTHER.verifier(NAME)])

        assert (note.text, note.verified) == (text, (VERIFIER,))
        assert note.signatures == (sign_text(text, NAME, KEY),)
        public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
        public.verify(note.signatures[0].signature, text.encode())

    def test_every_changed_byte_is_refused(self) -> None:
        """Of text, empty line, name, id, signature and padding; every bit of it."""
        raw = sign_note("log.example\n7\n\nmore\n", NAME, KEY)

        for at in range(len(raw)):
            for changed in {raw[at] ^ 1 << bit for bit in range(8)}:
                refuse(raw[:at] + bytes([changed]) + raw[at + 1 :], VERIFIER)

    def test_every_cut_and_every_extension_is_refused(self) -> None:
        raw = sign_note("text\n", NAME, KEY)

        for at in range(len(raw)):
            refuse(raw[:at], VERIFIER)
            refuse(raw[:at] + raw[at + 1 :], VERIFIER)
        for more in (b"\n", b" ", b"text\n", "\N{EM DASH} \n".encode(), b"\n\n"):
            refuse(raw + more, VERIFIER)

    @given(texts, st.lists(signatures, max_size=20))
    def test_unknown_signatures_are_passed_over(self, text: str, others: list[Signature]) -> None:
        """Wherever they stand: whoever relays a note may add them."""
        ours = sign_text(text, NAME, KEY)

        for at in {0, len(others)}:
            raw = format_note(text, [*others[:at], ours, *others[at:]])
            assert open_note(raw, [VERIFIER]).verified == (VERIFIER,)

    def test_name_and_id_are_both_needed(self) -> None:
        """A signature that shares one of them with a known key is an unknown one's."""
        ours = sign_text("text\n", NAME, KEY)
        bad = bytes(64)

        for unknown in (Signature("other", ours.key_id, bad), Signature(NAME, b"abcd", bad)):
            raw = format_note("text\n", [unknown, ours])
            assert open_note(raw, [VERIFIER]).verified == (VERIFIER,)
            refuse(format_note("text\n", [unknown]), VERIFIER)

    def test_one_bad_signature_of_a_known_key_spoils_the_note(self) -> None:
        """Even beside a good one of the same key, or of another."""
        ours = sign_text("text\n", NAME, KEY)
        other = sign_text("other\n", "other", OTHER)

        for bad in (ours._replace(signature=bytes(64)), ours._replace(signature=b"short")):
            refuse(format_note("text\n", [ours, bad]), VERIFIER)
        refuse(format_note("text\n", [ours, other]), VERIFIER, OTHER.verifier("other"))

    def test_a_key_verifies_once(self) -> None:
        ours = sign_text("text\n", NAME, KEY)
        raw = format_note("text\n", [ours, ours])

        assert open_note(raw, [VERIFIER, VERIFIER]).verified == (VERIFIER,)

    def test_nobody_known_is_nobody(self) -> None:
        refuse(sign_note("text\n", NAME, KEY))
        refuse(sign_note("text\n", NAME, KEY), OTHER.verifier(NAME))

    def test_two_keys_of_one_name_and_id_are_refused(self) -> None:
        """Ids are short: two such keys can be made, and then neither is meant."""
        twins = [_ShortId("n", bytes(32)), _ShortId("n", bytes(31) + b"\1")]

        assert twins[0].key_id == twins[1].key_id
        refuse(sign_note("text\n", NAME, KEY), VERIFIER, *twins)

    def test_signatures_are_bounded(self) -> None:
        """So that a note of any size costs a bounded number of verifications."""
        ours = sign_text("text\n", NAME, KEY)
        most = format_note("text\n", [ours] * MAX_SIGNATURES)
        line = most.splitlines(keepends=True)[-1]

        assert open_note(most, [VERIFIER]).text == "text\n"
        refuse(most + line, VERIFIER)
        with pytest.raises(InvalidNote):
            add_signature(most, ours)
        for number in (0, MAX_SIGNATURES + 1):
            with pytest.raises(ValueError, match="one signature at least"):
                format_note("text\n", [ours] * number)


class _ShortId(VerifierKey):
    """A key with an id of one byte, as if somebody had searched for a twin."""

    @property
    def key_id(self) -> bytes:
        return self.public[:1]


class TestFormat:
    """There is one spelling."""

    @given(texts, st.lists(signatures, min_size=1, max_size=20))
    def test_what_is_formatted_parses(self, text: str, them: list[Signature]) -> None:
        raw = format_note(text, them)

        assert parse_note(raw) == (text, tuple(them))
        assert add_signature(raw, them[0]) == format_note(text, [*them, them[0]])

    @given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "ignore"))))
    def test_whatever_parses_is_formatted_alike(self, raw: bytes) -> None:
        """Any bytes: InvalidNote is all that is raised."""
        _parse_or_refuse(raw)

    @given(st.data())
    def test_whatever_is_near_a_note_too(self, data: st.DataObject) -> None:
        """Pieces of notes in any order."""
        line = f"\N{EM DASH} {NAME} {b64encode(bytes(68)).decode()}\n"
        pieces = ["\n", "\n\n", "text", line, line[:-3] + "\n", "\N{EM DASH} ", " ", "é", "\0", "="]
        picked = data.draw(st.lists(st.sampled_from(pieces), max_size=12))
        _parse_or_refuse("".join(picked).encode())

    @pytest.mark.parametrize(
        "text", ["", "text", "a\0b\n", "a\tb\n", "a\r\n", "\x1f\n", "\ud800\n"]
    )
    def test_texts_that_no_note_can_have(self, text: str) -> None:
        with pytest.raises(ValueError, match="ends in a newline"):
            sign_note(text, NAME, KEY)

    @pytest.mark.parametrize(
        "name",
        ["", "a b", "a+b", "a\n", "a\tb", "a\N{NO-BREAK SPACE}b", "a\u2028b", "a\0", "\udc80"],
    )
    def test_names_that_no_key_can_have(self, name: str) -> None:
        with pytest.raises(InvalidVerifierKey):
            KEY.verifier(name)
        with pytest.raises(ValueError, match="name and the id"):
            format_note("text\n", [Signature(name, bytes(4), b"signature")])

    @pytest.mark.parametrize("encoded", ["", "AAAA", "AAAAAA", "AAAAAB==", "AAAA AAA=", "é"])
    def test_base64_is_canonical_and_holds_a_signature(self, encoded: str) -> None:
        line = f"\N{EM DASH} {NAME} {encoded}\n"

        with pytest.raises(InvalidNote):
            parse_note(f"text\n\n{line}".encode())

    @pytest.mark.parametrize(
        "line", [Signature(NAME, bytes(3), b"signature"), Signature(NAME, bytes(4), b"")]
    )
    def test_a_line_has_an_id_and_a_signature(self, line: Signature) -> None:
        with pytest.raises(ValueError, match="name and the id"):
            format_note("text\n", [line])


def _parse_or_refuse(raw: bytes) -> None:
    try:
        parsed = parse_note(raw)
    except InvalidNote:
        return
    assert format_note(*parsed) == raw


class TestVerifierKeys:
    """A name is part of the key."""

    @given(st.binary(min_size=32, max_size=32), names)
    def test_what_is_written_is_read(self, public: bytes, name: str) -> None:
        """Also where the base64 has a plus of its own."""
        key = VerifierKey(name, public)
        expected = sha256(name.encode() + b"\n\x01" + public).digest()[:4]

        assert VerifierKey.parse(key.text()) == key
        assert key.key_id == expected

    @given(st.text())
    def test_whatever_parses_is_written_alike(self, text: str) -> None:
        try:
            key = VerifierKey.parse(text)
        except InvalidVerifierKey:
            return
        assert key.text() == text

    @pytest.mark.parametrize("size", [0, 31, 33])
    def test_keys_have_32_bytes(self, size: int) -> None:
        with pytest.raises(InvalidVerifierKey, match="32 bytes"):
            VerifierKey(NAME, bytes(size))

    def test_another_key_s_id_is_refused(self) -> None:
        name, key_id, encoded = VERIFIER.text().split("+", 2)
        other = OTHER.verifier(NAME).key_id.hex()

        for wrong in (other, key_id.upper(), key_id[1:], f"0{key_id}"):
            with pytest.raises(InvalidVerifierKey):
                VerifierKey.parse(f"{name}+{wrong}+{encoded}")


def test_keys_do_not_print() -> None:
    assert repr(KEY) == "<SigningKey>"

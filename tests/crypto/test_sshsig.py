"""Officers' signatures: Ed25519 in the format that ssh-keygen makes and checks."""

import os
import subprocess
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha512
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crypto import sshsig
from crypto.encoding import encode
from crypto.sshsig import (
    InvalidPublicKey,
    InvalidSignature,
    OfficerKey,
    PublicKey,
    Signature,
    armor,
    fingerprint,
    format_public_key,
    parse_armored,
    parse_public_key,
    sign,
    verify,
)
from tests.vectors import load

KEY = OfficerKey(bytes(range(32)))
PUBLIC = KEY.public()
NAMESPACE = "lacuna-test@v1"
MESSAGE = b"a step of a case\n"
SIGNATURE = sign(KEY, NAMESPACE, MESSAGE)
ARMORED = armor(PUBLIC, NAMESPACE, SIGNATURE)
LINE = format_public_key(PUBLIC)
FIELD = 2**255 - 19

RequireTool = Callable[[str], str]
keys = st.binary(min_size=32, max_size=32).map(OfficerKey)
namespaces = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


class TestEd25519:
    """RFC 8032, section 7.1, through the very calls that officers' keys go to."""

    @pytest.mark.parametrize(
        "vector", load("rfc8032-ed25519.json")["tests"], ids=lambda v: v["name"]
    )
    def test_published_vectors(self, vector: dict[str, Any]) -> None:
        key = OfficerKey(bytes.fromhex(vector["seed"]))
        assert key.public().hex() == vector["public"]
        made = sshsig._private(key).sign(bytes.fromhex(vector["message"]))
        assert made.hex() == vector["signature"]

    def test_what_is_signed_is_what_protocol_sshsig_says(self) -> None:
        signed = (
            b"SSHSIG" + b"\0\0\0\x0e" + NAMESPACE.encode() + b"\0\0\0\0" + b"\0\0\0\x06sha512"
            b"\0\0\0\x40" + sha512(MESSAGE).digest()
        )  # fmt: skip
        Ed25519PublicKey.from_public_bytes(PUBLIC).verify(SIGNATURE, signed)


@given(keys, namespaces, st.binary(max_size=200))
def test_whoever_has_the_key_signs_and_everybody_can_tell(
    key: OfficerKey, namespace: str, message: bytes
) -> None:
    signature = sign(key, namespace, message)

    verify(key.public(), namespace, message, signature)
    assert parse_armored(armor(key.public(), namespace, signature)) == (
        key.public(),
        namespace,
        signature,
    )


@given(keys, st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40))
def test_a_public_key_comes_back_from_its_line(key: OfficerKey, comment: str) -> None:
    """With any comment, and with the line end that files have."""
    line = format_public_key(key.public(), comment.strip(" "))

    assert parse_public_key(line) == parse_public_key(line + "\n") == key.public()


NOT_SIGNED = {
    "another key": (OfficerKey(bytes(32)).public(), NAMESPACE, MESSAGE, SIGNATURE),
    "another namespace": (PUBLIC, "lacuna-test@v2", MESSAGE, SIGNATURE),
    "another message": (PUBLIC, NAMESPACE, MESSAGE + b"\n", SIGNATURE),
    "no signature": (PUBLIC, NAMESPACE, MESSAGE, Signature(b"")),
    "a short signature": (PUBLIC, NAMESPACE, MESSAGE, Signature(SIGNATURE[:-1])),
    "a long signature": (PUBLIC, NAMESPACE, MESSAGE, Signature(SIGNATURE + b"\0")),
    "no key": (PublicKey(b""), NAMESPACE, MESSAGE, SIGNATURE),
    "no point": (PublicKey((2).to_bytes(32, "little")), NAMESPACE, MESSAGE, SIGNATURE),
}


@pytest.mark.parametrize("what", NOT_SIGNED)
def test_what_was_not_signed_does_not_verify(what: str) -> None:
    """One error for every cause."""
    with pytest.raises(InvalidSignature, match=r"^the signature does not verify$"):
        verify(*NOT_SIGNED[what])


def test_a_signature_with_any_bit_changed_does_not_verify() -> None:
    for at in range(8 * len(SIGNATURE)):
        with pytest.raises(InvalidSignature):
            verify(PUBLIC, NAMESPACE, MESSAGE, Signature(flip(SIGNATURE, at)))


def test_a_signature_has_no_second_form() -> None:
    """S is below the order of the group (RFC 8032, section 5.1.7): nobody can make a twin."""
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(SIGNATURE[32:], "little") + order
    with pytest.raises(InvalidSignature):
        verify(PUBLIC, NAMESPACE, MESSAGE, Signature(SIGNATURE[:32] + s.to_bytes(32, "little")))


class TestKeyOfNobody:
    """A public key for which everybody can sign; whoever enrolled it could deny every step."""

    IDENTITY = PublicKey((1).to_bytes(32, "little"))
    FORGED = Signature((1).to_bytes(32, "little") + bytes(32))  # R the identity, S zero

    def test_openssl_would_take_it(self) -> None:
        """So that the check is ours to make."""
        Ed25519PublicKey.from_public_bytes(self.IDENTITY).verify(self.FORGED, b"anything at all")

    def test_it_verifies_nothing(self) -> None:
        with pytest.raises(InvalidSignature):
            verify(self.IDENTITY, NAMESPACE, MESSAGE, self.FORGED)

    def test_no_armored_signature_holds_it(self) -> None:
        with pytest.raises(InvalidSignature):
            parse_armored(armor(self.IDENTITY, NAMESPACE, self.FORGED))

    def test_the_list_holds_every_y_of_small_order(self) -> None:
        """Doubling thrice gives the identity: y = ±1, then 0, then d y^4 + 2 y^2 = 1."""
        d = -121665 * pow(121666, -1, FIELD) % FIELD
        others = sshsig._SMALL_ORDER - {0, 1, FIELD - 1}
        assert len(others) == 2
        assert all((d * y**4 + 2 * y * y) % FIELD == 1 for y in others)

    @pytest.mark.parametrize("sign_bit", [0, 1 << 255])
    @pytest.mark.parametrize("y", [*sorted(sshsig._SMALL_ORDER), FIELD, FIELD + 3, 2**255 - 1])
    def test_no_point_of_small_order_and_no_second_encoding_is_a_key(
        self, y: int, sign_bit: int
    ) -> None:
        line = format_public_key(PublicKey((y | sign_bit).to_bytes(32, "little")))
        with pytest.raises(InvalidPublicKey, match="anybody can sign"):
            parse_public_key(line)


@pytest.mark.parametrize("namespace", ["", "a b", "a\n", "é", "n" * 65])
def test_what_is_no_namespace_signs_and_verifies_nothing(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        sign(KEY, namespace, MESSAGE)
    with pytest.raises(ValueError, match="namespace"):
        verify(PUBLIC, namespace, MESSAGE, SIGNATURE)


def line_of(blob: bytes, kind: str = "ssh-ed25519") -> str:
    return f"{kind} {b64encode(blob).decode()}"


BAD_KEYS = {
    "nothing": ("", "no OpenSSH public key"),
    "prose": ("my key", "no OpenSSH public key"),
    "RSA": (line_of(encode(b"ssh-rsa", b"\1\0\1", bytes(512)), "ssh-rsa"), "type ssh-rsa"),
    "ECDSA": ("ecdsa-sha2-nistp256 AAAA", "type ecdsa-sha2-nistp256"),
    "a security key": ("sk-ssh-ed25519@openssh.com AAAA", "type sk-ssh-ed25519@openssh.com"),
    "a certificate": ("ssh-ed25519-cert-v01@openssh.com AAAA", "type ssh-ed25519-cert"),
    "options before it": ('command="x" ' + LINE, "no OpenSSH public key"),
    "a space before it": (" " + LINE, "no OpenSSH public key"),
    "two spaces": (LINE.replace(" ", "  "), "comment|has 32 bytes"),
    "a space at the end": (LINE + " ", "comment"),
    "two line ends": (LINE + "\n\n", "damaged|has 32 bytes"),
    "a second line": (LINE + " a\n" + LINE, "comment"),
    "a control character": (LINE + " a\x1b[2J", "comment"),
    "a long comment": (LINE + " " + "a" * 257, "comment"),
    "far too long": (LINE + " " + "a" * 5_000, "too long"),
    "no key after the type": ("ssh-ed25519", "has 32 bytes"),
    "cut off": (LINE[:-4], "damaged"),
    "not base64": (LINE[:-1] + "!", "has 32 bytes"),
    "RSA inside": (line_of(encode(b"ssh-rsa", PUBLIC)), "damaged"),
    "more inside": (line_of(encode(b"ssh-ed25519", PUBLIC, b"")), "anybody|damaged"),
    "31 bytes": (line_of(encode(b"ssh-ed25519", PUBLIC[1:])), "damaged"),
    "33 bytes": (line_of(encode(b"ssh-ed25519", b"\0" + PUBLIC)), "damaged"),
    "the 32 bytes alone": (line_of(PUBLIC), "damaged"),
}


@pytest.mark.parametrize("what", BAD_KEYS)
def test_bad_public_keys_are_refused(what: str) -> None:
    """By a fact that repeats none of what was given, but the name of a known type."""
    text, fact = BAD_KEYS[what]
    with pytest.raises(InvalidPublicKey, match=fact) as caught:
        parse_public_key(text)
    assert "AAAA" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@given(st.integers(0, len(LINE) - 1), st.characters(max_codepoint=0x7F))
def test_a_changed_public_key_is_refused_or_another_one(at: int, character: str) -> None:
    """Its blob has one spelling: no two lines without a comment hold the same key."""
    changed = LINE[:at] + character + LINE[at + 1 :]
    try:
        found = parse_public_key(changed)
    except InvalidPublicKey:
        return
    assert format_public_key(found) == changed
    assert (found == PUBLIC) == (changed == LINE)


@pytest.mark.parametrize("comment", ["a\nb", "a\x7f", "a" * 257])
def test_a_comment_stays_on_its_line(comment: str) -> None:
    with pytest.raises(ValueError, match="comment"):
        format_public_key(PUBLIC, comment)


def armored(blob: bytes) -> str:
    """Return a blob between the lines that ssh-keygen puts around it."""
    coded = b64encode(blob).decode()
    lines = [coded[at : at + 70] for at in range(0, len(coded), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def blob_of(  # noqa: PLR0913  # one parameter for each field of the format
    *,
    magic: bytes = b"SSHSIG\0\0\0\1",
    key: bytes = encode(b"ssh-ed25519", PUBLIC),
    namespace: bytes = NAMESPACE.encode(),
    reserved: bytes = b"",
    digest: bytes = b"sha512",
    signature: bytes = encode(b"ssh-ed25519", SIGNATURE),
    more: bytes = b"",
) -> str:
    return armored(magic + encode(key, namespace, reserved, digest, signature) + more)


BAD_ARMOR = {
    "nothing": "",
    "prose": "signed: me",
    "no lines in it": armored(b""),
    "no end": ARMORED.removesuffix("-----END SSH SIGNATURE-----\n"),
    "begin and end alone": "-----BEGIN SSH SIGNATURE-----\n",
    "no last line end": ARMORED[:-1],
    "something before it": "\n" + ARMORED,
    "something after it": ARMORED + "\n",
    "twice": ARMORED + ARMORED,
    "carriage returns": ARMORED.replace("\n", "\r\n"),
    "other line lengths": ARMORED.replace("\n", "", 2).replace("-----U", "-----\nU"),
    "an empty line": ARMORED.replace("\n", "\n\n", 1),
    "far too long": blob_of(namespace=b"n" * 1_000),
    "not base64": ARMORED.replace("U1NI", "U1N!"),
    "another magic": blob_of(magic=b"SSHSIH\0\0\0\1"),
    "version 2": blob_of(magic=b"SSHSIG\0\0\0\2"),
    "an RSA key": blob_of(key=encode(b"ssh-rsa", PUBLIC)),
    "a short key": blob_of(key=encode(b"ssh-ed25519", PUBLIC[1:])),
    "a key of nobody": blob_of(key=encode(b"ssh-ed25519", bytes(32))),
    "no namespace": blob_of(namespace=b""),
    "a namespace that is no text": blob_of(namespace=b"\xff\xfe"),
    "a namespace with a line end": blob_of(namespace=b"a\nb"),
    "a long namespace": blob_of(namespace=b"n" * 65),
    "reserved is not empty": blob_of(reserved=b"r"),
    "SHA-256": blob_of(digest=b"sha256"),
    "an RSA signature": blob_of(signature=encode(b"rsa-sha2-512", SIGNATURE)),
    "a short signature": blob_of(signature=encode(b"ssh-ed25519", SIGNATURE[1:])),
    "no signature": blob_of(signature=b""),
    "a sixth field": blob_of(more=encode(b"")),
    "bytes after the last field": blob_of(more=b"\0"),
    "a field that ends behind the blob": armored(b"SSHSIG\0\0\0\1\xff\xff\xff\xff"),
}


@pytest.mark.parametrize("what", BAD_ARMOR)
def test_bad_armor_is_refused(what: str) -> None:
    """By one fact, which repeats nothing."""
    with pytest.raises(InvalidSignature, match=r"^this is no Ed25519 signature as `ssh-keygen -Y"):
        parse_armored(BAD_ARMOR[what])


def test_the_table_of_bad_armor_begins_with_a_good_one() -> None:
    """Else its rows would be refused for another reason than they name."""
    assert blob_of() == ARMORED


def test_every_changed_byte_of_an_armored_signature_is_seen() -> None:
    """It is refused as it is read, or holds something that does not verify."""
    accept(ARMORED)
    for at in range(8 * len(ARMORED)):
        with pytest.raises(InvalidSignature):
            accept(flip(ARMORED.encode(), at).decode("latin-1"))


def accept(text: str) -> None:
    """Do what everybody does who is given an armored signature."""
    found = parse_armored(text)
    if found.namespace != NAMESPACE:
        raise InvalidSignature
    verify(found.public, NAMESPACE, MESSAGE, found.signature)


@pytest.mark.parametrize("cut", range(0, len(ARMORED), 7))
def test_no_beginning_of_an_armored_signature_is_one(cut: int) -> None:
    with pytest.raises(InvalidSignature):
        parse_armored(ARMORED[:cut])


def test_an_officers_key_shows_nothing() -> None:
    assert repr(KEY) == "<OfficerKey>"
    assert OfficerKey.generate().public() != OfficerKey.generate().public()


class TestWithOpenSsh:
    """The program that officers, families and courts have already."""

    def test_what_ssh_keygen_signs_verifies(
        self, require_tool: RequireTool, tmp_path: Path
    ) -> None:
        tool = require_tool("ssh-keygen")
        made = ("-q", "-t", "ed25519", "-N", "", "-C", "an officer", "-f", "key")
        subprocess.run([tool, *made], check=True, cwd=tmp_path)
        (tmp_path / "message").write_bytes(MESSAGE)
        subprocess.run(
            [tool, "-q", "-Y", "sign", "-f", "key", "-n", NAMESPACE, "message"],
            check=True,
            cwd=tmp_path,
            stderr=subprocess.DEVNULL,
        )

        line = (tmp_path / "key.pub").read_text()
        public = parse_public_key(line)
        found = parse_armored((tmp_path / "message.sig").read_text())

        assert found[:2] == (public, NAMESPACE)
        verify(public, NAMESPACE, MESSAGE, found.signature)
        assert format_public_key(public, "an officer") + "\n" == line
        shown = subprocess.run(
            [tool, "-l", "-f", "key.pub"], check=True, cwd=tmp_path, capture_output=True, text=True
        )
        assert shown.stdout.split()[1] == fingerprint(public)

    def test_what_is_signed_here_ssh_keygen_verifies(
        self, require_tool: RequireTool, tmp_path: Path
    ) -> None:
        tool = require_tool("ssh-keygen")
        (tmp_path / "signature").write_text(ARMORED)
        (tmp_path / "allowed").write_text(f"officer@site {LINE}\n")
        named = ("-n", NAMESPACE, "-s", tmp_path / "signature")
        verifying = ("-Y", "verify", "-f", tmp_path / "allowed", "-I", "officer@site", *named)

        assert run([tool, "-Y", "check-novalidate", *named], MESSAGE) == 0
        assert run([tool, *verifying], MESSAGE) == 0
        assert run([tool, *verifying], MESSAGE + b".") != 0

    def test_the_longest_namespace_is_no_trouble(
        self, require_tool: RequireTool, tmp_path: Path
    ) -> None:
        tool, namespace = require_tool("ssh-keygen"), "n" * 64
        file = tmp_path / "signature"
        file.write_text(armor(PUBLIC, namespace, sign(KEY, namespace, MESSAGE)))

        assert run([tool, "-Y", "check-novalidate", "-n", namespace, "-s", file], MESSAGE) == 0
        assert parse_armored(file.read_text()).namespace == namespace


def run(command: list[str | Path], message: bytes) -> int:
    """Return the exit status of a program that reads the message."""
    done = subprocess.run(
        command, input=message, check=False, capture_output=True, env={"PATH": os.environ["PATH"]}
    )
    return done.returncode


def flip(raw: bytes, bit: int) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(raw)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)

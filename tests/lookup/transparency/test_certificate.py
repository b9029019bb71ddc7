"""Certificates: what verifies, and that nothing else does (G10)."""

from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.commitment import Nonce
from crypto.cosignature import CosignerKey, cosign
from crypto.encoding import encode
from crypto.note import VerifierKey, add_signature, parse_note, sign_note
from lookup.transparency.certificate import (
    MAX_CERTIFICATE,
    Certificate,
    make_certificate,
    parse_certificate,
    verify_certificate,
)
from lookup.transparency.errors import InvalidCertificate
from lookup.transparency.opening import parse_opening, verify_opening
from tests.lookup.transparency.making import (
    COSIGNERS,
    COSIGNING,
    INDEX,
    LOG,
    LOG_KEY,
    NONCE,
    ORIGIN,
    REQUESTED,
    SIZE,
    STATEMENT,
    STRANGER,
    certificate_of,
    demonstration,
    log_of,
    note_of,
    raw_certificate,
)

RAW = raw_certificate()
LINES = RAW.splitlines(keepends=True)
CERTIFICATE = parse_certificate(RAW)


def verify(raw: bytes) -> None:
    """Verify with every key there is."""
    verify_certificate(parse_certificate(raw), [LOG], COSIGNERS)


def with_note(note: bytes) -> Certificate:
    return replace(CERTIFICATE, unverified_checkpoint=note)


def test_a_certificate_verifies_offline() -> None:
    """With the log's public key alone, and says who else has seen the log."""
    alone = verify_certificate(CERTIFICATE, [LOG])
    cosigned = verify_certificate(CERTIFICATE, [LOG], COSIGNERS)

    assert alone.statement == cosigned.statement == STATEMENT
    assert (alone.index, alone.checkpoint.size, alone.checkpoint.origin) == (INDEX, SIZE, ORIGIN)
    assert alone.log_key == LOG
    assert (alone.cosignatures, alone.others) == ((), 2)
    assert (cosigned.cosignatures, cosigned.others) == (
        tuple((key, REQUESTED) for key in COSIGNERS),
        0,
    )


@pytest.mark.parametrize("size", range(INDEX + 1, 40))
def test_logs_of_every_size(size: int) -> None:
    log = log_of(STATEMENT, size=size)
    note = note_of(log.checkpoint(size))
    made = make_certificate(STATEMENT, NONCE, INDEX, log.proof(INDEX, size), note)

    verify(made.text())


def test_it_is_read_as_it_was_written() -> None:
    for statement in (STATEMENT, demonstration()):
        made = certificate_of(statement)
        assert parse_certificate(made.text()) == made


def test_no_byte_can_change() -> None:
    """Whichever bit of the file is turned: it is refused."""
    for at in range(len(RAW)):
        for bit in range(8):
            changed = bytearray(RAW)
            changed[at] ^= 1 << bit
            with pytest.raises(InvalidCertificate):
                verify(bytes(changed))


def test_no_byte_can_be_left_out_or_doubled() -> None:
    for at in range(len(RAW)):
        for raw in (RAW[:at] + RAW[at + 1 :], RAW[:at], RAW[:at] + RAW[at : at + 1] + RAW[at:]):
            with pytest.raises(InvalidCertificate):
                verify(raw)


@pytest.mark.parametrize("at", range(len(LINES)))
class TestEachLine:
    """Each line stands once, at its place, as it is."""

    def test_missing_or_repeated(self, at: int) -> None:
        for lines in (LINES[:at] + LINES[at + 1 :], LINES[: at + 1] + LINES[at:]):
            with pytest.raises(InvalidCertificate):
                verify(b"".join(lines))

    def test_out_of_its_place(self, at: int) -> None:
        for to in range(len(LINES)):
            lines = LINES[:at] + LINES[at + 1 :]
            lines.insert(to, LINES[at])
            if lines != LINES:
                with pytest.raises(InvalidCertificate):
                    verify(b"".join(lines))

    @pytest.mark.parametrize("end", [b"\r\n", b" \n", b"\t\n", b"\n\n", b"", b"\0\n", b"\r"])
    def test_ending_otherwise(self, at: int, end: bytes) -> None:
        changed = LINES[at].removesuffix(b"\n") + end
        with pytest.raises(InvalidCertificate):
            verify(b"".join([*LINES[:at], changed, *LINES[at + 1 :]]))


@given(st.integers(0, len(RAW)), st.binary(max_size=8), st.integers(0, 8))
def test_what_is_read_is_canonical(at: int, inserted: bytes, dropped: int) -> None:
    """Whatever is changed: it is refused, or it is a certificate with just this text."""
    raw = RAW[:at] + inserted + RAW[at + dropped :]
    try:
        certificate = parse_certificate(raw)
    except InvalidCertificate:
        return
    assert certificate.text() == raw


@given(st.binary())
def test_other_bytes_are_refused_in_one_way(raw: bytes) -> None:
    with pytest.raises(InvalidCertificate):
        parse_certificate(raw)


class TestWrongParts:
    """Each part fails by itself, and the message says which."""

    def test_another_statement(self) -> None:
        """The site cannot show one thing to the family and have logged another."""
        other = replace(CERTIFICATE, statement=replace(STATEMENT, epoch=13))
        with pytest.raises(InvalidCertificate, match=r"^proof: "):
            verify_certificate(other, [LOG])

    def test_another_nonce(self) -> None:
        other = replace(CERTIFICATE, nonce=Nonce(bytes(32)))
        with pytest.raises(InvalidCertificate, match=r"^proof: "):
            verify_certificate(other, [LOG])

    def test_another_index(self) -> None:
        for index in (*range(INDEX), *range(INDEX + 1, SIZE + 3), 2**62):
            with pytest.raises(InvalidCertificate, match=r"^proof: "):
                verify_certificate(replace(CERTIFICATE, index=index), [LOG])

    @pytest.mark.parametrize("size", [INDEX + 1, SIZE - 1, SIZE + 1, 64])
    def test_the_proof_of_another_size(self, size: int) -> None:
        log = log_of(STATEMENT, size=size)
        other = replace(CERTIFICATE, proof=tuple(log.proof(INDEX, size)))
        with pytest.raises(InvalidCertificate, match=r"^proof: "):
            verify_certificate(other, [LOG])

    def test_a_checkpoint_before_the_statement_was_logged(self) -> None:
        note = note_of(log_of(STATEMENT).checkpoint(INDEX))
        with pytest.raises(InvalidCertificate, match=r"^proof: "):
            verify_certificate(with_note(note), [LOG])

    def test_another_log_key(self) -> None:
        for key in (STRANGER.verifier(ORIGIN), LOG_KEY.verifier("other.example")):
            with pytest.raises(InvalidCertificate, match=r"^checkpoint: "):
                verify_certificate(CERTIFICATE, [key])

    def test_no_log_key(self) -> None:
        with pytest.raises(InvalidCertificate, match=r"^checkpoint: "):
            verify_certificate(CERTIFICATE, [])

    def test_a_checkpoint_of_another_origin(self) -> None:
        """Even one that the log's own key has signed, and under the log's name."""
        text = log_of(STATEMENT).checkpoint(SIZE, "other.example").text()
        note = sign_note(text, ORIGIN, LOG_KEY)
        with pytest.raises(InvalidCertificate, match="another log"):
            verify_certificate(with_note(note), [LOG])

    def test_a_signed_text_that_is_no_checkpoint(self) -> None:
        note = sign_note(f"{ORIGIN}\nmany\n", ORIGIN, LOG_KEY)
        with pytest.raises(InvalidCertificate, match="its text is none"):
            verify_certificate(with_note(note), [LOG])

    def test_a_witness_that_has_not_cosigned(self) -> None:
        name, key = next(iter(COSIGNING.items()))
        for wanted in (CosignerKey(name, bytes(32)), key.verifier("three.witness.example")):
            with pytest.raises(InvalidCertificate, match="has not cosigned"):
                verify_certificate(CERTIFICATE, [LOG], [*COSIGNERS, wanted])

    def test_a_cosignature_of_another_checkpoint(self) -> None:
        text = log_of(STATEMENT).checkpoint(SIZE).text()
        name, key = next(iter(COSIGNING.items()))
        other = cosign(log_of(STATEMENT).checkpoint(SIZE - 1).text(), name, key, REQUESTED)
        note = add_signature(sign_note(text, ORIGIN, LOG_KEY), other)
        with pytest.raises(InvalidCertificate, match="cosignature does not verify"):
            verify_certificate(with_note(note), [LOG], [key.verifier(name)])

    def test_signatures_in_another_order_or_twice(self) -> None:
        text, (log, first, second) = parse_note(CERTIFICATE.unverified_checkpoint)
        note = sign_note(text, ORIGIN, LOG_KEY)
        for others in ((second, first), (first, first), (first, second, second), (log,)):
            changed = note
            for other in others:
                changed = add_signature(changed, other)
            with pytest.raises(InvalidCertificate, match=r"^checkpoint: "):
                verify_certificate(with_note(changed), [LOG], [])

    def test_too_large(self) -> None:
        with pytest.raises(InvalidCertificate, match=str(MAX_CERTIFICATE)):
            parse_certificate(RAW.ljust(MAX_CERTIFICATE + 1, b"\n"))

    def test_a_proof_longer_than_any(self) -> None:
        other = replace(CERTIFICATE, proof=CERTIFICATE.proof * 20)
        with pytest.raises(InvalidCertificate, match="more than 63"):
            parse_certificate(other.text())


def test_signatures_of_strangers_are_counted_and_not_believed() -> None:
    """Whoever relays a certificate may have added them."""
    text, (_, *cosignatures) = parse_note(CERTIFICATE.unverified_checkpoint)
    strange = parse_note(sign_note(text, "a.stranger.example", STRANGER)).signatures[0]
    note = sign_note(text, ORIGIN, LOG_KEY)
    for each in (strange, *cosignatures):
        note = add_signature(note, each)

    verified = verify_certificate(with_note(note), [LOG], COSIGNERS)

    assert verified.others == 1


def test_made_certificates_have_their_signatures_in_order() -> None:
    """However the custodian has collected them."""
    text, (log, first, second) = parse_note(CERTIFICATE.unverified_checkpoint)
    note = sign_note(text, ORIGIN, LOG_KEY)
    for each in (second, first, first, log):
        note = add_signature(note, each)

    made = make_certificate(STATEMENT, NONCE, INDEX, CERTIFICATE.proof, note)

    assert made == CERTIFICATE


def test_one_of_several_logs_is_enough() -> None:
    """A log may change its key; who verifies has both."""
    former: VerifierKey = STRANGER.verifier("former.example")

    assert verify_certificate(CERTIFICATE, [former, LOG]).log_key == LOG


def test_a_dozen_lines_written_from_the_standards_agree() -> None:
    """RFC 6962 section 2.1, C2SP tlog-proof and signed-note: nothing of ours but `encode`."""
    statement, proof, checkpoint = RAW.decode().split("\n\n", 2)
    header, extra, index, *hashes = proof.split("\n")
    text, signatures = checkpoint.split("\n\n")
    origin, size, root = text.split("\n")
    assert (header, origin) == ("c2sp.org/tlog-proof@v1", ORIGIN)
    nonce = b64decode(extra.removeprefix("extra "))
    inner = bytes(byte ^ 0x36 for byte in nonce.ljust(64, b"\0"))
    outer = bytes(byte ^ 0x5C for byte in nonce.ljust(64, b"\0"))
    message = encode(b"lacuna/commitment/v1", f"{statement}\n".encode())
    committed = sha256(outer + sha256(inner + message).digest()).digest()
    node = sha256(b"\0\1" + committed).digest()
    place, last = int(index.removeprefix("index ")), int(size) - 1
    for each in map(b64decode, hashes):
        while place % 2 == 0 and place == last:
            place, last = place // 2, last // 2
        pair = each + node if place % 2 else node + each
        node = sha256(b"\1" + pair).digest()
        place, last = place // 2, last // 2
    assert b64encode(node).decode() == root
    name, signed = signatures.splitlines()[0].removeprefix("\N{EM DASH} ").split(" ")
    assert name == origin
    Ed25519PublicKey.from_public_bytes(LOG.public).verify(
        b64decode(signed)[4:], f"{text}\n".encode()
    )


def test_the_published_example_verifies() -> None:
    """crypto/FORMATS.md: certificate and opening as they stand there, under the key above them."""
    formats = (Path(__file__).parents[3] / "crypto" / "FORMATS.md").read_text()
    section = formats.partition("\n## Certificate\n")[2].partition("\n## ")[0]
    certificate = parse_certificate(section.split("```text\n")[1].partition("```")[0].encode())
    opening = parse_opening(section.split("```json\n")[1].partition("```")[0].encode())

    verified = verify_certificate(certificate, [LOG_KEY.verifier("log.example/lacuna")])

    verify_opening(opening, verified.statement)
    assert verified.index == 1

"""What an audit entry forgets with the record, and what only the custodian can read."""

import pickle
from struct import pack
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl as rust_openssl
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from crypto import audit
from crypto.aead import OVERHEAD, InvalidCiphertext, associate
from crypto.audit import (
    WITNESS_SIZE,
    WRAPPED_SIZE,
    AnswerKey,
    AnswerSealer,
    AuditKey,
    AuditPublicKey,
    GroupOpener,
    GroupSealer,
    Noise,
    SegmentId,
    SegmentKey,
    WitnessFinder,
    WitnessKey,
    WitnessMaker,
    public_of,
    unseal_answers,
    unwrap_segment_key,
    wrap_segment_key,
)
from crypto.secret import SecretBytes
from tests.crypto import hpke, reference
from tests.vectors import load

VECTORS = load("rfc9180-hpke.json")["tests"]
INFO = associate("test/v1", b"here")
SEGMENT = SegmentId(b"s" * 16)
ENTRY = b"e" * 16

keys = st.binary(min_size=32, max_size=32)
handles = st.binary(min_size=10, max_size=10)
entry_ids = st.binary(min_size=16, max_size=16)
positions = st.integers(0, 999)


def unhex(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


class TestWitnesses:
    """Who has the handle finds its entries; nobody else tells them from any others."""

    @given(keys, handles, entry_ids, positions)
    def test_a_second_implementation_agrees(
        self, key: bytes, handle: bytes, entry_id: bytes, position: int
    ) -> None:
        """BLAKE2b from the text of RFC 7693, which is held to the published vectors."""
        witness = WitnessMaker(WitnessKey(key)).make(handle, entry_id, position)

        assert witness == reference.witness(key, handle, entry_id, position)
        assert len(witness) == WITNESS_SIZE

    @given(st.lists(handles, max_size=20), entry_ids)
    def test_many_are_made_as_one_is(self, many: list[bytes], entry_id: bytes) -> None:
        maker = WitnessMaker(WitnessKey(bytes(range(32))))

        assert maker.make_each(many, entry_id) == [
            maker.make(handle, entry_id, position) for position, handle in enumerate(many)
        ]

    @given(*[st.tuples(handles, entry_ids, positions)] * 2)
    def test_no_two_entries_share_a_witness(
        self, a: tuple[bytes, bytes, int], b: tuple[bytes, bytes, int]
    ) -> None:
        """Two lookups of one record cannot be told to belong together."""
        maker = WitnessMaker(WitnessKey(bytes(range(32))))

        assert (maker.make(*a) == maker.make(*b)) == (a == b)

    @pytest.mark.parametrize(("handle", "entry_id"), [(bytes(9), ENTRY), (bytes(10), bytes(17))])
    def test_boundaries_cannot_move(self, handle: bytes, entry_id: bytes) -> None:
        """Every part has its length, so no part can pose as another."""
        maker = WitnessMaker(WitnessKey.generate())

        with pytest.raises(ValueError, match="10 bytes"):
            maker.make(handle, entry_id, 0)
        with pytest.raises(ValueError, match="10 bytes"):
            maker.make_each([handle, bytes(10)], entry_id)

    @given(
        st.lists(handles, max_size=4), st.lists(handles, max_size=9), handles, entry_ids, positions
    )
    def test_they_are_found_between_two_places_alone(
        self, sought: list[bytes], answered: list[bytes], one: bytes, entry_id: bytes, position: int
    ) -> None:
        """By whoever has one of the links, in the entry and at the position it was made for."""
        key = WitnessKey(bytes(range(32)))
        witnesses = [reference.witness(key.expose(), each, entry_id, position) for each in answered]
        mine = reference.witness(key.expose(), one, entry_id, position)
        encoded = mine + b"".join(witnesses) + mine
        begin, end = WITNESS_SIZE, len(encoded) - WITNESS_SIZE
        finder = WitnessFinder(key, sought)

        found = finder.is_in(encoded, begin, end, entry_id, position)
        assert found == (not set(sought).isdisjoint(answered))
        assert WitnessFinder(key, [one, *sought]).is_in(
            encoded, 0, len(encoded), entry_id, position
        )
        elsewhere = (entry_id, (position + 1) % 1_000), (bytes(16), position)
        for where in elsewhere:
            if where != (entry_id, position):
                assert not finder.is_in(encoded, begin, end, *where)

    @pytest.mark.parametrize("handles", [[bytes(9)], [bytes(9), bytes(11)], [bytes(10), b""]])
    def test_a_link_of_another_size_cannot_be_looked_for(self, handles: list[bytes]) -> None:
        """An empty one would be found nowhere, and nobody would be told."""
        with pytest.raises(ValueError, match="10 bytes"):
            WitnessFinder(WitnessKey.generate(), handles)


class TestAnswers:
    """Handles, readable until the answer key is gone."""

    @given(keys, st.binary(max_size=200), entry_ids, positions)
    def test_they_open_in_their_entry(
        self, key: bytes, answers: bytes, entry_id: bytes, count: int
    ) -> None:
        sealed = AnswerSealer(AnswerKey(key), Noise()).seal(answers, entry_id, count)

        assert unseal_answers(AnswerKey(key), sealed, entry_id, count) == answers
        assert len(sealed) == len(answers) + OVERHEAD
        opened = AESGCM(key).decrypt(sealed[:12], sealed[12:], entry_id + pack(">H", count))
        assert opened == answers

    @given(st.data())
    def test_any_changed_bit_is_refused(self, data: st.DataObject) -> None:
        key = AnswerKey.generate()
        sealed = bytearray(AnswerSealer(key, Noise()).seal(bytes(80), ENTRY, 1))
        bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
        sealed[bit // 8] ^= 1 << bit % 8

        with pytest.raises(InvalidCiphertext):
            unseal_answers(key, bytes(sealed), ENTRY, 1)

    def test_one_error_for_every_cause(self) -> None:
        """Another epoch's key, another entry, another count, cut off: never said which."""
        key = AnswerKey.generate()
        sealed = AnswerSealer(key, Noise()).seal(bytes(80), ENTRY, 1)

        for wrong in (
            (AnswerKey.generate(), sealed, ENTRY, 1),
            (key, sealed, b"f" * 16, 1),
            (key, sealed, ENTRY, 2),
            (key, sealed[:-1], ENTRY, 1),
            (key, sealed[: OVERHEAD - 1], ENTRY, 1),
            (key, b"", ENTRY, 1),
        ):
            with pytest.raises(InvalidCiphertext) as caught:
                unseal_answers(*wrong)
            assert caught.value.args == ()

    def test_no_nonce_is_used_twice(self) -> None:
        sealer = AnswerSealer(AnswerKey.generate(), Noise())
        sealed = [sealer.seal(bytes(80), ENTRY, 1) for _ in range(10_000)]

        assert len({each[:12] for each in sealed}) == len(sealed)


class TestNoise:
    """Random bytes that are given out once."""

    @given(st.lists(st.integers(16, 2 * Noise.POOL_SIZE), max_size=12))
    def test_every_draw_has_its_length_and_nothing_of_another(self, sizes: list[int]) -> None:
        noise = Noise()
        draws = [noise.draw(size) for size in sizes]

        assert [len(draw) for draw in draws] == sizes
        seen = b"|".join(draws)
        assert all(seen.count(draw[:16]) == seen.count(draw[-16:]) == 1 for draw in draws)

    def test_two_pools_share_nothing(self) -> None:
        assert Noise().draw(1_000) != Noise().draw(1_000)

    def test_the_key_of_a_pool_is_drawn_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """AES-256-CTR under 48 bytes of the system's, which are not asked for otherwise."""
        seeds = [bytes(range(48)), bytes(48)]
        monkeypatch.setattr("secrets.token_bytes", lambda _: seeds.pop())
        noise = Noise()
        first, second = noise.draw(Noise.POOL_SIZE), noise.draw(16)

        # FIPS 197's AES of a block of zeros under a key of zeros, as in NIST's AESAVS vectors.
        assert first[:16].hex() == "dc95c078a2408989ad48a21492842087"
        assert second != first[:16]
        assert seeds == []


class TestSegmentKeys:
    """Wrapped to the audit key, so that workers only write."""

    @pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["aead_id"])
    def test_the_reference_agrees_with_rfc_9180(self, vector: dict[str, Any]) -> None:
        private, encapsulated, info, key, nonce = unhex(
            vector, "skRm", "enc", "info", "key", "base_nonce"
        )
        agreed = hpke.schedule(private, encapsulated, info, vector["aead_id"])
        aad, plaintext, ciphertext = unhex(vector, "aad", "pt", "ct")

        assert agreed == (key, nonce)
        assert AESGCM(agreed.key).decrypt(agreed.base_nonce, ciphertext, aad) == plaintext

    def test_so_does_the_library_with_our_suite(self) -> None:
        """The published messages have associated data, which only the library's tests can pass."""
        (vector,) = (each for each in VECTORS if each["aead_id"] == 2)
        private, public, encapsulated, info, aad, plaintext, ciphertext = unhex(
            vector, "skRm", "pkRm", "enc", "info", "aad", "pt", "ct"
        )
        opened = rust_openssl.hpke._decrypt_with_aad(
            audit._SUITE,
            encapsulated + ciphertext,
            X25519PrivateKey.from_private_bytes(private),
            info,
            aad,
        )

        assert opened == plaintext
        assert public_of(AuditKey(private)) == public

    @given(keys, keys)
    def test_the_reference_unwraps_what_is_wrapped_here(self, private: bytes, key: bytes) -> None:
        wrapped = wrap_segment_key(public_of(AuditKey(private)), SegmentKey(key), INFO)

        assert hpke.decrypt(private, wrapped, INFO) == key
        assert unwrap_segment_key(AuditKey(private), wrapped, INFO).expose() == key
        assert len(wrapped) == WRAPPED_SIZE

    def test_one_error_for_every_cause(self) -> None:
        key = AuditKey.generate()
        wrapped = wrap_segment_key(public_of(key), SegmentKey.generate(), INFO)
        short = audit._SUITE.encrypt(
            b"short", X25519PublicKey.from_public_bytes(public_of(key)), INFO
        )

        for wrong in (
            (AuditKey.generate(), wrapped, INFO),
            (key, wrapped, associate("test/v1", b"there")),
            (key, wrapped[:-1], INFO),
            (key, bytes(WRAPPED_SIZE), INFO),
            (key, b"", INFO),
            (key, short, INFO),
        ):
            with pytest.raises(InvalidCiphertext) as caught:
                unwrap_segment_key(*wrong)
            assert caught.value.args == ()

    @pytest.mark.parametrize("public", [b"", bytes(31), bytes(32)])
    def test_what_is_no_public_key_is_refused(self, public: bytes) -> None:
        """A point of low order would wrap to everybody."""
        with pytest.raises(ValueError):  # noqa: PT011  # the library's own words
            wrap_segment_key(AuditPublicKey(public), SegmentKey.generate(), INFO)


class TestGroups:
    """Numbered and bound to their segment."""

    @given(keys, st.lists(st.binary(max_size=100), max_size=10))
    def test_they_open_in_their_order(self, key: bytes, plaintexts: list[bytes]) -> None:
        sealer = GroupSealer(SegmentKey(key), SEGMENT)
        opener = GroupOpener(SegmentKey(key), SEGMENT)

        for expected, plaintext in enumerate(plaintexts):
            number, sealed = sealer.seal(plaintext)
            assert number == expected
            assert opener.open(number, sealed) == plaintext
            associated_data = SEGMENT + pack(">I", number)
            nonce = number.to_bytes(12, "big")
            assert AESGCM(key).decrypt(nonce, sealed, associated_data) == plaintext

    def test_one_error_for_every_cause(self) -> None:
        key = SegmentKey.generate()
        number, sealed = GroupSealer(key, SEGMENT).seal(b"plaintext")

        for opener, at, group in (
            (GroupOpener(SegmentKey.generate(), SEGMENT), number, sealed),
            (GroupOpener(key, SegmentId(b"t" * 16)), number, sealed),
            (GroupOpener(key, SEGMENT), number + 1, sealed),
            (GroupOpener(key, SEGMENT), number, sealed[:-1]),
            (GroupOpener(key, SEGMENT), number, b""),
        ):
            with pytest.raises(InvalidCiphertext) as caught:
                opener.open(at, group)
            assert caught.value.args == ()


@pytest.mark.parametrize("kind", [WitnessKey, AnswerKey, SegmentKey, AuditKey])
def test_keys_do_not_print(kind: type[SecretBytes]) -> None:
    key = kind(b"k" * 32)

    assert repr(key) == f"<{kind.__name__}>"
    with pytest.raises(TypeError):
        pickle.dumps(key)

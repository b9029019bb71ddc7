"""Keys from keys and from passphrases: one purpose, one key."""

from typing import Any

import pytest
from argon2.exceptions import HashingError
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import derive as module
from crypto.derive import (
    RFC_9106_FIRST,
    RFC_9106_SECOND,
    SALT_SIZE,
    TESTING_ONLY_COST,
    Argon2Cost,
    Kek,
    derive,
    stretch,
)
from crypto.secret import SecretBytes
from tests.crypto import reference
from tests.vectors import load

PARENT = Kek(bytes(range(32)))
fields = st.lists(st.binary(max_size=8), max_size=4)


class Child(SecretBytes):
    """A kind of key that is derived."""


def sized(size: int) -> type[SecretBytes]:
    """Return a kind of key of another size, to feed vectors of any size to `derive`."""
    return type("Sized", (SecretBytes,), {"SIZE": size})


class TestHkdf:
    """derive(): HKDF-SHA-256 without salt, the label and the fields as info."""

    @pytest.mark.parametrize("vector", load("rfc5869-hkdf-sha256.json")["tests"])
    def test_the_reference_agrees_with_rfc_5869(self, vector: dict[str, Any]) -> None:
        """What `derive` is compared with below is itself held to the standard."""
        secret, salt, info = (bytes.fromhex(vector[name]) for name in ("ikm", "salt", "info"))

        assert reference.hkdf_sha256(secret, salt, info, vector["size"]).hex() == vector["okm"]

    @pytest.mark.parametrize("vector", load("wycheproof-hkdf-sha256.json")["tests"])
    def test_wycheproof(self, vector: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """All of Wycheproof that has no salt, RFC 5869's third case among them."""
        monkeypatch.setattr(module, "encode", lambda *_: bytes.fromhex(vector["info"]))
        secret = bytes.fromhex(vector["ikm"])
        parent, into = sized(len(secret))(secret), sized(vector["size"])

        assert derive(parent, into, "").expose().hex() == vector["okm"]

    @given(st.binary(min_size=32, max_size=32), st.text(max_size=8), fields)
    def test_a_second_implementation_agrees(
        self, parent: bytes, label: str, fields: list[bytes]
    ) -> None:
        """What was derived once must come out the same for as long as a vault lives."""
        info = reference.fields(label.encode(), *fields)
        expected = reference.hkdf_sha256(parent, b"", info, 32)

        assert derive(Kek(parent), Child, label, *fields).expose() == expected

    @given(st.tuples(st.text(max_size=8), fields), st.tuples(st.text(max_size=8), fields))
    def test_two_purposes_give_two_keys(
        self, a: tuple[str, list[bytes]], b: tuple[str, list[bytes]]
    ) -> None:
        """Neither a label nor a field can pose as another."""
        first, second = (derive(PARENT, Child, label, *rest).expose() for label, rest in (a, b))

        assert (first == second) == (a == b)

    def test_a_key_comes_out_as_the_kind_asked_for(self) -> None:
        assert type(derive(PARENT, Child, "test/v1")) is Child
        assert len(derive(PARENT, sized(64), "test/v1").expose()) == 64


class TestArgon2id:
    """stretch(): Argon2id without secret and associated data."""

    @pytest.mark.parametrize("vector", load("argon2id-reference.json")["tests"])
    def test_the_reference_implementation_agrees(self, vector: dict[str, Any]) -> None:
        cost = Argon2Cost(vector["passes"], vector["memory_kib"], vector["lanes"])
        kek = stretch(vector["password"].encode(), vector["salt"].encode(), cost)

        assert kek.expose().hex() == vector["hash"]

    def test_the_second_implementation_agrees_with_rfc_9106(self) -> None:
        """The RFC's vector has a secret and associated data, which argon2-cffi cannot take."""
        vector = load("rfc9106-argon2id.json")
        password, salt, secret, associated_data = (
            bytes.fromhex(vector[name])
            for name in ("password", "salt", "secret", "associated_data")
        )
        second = Argon2id(
            salt=salt,
            length=32,
            iterations=vector["passes"],
            lanes=vector["lanes"],
            memory_cost=vector["memory_kib"],
            secret=secret,
            ad=associated_data,
        )

        assert second.derive(password).hex() == vector["hash"]

    @settings(max_examples=30)
    @given(
        passphrase=st.binary(max_size=40),
        salt=st.binary(min_size=SALT_SIZE, max_size=SALT_SIZE),
        passes=st.integers(1, 3),
        lanes=st.integers(1, 4),
        blocks=st.integers(8, 64),
    )
    def test_the_second_implementation_agrees_with_stretch(
        self, passphrase: bytes, salt: bytes, passes: int, lanes: int, blocks: int
    ) -> None:
        memory = blocks * lanes
        second = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
        kek = stretch(passphrase, salt, Argon2Cost(passes, memory, lanes))

        assert type(kek) is Kek
        assert kek.expose() == second.derive(passphrase)

    @pytest.mark.parametrize(
        ("passphrase", "salt", "cost"),
        [
            (b"passphrasf", b"0123456789abcdef", TESTING_ONLY_COST),
            (b"passphrase", b"0123456789abcdeg", TESTING_ONLY_COST),
            (b"passphrase", b"0123456789abcdef", Argon2Cost(2, 8, 1)),
            (b"passphrase", b"0123456789abcdef", Argon2Cost(1, 16, 1)),
            (b"passphrase", b"0123456789abcdef", Argon2Cost(1, 16, 2)),
        ],
    )
    def test_passphrase_salt_and_cost_all_count(
        self, passphrase: bytes, salt: bytes, cost: Argon2Cost
    ) -> None:
        kek = stretch(b"passphrase", b"0123456789abcdef", TESTING_ONLY_COST)

        assert stretch(passphrase, salt, cost).expose() != kek.expose()

    def test_a_salt_below_eight_bytes_is_refused(self) -> None:
        with pytest.raises(HashingError):
            stretch(b"passphrase", b"1234567", TESTING_ONLY_COST)


class TestCosts:
    """What a slot's header may ask for."""

    def test_the_named_costs_are_those_of_rfc_9106(self) -> None:
        """Section 4: 1 pass over 2 GiB, or 3 over 64 MiB; 4 lanes."""
        assert Argon2Cost(1, 2 << 20, 4) == RFC_9106_FIRST
        assert Argon2Cost(3, 64 << 10, 4) == RFC_9106_SECOND

    @pytest.mark.parametrize(
        "cost", [RFC_9106_FIRST, RFC_9106_SECOND, TESTING_ONLY_COST, Argon2Cost(64, 1 << 22, 64)]
    )
    def test_every_cost_in_use_is_within_bounds(self, cost: Argon2Cost) -> None:
        assert Argon2Cost.parse(cost.passes, cost.memory_kib, cost.lanes) == cost

    @pytest.mark.parametrize(
        ("passes", "memory_kib", "lanes"),
        [
            (0, 64, 1),
            (65, 64, 1),
            (1, 7, 1),
            (1, 31, 4),
            (1, (1 << 22) + 1, 1),
            (1, 64, 0),
            (1, 1024, 65),
            (-1, -1, -1),
        ],
    )
    def test_a_changed_header_cannot_ask_for_a_terabyte(
        self, passes: int, memory_kib: int, lanes: int
    ) -> None:
        """The cost is read before anything authenticates it."""
        with pytest.raises(ValueError, match=r"^argon2 cost out of bounds$"):
            Argon2Cost.parse(passes, memory_kib, lanes)

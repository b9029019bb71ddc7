"""Access tokens: what any worker makes and every worker verifies (RFC 7693, RFC 4648)."""

import base64
import hashlib
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.errors import Unauthorized
from lookup.worker.access import (
    ACCESS_SECONDS,
    MAX_FORMER,
    SPREADING_SECONDS,
    TOKEN_SIZE,
    TokenKey,
    TokenKeys,
)

NOW = 1_795_000_000.0
CLIENT = bytes(range(14))
KEY = bytes(range(32))


def keys(key: bytes = KEY) -> TokenKeys:
    return TokenKeys(TokenKey(key), NOW - 1_000)


@given(st.binary(min_size=14, max_size=14), st.floats(0, 2**32 - 2 * ACCESS_SECONDS))
def test_a_token_says_who_and_until_when(client_id: bytes, now: float) -> None:
    token = TokenKeys(TokenKey(KEY), 0.0).make(client_id, now)

    assert len(token) == TOKEN_SIZE
    assert keys().verify(token, now) == (client_id, int(now) + ACCESS_SECONDS)


def test_its_bytes_are_as_written_down() -> None:
    """Made a second time, from the formula in the module's docstring."""
    raw = base64.urlsafe_b64decode(keys().make(CLIENT, NOW))

    body, auth_tag = raw[:26], raw[26:]
    assert body[:18] == CLIENT + (int(NOW) + 600).to_bytes(4, "big")
    assert auth_tag == hashlib.blake2b(body, key=KEY, digest_size=16).digest()


def test_no_two_tokens_are_alike() -> None:
    assert len({keys().make(CLIENT, NOW) for _ in range(1_000)}) == 1_000


def test_it_ends_after_ten_minutes() -> None:
    token = keys().make(CLIENT, NOW)

    keys().verify(token, NOW + 599)
    with pytest.raises(Unauthorized):
        keys().verify(token, NOW + 600)


def test_any_change_of_any_bit_is_noticed() -> None:
    """Who, until when, the nonce, the auth tag: none can be another's."""
    raw = base64.urlsafe_b64decode(keys().make(CLIENT, NOW))
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Unauthorized):
            keys().verify(base64.urlsafe_b64encode(changed), NOW)


@given(st.binary(max_size=80))
def test_what_is_no_token_is_refused(data: bytes) -> None:
    for token in (data, base64.urlsafe_b64encode(data)):
        with pytest.raises(Unauthorized):
            keys().verify(token, NOW)


FORGERIES: dict[str, Callable[[bytes], bytes]] = {
    "another key's": lambda _: keys(os.urandom(32)).make(CLIENT, NOW),
    "truncated": lambda token: token[:-4],
    "truncated to the body": lambda token: token[:32],
    "without the body": lambda token: token[32:],
    "longer": lambda token: token + b"AAAA",
    "in plain base64": lambda token: base64.b64encode(
        b"\xfb\xff" + base64.urlsafe_b64decode(token)[2:]
    ),
    "with a line end": lambda token: token[:-1] + b"\n",
    "two of them": lambda token: token * 2,
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries(name: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        keys().verify(FORGERIES[name](keys().make(CLIENT, NOW)), NOW)

    assert caught.value.__cause__ is None
    assert str(caught.value) == ""


class TestAnotherKey:
    """A custodian starts anew: another key, and nobody is refused."""

    BEFORE = keys()
    AFTER = BEFORE.followed_by(bytes(32), NOW)
    LATER = NOW + SPREADING_SECONDS

    def test_the_same_key_changes_nothing(self) -> None:
        assert self.BEFORE.followed_by(KEY, NOW) is self.BEFORE

    def test_tokens_of_the_former_key_live_to_their_end(self) -> None:
        token = self.BEFORE.make(CLIENT, NOW + SPREADING_SECONDS - 1)

        self.AFTER.verify(token, NOW + SPREADING_SECONDS + 598)

    def test_the_former_key_itself_ends_too(self) -> None:
        """Whoever has it can make tokens of any life; they are refused all the same."""
        end = NOW + SPREADING_SECONDS + ACCESS_SECONDS
        token = self.BEFORE.make(CLIENT, end + 300)

        with pytest.raises(Unauthorized):
            self.AFTER.verify(token, end)

    def test_the_new_one_is_used_when_every_worker_must_have_it(self) -> None:
        """Before that a worker that has the new one makes what the others can verify."""
        early, late = self.AFTER.make(CLIENT, self.LATER - 1), self.AFTER.make(CLIENT, self.LATER)

        self.BEFORE.verify(early, NOW)
        with pytest.raises(Unauthorized):
            self.BEFORE.verify(late, NOW)
        keys(bytes(32)).verify(late, self.LATER)

    def test_a_custodian_that_starts_again_and_again(self) -> None:
        """Verifying does not get slower and slower."""
        chain = [keys()]
        for number in range(10):
            chain.append(chain[-1].followed_by(bytes([number]) * 32, NOW + number))
        accepted = 0
        for each in chain:
            try:
                chain[-1].verify(each.make(CLIENT, NOW + 100), NOW + 100)
                accepted += 1
            except Unauthorized:
                pass

        assert accepted == MAX_FORMER + 1


def test_a_token_key_shows_nothing() -> None:
    assert repr(TokenKey(KEY)) == "<TokenKey>"
    with pytest.raises(ValueError, match="must be 32 bytes"):
        TokenKey(b"short")

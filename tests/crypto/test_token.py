"""Tokens: what a hospital sends instead of an identifier."""

import pickle
import re
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.tag import IndexKey, TagMaker
from crypto.token import KID_LENGTH, TOKEN_SIZE, LookupKey, TokenMaker
from tests.crypto import reference
from tests.vectors import load
from tests.vectors.make_lookup_vectors import make_vectors

KEY = LookupKey(bytes(range(32)))
MAKER = TokenMaker(KEY)
VECTORS = load("lookup-v1.json")
texts = st.text(max_size=12)
identifiers = st.tuples(texts, texts)


@pytest.mark.parametrize("vector", load("rfc4231-hmac-sha256.json")["tests"])
def test_the_keyed_state_is_hmac_sha_256(vector: dict[str, Any]) -> None:
    """RFC 4231, through the very states that tokens are made from; keys of 131 bytes are none."""
    raw = bytes.fromhex(vector["key"])
    mac = reference.hmac_sha256(raw, bytes.fromhex(vector["data"]))
    assert mac.hex().startswith(vector["mac"])
    if len(raw) <= 64:
        kind: type[LookupKey] = type("AnySize", (LookupKey,), {"SIZE": len(raw)})
        maker = TokenMaker(kind(raw))
        state = maker._inner.copy()
        state.update(bytes.fromhex(vector["data"]))
        assert maker._finish(state) == mac


@pytest.mark.parametrize("vector", VECTORS["tests"])
def test_published_lookup_vectors(vector: dict[str, str]) -> None:
    """The file that SDKs in other languages are checked with; it never changes within v1."""
    maker = TokenMaker(LookupKey(bytes.fromhex(vector["lookup_key"])))
    token = maker.make(vector["scheme"], vector["value"])

    assert urlsafe_b64encode(token).decode() == vector["token"] + "="
    assert maker.kid == vector["kid"]
    tags = TagMaker(IndexKey(bytes.fromhex(vector["index_key"])))
    assert tags.make(token).hex() == vector["tag"]


def test_the_lookup_vectors_are_what_their_generator_makes() -> None:
    """And it knows nothing of crypto: the second implementation's word, not our own."""
    assert make_vectors() == VECTORS


@given(identifiers)
def test_a_second_implementation_agrees(identifier: tuple[str, str]) -> None:
    assert MAKER.make(*identifier) == reference.token(KEY.expose(), *identifier)


@given(identifiers, identifiers)
def test_two_identifiers_have_two_tokens(a: tuple[str, str], b: tuple[str, str]) -> None:
    """Equality is all that tokens show; the scheme is inside."""
    assert (MAKER.make(*a) == MAKER.make(*b)) == (a == b)


def test_the_scheme_is_inside_the_token() -> None:
    """A token for "nhs" never matches one for "chi", nor one whose boundary moved."""
    assert MAKER.make("nhs", "9990000042") != MAKER.make("chi", "9990000042")
    assert MAKER.make("nhs", "9990000042") != MAKER.make("nh", "s9990000042")


def test_making_a_token_leaves_no_trace_in_the_next() -> None:
    """The keyed state is copied, never updated."""
    maker = TokenMaker(KEY)
    first = maker.make("nhs", "9990000042")
    maker.make("nhs", "9990000050")

    assert maker.make("nhs", "9990000042") == first
    assert len(first) == TOKEN_SIZE


@given(st.binary(min_size=32, max_size=32))
def test_a_kid_is_the_fingerprint_of_its_key(raw: bytes) -> None:
    kid = TokenMaker(LookupKey(raw)).kid

    assert kid == reference.kid(raw)
    assert re.fullmatch(r"[A-Za-z0-9_-]{16}", kid)
    assert len(kid) == KID_LENGTH


def test_another_key_has_another_kid_and_other_tokens() -> None:
    """Whoever has the wrong key cannot carry the right kid by mistake."""
    other = TokenMaker(LookupKey(bytes(32)))

    assert other.kid != MAKER.kid
    assert other.make("nhs", "9990000042") != MAKER.make("nhs", "9990000042")


def test_a_maker_shows_and_gives_away_nothing() -> None:
    """It holds a keyed state, which is as good as the key."""
    assert KEY.expose().hex() not in repr(MAKER)
    with pytest.raises(TypeError):
        pickle.dumps(MAKER)


def test_a_maker_remembers_only_so_many_schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller with ever new schemes costs time, not memory; its tokens are the same."""
    monkeypatch.setattr("crypto.token.MAX_SCHEMES", 1)
    maker, key = TokenMaker(LookupKey(bytes(32))), LookupKey(bytes(32))
    made = [maker.make(scheme, "1") for scheme in ("nhs", "chi", "chi")]
    assert made == [TokenMaker(key).make(scheme, "1") for scheme in ("nhs", "chi", "chi")]
    assert len(maker._schemes) == 1

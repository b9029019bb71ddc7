"""Officer tokens: made with the own key, for one vault, for ten minutes."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.encoding import encode, uint
from crypto.sshsig import OfficerKey, Signature, fingerprint, sign
from lookup.officers.token import (
    CLOCK_DIFFERENCE,
    MOST_SECONDS,
    NAMESPACE,
    Claims,
    InvalidToken,
    key_id_of,
    make_token,
    parse_token,
    verify_token,
)

KEY = OfficerKey(bytes(range(32)))
PUBLIC = KEY.public()
VAULT = bytes(range(16))
OFFICER = key_id_of(PUBLIC)
NOW = 1_800_000_000
EXPIRES = NOW + 300
TOKEN = make_token(KEY, VAULT, EXPIRES)
CLAIMS = parse_token(TOKEN)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
ids = st.binary(min_size=16, max_size=16)


def coded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(payload: bytes, namespace: str = NAMESPACE) -> str:
    """Return a payload with a good signature, as if it were a token."""
    return f"{coded(payload)}.{coded(sign(KEY, namespace, payload))}"


@given(ids, st.integers(1, MOST_SECONDS))
def test_an_officer_makes_a_token_that_the_vault_takes(vault: bytes, seconds: int) -> None:
    claims = parse_token(make_token(KEY, vault, NOW + seconds))

    verify_token(claims, PUBLIC, vault, NOW)
    assert (claims.vault, claims.key_id, claims.expires) == (vault, OFFICER, NOW + seconds)


def test_the_payload_is_as_the_format_says() -> None:
    """What is signed has one spelling, with a nonce of 16 bytes at its end."""
    nonce = CLAIMS.payload[-16:]
    label = b"lacuna/officer-token/v1"
    assert CLAIMS.payload == encode(label, VAULT, OFFICER, uint(EXPIRES), nonce)
    assert len(CLAIMS.payload) == 99
    assert f"{coded(CLAIMS.payload)}.{coded(CLAIMS.signature)}" == TOKEN


def test_the_worked_example_of_the_formats() -> None:
    """Ed25519 is deterministic: with this nonce it is this token, for every program."""
    token = (
        "AAAAF2xhY3VuYS9vZmZpY2VyLXRva2VuL3YxAAAAEAABAgMEBQYHCAkKCwwNDg8AAAAQVkdap1RjR0wC"
        "hd9dvyvKtwAAAAgAAAAAa0nSAAAAABAAAAAAAAAAAAAAAAAAAAAA.Zmp2xPYm5ZwWyJonjf9nyzrj86c"
        "HCbI2bMvL6sJdQ31CPBMctYPQwZ2R9rtqP7OoMiJOGL7qOpntPQbVx5foDw"
    )
    claims = parse_token(token)

    assert signed(encode(LABEL, VAULT, OFFICER, uint(NOW), bytes(16))) == token
    assert fingerprint(PUBLIC) == "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
    verify_token(claims, PUBLIC, VAULT, NOW - 1)


def test_no_two_tokens_are_alike() -> None:
    assert make_token(KEY, VAULT, EXPIRES) != TOKEN


LIVES = {
    "from now on": (EXPIRES - MOST_SECONDS, True),
    "made by a clock a minute ahead": (EXPIRES - MOST_SECONDS - CLOCK_DIFFERENCE, True),
    "for longer than a token lasts": (EXPIRES - MOST_SECONDS - CLOCK_DIFFERENCE - 1, False),
    "in its last second": (EXPIRES - 1, True),
    "at its end": (EXPIRES, False),
    "long ended": (EXPIRES + 86_400, False),
    "long before": (0, False),
}


@pytest.mark.parametrize("when", LIVES)
def test_a_token_lasts_for_ten_minutes(when: str) -> None:
    """And one that says more is none, however well it is signed."""
    now, lives = LIVES[when]
    if lives:
        verify_token(CLAIMS, PUBLIC, VAULT, now)
    else:
        with pytest.raises(InvalidToken, match=r"has ended|lasts for more"):
            verify_token(CLAIMS, PUBLIC, VAULT, now)


def test_a_token_opens_one_vault() -> None:
    """Whoever is shown it cannot use it elsewhere."""
    with pytest.raises(InvalidToken, match="another vault"):
        verify_token(CLAIMS, PUBLIC, bytes(16), NOW)


def test_a_token_is_of_one_officer() -> None:
    with pytest.raises(InvalidToken, match="not signed"):
        verify_token(CLAIMS, OfficerKey(bytes(32)).public(), VAULT, NOW)


def test_what_was_signed_for_another_purpose_is_no_token() -> None:
    """An approval cannot be replayed as a token, nor a token as an approval."""
    claims = parse_token(signed(CLAIMS.payload, "lacuna-case@v1"))
    with pytest.raises(InvalidToken, match="not signed"):
        verify_token(claims, PUBLIC, VAULT, NOW)


def test_no_bit_of_a_token_can_be_changed() -> None:
    """Of its payload and signature."""
    for at in range(8 * 163):
        raw = bytearray(CLAIMS.payload + CLAIMS.signature)
        raw[at // 8] ^= 1 << at % 8
        with pytest.raises(InvalidToken):
            accept(f"{coded(bytes(raw[:99]))}.{coded(bytes(raw[99:]))}")


@given(st.integers(0, len(TOKEN) - 1), st.characters(max_codepoint=0x17F))
def test_no_character_of_a_token_can_be_changed(at: int, character: str) -> None:
    changed = TOKEN[:at] + character + TOKEN[at + 1 :]
    if changed != TOKEN:
        with pytest.raises(InvalidToken):
            accept(changed)


@pytest.mark.parametrize("last", ALPHABET)
def test_a_token_has_one_text(last: str) -> None:
    """The last character has four bits that stand for nothing; they are zero."""
    if (twin := TOKEN[:-1] + last) != TOKEN:
        with pytest.raises(InvalidToken):
            accept(twin)


def test_no_beginning_of_a_token_is_one() -> None:
    for length in range(len(TOKEN)):
        with pytest.raises(InvalidToken):
            parse_token(TOKEN[:length])


def accept(text: str) -> None:
    """Do what the custodian does with it."""
    verify_token(parse_token(text), PUBLIC, VAULT, NOW)


LABEL = b"lacuna/officer-token/v1"
NONCE = bytes(16)
BAD = {
    "nothing": "",
    "prose": "let me in",
    "no signature": TOKEN.partition(".")[0],
    "an empty signature": TOKEN.partition(".")[0] + ".",
    "three parts": TOKEN + ".AAAA",
    "padding": TOKEN + "==",
    "a line end": TOKEN + "\n",
    "a space before it": " " + TOKEN,
    "Bearer before it": "Bearer " + TOKEN,
    "base64 that is not for URLs": "+" + TOKEN[1:],
    "letters beyond ASCII": "\N{FULLWIDTH LATIN CAPITAL LETTER A}" + TOKEN[1:],
    "parts swapped": ".".join(reversed(TOKEN.split("."))),
    "far too long": TOKEN * 10_000,
    "version 2": signed(encode(b"lacuna/officer-token/v2", VAULT, OFFICER, uint(1), NONCE)),
    "another label": signed(encode(b"lacuna/lookup-token!/v1", VAULT, OFFICER, uint(1), NONCE)),
    "boundaries moved": signed(encode(LABEL, VAULT + b"\0", OFFICER[1:], uint(1), NONCE)),
    "fields of other lengths": signed(encode(LABEL, VAULT, OFFICER, uint(1) + b"\0", NONCE[1:])),
    "one field": signed(encode(LABEL + bytes(72))),
    "no nonce": signed(encode(LABEL, VAULT, OFFICER, uint(1), b"")),
    "a long nonce": signed(encode(LABEL, VAULT, OFFICER, uint(1), NONCE + b"\0")),
    "a field more": signed(encode(LABEL, VAULT, OFFICER, uint(1), NONCE, b"")),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_token_is_refused(what: str) -> None:
    """However well it is signed; the error repeats nothing of it."""
    with pytest.raises(InvalidToken, match=r"^this is no officer token$"):
        parse_token(BAD[what])


def test_a_vault_id_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        make_token(KEY, VAULT[1:], EXPIRES)


def test_claims_do_not_show_what_could_be_shown_again() -> None:
    """Payload and signature together are the token."""
    claims = Claims(VAULT, OFFICER, EXPIRES, CLAIMS.payload, Signature(CLAIMS.signature))

    assert claims == CLAIMS
    assert repr(CLAIMS.signature) not in repr(CLAIMS)
    assert repr(CLAIMS.payload) not in repr(CLAIMS)
    assert urlsafe_b64decode(TOKEN.partition(".")[0]) == CLAIMS.payload

"""Make lookup-v1.json: `python -m tests.vectors.make_lookup_vectors` prints it.

Computed by tests/crypto/reference.py alone, so the file is the reference's word and `crypto` is
held to it (tests/crypto/test_token.py). It is for whoever writes an SDK in another language.
"""

import json
from base64 import urlsafe_b64encode
from hashlib import sha256

from tests.crypto import reference

# Not secret: the digests of their own names. Real keys are drawn at random.
LOOKUP_KEYS = tuple(sha256(b"lacuna test lookup key %d" % n).digest() for n in (1, 2))
INDEX_KEY = sha256(b"lacuna test index key").digest()
IDENTIFIERS = (
    ("nhs", "9990000042"),
    ("nhs", "9990000050"),
    ("chi", "9990000042"),  # another scheme, the same digits: another token
    ("chi", "0101011237"),
    ("hcn", "3200000007"),
    ("upn", "H801200001001"),
    ("local", "KENT:C/2026-00017"),
    ("canary", "4c61cuna_-0"),
    ("n", "hs9990000042"),  # the boundary between scheme and value counts
    ("", ""),
    ("nhs", ""),
    ("x", "é€😀"),  # UTF-8, should a scheme ever allow it
    ("x", "a" * 64),
)


def make_vectors() -> dict[str, object]:
    """Return the content of the file."""
    return {
        "format": "lacuna-lookup-vectors/1",
        "token": "base64url(HMAC-SHA-256(lookup_key, encode('lacuna/token/v1', scheme, value)))",
        "kid": "base64url(HMAC-SHA-256(lookup_key, encode('lacuna/kid/v1'))[:12])",
        "tag": "BLAKE2b(token, key=index_key, 12 bytes)",
        "encode": "for each field its length, 32 bits, big-endian, then the field in UTF-8",
        "note": "keys and tags are hex; base64url is without padding",
        "tests": [
            _vector(lookup_key, scheme, value)
            for lookup_key in LOOKUP_KEYS
            for scheme, value in IDENTIFIERS
        ],
    }


def _vector(lookup_key: bytes, scheme: str, value: str) -> dict[str, str]:
    token = reference.token(lookup_key, scheme, value)
    return {
        "lookup_key": lookup_key.hex(),
        "kid": reference.kid(lookup_key),
        "scheme": scheme,
        "value": value,
        "token": urlsafe_b64encode(token).decode().rstrip("="),
        "index_key": INDEX_KEY.hex(),
        "tag": reference.tag(INDEX_KEY, token).hex(),
    }


if __name__ == "__main__":
    print(json.dumps(make_vectors(), indent=1, ensure_ascii=False))  # noqa: T201  # its output

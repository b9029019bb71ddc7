"""Keys from keys (HKDF, RFC 5869) and from passphrases (Argon2id, RFC 9106).

    derive(parent, T, label, f1, ...) = T(HKDF-SHA-256(parent, info=encode(label, f1, ...)))
    stretch(passphrase, salt, cost)   = Kek(Argon2id(passphrase, salt, cost))

Invariants:

* A label is used for one purpose. Two labels, or two lists of fields, give unrelated keys.
* Argon2id is for secrets that people choose; a 256-bit random secret needs no stretching.

The costs are RFC 9106's two recommended options (section 4), by argon2-cffi's names for them.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from argon2 import profiles
from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.encoding import encode
from crypto.secret import SecretBytes

SALT_SIZE = 16


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """Passes, memory in KiB and lanes of one Argon2id computation."""

    passes: int
    memory_kib: int
    lanes: int

    @classmethod
    def parse(cls, passes: int, memory_kib: int, lanes: int) -> "Argon2Cost":
        """Accept what RFC 9106 allows and this machine can bear; raise ValueError otherwise.

        A cost is read back from a file before anything authenticates it, so it is bounded: a
        changed file must not make the custodian ask for a terabyte.
        """
        cost = cls(passes, memory_kib, lanes)
        if not (1 <= passes <= 64 and 1 <= lanes <= 64 and 8 * lanes <= memory_kib <= 1 << 22):
            raise ValueError("argon2 cost out of bounds")
        return cost


RFC_9106_FIRST: Final = Argon2Cost(
    profiles.RFC_9106_HIGH_MEMORY.time_cost,
    profiles.RFC_9106_HIGH_MEMORY.memory_cost,
    profiles.RFC_9106_HIGH_MEMORY.parallelism,
)
RFC_9106_SECOND: Final = Argon2Cost(
    profiles.RFC_9106_LOW_MEMORY.time_cost,
    profiles.RFC_9106_LOW_MEMORY.memory_cost,
    profiles.RFC_9106_LOW_MEMORY.parallelism,
)
# Hypothesis opens thousands of sites; a demonstration or a real one never uses this.
TESTING_ONLY_COST: Final = Argon2Cost(passes=1, memory_kib=8, lanes=1)


T = TypeVar("T", bound=SecretBytes)


class Kek(SecretBytes):
    """Key encryption key: what a passphrase becomes. Held from start to stop, never stored."""


def derive(parent: SecretBytes, into: type[T], label: str, *fields: bytes) -> T:
    """Return the key that `parent` gives for this purpose and these fields."""
    info = encode(label.encode(), *fields)
    return into(HKDF(SHA256(), into.SIZE, None, info).derive(parent.expose()))


def stretch(passphrase: bytes, salt: bytes, cost: Argon2Cost) -> Kek:
    """Return the key of a passphrase. Takes `cost.memory_kib` of memory and up to seconds.

    Raises argon2.exceptions.HashingError where that memory cannot be had, or for a salt of fewer
    than eight bytes.
    """
    raw = hash_secret_raw(
        passphrase,
        salt,
        time_cost=cost.passes,
        memory_cost=cost.memory_kib,
        parallelism=cost.lanes,
        hash_len=Kek.SIZE,
        type=Type.ID,
        version=ARGON2_VERSION,
    )
    return Kek(raw)

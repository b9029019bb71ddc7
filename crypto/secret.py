"""Key material that refuses to be printed, compared, pickled or mistaken for another key.

Invariants:

* Every kind of key is its own class, declared beside the one primitive that uses it.
* `expose()` is the only way to the bytes, so that a reviewer can grep for every use.

CPython cannot be made to wipe an immutable object, and copies may remain in freed memory. These
types prevent accidents; they do not promise erasure. Erasure is what `keys` is for.
"""

import secrets
from typing import ClassVar, NoReturn, Self


class SecretBytes:
    """A fixed number of secret bytes."""

    SIZE: ClassVar[int] = 32
    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != self.SIZE:
            raise ValueError(f"{type(self).__name__} must be {self.SIZE} bytes")
        self._value = bytes(value)

    @classmethod
    def generate(cls) -> Self:
        """Draw a fresh key from the operating system."""
        return cls(secrets.token_bytes(cls.SIZE))

    def expose(self) -> bytes:
        """Return the bytes. Call it in the call to a primitive, nowhere else."""
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare key ids, not keys")

    __hash__ = None  # type: ignore[assignment]  # as a dict key it would be compared

    def __reduce__(self) -> NoReturn:
        raise TypeError("keys are wrapped, not serialized")

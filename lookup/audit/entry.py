"""Audit entries: what one request leaves behind, whatever was found.

    entry     = head (256) || witnesses (n * 128) || answers (12 + n * 80 + 16)
    head      = format u8 | purpose u8 | n u16 | entry id 16 | time u64 | client 14 |
                request id 16 | user 64 | role 64 | encounter 64 | zeros 6
    witnesses = for each of n tokens 8 * 16 bytes: a witness (crypto/audit.py) of each answered
                link, then random bytes
    answers   = sealed: for each token 8 * 10 bytes, the handles of these links, then zeros

Invariants:

* The length depends on n alone. No outcome, identifier, token, kid or category is in an entry.
* Where nothing was answered one witness of a random handle stands in the place of the first: the
  same work, and bytes that nobody can tell from those of a handle that is gone.
* Texts are UTF-8 without NUL, padded with zeros; an empty one says that there was none.
* Every byte of the clear part is checked on reading, so that an entry has one spelling.

The purpose: 0 none was given, 1 unscheduled care, 2 scheduled care. Time is in microseconds since
1970, numbers are big-endian. `make` is pure but for the randomness.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final, NamedTuple

from crypto.aead import OVERHEAD
from crypto.audit import (
    AUDIT_ID_SIZE,
    HANDLE_SIZE,
    WITNESS_SIZE,
    AnswerKey,
    AnswerSealer,
    Noise,
    WitnessFinder,
    WitnessKey,
    WitnessMaker,
    unseal_answers,
)
from lookup.audit.errors import InvalidEntry

FORMAT: Final = 1
ABSENT: Final = 0
UNSCHEDULED: Final = 1
SCHEDULED: Final = 2
PURPOSES: Final = frozenset({ABSENT, UNSCHEDULED, SCHEDULED})

MAX_TOKENS: Final = 1_000
MAX_LINKS: Final = 8
MAX_TEXT: Final = 64
CLIENT_ID_SIZE: Final = 14
REQUEST_ID_SIZE: Final = 16

HEAD_SIZE: Final = 256
_HEAD: Final = Struct(">BBH16sQ14s16s64s64s64s6s")
_WITNESSES_SIZE: Final = MAX_LINKS * WITNESS_SIZE
_ANSWERS_SIZE: Final = MAX_LINKS * HANDLE_SIZE
_ID_AT: Final = 4
_ID_END: Final = _ID_AT + AUDIT_ID_SIZE
_ASKER: Final = Struct("14s16s")
_ASKER_AT: Final = 28
_FIXED_SIZE: Final = HEAD_SIZE + OVERHEAD
_TOKEN_SIZE: Final = _WITNESSES_SIZE + _ANSWERS_SIZE
_ONE_TOKEN: Final = _FIXED_SIZE + _TOKEN_SIZE
_ZEROS: Final = bytes(6)
_NONE: Final = bytes(HANDLE_SIZE)
# What is drawn for one token: a handle that may stand in for none, and what fills seven places.
_DRAWN_ONE: Final = Struct(f"{AUDIT_ID_SIZE}s{HANDLE_SIZE}s{_WITNESSES_SIZE - WITNESS_SIZE}s")
_NO_MORE: Final = bytes(_ANSWERS_SIZE - HANDLE_SIZE)


def entry_size(count: int) -> int:
    """Return the length of an entry for so many tokens."""
    return HEAD_SIZE + count * (_WITNESSES_SIZE + _ANSWERS_SIZE) + OVERHEAD


MAX_ENTRY: Final = entry_size(MAX_TOKENS)


class Head(NamedTuple):
    """Who asked, when and why."""

    purpose: int
    time: int
    client: bytes
    request_id: bytes
    user: bytes
    role: bytes
    encounter: bytes

    def __repr__(self) -> str:
        return "<Head>"


class EntryMaker:
    """Makes entries under the keys of a hand-off. For one thread."""

    __slots__ = ("_answers", "_noise", "_witnesses")

    def __init__(self, witness_key: WitnessKey, answer_key: AnswerKey) -> None:
        self._noise = Noise()
        self._witnesses = WitnessMaker(witness_key)
        self._answers = AnswerSealer(answer_key, self._noise)

    def make(self, head: Head, handles: Sequence[Sequence[bytes]]) -> bytes:
        """Return the entry: for each token the handles of its links that were answered, or honey.

        Raises ValueError if something does not fit into the format.
        """
        count = len(handles)
        if count == 1 and len(handles[0]) < 2:
            return self._make_one(head, handles[0])
        if not 1 <= count <= MAX_TOKENS:
            raise ValueError(f"an entry is for 1 to {MAX_TOKENS} tokens")
        most = max(map(len, handles))
        if most > MAX_LINKS:
            raise ValueError(f"a token is answered with at most {MAX_LINKS} links")
        entry_id = self._noise.draw(AUDIT_ID_SIZE)
        packed = _pack(head, entry_id, count)
        places = self._witness_many(entry_id, handles)
        answers = bytearray(count * _ANSWERS_SIZE)
        _lay(answers, b"".join([answered[0] if answered else _NONE for answered in handles]), count)
        if most > 1:
            for position, answered in enumerate(handles):
                self._add_others(entry_id, position, answered, places, answers)
        return b"".join((packed, places, self._answers.seal(answers, entry_id, count)))

    def _make_one(self, head: Head, answered: Sequence[bytes]) -> bytes:
        """As `make` for one token with at most one link, in two thirds of the time."""
        entry_id, stand_in, filling = _DRAWN_ONE.unpack(self._noise.draw(_DRAWN_ONE.size))
        first, answer = (answered[0], answered[0]) if answered else (stand_in, _NONE)
        return b"".join(
            (
                _pack(head, entry_id, 1),
                self._witnesses.make(first, entry_id, 0),
                filling,
                self._answers.seal(answer + _NO_MORE, entry_id, 1),
            )
        )

    def _witness_many(self, entry_id: bytes, handles: Sequence[Sequence[bytes]]) -> bytearray:
        """Return the places of all tokens, with the witness of each one's first link."""
        count = len(handles)
        drawn = self._noise.draw(count * (HANDLE_SIZE + _WITNESSES_SIZE))
        stand_ins = drawn[: count * HANDLE_SIZE]
        first = [
            answered[0] if answered else stand_ins[at : at + HANDLE_SIZE]
            for answered, at in zip(handles, range(0, len(stand_ins), HANDLE_SIZE), strict=True)
        ]
        places = bytearray(memoryview(drawn)[len(stand_ins) :])
        _lay(places, b"".join(self._witnesses.make_each(first, entry_id)), count)
        return places

    def _add_others(
        self,
        entry_id: bytes,
        position: int,
        answered: Sequence[bytes],
        places: bytearray,
        answers: bytearray,
    ) -> None:
        """Lay what a token was answered with beyond its first link."""
        for number, handle in enumerate(answered[1:], start=1):
            at = position * _WITNESSES_SIZE + number * WITNESS_SIZE
            places[at : at + WITNESS_SIZE] = self._witnesses.make(handle, entry_id, position)
            at = position * _ANSWERS_SIZE + number * HANDLE_SIZE
            answers[at : at + HANDLE_SIZE] = handle


def _lay(rows: bytearray, columns: bytes, count: int) -> None:
    """Let each of so many rows begin with its share of `columns`, by one copy for each byte."""
    width, size = len(columns) // count, len(rows) // count
    for at in range(width):
        rows[at::size] = columns[at::width]


def _pack(head: Head, entry_id: bytes, count: int) -> bytes:
    purpose, time, client, request_id, user, role, encounter = head
    # Struct would cut what is too long, and pad what is too short.
    if len(user) > MAX_TEXT or len(role) > MAX_TEXT or len(encounter) > MAX_TEXT:
        raise ValueError(f"texts have at most {MAX_TEXT} bytes")
    if len(client) != CLIENT_ID_SIZE or len(request_id) != REQUEST_ID_SIZE:
        raise ValueError("ids have a fixed size")
    texts = (user, role, encounter)
    return _HEAD.pack(FORMAT, purpose, count, entry_id, time, client, request_id, *texts, _ZEROS)


class Entry:
    """An entry that was read. What it shows, it shows by name; it does not print."""

    __slots__ = ("_bytes", "head", "id", "n")

    def __init__(self, encoded: bytes, head: Head, entry_id: bytes, count: int) -> None:
        self._bytes = encoded
        self.head = head
        self.id = entry_id
        self.n = count

    def witnesses_of(self, position: int) -> list[bytes]:
        """The eight places of a token, in which witnesses and random bytes look alike."""
        if not 0 <= position < self.n:
            raise IndexError("no such token")
        start = HEAD_SIZE + position * _WITNESSES_SIZE
        return [
            self._bytes[at : at + WITNESS_SIZE]
            for at in range(start, start + _WITNESSES_SIZE, WITNESS_SIZE)
        ]

    @property
    def answers(self) -> bytes:
        """The sealed handles."""
        return self._bytes[HEAD_SIZE + self.n * _WITNESSES_SIZE :]

    def __repr__(self) -> str:
        return "<Entry>"


def parse_entry(encoded: bytes) -> Entry:
    """Return the entry, or raise InvalidEntry."""
    if len(encoded) < HEAD_SIZE:
        raise InvalidEntry("an entry begins with a head of 256 bytes")
    number, purpose, count, entry_id, time, client, request_id, *texts, zeros = _HEAD.unpack_from(
        encoded
    )
    if number != FORMAT:
        raise InvalidEntry(f"expected format {FORMAT}, got {number}")
    if not 1 <= count <= MAX_TOKENS or len(encoded) != entry_size(count):
        raise InvalidEntry("the length of an entry is a function of its number of tokens")
    if purpose not in PURPOSES or zeros != _ZEROS:
        raise InvalidEntry("a field has a value that this format does not know")
    user, role, encounter = map(_unpad, texts)
    return Entry(
        encoded, Head(purpose, time, client, request_id, user, role, encounter), entry_id, count
    )


def _unpad(padded: bytes) -> bytes:
    text = padded.rstrip(b"\0")
    try:
        text.decode()
    except UnicodeDecodeError:
        raise InvalidEntry("a text is not utf-8") from None
    if b"\0" in text:
        raise InvalidEntry("a text is padded with zeros at its end")
    return text


def open_answers(entry: Entry, key: AnswerKey) -> list[list[bytes]]:
    """Return for each token the handles that were answered, or raise InvalidCiphertext."""
    handles = unseal_answers(key, entry.answers, entry.id, entry.n)
    return [
        [
            handle
            for at in range(start, start + _ANSWERS_SIZE, HANDLE_SIZE)
            if (handle := handles[at : at + HANDLE_SIZE]) != _NONE
        ]
        for start in range(0, len(handles), _ANSWERS_SIZE)
    ]


def sift(entries: Iterable[bytes], finder: WitnessFinder) -> list[bytes]:
    """Return those of encoded entries that tell of one of a finder's links.

    A million are looked through at a microsecond each, where parsing takes three:
    what is no entry is passed over here, as nothing in it can be a witness.
    """
    is_in = finder.is_in
    first = HEAD_SIZE + _WITNESSES_SIZE
    return [
        each
        for each in entries
        if is_in(each, HEAD_SIZE, first, each[_ID_AT:_ID_END], 0)
        or (len(each) > _ONE_TOKEN and _tells_further(each, finder))
    ]


def _tells_further(encoded: bytes, finder: WitnessFinder) -> bool:
    """Say whether an entry of many tokens tells of a link at another place than the first."""
    # The number of tokens by the length, which its group has bounded; not by what it says.
    count = (len(encoded) - _FIXED_SIZE) // _TOKEN_SIZE
    entry_id = encoded[_ID_AT:_ID_END]
    ends = range(HEAD_SIZE, HEAD_SIZE + (count + 1) * _WITNESSES_SIZE, _WITNESSES_SIZE)
    return any(
        finder.is_in(encoded, ends[position], ends[position + 1], entry_id, position)
        for position in range(1, count)
    )


def asker_of(encoded: bytes) -> tuple[bytes, bytes]:
    """Return the client and the request id of an encoded entry, which has a head."""
    client, request_id = _ASKER.unpack_from(encoded, _ASKER_AT)
    return client, request_id


def find_witness(entry: Entry, handle: bytes, witnesses: WitnessMaker) -> list[int]:
    """Return the positions of the tokens that were answered with the link of this handle."""
    make = witnesses.make
    return [
        position
        for position in range(entry.n)
        if make(handle, entry.id, position) in entry.witnesses_of(position)
    ]

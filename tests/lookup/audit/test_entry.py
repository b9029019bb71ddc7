"""Audit entries: everything asked is in them, and nothing of what was found, for long."""

from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from crypto.aead import InvalidCiphertext
from crypto.audit import HANDLE_SIZE, AnswerKey, WitnessFinder, WitnessMaker
from lookup import wire
from lookup.audit import entry as entries
from lookup.audit.entry import (
    HEAD_SIZE,
    MAX_ENTRY,
    EntryMaker,
    Head,
    entry_size,
    find_witness,
    open_answers,
    parse_entry,
    sift,
)
from lookup.audit.errors import InvalidEntry
from lookup.index import layout
from tests.crypto import reference
from tests.lookup.audit.entries import (
    ANSWER_KEY,
    HEAD,
    WITNESS_KEY,
    answered,
    heads,
    make_entry,
    real_handles,
)

MAKER = EntryMaker(WITNESS_KEY, ANSWER_KEY)
WITNESSES = WitnessMaker(WITNESS_KEY)


@given(heads, answered)
def test_every_entry_comes_back(head: Head, handles: list[list[bytes]]) -> None:
    """What was asked, and with the keys of the time what was answered."""
    entry = parse_entry(MAKER.make(head, handles))

    assert entry.head == head
    assert entry.n == len(handles)
    assert open_answers(entry, ANSWER_KEY) == handles


@given(heads, answered)
def test_the_length_depends_on_the_number_of_tokens_alone(
    head: Head, handles: list[list[bytes]]
) -> None:
    entry = MAKER.make(head, handles)

    assert len(entry) == entry_size(len(handles)) == len(make_entry(len(handles)))
    assert entry_size(1) == 492
    assert MAX_ENTRY == len(make_entry(1_000)) == 208_284


@given(answered, real_handles)
def test_whoever_has_a_handle_finds_where_it_was_answered(
    handles: list[list[bytes]], handle: bytes
) -> None:
    """By recomputing its witness, also when the answers do not open any more."""
    entry = parse_entry(MAKER.make(HEAD, handles))

    for each in {handle, *chain.from_iterable(handles)}:
        expected = [at for at, of_token in enumerate(handles) if each in of_token]
        assert find_witness(entry, each, WITNESSES) == expected
    for position, of_token in enumerate(handles):
        assert entry.witnesses_of(position)[: len(of_token)] == [
            reference.witness(WITNESS_KEY.expose(), each, entry.id, position) for each in of_token
        ]


@given(st.lists(answered, min_size=1, max_size=5), st.lists(real_handles, max_size=3))
def test_all_entries_about_a_record_are_sifted_out(
    many: list[list[list[bytes]]], others: list[bytes]
) -> None:
    """Whichever of its links was answered, at whichever position, and no entry but these."""
    encoded = [MAKER.make(HEAD, handles) for handles in many]
    told = [set(chain.from_iterable(handles)) for handles in many]

    for sought in (others, *told, told[0].union(others)):
        assert sift(encoded, WitnessFinder(WITNESS_KEY, list(sought))) == [
            each
            for each, handles in zip(encoded, told, strict=True)
            if not handles.isdisjoint(sought)
        ]


@given(answered)
def test_no_two_entries_have_anything_in_common_but_the_head(handles: list[list[bytes]]) -> None:
    """Nor two tokens of one: every witness, known or not, is another."""
    entries = [parse_entry(MAKER.make(HEAD, handles)) for _ in range(2)]
    witnesses = [
        witness for entry in entries for at in range(entry.n) for witness in entry.witnesses_of(at)
    ]
    distinct = [list(dict.fromkeys(of_token)) for of_token in handles]
    repeated = sum(map(len, handles)) - sum(map(len, distinct))

    assert len(set(witnesses)) == len(witnesses) - 2 * repeated
    assert entries[0].id != entries[1].id
    assert entries[0].answers[:12] != entries[1].answers[:12]


def test_an_unknown_child_costs_a_witness_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known and unknown are the same work (G2): each token has at least one witness made."""
    made: list[bytes] = []

    class Counting(WitnessMaker):
        def make(self, handle: bytes, entry_id: bytes, position: int) -> bytes:
            made.append(handle)
            return super().make(handle, entry_id, position)

        def make_each(self, handles: Sequence[bytes], entry_id: bytes) -> list[bytes]:
            made.extend(handles)
            return super().make_each(handles, entry_id)

    maker = EntryMaker(WITNESS_KEY, ANSWER_KEY)
    monkeypatch.setattr(maker, "_witnesses", Counting(WITNESS_KEY))
    maker.make(HEAD, [[]])
    maker.make(HEAD, [[b"h" * 10]])
    maker.make(HEAD, [[], [b"h" * 10], []])

    assert len(made) == 5
    assert made[1] == made[3] == b"h" * 10
    assert len(set(made)) == 4  # and no decoy is used twice


def test_answers_are_forgotten_with_their_key() -> None:
    entry = parse_entry(MAKER.make(HEAD, [[b"h" * 10]]))

    with pytest.raises(InvalidCiphertext):
        open_answers(entry, AnswerKey.generate())


UNFIT = {
    "no token": (HEAD, []),
    "too many tokens": (HEAD, [[]] * 1_001),
    "too many links": (HEAD, [[b"h" * 10] * 9]),
    "a short handle": (HEAD, [[b"h" * 9]]),
    "a short handle in a batch": (HEAD, [[], [b"h" * 9]]),
    "a short handle behind another": (HEAD, [[b"h" * 10, b"h" * 9]]),
    "a long user": (HEAD._replace(user=b"u" * 65), [[]]),
    "a long role": (HEAD._replace(role=b"u" * 65), [[]]),
    "a long encounter": (HEAD._replace(encounter=b"u" * 65), [[]]),
    "a short client": (HEAD._replace(client=b"c"), [[]]),
    "a long request id": (HEAD._replace(request_id=b"c" * 17), [[]]),
}


@pytest.mark.parametrize(("head", "handles"), UNFIT.values(), ids=UNFIT)
def test_nothing_is_cut_to_fit(head: Head, handles: list[list[bytes]]) -> None:
    """An audit that holds half a name is none."""
    with pytest.raises(ValueError, match=r"tokens|links|bytes|fixed size"):
        MAKER.make(head, handles)


@given(st.binary(max_size=600))
@example(bytes(492))
@example(b"\x01\x01\x00\x00" + bytes(280))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidEntry):
        parse_entry(data)


@given(st.data())
def test_an_entry_has_one_spelling(data: st.DataObject) -> None:
    """A change of the head is seen in what comes back, or refused; none is overlooked."""
    changed = bytearray(make_entry())
    bit = data.draw(st.integers(0, HEAD_SIZE * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    try:
        entry = parse_entry(bytes(changed))
    except InvalidEntry:
        return

    assert (entry.head, entry.id) != (HEAD, parse_entry(make_entry()).id)
    again = EntryMaker(WITNESS_KEY, ANSWER_KEY).make(entry.head, [[]])
    assert again[20:250] == changed[20:250]
    assert again[:4] == changed[:4]


WRONG = {
    "another format": (0, b"\x02"),
    "an unknown purpose": (1, b"\x03"),
    "no token": (2, b"\x00\x00"),
    "more tokens than there are": (2, b"\x00\x02"),
    "not utf-8": (58, b"\xff"),
    "NUL within a text": (58, b"\x00"),
    "something behind the texts": (255, b"\x01"),
}


@pytest.mark.parametrize(("at", "wrong"), WRONG.values(), ids=WRONG)
def test_every_byte_of_the_head_is_checked(at: int, wrong: bytes) -> None:
    entry = make_entry()

    with pytest.raises(InvalidEntry):
        parse_entry(entry[:at] + wrong + entry[at + len(wrong) :])


@pytest.mark.parametrize("size", [0, 255, 256, 491, 493])
def test_so_is_the_length(size: int) -> None:
    with pytest.raises(InvalidEntry):
        parse_entry(make_entry().ljust(size, b"\0")[:size])


def test_no_repr_shows_who_asked() -> None:
    entry = parse_entry(make_entry())

    assert repr(entry) == "<Entry>"
    assert repr(entry.head) == "<Head>"
    with pytest.raises(IndexError):
        entry.witnesses_of(1)


def test_whatever_may_be_asked_and_answered_fits() -> None:
    """The protocol's bounds and the format's are two; apart, an answer could not be audited."""
    assert (wire.MAX_NAME_BYTES, wire.MAX_TOKENS) == (entries.MAX_TEXT, entries.MAX_TOKENS)
    assert (wire.MAX_RECORDS, layout.HANDLE_SIZE) == (entries.MAX_LINKS, HANDLE_SIZE)

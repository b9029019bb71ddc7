"""Audit entries to test with."""

from hypothesis import strategies as st

from crypto.audit import AnswerKey, WitnessKey
from lookup.audit.entry import EntryMaker, Head

WITNESS_KEY = WitnessKey(b"w" * 32)
ANSWER_KEY = AnswerKey(b"a" * 32)
HEAD = Head(1, 1_767_225_600_000_000, b"c" * 14, b"r" * 16, b"user 7", b"nurse", b"E-2026-1")

texts = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=64)
    .map(str.encode)
    .filter(lambda text: len(text) <= 64)
)
heads = st.builds(
    Head,
    purpose=st.integers(0, 2),
    time=st.integers(0, 2**64 - 1),
    client=st.binary(min_size=14, max_size=14),
    request_id=st.binary(min_size=16, max_size=16),
    user=texts,
    role=texts,
    encounter=texts,
)
real_handles = st.binary(min_size=10, max_size=10).filter(any)
answered = st.lists(st.lists(real_handles, max_size=8), min_size=1, max_size=5)


def make_entry(count: int = 1) -> bytes:
    """Return an entry for so many tokens that nobody knows."""
    return EntryMaker(WITNESS_KEY, ANSWER_KEY).make(HEAD, [[]] * count)

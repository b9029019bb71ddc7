from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.tag import TAG_SIZE, Tag
from lookup.index import layout
from lookup.index.layout import InvalidSlot, Link, home_of, pack_slot, unpack_slot
from tests.lookup.index.links import link_of

DAYS = st.integers(0, layout.NO_DAY)
LINKS = st.builds(
    Link,
    handle=st.binary(min_size=10, max_size=10),
    since=DAYS,
    until=DAYS,
    answer_until=DAYS,
    authority=st.integers(0, 1023),
    category=st.integers(0, 15),
    test=st.booleans(),
    honey=st.booleans(),
)
TAGS = st.binary(min_size=TAG_SIZE, max_size=TAG_SIZE).map(Tag)
TAG = Tag(b"a tag of 12.")


@given(TAGS, LINKS)
def test_a_slot_holds_the_whole_link(tag: Tag, link: Link) -> None:
    """What was packed is unpacked, in 32 bytes that begin with the tag."""
    slot = pack_slot(tag, link)

    assert unpack_slot(slot) == link
    assert len(slot) == layout.SLOT_SIZE
    assert slot.startswith(tag)


@given(TAGS, LINKS, st.integers(0, 255))
def test_every_flipped_bit_is_found(tag: Tag, link: Link, bit: int) -> None:
    """The checksum covers tag, body and itself."""
    flipped = int.from_bytes(pack_slot(tag, link), "little") ^ 1 << bit

    with pytest.raises(InvalidSlot):
        unpack_slot(flipped.to_bytes(layout.SLOT_SIZE, "little"))


@pytest.mark.parametrize("slot", [layout.EMPTY_SLOT, bytes(layout.SLOT_SIZE)])
def test_no_empty_slot_is_a_link(slot: bytes) -> None:
    """Neither the empty slot nor a page that was never written holds a valid link."""
    with pytest.raises(InvalidSlot):
        unpack_slot(slot)


REFUSED = {
    "a day before the first": link_of(1)._replace(since=layout.days_of(layout.FIRST_DAY) - 1),
    "a day after the last": link_of(1)._replace(until=layout.days_of(layout.LAST_DAY) + 2),
    "no more than the last": link_of(1)._replace(answer_until=layout.days_of(date.max)),
    "a short handle": link_of(1)._replace(handle=bytes(9)),
    "a long handle": link_of(1)._replace(handle=bytes(11)),
    "authority 1024": link_of(1)._replace(authority=1024),
    "authority -1": link_of(1)._replace(authority=-1),
    "category 16": link_of(1)._replace(category=16),
}


@pytest.mark.parametrize("link", REFUSED.values(), ids=REFUSED.keys())
def test_what_does_not_fit_is_refused(link: Link) -> None:
    """Nothing is cut off, moved or spilled into a neighbouring field."""
    with pytest.raises(ValueError, match=r"index lie between|have 10 bytes|have a number"):
        pack_slot(TAG, link)


@pytest.mark.parametrize("tag", [layout.EMPTY_TAG, b"", TAG + b"."])
def test_a_tag_that_cannot_be_is_refused(tag: bytes) -> None:
    """The tag of an empty slot would be lost; another length would move the body."""
    with pytest.raises(ValueError, match="tag"):
        pack_slot(Tag(tag), link_of(1))


@given(st.lists(TAGS, min_size=2), st.integers(1, 2**32 - 1))
def test_homes_grow_with_tags(tags: list[Tag], homes: int) -> None:
    """So sorted slots have sorted homes, all of them in the table."""
    found = [home_of(tag, homes) for tag in sorted(tags)]

    assert found == sorted(found)
    assert 0 <= found[0] <= found[-1] < homes


def test_links_do_not_print() -> None:
    """A handle is secret."""
    assert repr(link_of(7)) == "<Link>"
    assert f"{link_of(7)}" == "<Link>"

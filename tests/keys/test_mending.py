"""Mending offers the mirror's bytes where the store's do not open, and writes nothing itself."""

import pytest

from crypto.aead import Sealed
from keys.errors import PageDamaged
from keys.mending import mended
from keys.pages import PageSource

GOOD, BAD = Sealed(b"good"), Sealed(b"bad")


class Rows(dict[int, Sealed]):
    """Pages in memory."""

    def page(self, number: int) -> Sealed | None:
        return self.get(number)

    def span(self, numbers: range) -> dict[int, Sealed]:
        return {number: self[number] for number in numbers if number in self}


def read(pages: PageSource) -> list[Sealed]:
    """Read pages 1 to 3; only good ones open."""
    found = []
    for number in (1, 2, 3):
        sealed = pages.page(number)
        if sealed != GOOD:
            raise PageDamaged(number)
        found.append(sealed)
    return found


def read_span(pages: PageSource) -> list[Sealed]:
    """Read the same pages in one go."""
    found = pages.span(range(1, 4))
    for number in (1, 2, 3):
        if found.get(number) != GOOD:
            raise PageDamaged(number)
    return list(found.values())


def test_a_span_is_mended_as_its_pages_are() -> None:
    store, mirror = Rows({1: BAD, 2: GOOD}), Rows({1: GOOD, 2: GOOD, 3: GOOD})
    assert mended(read_span, store, mirror) == ([GOOD] * 3, {1: GOOD, 3: GOOD})
    with pytest.raises(PageDamaged):
        mended(read_span, store, Rows({1: GOOD}))


def test_a_whole_store_needs_no_mirror() -> None:
    assert mended(read, Rows({1: GOOD, 2: GOOD, 3: GOOD}), Rows()) == ([GOOD] * 3, {})


def test_damaged_and_missing_pages_come_from_the_mirror() -> None:
    store, mirror = Rows({1: BAD, 2: GOOD}), Rows({1: GOOD, 2: GOOD, 3: GOOD})
    assert mended(read, store, mirror) == ([GOOD] * 3, {1: GOOD, 3: GOOD})
    assert store == {1: BAD, 2: GOOD}


@pytest.mark.parametrize("mirror", [Rows({1: GOOD}), Rows({1: GOOD, 3: BAD})], ids=["gone", "bad"])
def test_a_page_that_opens_in_neither_is_damaged(mirror: Rows) -> None:
    with pytest.raises(PageDamaged) as caught:
        mended(read, Rows({1: BAD, 2: GOOD, 3: BAD}), mirror)
    assert caught.value.number == 3

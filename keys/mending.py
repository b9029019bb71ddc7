"""Mending: where a page of the store does not open, the mirror's is read in its place.

Invariants:

* Nothing is written here: whoever asked writes back what the store needs, once that is right.
* A page of the mirror is only ever offered, never trusted: it has the same key to pass.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

from crypto.aead import Sealed
from keys.errors import PageDamaged
from keys.pages import PageSource

T = TypeVar("T")


class _Patched:
    """A store, with the mirror's bytes in place of some of its pages."""

    def __init__(self, store: PageSource, patches: Mapping[int, Sealed]) -> None:
        self._store = store
        self._patches = patches

    def page(self, number: int) -> Sealed | None:
        """Return the mirror's bytes where the store's did not open."""
        patch = self._patches.get(number)
        return self._store.page(number) if patch is None else patch

    def span(self, numbers: range) -> dict[int, Sealed]:
        """Return pages as `page` does."""
        patches = {number: self._patches[number] for number in numbers if number in self._patches}
        return self._store.span(numbers) | patches


def mended(
    read: Callable[[PageSource], T], store: PageSource, mirror: PageSource
) -> tuple[T, dict[int, Sealed]]:
    """Return what was read, and the pages by which the store has to be repaired.

    `read` is called again for each damaged page, so it must begin anew. Raises PageDamaged for a
    page that opens in neither.
    """
    patches: dict[int, Sealed] = {}
    while True:
        try:
            return read(_Patched(store, patches)), patches
        except PageDamaged as damage:
            sealed = mirror.page(damage.number)
            if sealed is None or damage.number in patches:
                raise
            patches[damage.number] = sealed

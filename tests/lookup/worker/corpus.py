"""Raw requests in every form that the routes of the lookup plane know or refuse.

    CASES            name → what builds the bytes of one case for a token, a credential, an id
    make_mutants()   the same with seeded damage: bytes changed, cut, doubled, moved

A case is what one client sends over one connection: one request, several, half of one, or what is
no request at all. Made for comparing two servers byte by byte, so it says nothing of what is right;
test_bad_requests.py and test_lookups.py do.
"""

import random
from collections.abc import Iterator
from typing import Final

from tests.lookup.worker.corpus_bodies import add_bodies
from tests.lookup.worker.corpus_heads import add_heads, add_starts
from tests.lookup.worker.corpus_parts import CASES, Given, good, with_body
from tests.lookup.worker.corpus_streams import add_codings, add_connections

__all__ = ["CASES", "Given", "make_mutants"]

for _add in (add_starts, add_heads, add_bodies, add_codings, add_connections):
    _add()


def make_mutants(given: Given, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield requests with one to three pieces of damage each; the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311  # to be repeatable, not to be secret
    seeds = [good(given), good(given) * 2, with_body(lambda g: g.batch())(given)]
    seeds += [CASES[name](given) for name in draw.sample(sorted(CASES), 40)]
    seeds = [each for each in seeds if 0 < len(each) < 8_000]
    for number in range(count):
        data = bytearray(seeds[number % 3] if number % 2 else draw.choice(seeds))
        for _ in range(draw.randint(1, 3)):
            draw.choice(_DAMAGES)(draw, data)
        yield f"mutant {seed}/{number}", bytes(data)


def _change(draw: random.Random, data: bytearray) -> None:
    if data:
        data[draw.randrange(len(data))] = draw.choice(b'\0\t\n\r ",:;{}[]\\/0A~\x7f\x80\xff')


def _flip(draw: random.Random, data: bytearray) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _cut(draw: random.Random, data: bytearray) -> None:
    start = draw.randrange(len(data) + 1)
    del data[start : start + draw.choice((1, 2, 8, 64))]


def _insert(draw: random.Random, data: bytearray) -> None:
    start = draw.randrange(len(data) + 1)
    data[start:start] = draw.choice((b"\r\n", b"\n", b"\0", b" ", b"\r\n\r\n", b"{", b"\xff" * 9))


def _double(draw: random.Random, data: bytearray) -> None:
    start = draw.randrange(len(data) + 1)
    piece = data[start : start + draw.choice((1, 4, 30))]
    data[start:start] = piece


_DAMAGES: Final = (_change, _change, _flip, _flip, _cut, _insert, _double)

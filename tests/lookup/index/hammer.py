"""A writer that changes a few crowded windows as fast as it can, until it is killed.

    python -m tests.lookup.index.hammer FOLDER           prints the table's path and hammers
    python -m tests.lookup.index.hammer FOLDER ROUNDS    prints a table's path each time that a
                                                         writer was killed; waits for a line

Stable links are never touched, but shifted to and fro by their neighbours. Links that come and go
are removed and added; of `SWAPPED` one link takes the other's place in one change.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

from lookup.index.layout import Link
from lookup.index.writer import Table
from tests.lookup.index.links import chunk_of, link_of, tag_at

HOMES: Final = range(100, 116, 2)
STABLE: Final = {
    tag_at(home, 5): (link_of(home), link_of(home + 1, 7), link_of(home + 2)) for home in HOMES
}
ABSENT: Final = [tag_at(home, 6) for home in HOMES] + [tag_at(90), tag_at(130)]
COMES_AND_GOES: Final = {tag_at(home, number): home for home in HOMES for number in (1, 9)}
SWAPPED: Final = tag_at(107)
SWAPS: Final = (link_of(1, category=1), link_of(2, category=2))


RANDOM: Final = random.Random()  # noqa: S311  # moments and tags, not secrets


def _tell(table: Table) -> None:
    sys.stdout.write(f"{table.path}\n")
    sys.stdout.flush()


def make_table(folder: Path) -> Table:
    """A complete table with the stable links and one to be swapped."""
    table = Table.create(folder, 1, 0)
    pairs = [(tag, link) for tag, links in STABLE.items() for link in links]
    table.fill([chunk_of([*pairs, (SWAPPED, SWAPS[0])])])
    table.complete()
    return table


def hammer(table: Table) -> NoReturn:
    """Change for ever."""
    present: set[bytes] = set()
    tags = list(COMES_AND_GOES)
    swap, other = SWAPS
    while True:
        tag = RANDOM.choice(tags)
        link: Link = link_of(COMES_AND_GOES[tag])
        if tag in present:
            table.remove(tag, link.handle)
        else:
            table.add(tag, link)
        present ^= {tag}
        table.replace(SWAPPED, swap.handle, other)
        swap, other = other, swap


def kill_writers(folder: Path, rounds: int) -> None:
    """Kill a writer at a random moment; again and again."""
    for _ in range(rounds):
        table = make_table(folder)
        writer = os.fork()
        if writer == 0:
            hammer(table)
        time.sleep(RANDOM.uniform(0.001, 0.02))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        _tell(table)
        sys.stdin.readline()
        table.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        kill_writers(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        made = make_table(Path(sys.argv[1]))
        _tell(made)
        hammer(made)

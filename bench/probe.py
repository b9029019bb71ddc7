"""The claim: a probe of the index costs at most 1.5 us of CPU, however many links there are.

    python -m bench.probe [LINKS ...]

Also: CPU of filling and changing a table, and bytes for each link in a table with a quarter of
room. Probes are 100,000 random ones; figures are the best of three rounds, since other processes
on the machine can only add to them.
"""

import json
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from crypto.tag import TAG_SIZE, Tag
from lookup.index.layout import HANDLE_SIZE, Link, pack_body
from lookup.index.placing import Bytes, Chunk
from lookup.index.reader import TableReader
from lookup.index.writer import Table

PROBES = 100_000
CHANGES = 1_000
ROUNDS = 3
LINK = Link(bytes(HANDLE_SIZE), date(2026, 1, 2), None, None, 3, 2, test=False)


def measure(links: int) -> dict[str, float]:
    """Return microseconds of CPU per operation, seconds of CPU to fill, bytes per link."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        return _measure(folder, links)
    finally:
        shutil.rmtree(folder)


def _measure(folder: Path, links: int) -> dict[str, float]:
    tags, bodies = _links(links)
    table = Table.create(folder, 1, links * 5 // 4)
    start = time.process_time()
    table.fill([(tags, bodies)])
    figures = {"links": float(links), "fill_s": time.process_time() - start}
    table.complete()
    figures["bytes_per_link"] = table.path.stat().st_size / links
    figures |= _changes(table)
    figures |= _probes(TableReader(table.path), tags)
    table.close()
    return {name: round(figure, 3) for name, figure in figures.items()}


def _links(count: int) -> Chunk:
    """Random links, every twentieth on the tag of another one."""
    random = np.random.default_rng(count)
    tags = random.integers(0, 256, (count, TAG_SIZE), np.uint8)
    tags[: count // 20] = tags[count // 20 : count // 20 * 2]
    bodies = np.tile(np.frombuffer(pack_body(LINK), np.uint8), (count, 1))
    bodies[:, :HANDLE_SIZE] = random.integers(0, 256, (count, HANDLE_SIZE), np.uint8)
    return tags, bodies


def _changes(table: Table) -> dict[str, float]:
    tags = [Tag(secrets.token_bytes(TAG_SIZE)) for _ in range(CHANGES)]
    other = LINK._replace(category=3)
    return {
        "add_us": _cpu(lambda tag: table.add(tag, LINK), tags),
        "replace_us": _cpu(lambda tag: table.replace(tag, LINK.handle, other), tags),
        "remove_us": _cpu(lambda tag: table.remove(tag, LINK.handle), tags),
    }


def _probes(reader: TableReader, known: Bytes) -> dict[str, float]:
    chosen = np.random.default_rng(1).integers(0, len(known), PROBES)
    hits = [Tag(known[i].tobytes()) for i in chosen]
    misses = [Tag(secrets.token_bytes(TAG_SIZE)) for _ in range(PROBES)]
    hit, miss = reader.probe(hits[0]), reader.probe(misses[0])
    return {
        "hit_us": _best(reader.probe, hits),
        "miss_us": _best(reader.probe, misses),
        "check_us": _best(reader.check, [miss] * PROBES),
        "hit_links_us": _best(lambda probe: probe.links, [hit] * PROBES),
        "miss_links_us": _best(lambda probe: probe.links, [miss] * PROBES),
    }


def _best(operation: Callable[[Any], object], arguments: list[Any]) -> float:
    return min(_cpu(operation, arguments) for _ in range(ROUNDS))


def _cpu(operation: Callable[[Any], object], arguments: list[Any]) -> float:
    """Return microseconds of CPU for each call."""
    start = time.process_time()
    for argument in arguments:
        operation(argument)
    return (time.process_time() - start) / len(arguments) * 1e6


if __name__ == "__main__":
    counts = [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    print(json.dumps([measure(count) for count in counts], indent=2))

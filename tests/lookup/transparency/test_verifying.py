"""A whole log is verified, and whatever is wrong in it is found and named."""

from collections.abc import Callable

import pytest

from crypto.checkpoint import Checkpoint
from crypto.merkle import Frontier, leaf_hash
from crypto.note import SigningKey, sign_note
from lookup.transparency.tiles import bundles_of, encode_bundle, encode_tile, tiles_of
from lookup.transparency.verifying import InvalidLog, verify_log

KEY = SigningKey.generate()
NAME = "log.test"
SIZE = 256 * 256 + 300

Files = dict[str, bytes]


def make(size: int) -> Files:
    """Return a log as it is published."""
    leaves = [b"entry %d" % number for number in range(size)]
    levels = [[leaf_hash(leaf) for leaf in leaves]]
    frontier = Frontier()
    for leaf in levels[0]:
        for level, made in enumerate(frontier.completed(leaf)[1:], start=1):
            if level == len(levels):
                levels.append([])
            levels[level].append(made)
        frontier = frontier.appended(leaf)
    files = {
        bundle.path(): encode_bundle(leaves[bundle.index * 256 :][: bundle.width])
        for bundle in bundles_of(size)
    }
    files |= {
        tile.path(): encode_tile(tile, lambda n, at: levels[n][at]) for tile in tiles_of(size)
    }
    text = Checkpoint(NAME, size, frontier.root()).text()
    return files | {"checkpoint": sign_note(text, NAME, KEY)}


LARGE = make(SIZE)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257])
def test_a_whole_log_is_whole(size: int) -> None:
    files = make(size)
    told: list[tuple[int, int]] = []
    found = verify_log(files.__getitem__, KEY.verifier(NAME), lambda *at: told.append(at))
    assert (found.checkpoint.size, found.note) == (size, files["checkpoint"])
    assert told[-1:] == ([(size, size)] if size else [])


def test_three_levels_are_whole() -> None:
    assert verify_log(LARGE.__getitem__, KEY.verifier(NAME)).checkpoint.size == SIZE


def test_a_partial_tile_may_have_been_completed() -> None:
    """Whoever goes on publishing takes the partial ones away."""
    before, after = make(300), make(513)
    files = after | {"checkpoint": before["checkpoint"]}

    def fetch(path: str) -> bytes:
        whole, _, _ = path.partition(".p/")
        return files[whole] if whole in files else files[path]

    files["tile/1/000"] = after["tile/1/000.p/2"]
    assert len(files["tile/1/000"]) == 64
    files["tile/1/000"] += bytes(32 * 254)
    assert verify_log(fetch, KEY.verifier(NAME)).checkpoint.size == 300


def flip(raw: bytes, at: int = 40) -> bytes:
    return raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]


def reorder(raw: bytes) -> bytes:
    """Exchange the first two entries; they are of one length."""
    return raw[9:18] + raw[:9] + raw[18:]


WRONG: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "an entry": ("tile/entries/000", flip, "tile/0/000 does not follow from the entries"),
    "the order": ("tile/entries/000", reorder, "tile/0/000 does not follow from the entries"),
    "a tile": ("tile/0/001", flip, "tile/0/001 does not follow from the entries"),
    "a higher tile": ("tile/1/000", flip, "tile/1/000 does not follow from the entries"),
    "the top": ("tile/2/000.p/1", lambda raw: flip(raw, 3), "tile/2/000.p/1 does not follow"),
    "a partial tile": ("tile/0/257.p/44", flip, "tile/0/257.p/44 does not follow"),
    "a short tile": ("tile/0/001", lambda raw: raw[:-32], "tile/0/001 does not hold its hashes"),
    "a short bundle": (
        "tile/entries/001",
        lambda raw: raw[:-1],
        "tile/entries/001 does not hold its entries",
    ),
    "one entry too many": (
        "tile/entries/257.p/44",
        lambda raw: raw + b"\0\1x",
        "tile/entries/257.p/44 does not hold its entries",
    ),
    "the checkpoint": ("checkpoint", lambda raw: flip(raw, 12), "not signed with the log's key"),
}


@pytest.mark.parametrize(("path", "spoil", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(path: str, spoil: Callable[[bytes], bytes], told: str) -> None:
    files = LARGE | {path: spoil(LARGE[path])}
    with pytest.raises(InvalidLog, match=told):
        verify_log(files.__getitem__, KEY.verifier(NAME))


def test_entries_and_tiles_that_agree_must_give_the_root() -> None:
    """Whoever forges all of them still lacks the log's key."""
    other = make(SIZE + 1)
    files = {path.replace("/45", "/44"): raw for path, raw in other.items()} | LARGE
    text = Checkpoint(NAME, SIZE, leaf_hash(b"another")).text()
    files["checkpoint"] = sign_note(text, NAME, KEY)
    with pytest.raises(InvalidLog, match="do not give the root"):
        verify_log(files.__getitem__, KEY.verifier(NAME))


def test_another_keys_log_is_not_this_one() -> None:
    with pytest.raises(InvalidLog, match="not signed with the log's key"):
        verify_log(LARGE.__getitem__, SigningKey.generate().verifier(NAME))

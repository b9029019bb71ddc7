"""Tiles: from files that never change anybody computes what the log would have answered."""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.merkle import (
    Hash,
    InvalidProof,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from lookup.transparency.tiles import (
    WIDTH,
    Bundle,
    InvalidTile,
    Tile,
    TileReader,
    bundles_of,
    decode_bundle,
    decode_tile,
    encode_bundle,
    encode_tile,
    parse_path,
    tiles_of,
)
from tests.crypto.test_merkle import numbered

# Three levels of tiles need 65,536 leaves: made once.
TREE = numbered(66_000)

widths = st.integers(1, WIDTH)
indexes = st.integers(0, 2**63 // WIDTH)
tiles = st.one_of(
    st.builds(Tile, st.integers(0, 63), indexes, widths), st.builds(Bundle, indexes, widths)
)
sizes = st.one_of(st.integers(1, 1_100), st.sampled_from([65_535, 65_536, 65_537, 66_000]))


@cache
def published(size: int) -> dict[str, bytes]:
    """Return the hash tiles of the tree of a size, as they lie on a disk."""
    return {tile.path(): encode_tile(tile, TREE.read) for tile in tiles_of(size)}


def reader(size: int, files: dict[str, bytes]) -> TileReader:
    return TileReader(files.__getitem__, size)


class TestPaths:
    """One spelling for each tile."""

    @pytest.mark.parametrize(
        ("path", "tile"),
        [
            ("tile/0/000", Tile(0, 0)),
            ("tile/0/x001/x234/067", Tile(0, 1_234_067)),
            ("tile/63/999.p/255", Tile(63, 999, 255)),
            ("tile/2/000.p/1", Tile(2, 0, 1)),
            ("tile/entries/x001/000", Bundle(1_000)),
            ("tile/entries/x001/x234/067.p/8", Bundle(1_234_067, 8)),
        ],
    )
    def test_the_specification_s(self, path: str, tile: Tile | Bundle) -> None:
        assert tile.path() == path
        assert parse_path(path) == tile

    @given(tiles)
    def test_what_is_written_is_read(self, tile: Tile | Bundle) -> None:
        assert parse_path(tile.path()) == tile

    @given(st.one_of(st.text(), st.from_regex(r"tile/[0-9e]{1,2}/[x0-9/]{3,8}(\.p/[0-9]{1,3})?")))
    def test_whatever_parses_is_written_alike(self, path: str) -> None:
        """Any text: InvalidTile is all that is raised."""
        try:
            tile = parse_path(path)
        except InvalidTile:
            return
        assert tile.path() == path

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/tile/0/000",
            "tile/0/000/",
            "tile/0/000\n",
            "tile/00/000",
            "tile/64/000",
            "tile/-1/000",
            "tile/data/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000/001",
            "tile/0/001/002",
            "tile/0/x001/x002",
            "tile/0/x001",
            "tile/0/../../x",
            "tile/0/000.p/0",
            "tile/0/000.p/01",
            "tile/0/000.p/256",
            "tile/0/000.p/999",
            "tile/0/000.p/",
            "tile/0/٠٠٠",  # noqa: RUF001  # digits of another script
            "tile/0/" + "x999/" * 7 + "999",
        ],
    )
    def test_other_spellings_are_refused(self, path: str) -> None:
        with pytest.raises(InvalidTile) as caught:
            parse_path(path)
        assert caught.value.args == ()


class TestWhatThereIs:
    """A tree's size says which tiles it has."""

    def test_the_specification_s_example(self) -> None:
        found = list(tiles_of(70_000))

        assert found == [
            *(Tile(0, index) for index in range(273)),
            Tile(0, 273, 112),
            Tile(1, 0),
            Tile(1, 1, 17),
            Tile(2, 0, 1),
        ]
        assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]

    @given(st.integers(0, 2**20))
    def test_every_entry_is_in_one_bundle(self, size: int) -> None:
        bundles = list(bundles_of(size))

        assert [bundle.index for bundle in bundles] == list(range(len(bundles)))
        assert sum(bundle.width for bundle in bundles) == size
        assert all(bundle.width == WIDTH for bundle in bundles[:-1])

    @given(st.integers(0, 2**18), st.integers(0, 2**18))
    def test_growing_adds_what_was_not_there(self, one: int, other: int) -> None:
        """And nothing that was changes: a full tile keeps its path, a partial one its width."""
        since, size = sorted([one, other])

        assert set(tiles_of(size, since)) == {*tiles_of(size)} - {*tiles_of(since)}
        assert set(bundles_of(size, since)) == {*bundles_of(size)} - {*bundles_of(since)}

    def test_an_empty_log_has_none(self) -> None:
        assert list(tiles_of(0)) == []
        assert list(bundles_of(0)) == []


class TestBundles:
    """Entries, each behind its length."""

    @given(st.lists(st.binary(max_size=80), min_size=1, max_size=WIDTH))
    def test_what_is_encoded_is_decoded(self, entries: list[bytes]) -> None:
        raw = encode_bundle(entries)

        assert decode_bundle(raw, len(entries)) == entries
        for wrong in (len(entries) - 1, len(entries) + 1):
            with pytest.raises(InvalidTile):
                decode_bundle(raw, wrong)

    @given(st.binary(max_size=200))
    def test_whatever_decodes_is_encoded_alike(self, raw: bytes) -> None:
        """Any bytes: InvalidTile is all that is raised."""
        for width in range(1, 6):
            try:
                entries = decode_bundle(raw, width)
            except InvalidTile:
                continue
            assert encode_bundle(entries) == raw

    @pytest.mark.parametrize("raw", [b"", b"\0", b"\0\1", b"\0\2a", b"\0\0\0", b"\0\1ab"])
    def test_cut_ones_are_refused(self, raw: bytes) -> None:
        with pytest.raises(InvalidTile):
            decode_bundle(raw, 1)

    @pytest.mark.parametrize("entries", [[], [b""] * 257, [bytes(65_536)]])
    def test_bounds(self, entries: list[bytes]) -> None:
        with pytest.raises(ValueError, match="65535"):
            encode_bundle(entries)

    def test_a_long_entry_fits(self) -> None:
        assert decode_bundle(encode_bundle([bytes(65_535)]), 1) == [bytes(65_535)]


class TestReader:
    """Proofs from tiles alone are the log's own."""

    @given(sizes)
    def test_every_hash_is_the_tree_s(self, size: int) -> None:
        """Of every level that is stored, and of those between."""
        read = reader(size, published(size))

        for level in range(size.bit_length()):
            for index in {0, (size >> level) // 2, (size >> level) - 1}:
                assert read(level, index) == TREE.read(level, index)

    @given(sizes, st.data())
    def test_proofs_verify(self, size: int, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, size - 1))
        old = data.draw(st.integers(0, size))
        read = reader(size, published(size))
        root = tree_root(size, read)

        assert root == TREE.root(size)
        verify_inclusion(TREE.leaves[index], index, size, inclusion_proof(index, size, read), root)
        verify_consistency(old, TREE.root(old), size, root, consistency_proof(old, size, read))

    @given(st.integers(2, 600), st.data())
    def test_a_changed_tile_gives_no_proof(self, size: int, data: st.DataObject) -> None:
        """Whatever the proof needs: it does not verify against the checkpoint."""
        files = published(size)
        path = data.draw(st.sampled_from(sorted(files)))
        at = data.draw(st.integers(0, len(files[path]) - 1))
        changed = bytearray(files[path])
        changed[at] ^= 1
        index = data.draw(st.integers(0, size - 1))
        proof = inclusion_proof(index, size, reader(size, files | {path: bytes(changed)}))

        if proof != inclusion_proof(index, size, TREE.read):
            with pytest.raises(InvalidProof):
                verify_inclusion(TREE.leaves[index], index, size, proof, TREE.root(size))

    def test_a_full_tile_stands_in_for_a_partial_one(self) -> None:
        """A log may delete partial tiles that have been filled since."""
        files = published(600)
        names = {"tile/0/001.p/44": "tile/0/001", "tile/1/000.p/1": "tile/1/000.p/2"}

        def fetch(path: str) -> bytes:
            return files[names.get(path, path)][: None if path.startswith("tile/0") else 32]

        read = TileReader(fetch, 300)

        assert tree_root(300, read) == TREE.root(300)

    def test_a_tile_is_fetched_once(self) -> None:
        """And only where a proof needs it."""
        files = published(66_000)
        fetched: list[str] = []

        def fetch(path: str) -> bytes:
            fetched.append(path)
            return files[path]

        read = TileReader(fetch, 66_000)
        for _ in range(2):
            inclusion_proof(1_000, 66_000, read)

        assert sorted(fetched) == [
            "tile/0/003",
            "tile/0/257.p/208",
            "tile/1/000",
            "tile/1/001.p/1",
        ]

    @pytest.mark.parametrize("change", [lambda raw: raw[:-1], lambda raw: raw + bytes(32)])
    def test_a_tile_of_another_length_is_refused(self, change: Callable[[bytes], bytes]) -> None:
        files = {path: change(raw) for path, raw in published(300).items()}

        with pytest.raises(InvalidTile):
            reader(300, files)(0, 299)

    @pytest.mark.parametrize(("level", "index"), [(0, 300), (8, 1), (9, 0), (0, -1)])
    def test_what_is_not_complete_is_not_read(self, level: int, index: int) -> None:
        with pytest.raises(ValueError, match="no such subtree"):
            reader(300, published(300))(level, index)

    def test_a_bundle_hashes_to_its_tile(self) -> None:
        """What a monitor checks of each entry that it fetches."""
        entries = [str(number).encode() for number in range(300)]
        files = published(300)

        for bundle in bundles_of(300):
            start = bundle.index * WIDTH
            raw = encode_bundle(entries[start : start + bundle.width])
            hashes = decode_tile(files[Tile(0, bundle.index, bundle.width).path()], bundle.width)
            assert [leaf_hash(entry) for entry in decode_bundle(raw, bundle.width)] == hashes


def test_hashes_have_32_bytes() -> None:
    assert decode_tile(bytes(64), 2) == [Hash(bytes(32))] * 2
    with pytest.raises(InvalidTile):
        decode_tile(bytes(64), 1)

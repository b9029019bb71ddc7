"""Merkle trees: every proof shows its fact, and nothing else shows it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.merkle import (
    EMPTY_ROOT,
    Frontier,
    Hash,
    InvalidProof,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tests.rfc6962 import mth, path, split, subproof
from tests.vectors import load

VECTORS = load("rfc6962-merkle.json")
MOST = 64

hashes = st.binary(min_size=32, max_size=32).map(Hash)


class Tree:
    """All hashes of a tree."""

    def __init__(self, leaves: Sequence[Hash]) -> None:
        self.leaves = leaves
        self.nodes: dict[tuple[int, int], Hash] = {}
        self.frontiers = [Frontier()]
        for size, leaf in enumerate(leaves):
            for level, made in enumerate(self.frontiers[-1].completed(leaf)):
                self.nodes[level, size >> level] = made
            self.frontiers.append(self.frontiers[-1].appended(leaf))

    def read(self, level: int, index: int) -> Hash:
        return self.nodes[level, index]

    def root(self, size: int) -> Hash:
        return tree_root(size, self.read)


def numbered(size: int) -> Tree:
    return Tree([leaf_hash(str(number).encode()) for number in range(size)])


TREE = numbered(MOST + 1)


def flips(value: bytes) -> list[Hash]:
    """Return every value that differs in one bit."""
    whole = int.from_bytes(value)
    return [Hash((whole ^ 1 << bit).to_bytes(len(value))) for bit in range(8 * len(value))]


def flipped_proofs(proof: Sequence[Hash]) -> list[list[Hash]]:
    return [
        [*proof[:at], changed, *proof[at + 1 :]]
        for at, each in enumerate(proof)
        for changed in flips(each)
    ]


def misshapen(proof: Sequence[Hash], *others: Hash) -> list[list[Hash]]:
    """Return the proof with a hash too many or too few, or of another length."""
    longer = [[*proof, each] for each in (*others, Hash(b""))]
    longer += [[each, *proof] for each in (*others, Hash(b""))]
    shorter = [[*proof[:at], *proof[at + 1 :]] for at in range(len(proof))]
    cut = [[*proof[:at], Hash(each[:-1]), *proof[at + 1 :]] for at, each in enumerate(proof)]
    return [*longer, *shorter, *cut]


@dataclass(frozen=True)
class Inclusion:
    """All that a proof of inclusion is verified with."""

    leaf: Hash
    index: int
    size: int
    proof: Sequence[Hash]
    root: Hash

    def verify(self) -> None:
        verify_inclusion(self.leaf, self.index, self.size, self.proof, self.root)


@dataclass(frozen=True)
class Consistency:
    """All that a proof of consistency is verified with."""

    old: int
    old_root: Hash
    new: int
    new_root: Hash
    proof: Sequence[Hash]

    def verify(self) -> None:
        verify_consistency(self.old, self.old_root, self.new, self.new_root, self.proof)


def inclusion(tree: Tree, index: int, size: int) -> Inclusion:
    proof = inclusion_proof(index, size, tree.read)
    return Inclusion(tree.leaves[index], index, size, proof, tree.root(size))


def consistency(tree: Tree, old: int, new: int) -> Consistency:
    proof = consistency_proof(old, new, tree.read)
    return Consistency(old, tree.root(old), new, tree.root(new), proof)


def refuse(verify: Callable[[], None]) -> None:
    with pytest.raises(InvalidProof) as caught:
        verify()
    assert caught.value.args == ()


class TestPublishedVectors:
    """Those of Certificate Transparency."""

    TREE = Tree([leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]])

    def test_roots(self) -> None:
        roots = [self.TREE.root(size).hex() for size in range(len(VECTORS["leaves"]) + 1)]

        assert roots == [VECTORS["empty_root"], *VECTORS["roots"]]

    @pytest.mark.parametrize("vector", VECTORS["inclusion"], ids=str)
    def test_inclusion(self, vector: dict[str, Any]) -> None:
        shown = inclusion(self.TREE, vector["index"], vector["size"])

        assert [each.hex() for each in shown.proof] == vector["proof"]
        shown.verify()

    @pytest.mark.parametrize("vector", VECTORS["consistency"], ids=str)
    def test_consistency(self, vector: dict[str, Any]) -> None:
        shown = consistency(self.TREE, vector["old"], vector["new"])

        assert [each.hex() for each in shown.proof] == vector["proof"]
        shown.verify()


class TestInclusion:
    """A leaf is at its place, and at no other."""

    def test_every_proof_is_the_definition_s_and_verifies(self) -> None:
        for size in range(1, MOST + 1):
            for index in range(size):
                shown = inclusion(TREE, index, size)
                assert shown.proof == path(index, TREE.leaves[:size])
                shown.verify()

    @pytest.mark.parametrize(("index", "size"), [(0, 1), (4, 7), (6, 7), (2, 8), (20, 21)])
    def test_any_changed_bit_is_refused(self, index: int, size: int) -> None:
        """Of the leaf, of the root, of the proof."""
        leaf, root = TREE.leaves[index], TREE.root(size)
        proof = inclusion_proof(index, size, TREE.read)

        for changed in flips(leaf):
            refuse(Inclusion(changed, index, size, proof, root).verify)
        for changed in flips(root):
            refuse(Inclusion(leaf, index, size, proof, changed).verify)
        for wrong in [*flipped_proofs(proof), *misshapen(proof, leaf, root)]:
            refuse(Inclusion(leaf, index, size, wrong, root).verify)

    def test_no_other_index_is_accepted(self) -> None:
        """Nor one that lies outside."""
        for size in range(1, 24):
            for index in range(size):
                shown = inclusion(TREE, index, size)
                for wrong in {*range(-1, size + 2), index + size} - {index}:
                    refuse(Inclusion(shown.leaf, wrong, size, shown.proof, shown.root).verify)

    def test_another_size_that_asks_for_another_path_is_refused(self) -> None:
        """A root does not say its size, so one that asks for the same path is accepted.

        That is so for every verifier of RFC 6962, and why a checkpoint signs size and root.
        """
        for size in range(1, 24):
            for index in range(size):
                shown = inclusion(TREE, index, size)
                for wrong in range(-1, 2 * size):
                    tried = Inclusion(shown.leaf, index, wrong, shown.proof, shown.root)
                    if wrong > index and sides(index, wrong) == sides(index, size):
                        tried.verify()
                    else:
                        refuse(tried.verify)

    def test_an_inner_node_is_no_leaf(self) -> None:
        """The second preimage that trees without prefixes have."""
        left, right = b"left", b"right"
        root = node_hash(leaf_hash(left), leaf_hash(right))
        forged = leaf_hash(leaf_hash(left) + leaf_hash(right))

        refuse(Inclusion(forged, 0, 1, [], root).verify)

    @pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1)])
    def test_nothing_is_made_of_a_leaf_that_is_not_there(self, index: int, size: int) -> None:
        with pytest.raises(ValueError, match="no such leaf"):
            inclusion_proof(index, size, TREE.read)


def sides(index: int, size: int) -> list[bool]:
    """On which side each hash of a proof is, from the definition."""
    if size == 1:
        return []
    k = split(size)
    return [*(sides(index, k) if index < k else sides(index - k, size - k)), index < k]


class TestConsistency:
    """A tree begins with what it was, or there is no proof."""

    def test_all_pairs(self) -> None:
        """Up to 64 leaves, each proof that of the definition."""
        for new in range(MOST + 1):
            for old in range(new + 1):
                shown = consistency(TREE, old, new)
                leaves = TREE.leaves[:new]
                assert shown.proof == (subproof(old, leaves, whole=True) if old else [])
                shown.verify()

    @pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 5), (5, 5), (4, 8), (3, 7), (6, 7)])
    def test_any_changed_bit_is_refused(self, old: int, new: int) -> None:
        """Of either root, of the proof; of an empty tree nothing is shown but its root."""
        shown = consistency(TREE, old, new)
        old_root, new_root, proof = shown.old_root, shown.new_root, shown.proof

        for changed in flips(old_root):
            refuse(Consistency(old, changed, new, new_root, proof).verify)
        for changed in flips(new_root) if old or not new else []:
            refuse(Consistency(old, old_root, new, changed, proof).verify)
        for wrong in [*flipped_proofs(proof), *misshapen(proof, old_root, new_root)]:
            refuse(Consistency(old, old_root, new, new_root, wrong).verify)

    def test_no_other_old_size_is_accepted(self) -> None:
        for new in range(1, 24):
            for old in range(1, new + 1):
                shown = consistency(TREE, old, new)
                for wrong in {*range(-1, new + 2)} - {old}:
                    refuse(
                        Consistency(wrong, shown.old_root, new, shown.new_root, shown.proof).verify
                    )

    @given(st.data())
    def test_a_rewritten_leaf_has_no_proof(self, data: st.DataObject) -> None:
        """Neither the honest proof of the new tree nor that of the old one shows it."""
        new = data.draw(st.integers(2, MOST))
        old = data.draw(st.integers(1, new - 1))
        at = data.draw(st.integers(0, old - 1))
        rewritten = Tree([*TREE.leaves[:at], leaf_hash(b"rewritten"), *TREE.leaves[at + 1 :]])

        for tree in (TREE, rewritten):
            proof = consistency_proof(old, new, tree.read)
            refuse(Consistency(old, TREE.root(old), new, rewritten.root(new), proof).verify)

    @pytest.mark.parametrize(("old", "new"), [(-1, 0), (2, 1)])
    def test_a_tree_does_not_shrink(self, old: int, new: int) -> None:
        refuse(Consistency(old, EMPTY_ROOT, new, EMPTY_ROOT, []).verify)
        with pytest.raises(ValueError, match="shrink"):
            consistency_proof(old, new, TREE.read)


class TestFrontier:
    """What a tree needs to grow, and no more."""

    @given(st.lists(hashes, max_size=80))
    def test_its_root_is_the_tree_s(self, leaves: list[Hash]) -> None:
        tree = Tree(leaves)

        for size, frontier in enumerate(tree.frontiers):
            assert frontier.root() == tree.root(size) == mth(leaves[:size])
            assert frontier == Frontier.of(size, tree.read)
            assert frontier.size == size
            assert len(frontier.peaks) == size.bit_count()

    @given(st.lists(hashes, min_size=1, max_size=80))
    def test_what_a_leaf_completes_is_complete(self, leaves: list[Hash]) -> None:
        """Every hash that a reader may ask for was made once, with its own leaves."""
        tree = Tree(leaves)
        expected = {
            (level, index): mth(leaves[index << level : index + 1 << level])
            for level in range(len(leaves).bit_length())
            for index in range(len(leaves) >> level)
        }

        assert tree.nodes == expected

    def test_it_does_not_change(self) -> None:
        before = TREE.frontiers[7]
        before.appended(leaf_hash(b"next"))

        assert before == Frontier.of(7, TREE.read)

"""A second implementation, pymerkle, agrees on roots, and each verifies the other's proofs.

It is a dependency of the tests alone, for its licence.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.merkle import (
    Hash,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from tests.crypto.test_merkle import Tree

pymerkle = pytest.importorskip("pymerkle", reason="pymerkle is not installed")

# A seed stands for the leaves: hypothesis then searches in sizes, which is where errors hide.
sizes = st.integers(1, 400)
seeds = st.binary(max_size=8)


def both(seed: bytes, size: int) -> tuple[Tree, Any]:
    """Return our tree and theirs, of the same leaves."""
    leaves = [seed + number.to_bytes(2) for number in range(size)]
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        theirs.append_entry(leaf)
    return Tree([leaf_hash(leaf) for leaf in leaves]), theirs


def their_inclusion(index: int, size: int, leaf: Hash, proof: list[Hash]) -> Any:  # noqa: ANN401
    """Return our proof as one of theirs: they count from 1 and put the leaf first."""
    rule = pymerkle.core._inclusion_path_layout(index + 1, size)[0]
    return pymerkle.InclusionProof(
        "sha256", security=True, size=size, index=index + 1, rule=rule, path=[leaf, *proof]
    )


def as_rfc_6962(proof: Any) -> list[Hash]:  # noqa: ANN401
    """Return their consistency proof as the RFC has it.

    Theirs is the path of the first new leaf. Up to the first hash of the old tree all stand to the
    right; the RFC has them as one, and leaves out the old root.
    """
    at = proof.subset.index(1)
    right, *path = proof.path[:at]
    for each in path:
        right = node_hash(right, each)
    last, *above = proof.path[at:]
    return [right, *above] if proof.prior_size.bit_count() == 1 else [last, right, *above]


@given(seeds, sizes, st.data())
def test_roots_are_the_same(seed: bytes, size: int, data: st.DataObject) -> None:
    """Of the whole tree, and of what it was."""
    ours, theirs = both(seed, size)
    earlier = data.draw(st.integers(0, size))

    assert ours.root(size) == theirs.get_root()
    assert ours.root(earlier) == theirs.get_root(earlier)


@given(seeds, sizes, st.data())
def test_each_verifies_the_other_s_inclusion_proofs(
    seed: bytes, size: int, data: st.DataObject
) -> None:
    ours, theirs = both(seed, size)
    index = data.draw(st.integers(0, size - 1))
    leaf, root = ours.leaves[index], ours.root(size)

    proof = inclusion_proof(index, size, ours.read)
    their_inclusion(index, size, leaf, proof).verify(leaf, root, index + 1, size, "sha256")

    leaf, *proof = theirs.prove_inclusion(index + 1, size).path
    verify_inclusion(leaf, index, size, proof, Hash(theirs.get_root()))


@given(seeds, sizes.filter(lambda size: size > 1), st.data())
def test_each_verifies_the_other_s_consistency_proofs(
    seed: bytes, size: int, data: st.DataObject
) -> None:
    """Theirs in the form of the RFC is ours, so that what verifies one verifies the other."""
    ours, theirs = both(seed, size)
    old = data.draw(st.integers(1, size - 1))
    proof = theirs.prove_consistency(old, size)

    proof.verify(ours.root(old), ours.root(size), old, size, "sha256")
    assert as_rfc_6962(proof) == consistency_proof(old, size, ours.read)
    old_root, root = Hash(theirs.get_root(old)), Hash(theirs.get_root())
    verify_consistency(old, old_root, size, root, as_rfc_6962(proof))

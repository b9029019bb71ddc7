"""Merkle trees that only grow, and two proofs: that a leaf is in one, that one begins another.

    leaf_hash(leaf)        = SHA-256(0x00 || leaf)
    node_hash(left, right) = SHA-256(0x01 || left || right)
    root of no leaves      = SHA-256()
    root of n > 1 leaves   = node_hash(root of the first k, root of the rest),
                             k the largest power of two below n

Invariants:

* A leaf never hashes like a node, so no inner node can be shown as a leaf.
* Index and sizes alone say how many hashes a proof has and which side each is on. What has one
  hash more or less, or a hash of another length, is refused: there is one proof of each fact.
* Complete subtrees never change: whoever stores their hashes computes every proof and every
  former root from at most two hashes per level.
* A tree whose root is verified to begin another's has the same leaves at the same places.
* A root does not say its size: a proof verifies also for another one that would put the same
  hashes on the same sides. Only a size that is signed with the root counts (`checkpoint`).

RFC 6962, section 2.1; RFC 9162 says the same in its section 2.1. `ReadHash` is where the hashes
of complete subtrees come from: a table, tiles, or leaves. Pure.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple, NewType

Hash = NewType("Hash", bytes)
# (level, index): the root of the complete subtree over leaves [index << level, index + 1 << level).
ReadHash = Callable[[int, int], Hash]

HASH_SIZE = 32
EMPTY_ROOT = Hash(sha256().digest())


class InvalidProof(Exception):
    """The proof does not show it: leaf, index, size, root or proof are not of one tree."""


def leaf_hash(leaf: bytes) -> Hash:
    """Return the hash of one entry."""
    return Hash(sha256(b"\0" + leaf).digest())


def node_hash(left: Hash, right: Hash) -> Hash:
    """Return the hash of an inner node."""
    return Hash(sha256(b"\1" + left + right).digest())


def tree_root(size: int, read: ReadHash) -> Hash:
    """Return the root of the first `size` leaves."""
    return _range_root(0, size, read) if size else EMPTY_ROOT


def subtree_root(hashes: Sequence[Hash]) -> Hash:
    """Return the root of a complete subtree from all the hashes of one of its levels."""
    while len(hashes) > 1:
        hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
    return hashes[0]


def inclusion_proof(index: int, size: int, read: ReadHash) -> list[Hash]:
    """Return what shows that leaf `index` is among the first `size`. Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError("no such leaf in a tree of this size")
    return [_sibling(fork, index, read) for fork in _forks(index, size)][::-1]


def consistency_proof(old: int, new: int, read: ReadHash) -> list[Hash]:
    """Return what shows that the tree of `new` leaves begins with that of `old`. Raises ValueError.

    Nothing need be shown of an empty tree, nor of one that has not grown: the proof is empty.
    """
    if not 0 <= old <= new:
        raise ValueError("a tree does not shrink")
    if old in (0, new):
        return []
    proof = [_sibling(fork, old - 1, read) for fork in _forks_above(old, new)]
    if not _is_power_of_two(old):  # otherwise the old root itself is that subtree's
        proof.append(_range_root(old & old - 1, old, read))
    return proof[::-1]


def verify_inclusion(leaf: Hash, index: int, size: int, proof: Sequence[Hash], root: Hash) -> None:
    """Return if the leaf of this hash is number `index` of `size` under `root`.

    Raises InvalidProof whatever was wrong.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        raise InvalidProof
    forks = [*_forks(index, size)]
    if len(proof) != len(forks):
        raise InvalidProof
    found = leaf
    for fork, sibling in zip(reversed(forks), proof, strict=True):
        on_right = index < fork.middle
        found = node_hash(found, sibling) if on_right else node_hash(sibling, found)
    if found != root:
        raise InvalidProof


def verify_consistency(
    old: int, old_root: Hash, new: int, new_root: Hash, proof: Sequence[Hash]
) -> None:
    """Return if the tree of `new` leaves begins with the one of `old` leaves.

    Every tree begins with the empty one. Raises InvalidProof whatever was wrong.
    """
    if not 0 <= old <= new or not _are_hashes(old_root, new_root, *proof):
        raise InvalidProof
    if old in (0, new):
        expected = new_root if old else EMPTY_ROOT
        if proof or old_root != expected or (not new and new_root != EMPTY_ROOT):
            raise InvalidProof
        return
    if _lead_to(old, new, [old_root, *proof] if _is_power_of_two(old) else proof) != (
        old_root,
        new_root,
    ):
        raise InvalidProof


def _lead_to(old: int, new: int, hashes: Sequence[Hash]) -> tuple[Hash, Hash]:
    """Return the two roots that hashes lead to; the first is the old tree's last subtree."""
    forks = [*_forks_above(old, new)]
    if len(hashes) != len(forks) + 1:
        raise InvalidProof
    before = after = hashes[0]
    for fork, sibling in zip(reversed(forks), hashes[1:], strict=True):
        if old <= fork.middle:  # what is right of the old tree, only the new one has
            after = node_hash(after, sibling)
        else:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
    return before, after


class Frontier(NamedTuple):
    """What a tree needs to grow: the roots of its complete subtrees, from left to right."""

    size: int = 0
    peaks: tuple[Hash, ...] = ()

    @classmethod
    def of(cls, size: int, read: ReadHash) -> "Frontier":
        """Return the frontier of the first `size` leaves."""
        return cls(size, tuple(_subtrees(0, size, read)))

    def completed(self, leaf: Hash) -> list[Hash]:
        """Return the complete subtrees that one more leaf makes: on level l, number size >> l."""
        made = [leaf]
        ones = (self.size ^ self.size + 1).bit_length() - 1  # as in a carry
        for peak in self.peaks[len(self.peaks) - ones :][::-1]:
            made.append(node_hash(peak, made[-1]))
        return made

    def appended(self, leaf: Hash) -> "Frontier":
        """Return the tree with the entry of this hash as its last."""
        return self.joined(self.completed(leaf))

    def joined(self, made: Sequence[Hash]) -> "Frontier":
        """Return the tree with one more leaf, of which `completed` has returned this."""
        kept = self.peaks[: len(self.peaks) - len(made) + 1]
        return Frontier(self.size + 1, (*kept, made[-1]))

    def root(self) -> Hash:
        """Return the tree's root."""
        return _fold(self.peaks) if self.peaks else EMPTY_ROOT


class _Fork(NamedTuple):
    """An inner node: its left subtree has leaves [start, middle), its right one [middle, end)."""

    start: int
    middle: int
    end: int


def _forks(index: int, size: int) -> Iterator[_Fork]:
    """Yield the inner nodes between the root and a leaf, from the root on."""
    start, end = 0, size
    while end - start > 1:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        yield _Fork(start, middle, end)
        start, end = (start, middle) if index < middle else (middle, end)


def _forks_above(old: int, new: int) -> Iterator[_Fork]:
    """Yield the inner nodes between the new root and the last complete subtree of the old tree."""
    for fork in _forks(old - 1, new):
        if fork.end == old:
            return
        yield fork


def _sibling(fork: _Fork, index: int, read: ReadHash) -> Hash:
    start, middle, end = fork
    return _range_root(middle, end, read) if index < middle else _range_root(start, middle, read)


def _range_root(start: int, end: int, read: ReadHash) -> Hash:
    return _fold([*_subtrees(start, end, read)])


def _subtrees(start: int, end: int, read: ReadHash) -> Iterator[Hash]:
    """Yield the complete subtrees over leaves [start, end), where a fork's right half starts."""
    while start < end:
        level = (end - start).bit_length() - 1
        yield read(level, start >> level)
        start += 1 << level


def _fold(subtrees: Sequence[Hash]) -> Hash:
    root = subtrees[-1]
    for subtree in subtrees[-2::-1]:
        root = node_hash(subtree, root)
    return root


def _is_power_of_two(size: int) -> bool:
    return size & size - 1 == 0


def _are_hashes(*hashes: Hash) -> bool:
    return all(len(each) == HASH_SIZE for each in hashes)

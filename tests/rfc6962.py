"""RFC 6962, section 2.1, by its own recursive definitions: what proofs and roots are compared with.

Leaves are given as their hashes. Nothing of `crypto.merkle` is used but the type.
"""

from collections.abc import Sequence
from hashlib import sha256

from crypto.merkle import Hash


def leaf(entry: bytes) -> Hash:
    return Hash(sha256(b"\x00" + entry).digest())


def node(left: bytes, right: bytes) -> Hash:
    return Hash(sha256(b"\x01" + left + right).digest())


def split(size: int) -> int:
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def mth(leaves: Sequence[Hash]) -> Hash:
    """MTH of section 2.1, over the hashes of leaves."""
    if len(leaves) < 2:
        return leaves[0] if leaves else Hash(sha256(b"").digest())
    k = split(len(leaves))
    return node(mth(leaves[:k]), mth(leaves[k:]))


def path(m: int, leaves: Sequence[Hash]) -> list[Hash]:
    """PATH of section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: Sequence[Hash], *, whole: bool) -> list[Hash]:
    """SUBPROOF of section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def root_by_path(leaf: Hash, index: int, size: int, path: list[Hash]) -> bytes:
    """Return the root that an inclusion proof leads to."""
    if size == 1:
        assert not path
        return leaf
    k = split(size)
    if index < k:
        return node(root_by_path(leaf, index, k, path[:-1]), path[-1])
    return node(path[-1], root_by_path(leaf, index - k, size - k, path[:-1]))


def roots_by_path(
    old: int, new: int, path: list[Hash], old_root: bytes, *, whole: bool = True
) -> tuple[bytes, bytes]:
    """Return the two roots that a consistency proof leads to."""
    if old == new:
        if whole:
            assert not path
            return old_root, old_root
        (root,) = path
        return root, root
    k, last = split(new), path[-1]
    if old <= k:
        first, second = roots_by_path(old, k, path[:-1], old_root, whole=whole)
        return first, node(second, last)
    first, second = roots_by_path(old - k, new - k, path[:-1], old_root, whole=False)
    return node(last, first), node(last, second)

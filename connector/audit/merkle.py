"""Merkle trees of RFC 6962 section 2.1 (the same in RFC 9162): roots and proofs, no I/O.

A hash is 32 bytes of SHA-256. Leaves and nodes are hashed with different prefixes, so that an
inner node can never pass for an entry (second-preimage attack).
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree in O(log n) memory: the roots of its perfect subtrees, widest first."""

    __slots__ = ("_peaks", "size")

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash; trailing one bits of the size are subtrees that it completes."""
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The tree head of everything appended so far."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> "Tree":
        """An independent tree that continues from here."""
        twin = Tree()
        twin.size, twin._peaks = self.size, list(self._peaks)
        return twin


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes in order."""
    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, leaves) of section 2.1.1, from the leaf's sibling upwards."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(root_of(leaves[middle:high]))
            high = middle
        else:
            proof.append(root_of(leaves[low:middle]))
            low = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """PROOF(size, leaves) of section 2.1.2: that the first `size` leaves are a prefix."""
    if not 0 < size <= len(leaves):
        raise IndexError(f"prefix {size} of {len(leaves)}")
    proof: list[bytes] = []
    low, high = 0, len(leaves)
    while size != high:
        middle = low + _split(high - low)
        if size <= middle:
            proof.append(root_of(leaves[middle:high]))
            high = middle
        else:
            proof.append(root_of(leaves[low:middle]))
            low = middle
    # The old tree itself is known to the verifier; a subtree inside it is not.
    if low > 0:
        proof.append(root_of(leaves[low:high]))
    return proof[::-1]


def verify_inclusion(
    index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether `leaf` is at `index` of the tree of `size` leaves with `root` (RFC 9162 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(
    size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the tree of `size1` is a prefix of that of `size2` (RFC 9162 2.1.4.2).

    Nothing can be said of an empty first tree: it proves nothing, and is refused.
    """
    if size1 == size2:
        return size1 > 0 and not proof and root1 == root2
    if not 0 < size1 < size2 or not _are_hashes(root1, root2, *proof):
        return False
    path = list(proof) if size1 & (size1 - 1) else [root1, *proof]
    if not path:
        return False
    node, last = size1 - 1, size2 - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and first == root1 and second == root2


def _split(count: int) -> int:
    # The largest power of two smaller than `count` (k of section 2.1).
    return 1 << (count - 1).bit_length() - 1


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_SIZE for value in values)

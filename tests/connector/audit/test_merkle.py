import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.audit import merkle

VECTORS = Path(__file__).resolve().parents[4] / "shared" / "specs" / "merkle-proofs"
# RFC 6962's own eight leaves, as the Certificate Transparency test suites use them.
CT_LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243",
        "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip


def _vectors(kind):
    if not VECTORS.is_dir():
        pytest.skip(f"{VECTORS} is absent")
    return sorted((VECTORS / kind).rglob("*.json"))


def _hash(text):
    return base64.b64decode(text)


def test_all_inclusion_vectors_give_the_published_verdict():
    paths = _vectors("inclusion")
    for path in paths:
        case = json.loads(path.read_text())
        verdict = merkle.verify_inclusion(
            case["leafIdx"],
            case["treeSize"],
            _hash(case["leafHash"]),
            [_hash(item) for item in case["proof"] or []],
            _hash(case["root"]),
        )
        assert verdict is not case["wantErr"], path
    assert len(paths) == 98


def test_all_consistency_vectors_give_the_published_verdict():
    paths = _vectors("consistency")
    for path in paths:
        case = json.loads(path.read_text())
        verdict = merkle.verify_consistency(
            case["size1"],
            case["size2"],
            _hash(case["root1"]),
            _hash(case["root2"]),
            [_hash(item) for item in case["proof"] or []],
        )
        assert verdict is not case["wantErr"], path
    assert len(paths) == 98


def test_the_eight_leaf_tree_of_certificate_transparency_has_its_published_root():
    leaves = [merkle.leaf_hash(leaf) for leaf in CT_LEAVES]
    assert merkle.root_of(leaves).hex() == (
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    )


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root():
    assert merkle.Tree().root() == merkle.root_of([]) == merkle.EMPTY_ROOT


def _recursive_root(leaves):
    # The definition of RFC 6962 section 2.1, word for word.
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(_recursive_root(leaves[:split]), _recursive_root(leaves[split:]))


LEAVES = [merkle.leaf_hash(str(number).encode()) for number in range(70)]


@pytest.mark.parametrize("size", range(70))
def test_the_incremental_root_equals_the_recursive_definition(size):
    assert merkle.root_of(LEAVES[:size]) == _recursive_root(LEAVES[:size])


@pytest.mark.parametrize("size", range(1, 34))
def test_every_generated_proof_verifies_and_verifies_nothing_else(size):
    leaves = LEAVES[:size]
    root = merkle.root_of(leaves)
    for index in range(size):
        proof = merkle.inclusion_proof(leaves, index)
        for claimed in range(size):
            verdict = merkle.verify_inclusion(claimed, size, leaves[index], proof, root)
            assert verdict is (claimed == index)
    for prefix in range(1, size + 1):
        proof = merkle.consistency_proof(leaves, prefix)
        for claimed in range(1, size + 1):
            old_root = merkle.root_of(leaves[:prefix])
            verdict = merkle.verify_consistency(claimed, size, old_root, root, proof)
            assert verdict is (claimed == prefix)


@given(st.integers(0, 69), st.integers(0, 69))
def test_a_copied_tree_grows_on_its_own(size, more):
    tree = merkle.Tree()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    twin = tree.copy()
    for leaf in LEAVES[:more]:
        twin.append(leaf)
    assert tree.size == size
    assert tree.root() == _recursive_root(LEAVES[:size])
    assert twin.root() == _recursive_root(LEAVES[:size] + LEAVES[:more])


def test_proofs_of_leaves_that_do_not_exist_are_refused():
    with pytest.raises(IndexError):
        merkle.inclusion_proof(LEAVES[:3], 3)
    with pytest.raises(IndexError):
        merkle.consistency_proof(LEAVES[:3], 0)

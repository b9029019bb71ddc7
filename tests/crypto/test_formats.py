"""crypto/FORMATS.md shows what the code writes."""

import re
from pathlib import Path

import pytest

from crypto.aead import associate, unseal
from crypto.checkpoint import Checkpoint, open_checkpoint
from crypto.commitment import Nonce, commit, committed_leaf, public_leaf
from crypto.cosignature import CosigningKey, cosign, verify_cosignatures
from crypto.derive import Kek
from crypto.encoding import encode
from crypto.merkle import Frontier, leaf_hash
from crypto.note import SigningKey, VerifierKey, add_signature, open_note, sign_note
from tests.vectors import load

DOCUMENT = (Path(__file__).parents[2] / "crypto" / "FORMATS.md").read_text("utf-8")
PACKED = re.sub(r"\s", "", DOCUMENT)

ORIGIN = "log.example/lacuna"
COSIGNER = "cosigner.example"
LEAVES = (
    committed_leaf(commit(Nonce(bytes(range(32))), b"example")),
    public_leaf("example"),
)


def shown(value: bytes) -> bool:
    """Say whether the document has these bytes, in hex, whatever spaces are in it."""
    return value.hex() in PACKED


def section(heading: str) -> str:
    """Return the text under a heading."""
    return re.split(r"\n##+ ", DOCUMENT.split(f"# {heading}\n", 1)[1])[0]


def test_fields_and_ciphertext() -> None:
    fields = associate("lacuna/example/v1", b"here")
    block = re.findall(r"^ {4}([0-9a-f]+) ", section("Ciphertext"), re.MULTILINE)
    sealed = bytes.fromhex("".join(block))

    assert shown(encode(b"lacuna/example/v1", b"here"))
    assert unseal(Kek(bytes(range(32))), sealed, fields) == b"example"


def test_leaves_and_their_hashes() -> None:
    assert all(shown(leaf) and shown(leaf_hash(leaf)) for leaf in LEAVES)


def test_checkpoint_and_cosignature() -> None:
    """Made anew they are the same: Ed25519 is deterministic."""
    root = Frontier().appended(leaf_hash(LEAVES[0])).appended(leaf_hash(LEAVES[1])).root()
    text = Checkpoint(ORIGIN, 2, root).text()
    key, cosigning = SigningKey(bytes(range(32))), CosigningKey(bytes(range(1, 33)))
    signature = cosign(text, COSIGNER, cosigning, 1_679_315_147)
    raw = add_signature(sign_note(text, ORIGIN, key), signature)

    assert raw.decode() in DOCUMENT
    (written,) = re.findall(rf"^ {{4}}({ORIGIN}\+\S+)$", DOCUMENT, re.MULTILINE)
    verifier = VerifierKey.parse(written)
    assert open_checkpoint(raw, ORIGIN, [verifier]).size == 2
    ((_, time),) = verify_cosignatures(open_note(raw, [verifier]), [cosigning.verifier(COSIGNER)])
    assert f"cosignature/v1\ntime {time}\n{text}" in DOCUMENT
    assert shown(signature.key_id)
    assert shown(signature.signature[:8])


def test_token_and_tag() -> None:
    """The first of the vectors for SDKs, to which the code is held."""
    vector = load("lookup-v1.json")["tests"][0]

    for name in ("lookup_key", "kid", "token", "index_key", "tag"):
        assert vector[name] in section("Tag" if name in {"index_key", "tag"} else "Token")
    assert f"{vector['scheme']}:{vector['value']}" in section("Token")


@pytest.mark.parametrize(
    ("heading", "end"), [("Audit entry", 256), ("Anchor", 202), ("Slot file", 194)]
)
def test_offsets_add_up(heading: str, end: int) -> None:
    """Each line of a layout begins where the one before it ends."""
    lines = re.findall(r"^ +([0-9]+)  \S+.*? {2,}(\S.*)$", section(heading), re.MULTILINE)
    at = 0
    for offset, field in lines:
        assert int(offset) == at
        if at == end:
            return
        at += size_of(field.split("   ")[0])
    pytest.fail("the layout has another length")


def size_of(field: str) -> int:
    """Return how many bytes a field takes: a number's bits, a number behind it, or a digest's."""
    if bits := re.search(r"\bu(8|16|32|64)$", field):
        return int(bits[1]) // 8
    return 32 if field.startswith("SHA-256") else int(field.rpartition(" ")[2])

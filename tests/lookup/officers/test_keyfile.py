"""An officer's key in a file: sealed, private, of one kind."""

import os
import resource
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from crypto.derive import TESTING_ONLY_COST, Argon2Cost
from crypto.encoding import encode
from crypto.sshsig import OfficerKey, parse_public_key
from lookup.officers.errors import (
    KeyFileError,
    KeyFileUnreadable,
    NotAnOfficerKey,
    WrongPassphrase,
)
from lookup.officers.keyfile import (
    HEADER,
    MAX_FILE,
    load_key_file,
    make_key_file,
    parse_key_file,
    write_key_file,
)
from lookup.officers.openssh import MOST_ROUNDS

KEY: Final = OfficerKey(bytes(range(32)))
PASSPHRASE: Final = b"correct horse battery"
RAW: Final = make_key_file(KEY, PASSPHRASE, TESTING_ONLY_COST)

RequireTool = Callable[[str], str]


def say() -> bytes:
    """Answer with the right passphrase."""
    return PASSPHRASE


def never() -> bytes:
    """Fail the test: nothing may be asked for."""
    raise AssertionError("a passphrase was asked for")


def openssh(key: OfficerKey, passphrase: bytes = b"") -> bytes:
    """Return a file as OpenSSH writes it."""
    private = Ed25519PrivateKey.from_private_bytes(key.expose())
    sealing: KeySerializationEncryption = NoEncryption()
    if passphrase:
        # Few rounds: the test is not about how long it takes.
        builder = PrivateFormat.OpenSSH.encryption_builder().kdf_rounds(1)
        sealing = builder.build(passphrase)
    return private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, sealing)


@pytest.fixture
def file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Call it with what a private file is to hold."""

    def make(raw: bytes) -> Path:
        path = tmp_path / "key"
        path.touch(mode=0o600)
        path.write_bytes(raw)
        return path

    return make


File = Callable[[bytes], Path]


def test_a_key_comes_back_from_its_file(tmp_path: Path) -> None:
    """The file is its owner's alone, whatever the umask says."""
    path = tmp_path / "key"
    mask = os.umask(0)
    try:
        write_key_file(path, KEY, PASSPHRASE, TESTING_ONLY_COST)
    finally:
        os.umask(mask)

    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key_file(path, say).public() == KEY.public()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_any_key_and_any_passphrase(seed: bytes, passphrase: bytes) -> None:
    raw = make_key_file(OfficerKey(seed), passphrase, TESTING_ONLY_COST)

    assert parse_key_file(raw, lambda: passphrase).expose() == seed
    assert seed not in raw


def test_no_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"another officer's")
    with pytest.raises(FileExistsError):
        write_key_file(path, KEY, PASSPHRASE, TESTING_ONLY_COST)
    assert path.read_bytes() == b"another officer's"


def test_a_file_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    """Half a key would be found when it is needed."""
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_key_file(tmp_path / "key", KEY, PASSPHRASE, TESTING_ONLY_COST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    assert list(tmp_path.iterdir()) == []


def test_two_files_of_one_key_have_nothing_sealed_in_common() -> None:
    """Salt and nonce are fresh each time."""
    again = make_key_file(KEY, PASSPHRASE, TESTING_ONLY_COST)
    assert [a == b for a, b in zip(RAW.splitlines(), again.splitlines(), strict=True)] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_another_passphrase_does_not_open_it(file: File) -> None:
    with pytest.raises(WrongPassphrase) as caught:
        load_key_file(file(RAW), lambda: b"incorrect horse battery")
    assert "horse" not in str(caught.value)


def test_every_changed_bit_is_seen() -> None:
    """Also in the cost, the salt and the public key: they are bound to the sealed seed."""
    for at in range(8 * len(RAW)):
        changed = bytearray(RAW)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises((KeyFileUnreadable, WrongPassphrase)):
            parse_key_file(bytes(changed), say)


def test_no_beginning_of_a_file_is_one() -> None:
    """And nothing is asked for to find that out."""
    for length in range(len(RAW)):
        with pytest.raises(KeyFileUnreadable):
            parse_key_file(RAW[:length], never)


def test_a_public_key_put_into_it_is_seen() -> None:
    """The seed is bound to the public key that the file shows."""
    other = b64encode(OfficerKey(bytes(32)).public())
    with pytest.raises(WrongPassphrase):
        parse_key_file(RAW.replace(b64encode(KEY.public()), other), say)


def cost_of(passes: int | str, memory_kib: int | str, lanes: int | str) -> bytes:
    return RAW.replace(b"argon2id 1 8 1", f"argon2id {passes} {memory_kib} {lanes}".encode())


def pem(body: bytes) -> bytes:
    return (
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
        + b64encode(body)
        + b"\n-----END OPENSSH PRIVATE KEY-----\n"
    )


def blob(
    public: bytes = encode(b"ssh-ed25519", KEY.public()),
    *,
    cipher: bytes = b"none",
    kdf: bytes = b"none",
    options: bytes = b"",
    keys: int = 1,
) -> bytes:
    """Return an OpenSSH file whose private part is nonsense."""
    number = keys.to_bytes(4, "big")
    return pem(b"openssh-key-v1\0" + encode(cipher, kdf, options) + number + encode(public, b"x"))


def bcrypt(rounds: int) -> bytes:
    options = encode(bytes(16)) + rounds.to_bytes(4, "big")
    return blob(cipher=b"aes256-ctr", kdf=b"bcrypt", options=options)


SSH: Final = openssh(KEY)
SSH_BLOB: Final = b64decode(b"".join(SSH.split(b"\n")[1:-2]))
BAD: Final[dict[str, tuple[bytes, type[KeyFileError]]]] = {
    "nothing": (b"", NotAnOfficerKey),
    "prose": (b"my key is under the mat\n", NotAnOfficerKey),
    "a public key": (b"ssh-ed25519 AAAA\n", NotAnOfficerKey),
    "an RSA key, PEM": (b"-----BEGIN RSA PRIVATE KEY-----\n", NotAnOfficerKey),
    "PKCS #8": (b"-----BEGIN PRIVATE KEY-----\n", NotAnOfficerKey),
    "far too big": (b"\0" * (MAX_FILE + 1), KeyFileUnreadable),
    "version 2": (RAW.replace(b"/v1", b"/v2"), NotAnOfficerKey),
    "version 10": (RAW.replace(b"/v1", b"/v10"), KeyFileUnreadable),
    "the first line alone": (HEADER + b"\n", KeyFileUnreadable),
    "a line more": (RAW + b"comment mine\n", KeyFileUnreadable),
    "no last line end": (RAW[:-1], KeyFileUnreadable),
    "carriage returns": (RAW.replace(b"\n", b"\r\n"), KeyFileUnreadable),
    "no passes": (cost_of(0, 8, 1), KeyFileUnreadable),
    "65 passes": (cost_of(65, 8, 1), KeyFileUnreadable),
    "more memory than the bound": (cost_of(1, 4_194_305, 1), KeyFileUnreadable),
    "a terabyte": (cost_of(1, 1 << 30, 1), KeyFileUnreadable),
    "too little memory for its lanes": (cost_of(1, 8, 2), KeyFileUnreadable),
    "65 lanes": (cost_of(1, 4_096, 65), KeyFileUnreadable),
    "a leading zero": (cost_of("01", 8, 1), KeyFileUnreadable),
    "digits beyond ASCII": (cost_of("\N{ARABIC-INDIC DIGIT ONE}", 8, 1), KeyFileUnreadable),
    "padding in the salt's midst": (
        RAW.replace(RAW.split(b"\n")[2], b"salt " + b"AAA=" * 6), KeyFileUnreadable
    ),
    "OpenSSH: begin alone": (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", KeyFileUnreadable),
    "OpenSSH: not base64": (SSH.replace(b"b3Bl", b"b3B!"), KeyFileUnreadable),
    "OpenSSH: no magic": (pem(b"openssh-key-v2\0"), KeyFileUnreadable),
    "OpenSSH: empty": (pem(b"openssh-key-v1\0"), KeyFileUnreadable),
    "OpenSSH: cut off": (pem(SSH_BLOB[:-40]), KeyFileUnreadable),
    "OpenSSH: a private part of nonsense": (blob(), KeyFileUnreadable),
    "OpenSSH: RSA": (blob(encode(b"ssh-rsa", b"\1", bytes(256))), NotAnOfficerKey),
    "OpenSSH: a security key": (blob(encode(b"sk-ssh-ed25519@openssh.com")), NotAnOfficerKey),
    "OpenSSH: two keys": (blob(keys=2), NotAnOfficerKey),
    "OpenSSH: no rounds": (bcrypt(0), KeyFileUnreadable),
    "OpenSSH: rounds for hours": (bcrypt(MOST_ROUNDS + 1), KeyFileUnreadable),
    "OpenSSH: another public key in the clear": (
        pem(SSH_BLOB.replace(KEY.public(), OfficerKey(bytes(32)).public(), 1)),
        KeyFileUnreadable,
    ),
    "OpenSSH: another seed": (
        pem(SSH_BLOB.replace(KEY.expose(), bytes(32), 1)), KeyFileUnreadable
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused(what: str, file: File) -> None:
    """Before a passphrase is asked for; the error holds nothing of what the file holds."""
    raw, kind = BAD[what]
    with pytest.raises(KeyFileError) as caught:
        load_key_file(file(raw), never)
    assert type(caught.value) is kind
    assert "AAAA" not in str(caught.value)
    assert KEY.expose().hex() not in str(caught.value)


class TestPrivateFile:
    """What others can read is nobody's own key."""

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o666])
    def test_a_file_that_others_can_touch_is_refused(self, mode: int, file: File) -> None:
        path = file(RAW)
        path.chmod(mode)
        with pytest.raises(KeyFileUnreadable, match="can be read by others: chmod 600"):
            load_key_file(path, never)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(KeyFileUnreadable, match="cannot be read: No such file"):
            load_key_file(tmp_path / "none", never)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(KeyFileUnreadable):
            load_key_file(tmp_path, never)

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe", 0o600)
        with pytest.raises(KeyFileUnreadable, match="is no file"):
            load_key_file(tmp_path / "pipe", never)


def test_a_machine_without_the_memory_says_so() -> None:
    """A cost within its bounds may still be more than there is."""
    program = """
import resource
from tests.lookup.officers.test_keyfile import KeyFileUnreadable, cost_of, parse_key_file, say
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    parse_key_file(cost_of(1, 4_194_304, 1), say)
except KeyFileUnreadable as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout == ("opening the key file takes 4194304 KiB of memory, more than there is\n")


class TestOpenSsh:
    """Officers who have an Ed25519 key already need no other."""

    def test_an_open_file_needs_no_passphrase(self, file: File) -> None:
        assert load_key_file(file(openssh(KEY)), never).expose() == KEY.expose()

    def test_a_sealed_file_does(self, file: File) -> None:
        path = file(openssh(KEY, PASSPHRASE))
        assert load_key_file(path, say).expose() == KEY.expose()

    @pytest.mark.parametrize("passphrase", [b"", b"x", PASSPHRASE + b"\n", bytes(2_000)])
    def test_another_passphrase_does_not_open_it(self, passphrase: bytes, file: File) -> None:
        path = file(openssh(KEY, PASSPHRASE))
        with pytest.raises(WrongPassphrase):
            load_key_file(path, lambda: passphrase)

    def test_another_type_is_refused_before_anything_is_asked(self, file: File) -> None:
        sealed = generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, BestAvailableEncryption(PASSPHRASE)
        )
        with pytest.raises(NotAnOfficerKey, match="another type than ssh-ed25519"):
            load_key_file(file(sealed), never)

    def test_a_cipher_that_is_not_known(self, file: File) -> None:
        raw = openssh(KEY, PASSPHRASE)
        inside = b64decode(b"".join(raw.split(b"\n")[1:-2]))
        with pytest.raises(KeyFileUnreadable, match="cipher"):
            load_key_file(file(pem(inside.replace(b"aes256-ctr", b"aes999-ctr"))), say)

    def test_a_changed_bit_gives_an_error_or_the_same_key(self, file: File) -> None:
        """OpenSSH seals no comment and no check over all; what counts is bound to itself."""
        for at in range(0, 8 * len(SSH_BLOB), 3):
            changed = bytearray(SSH_BLOB)
            changed[at // 8] ^= 1 << at % 8
            try:
                found = load_key_file(file(pem(bytes(changed))), say)
            except KeyFileError:
                continue
            assert found.expose() == KEY.expose()

    @pytest.mark.parametrize("passphrase", ["", "correct horse battery"])
    def test_what_ssh_keygen_makes(
        self, passphrase: str, require_tool: RequireTool, tmp_path: Path
    ) -> None:
        tool, path = require_tool("ssh-keygen"), tmp_path / "id_ed25519"
        command = (tool, "-q", "-t", "ed25519", "-N", passphrase, "-f", path)
        subprocess.run(command, check=True)

        found = load_key_file(path, say if passphrase else never)

        assert found.public() == parse_public_key(path.with_suffix(".pub").read_text())


def test_nothing_shows_a_secret(file: File) -> None:
    """Not the file's text, not an error, not the key's own name."""
    for raw in (RAW, openssh(KEY, PASSPHRASE)):
        assert b64encode(KEY.expose()) not in raw
        assert KEY.expose() not in raw
        with pytest.raises(WrongPassphrase) as caught:
            load_key_file(file(raw), lambda: b"a wrong secret")
        assert "wrong secret" not in repr(caught.value)
    assert repr(load_key_file(file(RAW), say)) == "<OfficerKey>"


def test_a_real_cost_is_written_as_it_is() -> None:
    """Seven digits of memory are enough for every cost that is allowed."""
    raw = make_key_file(KEY, PASSPHRASE, Argon2Cost(1, 1_024, 4))
    assert b"\nargon2id 1 1024 4\n" in raw
    assert parse_key_file(raw, say).public() == KEY.public()

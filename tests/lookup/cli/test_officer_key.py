"""`lacuna officer key`, and the options by which an officer acts."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import click
import pytest
from click.testing import CliRunner
from click.testing import Result as Ran

from crypto.derive import TESTING_ONLY_COST
from crypto.sshsig import OfficerKey, fingerprint, parse_public_key
from lookup import exits
from lookup.cli.acting import OfficerOptions, load_key, officer_options
from lookup.cli.console import Failure
from lookup.cli.officer_key import command
from lookup.officers.keyfile import load_key_file, write_key_file

PASSPHRASE = "correct horse battery"
KEY = OfficerKey(bytes(range(32)))


@pytest.fixture(autouse=True)
def cheap() -> Iterator[None]:
    """Stretch passphrases at the cost of tests."""
    with patch("crypto.derive.RFC_9106_SECOND", TESTING_ONLY_COST):
        yield


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    return private(tmp_path / "passphrase", f"{PASSPHRASE}\n")


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    write_key_file(path, KEY, PASSPHRASE.encode(), TESTING_ONLY_COST)
    return path


def private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def run(*arguments: str | Path) -> Ran:
    return CliRunner().invoke(command, list(map(str, arguments)), standalone_mode=False)


def failure(result: Ran) -> Failure:
    """Return what ended a command that nothing else may have ended."""
    assert isinstance(result.exception, Failure), result.exception
    assert result.stdout == ""
    return result.exception


class TestMaking:
    """`lacuna officer key FILE`: offline, and without a site."""

    def test_it_makes_a_sealed_key_and_its_public_half(
        self, tmp_path: Path, passphrase: Path
    ) -> None:
        file = tmp_path / "ana"
        result = run(file, "--passphrase-file", passphrase, "--json")

        public = parse_public_key((tmp_path / "ana.pub").read_text())
        assert load_key_file(file, PASSPHRASE.encode).public() == public
        assert json.loads(result.stdout) == {
            "key": str(file),
            "public_key": f"{file}.pub",
            "fingerprint": fingerprint(public),
        }
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_it_says_what_comes_next(self, tmp_path: Path, passphrase: Path) -> None:
        result = run(tmp_path / "ana", "--passphrase-file", passphrase)

        assert result.exception is None
        assert "SHA256:" in result.stdout
        assert "next " in result.stdout
        assert PASSPHRASE not in result.output

    @pytest.mark.parametrize("taken", ["ana", "ana.pub"])
    def test_it_replaces_nothing(self, taken: str, tmp_path: Path, passphrase: Path) -> None:
        """Neither of the two, and it makes neither then."""
        (tmp_path / taken).write_text("here first")
        failed = failure(run(tmp_path / "ana", "--passphrase-file", passphrase))

        assert failed.status == exits.CANNOT_CREATE
        assert (tmp_path / taken).read_text() == "here first"
        assert len(list(tmp_path.glob("ana*"))) == 1

    def test_where_it_cannot_write_it_leaves_nothing(
        self, tmp_path: Path, passphrase: Path
    ) -> None:
        failed = failure(run(tmp_path / "none" / "ana", "--passphrase-file", passphrase))
        assert failed.status == exits.CANNOT_CREATE

    def test_a_short_passphrase_is_none(self, tmp_path: Path) -> None:
        short = private(tmp_path / "short", "hunter2\n")
        failed = failure(run(tmp_path / "ana", "--passphrase-file", short))

        assert failed.status == exits.USAGE
        assert "hunter2" not in failed.message + failed.hint
        assert not list(tmp_path.glob("ana*"))

    def test_nobody_is_asked_where_nobody_is(self, tmp_path: Path) -> None:
        assert failure(run(tmp_path / "ana")).status == exits.USAGE


@click.command()
@officer_options
def acting(officer: OfficerOptions) -> None:
    """Say whose key it is."""
    click.echo(fingerprint(load_key(officer.key_file, officer.key_passphrase_file).public()))


def act(*arguments: str | Path, **environment: str | Path) -> Ran:
    return CliRunner().invoke(
        acting,
        list(map(str, arguments)),
        env={name: str(value) for name, value in environment.items()},
        standalone_mode=False,
    )


class TestActing:
    """Which officer, with which key."""

    def test_by_options(self, key_file: Path, passphrase: Path) -> None:
        result = act("--key", key_file, "--key-passphrase-file", passphrase)
        assert result.stdout == f"{fingerprint(KEY.public())}\n"

    def test_by_the_environment(self, key_file: Path, passphrase: Path) -> None:
        result = act("--key-passphrase-file", passphrase, LACUNA_OFFICER_KEY=key_file)
        assert result.stdout == f"{fingerprint(KEY.public())}\n"

    def test_the_passphrase_is_never_in_the_environment(self, key_file: Path) -> None:
        named = {"LACUNA_OFFICER_KEY": str(key_file)}
        failed = failure(act(LACUNA_KEY_PASSPHRASE_FILE=PASSPHRASE, **named))

        assert failed.status == exits.USAGE
        assert "nobody is there to type" in failed.message

    FAILURES = {  # noqa: RUF012  # a table
        "no key": ([], exits.USAGE),
        "no such key file": (["--key", "none"], exits.NO_INPUT),
        "a public key": (["--key", "public"], exits.REFUSED),
        "a key that others can read": (["--key", "shared"], exits.NO_INPUT),
        "a wrong passphrase": (
            ["--key", "mine", "--key-passphrase-file", "wrong"],
            exits.NO_PERMISSION,
        ),
        "no such passphrase file": (
            ["--key", "mine", "--key-passphrase-file", "none"],
            exits.NO_PERMISSION,
        ),
    }

    @pytest.mark.parametrize("what", FAILURES)
    def test_it_ends_in_something_to_do(
        self, what: str, key_file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each has its exit status, and none repeats a passphrase."""
        monkeypatch.chdir(key_file.parent)
        private(Path("public"), "ssh-ed25519 AAAA\n")
        private(Path("shared"), key_file.read_text()).chmod(0o644)
        private(Path("wrong"), "incorrect horse battery\n")
        arguments, status = self.FAILURES[what]

        failed = failure(act(*arguments))

        assert failed.status == status
        assert failed.hint
        assert "horse" not in failed.message + failed.hint

"""Which officer acts, and with which key: the options that such a command has.

Invariant: the passphrase of a key comes from a private file or a terminal, never from an argument
or the environment; those name officer and file alone.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lookup import exits
from lookup.cli.console import fail
from lookup.officers.errors import (
    KeyFileError,
    KeyFileUnreadable,
    NotAnOfficerKey,
    WrongPassphrase,
)

if TYPE_CHECKING:
    from crypto.sshsig import OfficerKey

_F = TypeVar("_F", bound=Callable[..., Any])

_TOLD: Final[dict[type[KeyFileError], tuple[int, str]]] = {
    KeyFileUnreadable: (
        exits.NO_INPUT,
        "name your own, private, undamaged key file: --key FILE, or LACUNA_OFFICER_KEY",
    ),
    WrongPassphrase: (
        exits.NO_PERMISSION,
        "type it again; who has lost it makes a new key, which another officer enrols",
    ),
    NotAnOfficerKey: (
        exits.REFUSED,
        "make one with `lacuna officer key FILE`, or `ssh-keygen -t ed25519`",
    ),
}

_OPTIONS: Final = (
    click.option(
        "--as",
        "as_officer",
        metavar="NAME",
        envvar="LACUNA_OFFICER",
        show_envvar=True,
        help="Which officer you are.",
    ),
    click.option(
        "--key",
        "key_file",
        type=click.Path(path_type=Path),
        envvar="LACUNA_OFFICER_KEY",
        show_envvar=True,
        help="Your private key: of `lacuna officer key`, or OpenSSH's, of type ed25519.",
    ),
    click.option(
        "--key-passphrase-file",
        type=click.Path(path_type=Path),
        help="Private file with the key's passphrase; without it you are asked.",
    ),
)


def officer_options(command: _F) -> _F:
    """Give a command the three options whose values `load_officer` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load_officer(
    as_officer: str | None, key_file: Path | None, key_passphrase_file: Path | None
) -> "tuple[str, OfficerKey]":
    """Return who acts, and the key to sign with; end the command if either is not to be had."""
    if as_officer is None:
        fail(exits.USAGE, "it is not said which officer acts", "give --as NAME, or LACUNA_OFFICER")
    if key_file is None:
        fail(
            exits.USAGE,
            "no officer's key is named",
            "give --key FILE, or LACUNA_OFFICER_KEY; `lacuna officer key FILE` makes one",
        )
    return as_officer, _load(key_file, key_passphrase_file)


def _load(file: Path, passphrase_file: Path | None) -> "OfficerKey":
    from lookup.officers.keyfile import (  # noqa: PLC0415  # `--help` must not wait for this
        load_key_file,
    )

    try:
        return load_key_file(file, lambda: _passphrase(passphrase_file))
    except KeyFileError as error:
        status, hint = _TOLD[type(error)]
        fail(status, str(error), hint)


def _passphrase(file: Path | None) -> bytes:
    if file is not None:
        return _read(file)
    if not sys.stdin.isatty():
        fail(
            exits.USAGE,
            "nobody is there to type the key's passphrase",
            "name a private file that holds it: --key-passphrase-file FILE",
        )
    text: str = click.prompt("Passphrase of your key", hide_input=True, err=True)
    return text.encode()


def _read(file: Path) -> bytes:
    from lookup.custodian.passphrases import (  # noqa: PLC0415  # as in _load
        PassphraseUnreadable,
        read_passphrase_file,
    )

    try:
        return read_passphrase_file(file)
    except PassphraseUnreadable as error:
        fail(exits.NO_PERMISSION, str(error), "a passphrase file is private: chmod 600")

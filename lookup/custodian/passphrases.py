"""Where a passphrase comes from: a file, a systemd credential, or a person."""

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import Final

from lookup.custodian.slotting import MAX_PASSPHRASE

CREDENTIAL: Final = "passphrase"
_MAX_FILE: Final = 4 * MAX_PASSPHRASE + 2


class PassphraseUnreadable(Exception):
    """There is no passphrase to be had; the message says what to do."""


def read_passphrase(file: Path | None, prompt: str = "Passphrase: ") -> bytes:
    """Return the passphrase from the file, else from systemd's credential, else from a prompt.

    A file must belong to this user and be readable by nobody else. One line end is left out.
    """
    if file is not None:
        return read_passphrase_file(file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is not None and (Path(folder) / CREDENTIAL).exists():
        return _read(Path(folder) / CREDENTIAL)
    if not sys.stdin.isatty():
        raise PassphraseUnreadable(
            "no passphrase: name vault.passphrase_file in the configuration, or run in a terminal"
        )
    return getpass.getpass(prompt).encode()


def read_passphrase_file(file: Path) -> bytes:
    """Return the passphrase in a private file."""
    try:
        status = file.stat()
    except OSError as error:
        raise PassphraseUnreadable(f"{file} cannot be read: {error.strerror}") from None
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise PassphraseUnreadable(f"{file} can be read by others: chmod 600 {file}")
    return _read(file)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_MAX_FILE + 1)
    except OSError as error:
        raise PassphraseUnreadable(f"{file} cannot be read: {error.strerror}") from None
    text = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not text or len(raw) > _MAX_FILE:
        raise PassphraseUnreadable(f"{file} must hold one passphrase on one line")
    return text

"""Passphrases, from a file or from a person; never from an argument or the environment."""

import os
import sys
from pathlib import Path
from typing import Final

import click

from lookup import exits
from lookup.cli.console import fail
from lookup.config import Config

_HINT: Final = "it has 12 to 1024 characters of UTF-8, on one line"


def is_there(file: Path | None) -> bool:
    """Say whether there is such a file; one that we may not see, a credential, is not there."""
    return file is not None and os.path.exists(file)  # noqa: PTH110  # Path's would raise


def passphrase_of(config: Config, file: Path | None) -> bytes:
    """Return the passphrase of a site that is there; end the command if there is none.

    `file` goes before what is configured, which for a credential only the service can see.
    """
    from lookup.custodian.passphrases import (  # noqa: PLC0415  # `--help` must not wait for this
        PassphraseUnreadable,
        read_passphrase,
    )

    if file is None and is_there(config.passphrase_file):
        file = config.passphrase_file
    try:
        return read_passphrase(file)
    except PassphraseUnreadable as error:
        fail(exits.NO_PERMISSION, str(error), "name a private file: --passphrase-file FILE")


def typed_line(what: str, most: int = 256) -> str:
    """Return a line that a person types, or standard input holds: others can see arguments."""
    if sys.stdin.isatty():
        return str(click.prompt(what, err=True)).strip()
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        fail(exits.USAGE, f"{what.lower()}: there are more than {most} bytes", "give one line")
    return data.decode(errors="replace").strip()


def new_passphrase(file: Path | None) -> str:
    """Return what the file holds, or what a person types twice; end the command otherwise."""
    from lookup.custodian.passphrases import (  # noqa: PLC0415  # `--help` must not wait for this
        PassphraseUnreadable,
        read_passphrase_file,
    )
    from lookup.custodian.slotting import check_passphrase  # noqa: PLC0415  # as above
    from lookup.errors import InvalidRequest  # noqa: PLC0415  # as above

    try:
        text = _typed() if file is None else read_passphrase_file(file).decode()
        check_passphrase(text)
    except PassphraseUnreadable as error:
        fail(exits.NO_PERMISSION, str(error), "a passphrase file is private: chmod 600")
    except UnicodeDecodeError:
        fail(exits.USAGE, "the passphrase file does not hold text", _HINT)
    except InvalidRequest as error:
        fail(exits.USAGE, str(error), _HINT)
    return text


def _typed() -> str:
    if not sys.stdin.isatty():
        fail(exits.USAGE, "nobody is there to type a passphrase", "name a file that holds it")
    text: str = click.prompt(
        "New passphrase", hide_input=True, confirmation_prompt="The same again", err=True
    )
    return text

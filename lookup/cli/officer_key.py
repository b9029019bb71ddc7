"""`lacuna officer key`: an officer's own key, made on the officer's own machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lookup import exits
from lookup.cli.asking import new_passphrase
from lookup.cli.console import fail, json_option, print_json, say_facts
from lookup.cli.files import new_private_file

if TYPE_CHECKING:
    from crypto.sshsig import OfficerKey

KEY: Final = """Make an officer's key: FILE, sealed with a passphrase; FILE.pub, its public half.

Needs no site and no network. FILE never leaves this machine; FILE.pub is for the site, and is what
`ssh-keygen` takes too. An OpenSSH key of type ed25519 does as well: then there is nothing to make.

\b
Exit status
  0    made
  64   the passphrase is too short, or nobody is there to type it
  73   FILE or FILE.pub cannot be made, or is there already
  77   the passphrase file cannot be read, or can be read by others
"""


@click.command("key", help=KEY, short_help="Make an officer's key.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="Private file with the passphrase; without it you are asked, twice.",
)
@json_option
def command(file: Path, *, passphrase_file: Path | None, as_json: bool) -> None:
    """Look whether the names are free, ask, make both files or neither."""
    from crypto.sshsig import OfficerKey, fingerprint  # noqa: PLC0415  # `--help` must not wait

    public_file = file.with_name(f"{file.name}.pub")
    for path in (file, public_file):
        if path.is_symlink() or path.exists():  # known before anybody thinks of a passphrase
            fail(exits.CANNOT_CREATE, f"{path} is there already", "name another file")
    passphrase = new_passphrase(passphrase_file).encode()
    key = OfficerKey.generate()
    _write(key, passphrase, file, public_file)
    made = {
        "key": str(file.absolute()),
        "public_key": str(public_file.absolute()),
        "fingerprint": fingerprint(key.public()),
    }
    if as_json:
        print_json(made)
        return
    hint = f"have {public_file} enrolled, and read the fingerprint out to whoever enrols it"
    say_facts(
        {
            "key": made["key"],
            "public key": made["public_key"],
            "fingerprint": made["fingerprint"],
            "next": hint,
        }
    )


def _write(key: "OfficerKey", passphrase: bytes, file: Path, public_file: Path) -> None:
    from crypto.derive import RFC_9106_SECOND  # noqa: PLC0415  # as above
    from crypto.sshsig import format_public_key  # noqa: PLC0415  # as above
    from lookup.officers.keyfile import write_key_file  # noqa: PLC0415  # as above

    with new_private_file(public_file) as public:
        public.write(format_public_key(key.public()).encode() + b"\n")
        try:
            write_key_file(file, key, passphrase, RFC_9106_SECOND)
        except OSError as error:
            fail(exits.CANNOT_CREATE, f"{file} cannot be made: {error.strerror}")

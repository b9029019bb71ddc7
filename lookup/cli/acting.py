"""Acting as an officer: whose key signs, and where the custodian is reached.

Invariants:

* The passphrase of a key comes from a private file or a terminal, never from an argument or the
  environment; those name files alone.
* The key says who acts: the site knows each officer's public half.
* A token and a signature name the vault. Over the network the officer says which: a site that named
  another's could use there what it is given here.
"""

import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from lookup import exits
from lookup.cli.console import fail
from lookup.cli.custodian import Custodian, Json, connect, connect_to
from lookup.officers.errors import (
    KeyFileError,
    KeyFileUnreadable,
    NotAnOfficerKey,
    WrongPassphrase,
)

if TYPE_CHECKING:
    from crypto.sshsig import OfficerKey
    from lookup.officers.signing import Signer

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

_ID: Final = re.compile(r"[0-9a-f]{32}")

_OPTIONS: Final = (
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
    click.option(
        "--site",
        metavar="URL",
        envvar="LACUNA_SITE",
        show_envvar=True,
        help="The custodian's URL; without it, the socket of the site that --config names.",
    ),
    click.option(
        "--vault",
        "vault_id",
        metavar="ID",
        envvar="LACUNA_VAULT",
        show_envvar=True,
        help="The vault of --site, 32 hexadecimal digits: what you sign is for no other.",
    ),
    click.option(
        "--ca-file",
        type=click.Path(path_type=Path),
        help="Whom to trust for --site, PEM; without it, whom this machine trusts.",
    ),
)


@dataclass(frozen=True, slots=True)
class OfficerOptions:
    """What the options say: whose key, and which site. `act` takes them."""

    key_file: Path | None
    key_passphrase_file: Path | None
    site: str | None
    vault_id: str | None
    ca_file: Path | None


_NAMES: Final = tuple(each.name for each in fields(OfficerOptions))


def officer_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of whoever acts, in one argument: `officer`."""

    @wraps(command)
    def run(*args: Any, **given: Any) -> Any:  # noqa: ANN401  # whatever the command takes and returns
        officer = OfficerOptions(**{name: given.pop(name) for name in _NAMES})
        return command(*args, officer=officer, **given)

    wrapped: Callable[..., Any] = run
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def id_argument(name: str, metavar: str | None = None) -> Callable[[_F], _F]:
    """Give a command an argument that is an id, as the site prints them."""
    return click.argument(name, metavar=metavar, callback=_require_id)


def _require_id(ctx: click.Context, argument: click.Parameter, value: str) -> str:
    # Before it gets into a URL, and not repeated: somebody may have taken a child's number for it.
    if not _ID.fullmatch(value):
        fail(
            exits.USAGE,
            f"{argument.make_metavar(ctx)} is not 32 hexadecimal digits",
            "give the id as the site printed it, never an identifier",
        )
    return value


@dataclass(frozen=True, slots=True)
class Acting:
    """An officer at work: the custodian, reached as this officer, and the key in hand."""

    custodian: Custodian
    signer: "Signer"
    office: Json


def act(ctx: click.Context, officer: OfficerOptions) -> Acting:
    """Reach the custodian as the officer whose key this is, or end the command."""
    from crypto.sshsig import fingerprint  # noqa: PLC0415  # `--help` must not wait for this
    from lookup.officers.roles import OfficerId  # noqa: PLC0415  # as above
    from lookup.officers.signing import Signer, token_header  # noqa: PLC0415  # as above

    site, vault_id = officer.site, officer.vault_id
    if site is not None and vault_id is None:
        fail(
            exits.USAGE,
            "it is not said which vault --site keeps",
            "give --vault ID, as `lacuna status` there prints it: others could use your token",
        )
    custodian = connect(ctx) if site is None else connect_to(ctx, site, officer.ca_file)
    told = custodian.get("/health/ready")["vault"]
    if vault_id not in {None, told}:
        fail(exits.REFUSED, "this site keeps another vault", "compare --vault with `lacuna status`")
    vault = bytes.fromhex(told)
    key = load_key(officer.key_file, officer.key_passphrase_file)
    custodian.authorize(token_header(key, vault, int(time.time())))
    office = custodian.get("/v1/officers")
    own = fingerprint(key.public())
    (known,) = (each for each in office["officers"] if each["fingerprint"] == own)
    return Acting(custodian, Signer(vault, OfficerId(bytes.fromhex(known["id"])), key), office)


def load_key(key_file: Path | None, key_passphrase_file: Path | None) -> "OfficerKey":
    """Return the key to sign with; end the command if it is not to be had."""
    if key_file is None:
        fail(
            exits.USAGE,
            "no officer's key is named",
            "give --key FILE, or LACUNA_OFFICER_KEY; `lacuna officer key FILE` makes one",
        )
    return _load(key_file, key_passphrase_file)


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

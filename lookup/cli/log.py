"""`lacuna log`: its key and checkpoint, the cosignatures, and whether all of it is whole."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lookup import exits
from lookup.cli.console import fail, json_option, note, print_json, say, say_facts
from lookup.cli.custodian import connect
from lookup.cli.progress import Bar
from lookup.cli.standing import moment

if TYPE_CHECKING:
    # At run time these are imported where they are used: `--help` must not wait for them.
    from crypto.note import VerifierKey
    from lookup.transparency.verifying import Verified

_MAX_NOTE: Final = 1 << 16
_NEED_KEY: Final = "give --log-key, as `lacuna log key` prints it, or as a certificate names it"

KEY: Final = """Print the key that verifies this site's checkpoints, as C2SP tools take it.

\b
Exit status
  0   printed
  69  no custodian answers
"""
CHECKPOINT: Final = """Print the newest checkpoint: a signed note of the log's size and root.

Hand it to witnesses, who cosign it; then see `lacuna log cosign`.

\b
Exit status
  0   printed
  69  no custodian answers
"""
COSIGN: Final = """Hand in FILE: a checkpoint of this log that witnesses have cosigned.

A cosignature is kept if it verifies under a key of the configuration ([[witness]]). It is served
with the checkpoint, and a log that forgets what a witness has seen does not start any more.

\b
Exit status
  0   kept
  64  FILE is not a checkpoint of this log, or no configured witness has cosigned it
  65  the log contradicts it: see `lacuna log verify`
  66  FILE cannot be read
  69  no custodian answers
"""
VERIFY: Final = """Verify a log: hash every entry, compare every tile, and then the root.

FOLDER is a published log (log.published, or a copy of one) and needs no site; without it the
running site's log is verified over its socket.

\b
Exit status
  0   the log is whole, and this is its checkpoint
  1   it is not: the place of the first thing that is wrong is named
  64  --log-key is not a verifier key, or is missing
  66  FOLDER holds no log, or not all of it
  69  no custodian answers
"""


@click.group()
def group() -> None:
    """Show, cosign and verify the transparency log."""


@group.command(help=KEY, short_help="Print the log's verifier key.")
@json_option
@click.pass_context
def key(ctx: click.Context, *, as_json: bool) -> None:
    """Fetch and print it."""
    text = connect(ctx).fetch("/log/key").decode().strip()
    if as_json:
        print_json({"key": text})
    else:
        say(text)


@group.command(help=CHECKPOINT, short_help="Print the newest checkpoint.")
@json_option
@click.pass_context
def checkpoint(ctx: click.Context, *, as_json: bool) -> None:
    """Fetch and print it."""
    text = connect(ctx).fetch("/log/checkpoint").decode()
    if as_json:
        print_json({"checkpoint": text})
    else:
        click.echo(text, nl=False)


@group.command(help=COSIGN, short_help="Hand in a cosigned checkpoint.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@json_option
@click.pass_context
def cosign(ctx: click.Context, file: Path, *, as_json: bool) -> None:
    """Send it, and say whose cosignatures were kept."""
    raw = _read(file)
    taken = connect(ctx).send(
        "/v1/local/log/cosignatures",
        raw,
        "text/plain",
        hint="compare it with `lacuna log checkpoint`, and the key with [[witness]]",
    )
    if as_json:
        print_json(taken)
        return
    for witness in taken["witnesses"]:
        say_facts({witness["name"]: f"saw {taken['size']} entries, {moment(witness['time'])}"})


@group.command(help=VERIFY, short_help="Verify a published log, or the site's.")
@click.argument("folder", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--log-key", metavar="NAME+ID+KEY", help="The log's key; of a site, its own.")
@json_option
@click.pass_context
def verify(ctx: click.Context, folder: Path | None, *, log_key: str | None, as_json: bool) -> int:
    """Hash it all, and say what was found."""
    fetch: Callable[[str], bytes]
    if folder is None:
        officer = connect(ctx)
        log_key = log_key or officer.fetch("/log/key").decode().strip()
        fetch = _from_site(officer.fetch)
    else:
        if log_key is None:
            fail(exits.USAGE, "a folder does not say whose log it is", _NEED_KEY)
        fetch = _from_folder(folder)
    found, wrong = _verified(fetch, _parse(log_key))
    if as_json:
        print_json(_members(found, wrong))
    elif found is None:
        say_facts({"log": "NOT WHOLE", "wrong": wrong})
    else:
        say_facts({"log": "whole", **_members(found, None)})
    return exits.OK if found else exits.FINDING


def _verified(
    fetch: Callable[[str], bytes], key: "VerifierKey"
) -> tuple["Verified | None", str | None]:
    from lookup.transparency.verifying import InvalidLog, verify_log  # noqa: PLC0415  # as above

    try:
        with Bar("hashing the entries") as bar:
            return verify_log(fetch, key, bar.move), None
    except InvalidLog as error:
        return None, str(error)


def _members(found: "Verified | None", wrong: str | None) -> dict[str, Any]:
    if found is None:
        return {"whole": False, "wrong": wrong}
    checkpoint = found.checkpoint
    return {
        "whole": True,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
    }


def _from_site(fetch: Callable[[str], bytes]) -> Callable[[str], bytes]:
    """Read a site that goes on growing: of a tile that is complete by now, its beginning."""
    return lambda path: fetch(f"/log/{path}")


def _from_folder(folder: Path) -> Callable[[str], bytes]:
    from lookup.custodian.transparency.published import fetch_from  # noqa: PLC0415  # as above

    fetch = fetch_from(folder)

    def told(path: str) -> bytes:
        try:
            return fetch(path)
        except OSError as error:
            fail(exits.NO_INPUT, f"{folder / path} cannot be read: {error.strerror}")

    return told


def _parse(text: str) -> "VerifierKey":
    from crypto.note import InvalidVerifierKey, VerifierKey  # noqa: PLC0415  # as above

    try:
        return VerifierKey.parse(text)
    except InvalidVerifierKey as error:
        fail(exits.USAGE, f"--log-key: {error}", _NEED_KEY)


def _read(file: Path) -> bytes:
    try:
        with click.open_file(str(file), "rb") as stream:
            raw: bytes = stream.read(_MAX_NOTE + 1)
    except OSError as error:
        fail(exits.NO_INPUT, f"{file} cannot be read: {error.strerror}")
    if len(raw) > _MAX_NOTE:
        note("only the beginning of this file was read: it is longer than any checkpoint")
    return raw

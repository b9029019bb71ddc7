"""`lacuna passphrase`: change what the slots are locked with.

Invariant: with --write, at every moment the passphrase file or its neighbour FILE.new holds the
passphrase that opens the vault. The neighbour is written first, durably; it takes the file's name
when the change is done; it is removed only if the custodian has refused, or was never asked.
"""

from pathlib import Path
from typing import Final, NoReturn

import click

from lookup import exits
from lookup.cli.asking import new_passphrase
from lookup.cli.configured import load
from lookup.cli.console import Failure, fail, json_option, print_json, say_facts
from lookup.cli.custodian import Custodian, CustodianAway, connect
from lookup.cli.destruction import destruction_facts, destruction_status
from lookup.cli.files import new_private_file
from lookup.config import Config
from lookup.private_file import sync_folder

CHANGE: Final = """Lock every slot with another passphrase.

An epoch change: what the old passphrase opened opens no more, except an old copy of a slot
together with an old backup. A slot that is away takes the new passphrase when it is back.

Afterwards the custodian starts with the new passphrase alone. Write it to vault.passphrase_file
before the next start, or give --write: then it is done here, in a way that no crash can harm.

\b
Exit status
  0   changed; every slot has shown that no earlier key is left
  1   changed, and a slot lags
  64  the new passphrase is too short, or nobody is there to type it
  69  no custodian answers
  73  the passphrase file cannot be replaced; nothing was changed
  77  the file of the new passphrase cannot be read, or can be read by others
"""


@click.group()
def group() -> None:
    """Change the passphrase."""


@group.command(help=CHANGE, short_help="Lock every slot with another passphrase.")
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    help="Private file with the new one; without it you are asked, twice.",
)
@click.option("--write", is_flag=True, help="Replace vault.passphrase_file as well.")
@json_option
@click.pass_context
def change(
    ctx: click.Context, new_passphrase_file: Path | None, *, write: bool, as_json: bool
) -> int:
    """Read it, change it, and say what is to be done with it."""
    custodian = connect(ctx)
    config = load(ctx)
    target = _target(config) if write else None
    text = new_passphrase(new_passphrase_file)
    if target is None:
        done = custodian.post("/v1/local/passphrase", {"passphrase": text})
    else:
        done = _change_and_write(custodian, text, target)
    if as_json:
        print_json(done | {"written": write})
    else:
        say_facts(destruction_facts(done) | {"next": _next(config, written=write)})
    return destruction_status(done)


def _target(config: Config) -> Path:
    if config.passphrase_file is None:
        fail(exits.USAGE, "--write replaces vault.passphrase_file, and none is configured")
    return config.passphrase_file


def _change_and_write(custodian: Custodian, text: str, target: Path) -> dict[str, object]:
    pending = target.with_name(f"{target.name}.new")
    if pending.exists():
        fail(exits.CANNOT_CREATE, f"{pending} is there: a change was cut off", _cut(pending))
    with new_private_file(pending) as file:
        file.write(text.encode() + b"\n")
    try:
        done = custodian.post("/v1/local/passphrase", {"passphrase": text})
    except Failure as failure:
        if isinstance(failure, CustodianAway) or failure.status in {exits.USAGE, exits.REFUSED}:
            pending.unlink()
            raise
        _explain(failure, pending)
    pending.rename(target)
    sync_folder(target.parent)
    return done


def _explain(failure: Failure, pending: Path) -> NoReturn:
    message = f"{failure.message}; {pending} holds the new passphrase"
    fail(failure.status, message, _cut(pending))


def _cut(pending: Path) -> str:
    target = str(pending).removesuffix(".new")
    return (
        f"start the site: if it says that the passphrase was changed, `mv {pending} {target}`;"
        f" if it starts, `rm {pending}`"
    )


def _next(config: Config, *, written: bool) -> str:
    if written:
        return f"{config.passphrase_file} holds the new passphrase"
    if config.passphrase_file is None:
        return "the next start asks for the new passphrase"
    return f"write the new passphrase to {config.passphrase_file} before the next start"

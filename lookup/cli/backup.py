"""`lacuna backup`: bring a backup of the store up to date while the site runs."""

import json
from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.console import Failure, fail, json_option, print_json, say_facts
from lookup.cli.custodian import Custodian, connect
from lookup.cli.progress import Bar
from lookup.cli.standing import moment

HELP: Final = """Back up a running site's store into FOLDER.

FOLDER is made if it is missing; a backup that is there already is brought up to date. It holds
sealed rows only and serves for store and mirror. A slot is never backed up: an old copy of one,
with the passphrase, opens every backup of its epoch.

A backup's pages open until the next shred, change or purge; its records' contents are of use at
any age, together with the mirror. `lacuna restore --check --from FOLDER` says what it is worth.

\b
Exit status
  0   FOLDER holds the store as it stood at one commit
  65  FOLDER cannot take this backup, or a medium failed; the backup of before stays
  69  no custodian answers
"""


@click.command(help=HELP, short_help="Back up a running site's store.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@click.pass_context
def command(ctx: click.Context, folder: Path, *, as_json: bool) -> None:
    """Have it made, and say where it stands."""
    target = folder.absolute()
    made = {"folder": str(target), **_back_up(connect(ctx), target)}
    if as_json:
        print_json(made)
    else:
        say_facts({**made, "time": moment(made["time"])})


def _back_up(custodian: Custodian, folder: Path) -> dict[str, Any]:
    wanted = json.dumps({"folder": str(folder)}).encode()
    with Bar("backing up") as bar:
        for line in custodian.stream("/v1/local/backup", wanted, "application/json"):
            if "error" in line:
                fail(exits.REFUSED, line["error"], "choose another folder, or look at its medium")
            if "backup" in line:
                return dict(line["backup"])
            bar.move(line["done"], line["total"], f"{line['done']} rows")
    message = "the custodian stopped in the middle; the backup of before stays"
    raise Failure(exits.UNAVAILABLE, message, "run the same command again")

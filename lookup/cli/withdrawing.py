"""`lacuna officer withdraw-statement`: a family's statement leaves the record that it is beside."""

from typing import Final

import click

from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import json_option, yes_option
from lookup.cli.proposing import propose

WITHDRAW: Final = """Propose that STATEMENT beside RECORD is destroyed.

For a family that does not want it there any more, and for a statement that was put beside the
record of another family. `lacuna record show` says the ids of a record's statements. Once so many
others have approved, its key is destroyed: no backup brings its words back. The record stays as it
is. While a hold covers the record, its statements stay too.

\b
Exit status
  0   proposed: so many others have to approve it
  64  the authority is no code
  65  there is no such statement, its record is on hold, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""


@click.command("withdraw-statement", help=WITHDRAW, short_help="Propose to destroy a statement.")
@id_argument("record")
@id_argument("statement")
@click.option("--authority", required=True, help="The code of the record's authority.")
@officer_options
@yes_option
@json_option
@click.pass_context
def withdraw_statement(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    record: str,
    statement: str,
    *,
    authority: str,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Propose."""
    wanted = {
        "change": "withdraw-statement",
        "record": record,
        "statement": statement,
        "authority": authority,
    }
    propose(act(ctx, officer), wanted, yes=yes, as_json=as_json)

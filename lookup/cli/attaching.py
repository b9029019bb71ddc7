"""`lacuna officer attach`: a record that a case has changed takes its feed's word again."""

from typing import Final

import click

from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import json_option, yes_option
from lookup.cli.proposing import propose

ATTACH: Final = """Propose that the record of this id takes its feed's word again.

A case that unlinks or corrects a record detaches it: what its feed sends is kept aside, so that
tonight's feed does not undo what officers have decided; only what protects a child for longer is
taken. Attach the record once its authority's system says what is right: what waits is stored then,
and what comes later, identifiers too. A feed with a cursor that says the same as the record has
attached it by itself; of a feed without, that may be an old sending.

\b
Exit status
  0   proposed: so many others have to approve it
  64  the authority is no code
  65  there is no such record, it is not detached, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""


@click.command("attach", help=ATTACH, short_help="Propose to take a feed's word again.")
@id_argument("record")
@click.option("--authority", required=True, help="The code of the record's authority.")
@officer_options
@yes_option
@json_option
@click.pass_context
def attach(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    record: str,
    *,
    authority: str,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Propose."""
    wanted = {"change": "attach-record", "record": record, "authority": authority}
    propose(act(ctx, officer), wanted, yes=yes, as_json=as_json)

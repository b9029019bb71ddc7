"""`lacuna officer set-cursor`: a feed that has come too far by mistake is set back."""

from typing import Final

import click

from lookup.cli.acting import OfficerOptions, act, officer_options
from lookup.cli.console import json_option, yes_option
from lookup.cli.proposing import propose

SET_CURSOR: Final = """Propose that the feed of AUTHORITY goes on from CURSOR, which it has passed.

Whatever a feed sends with a cursor that is not beyond its newest one is refused (`replayed`). Where
that one was wrong, everything is, and no child of this authority is added any more. `lacuna officer
list` says how far each feed has come. Give the last cursor that was right, or 0 for a system that
counts anew; then have the feed send again what was refused since.

What it sends again with a newer cursor is stored, whenever that was sent first, and also what was
destroyed before: so choose no lower cursor than you need. What is destroyed afterwards is fenced,
as that of a feed without a cursor (replay_months), and officers alone attach a record that a case
has detached from this feed. A cursor is never set forward.

\b
Exit status
  0   proposed: so many others have to approve it
  64  the authority is no code, or the cursor no number
  65  the feed has not come further than that, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""


@click.command("set-cursor", help=SET_CURSOR, short_help="Propose to set a feed's cursor back.")
@click.argument("authority")
@click.argument("cursor", type=click.IntRange(0, (1 << 63) - 1))
@officer_options
@yes_option
@json_option
@click.pass_context
def set_cursor(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    authority: str,
    cursor: int,
    *,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Propose."""
    wanted = {"change": "set-cursor", "authority": authority, "cursor": cursor}
    propose(act(ctx, officer), wanted, yes=yes, as_json=as_json)

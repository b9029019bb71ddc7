"""`lacuna officer set-retention`: by which classes records are swept, and how many a night."""

from typing import Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, officer_options
from lookup.cli.console import fail, json_option, yes_option
from lookup.cli.proposing import propose

HELP: Final = """Propose that records whose time is over are swept, up to so many a night.

The time is that of the retention classes which are in force now: read them first, with `lacuna
retention classes`, and what they would find, with `lacuna retention dry-run`. What you sign names
the file by its SHA-256. Should it ever have other bytes, or too few of those who approved it be
officers still, nothing is swept until it is approved anew.
Everything that is swept is on a list for a week before, which officers can read.

\b
Exit status
  0   proposed: so many others have to approve it
  64  the authority breaks a rule
  65  none of your roles may propose, or the classes that the site shows are none
  66  a key file cannot be read
  69  no custodian answers
"""


@click.command("set-retention", help=HELP, short_help="Propose that what is due is swept.")
@click.option("--cap", type=click.IntRange(1, 10_000), required=True, help="Records a night.")
@click.option("--authority", help="The one authority whose records; without it, all others'.")
@officer_options
@yes_option
@json_option
@click.pass_context
def command(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    *,
    cap: int,
    authority: str | None,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Read the classes as the site shows them, propose just these."""
    from lookup.retention.classes import (  # noqa: PLC0415  # `--help` must not wait for this
        InvalidClasses,
        parse_classes,
    )

    acting = act(ctx, officer)
    shown = acting.custodian.get("/v1/retention/classes")["file"]
    try:
        classes = parse_classes(shown.encode())
    except InvalidClasses as error:
        fail(exits.REFUSED, str(error), "the site is not what it says: look at its machine")
    wanted = {
        "change": "set-retention",
        "policy": classes.policy.hex(),
        "version": classes.version,
        "cap": cap,
        "authority": authority,
    }
    propose(acting, wanted, yes=yes, as_json=as_json)

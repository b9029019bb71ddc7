"""`lacuna officer place-hold`, `lift-hold`, `holds`: what nobody may destroy for now."""

from typing import Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import fail, json_option, print_json, say, yes_option
from lookup.cli.proposing import propose, scope_words
from lookup.cli.standing import moment

PLACE: Final = """Put records on hold: whatever was decided, none is destroyed until it is lifted.

A hold covers the records that meet every condition that you give; without any, every record of the
site, as an inquiry's moratorium asks. It covers what comes later, too. You place it alone and at
once, for it only protects; to lift it needs as many approvals as a case.

\b
Exit status
  0   placed
  64  a reason, id or code breaks a rule
  65  no such record, category or class; too many holds; or you are neither legal nor safeguarding
  66  a key file cannot be read
  69  no custodian answers
"""
LIFT: Final = """Propose that HOLD, by its id, ends.

What was due meanwhile is carried out, or swept, as soon as the hold is lifted.

\b
Exit status
  0   proposed: so many others have to approve it
  65  there is no such hold, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""
HOLDS: Final = """List the holds, the oldest first: since when, by whom, what they cover and why.

Last come those of cases whose content was lost with a store: a restore brings these back; to lift
such a hold lets the lost case go, too.

\b
Exit status
  0   listed
  66  a key file cannot be read
  69  no custodian answers
"""


@click.command("place-hold", help=PLACE, short_help="Let nobody destroy some records for now.")
@click.option("--reason", required=True, help="A code, as court-case or inquiry; never a name.")
@click.option("--record", metavar="ID", help="The record of this id alone.")
@click.option("--authority", help="Records of this authority alone.")
@click.option("--category", help="Records of this category alone.")
@click.option("--class", "of_class", metavar="CLASS", help="Records of this retention class alone.")
@officer_options
@yes_option
@json_option
@click.pass_context
def place_hold(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    *,
    reason: str,
    record: str | None,
    authority: str | None,
    category: str | None,
    of_class: str | None,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Say what it covers, ask, place it."""
    scope = {
        "change": "place-hold",
        "reason": reason,
        "record": record,
        "authority": authority,
        "category": category,
        "class": of_class,
    }
    propose(act(ctx, officer), scope, yes=yes, as_json=as_json)


@click.command("lift-hold", help=LIFT, short_help="Propose that a hold ends.")
@id_argument("hold")
@officer_options
@yes_option
@json_option
@click.pass_context
def lift_hold(
    ctx: click.Context, /, hold: str, *, yes: bool, as_json: bool, officer: OfficerOptions
) -> None:
    """Find the hold, propose."""
    acting = act(ctx, officer)
    found = [each["scope"] for each in acting.office["holds"] if each["hold"] == hold]
    if not found:
        fail(exits.REFUSED, "there is no such hold", "see `lacuna officer holds`")
    wanted = {"change": "lift-hold", "hold": hold, "authority": found[0]["authority"]}
    propose(acting, wanted, yes=yes, as_json=as_json)


@click.command("holds", help=HOLDS, short_help="List what is on hold.")
@officer_options
@json_option
@click.pass_context
def holds(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).office["holds"]
    if as_json:
        print_json({"holds": found})
        return
    for each in found:
        who = each["placed_by"] or "somebody who has left"
        say(f"{each['hold']}  {moment(each['time'])}  {who}  {scope_words(each['scope'])}")
    if not found:
        say("nothing is on hold")

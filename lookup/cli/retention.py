"""`lacuna retention`: how long records are kept, and which are to be looked at again."""

from typing import Final

import click

from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import json_option, print_json, say, say_facts

REVIEWS: Final = """List the records whose accuracy is due for review, the longest due first.

A record is due so many months after it began, or was last changed or reviewed, as its retention
class says. Of more than 10,000 the first are listed, and all are counted.

\b
Exit status
  0   listed
  65  none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
"""
REVIEWED: Final = """Note that you have looked today whether RECORD is accurate still.

What you have found to be wrong its authority corrects, by sending it again; that counts as a
review, too.

\b
Exit status
  0   noted; the day on which it is due again is printed
  64  RECORD is not 32 hexadecimal digits
  65  there is no such record, it has no retention class, or none of your roles may review
  66  the key cannot be read
  69  no custodian answers
"""
_PATH: Final = "/v1/retention"


@click.group()
def group() -> None:
    """Keep no record longer than its class says, and look in time whether it is true."""


@group.command(help=REVIEWS, short_help="List what is due for review.")
@officer_options
@json_option
@click.pass_context
def reviews(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).custodian.get(f"{_PATH}/reviews")
    if as_json:
        print_json(found)
        return
    for each in found["reviews"]:
        say(f"{each['record_id']}  {each['day']}  {each['class']}")
    say_facts({"due": found["total"], "damaged pages": len(found["damaged_pages"])})


@group.command(help=REVIEWED, short_help="Note that a record was reviewed.")
@id_argument("record")
@officer_options
@json_option
@click.pass_context
def reviewed(ctx: click.Context, /, record: str, *, as_json: bool, officer: OfficerOptions) -> None:
    """Say so, and print when it is due again."""
    done = act(ctx, officer).custodian.post(
        f"{_PATH}/reviews/{record}", hint="see `lacuna retention reviews`"
    )
    if as_json:
        print_json(done)
    else:
        say_facts({"record": done["record_id"], "due again": done["day"]})

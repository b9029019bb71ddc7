"""`lacuna purge`: an epoch change without any other change."""

from typing import Final

import click

from lookup.cli.console import json_option, print_json, say_facts
from lookup.cli.custodian import connect
from lookup.cli.destruction import destruction_facts, destruction_status

HELP: Final = """Forget what was written and never committed.

An epoch change without any other change: aborted and rolled-back writes stop being readable, and
a slot that was away and is back gets its key. The custodian does it once a day by itself.

\b
Exit status
  0   every slot has shown that no earlier key is left
  1   a slot lags
  69  no custodian answers
"""


@click.command(help=HELP, short_help="Forget what was written and never committed.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Ask for it, and print what was destroyed."""
    done = connect(ctx).post("/v1/local/purge")
    if as_json:
        print_json(done)
    else:
        say_facts(destruction_facts(done))
    return destruction_status(done)

"""`lacuna serve`: run a site in the foreground."""

import click

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import fail
from lookup.logs import configure_logging
from lookup.supervisor import CannotServe, Supervisor


@click.command()
@click.pass_context
def command(ctx: click.Context) -> int:
    """Run a site: one custodian and its workers, until SIGTERM or Ctrl-C.

    Processes that end are started again; lookups go on while the custodian restarts.
    """
    config = load(ctx)
    configure_logging("supervisor")
    try:
        return Supervisor(config).run()
    except CannotServe as error:
        fail(exits.TEMPORARY, str(error), error.hint)

"""`lacuna serve`: run a site in the foreground."""

from dataclasses import replace
from typing import Final

import click

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import fail
from lookup.logs import LOG_FORMATS, configure_logging
from lookup.supervisor import CannotServe, Supervisor

HELP: Final = """Run a site: one custodian and its workers, until SIGTERM or Ctrl-C.

Processes that end are started again; lookups go on while the custodian restarts. The passphrase
comes from vault.passphrase_file, from a systemd credential called passphrase, or from you.

\b
Exit status
  0   stopped by SIGTERM or Ctrl-C
  65  refused: the store is not what slot and anchor have seen, or is damaged
  75  a port is in use, or the site runs already
  77  the passphrase does not open the slots
  78  the configuration breaks a rule
"""


@click.command(help=HELP, short_help="Run a site: one custodian and its workers.")
@click.option(
    "--log-format",
    type=click.Choice(LOG_FORMATS),
    help="How the processes log: lines for people, or a JSON object per line.  [serve.log_format]",
)
@click.pass_context
def command(ctx: click.Context, *, log_format: str | None) -> int:
    """Hold the site until told to stop."""
    config = load(ctx)
    if log_format is not None:
        config = replace(config, log_format=log_format)
    configure_logging("supervisor", config.log_format)
    try:
        return Supervisor(config).run()
    except CannotServe as error:
        fail(exits.TEMPORARY, str(error), error.hint)

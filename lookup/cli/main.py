"""`lacuna`: the group of all commands. A command's module is imported when it is called."""

from importlib import import_module
from pathlib import Path
from typing import Final

import click

from lookup import exits
from lookup.cli.console import Failure, show_defect, show_usage

# name → module: attribute, and the line that --help shows without importing anything.
COMMANDS: Final = {
    "init": ("lookup.cli.init:command", "Make a new site: store, mirror, slot, officers."),
    "serve": ("lookup.cli.serve:command", "Run a site: one custodian and its workers."),
    "status": ("lookup.cli.status:command", "Show where a running site stands."),
    "doctor": ("lookup.cli.doctor:command", "Check what this machine can promise."),
    "import": ("lookup.cli.importing:command", "Add or change many records from NDJSON."),
    "lookup": ("lookup.cli.lookup:command", "Ask whether a child is known."),
    "recalls": ("lookup.cli.recalls:command", "Show withdrawn answers; say they are deleted."),
    "record": ("lookup.cli.record:group", "Read a record; add a family's statement; export it."),
    "case": ("lookup.cli.case:group", "Expunge records: request, decide, carry out."),
    "officer": ("lookup.cli.officer:group", "Say who decides cases, and by which rules."),
    "retention": ("lookup.cli.retention:group", "Keep no record longer than its class says."),
    "purge": ("lookup.cli.purge:command", "Forget what was written and never committed."),
    "backup": ("lookup.cli.backup:command", "Back up a running site's store."),
    "restore": ("lookup.cli.restore:command", "Bring a site back from what is left."),
    "client": ("lookup.cli.client:group", "Enrol, list, rotate and revoke those who may ask."),
    "lookup-key": ("lookup.cli.lookup_key:group", "Rotate, retire and list lookup keys."),
    "slot": ("lookup.cli.slot:group", "Add, remove and list root slots."),
    "audit": ("lookup.cli.audit:group", "Verify the audit; show who was answered."),
    "certificate": (
        "lookup.cli.certificate:group",
        "Verify a certificate of destruction; write the family's letter.",
    ),
    "log": ("lookup.cli.log:group", "Show, cosign and verify the transparency log."),
    "passphrase": ("lookup.cli.passphrase:group", "Change the passphrase."),
    "demo": ("lookup.cli.demo:command", "Play the story on a demonstration site."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_Lazy)
@click.version_option(package_name="lacuna")
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),  # whether it can be read is told as such
    envvar="LACUNA_CONFIG",
    default=None,
    help="The site's configuration; default ./lacuna.toml, then /etc/lacuna/lacuna.toml.",
)
@click.pass_context
def group(ctx: click.Context, config: Path | None) -> None:
    """Lacuna: is this child known to social services? And: forget, provably.

    \b
    Exit status
      0    done
      1    done, and something needs a person
      64   the command line is not as described
      65   refused: a person has to decide
      66   a file that was named cannot be read
      69   no custodian answers
      70   a write failed, or a defect: stopped rather than guessed
      73   a file cannot be made, or is there already
      75   in use, or could not check: later may do
      77   wrong passphrase, or not allowed
      78   the configuration breaks a rule
      130  interrupted by Ctrl-C
    """  # noqa: D301  # click's mark for text that is not to be wrapped
    ctx.obj = config


def main() -> None:
    """Run the command line; whatever happens, end with a status of lookup/exits.py."""
    try:
        status = group.main(prog_name="lacuna", standalone_mode=False)
    except click.UsageError as error:
        raise SystemExit(show_usage(error)) from None
    except Failure as failure:
        failure.show()
        raise SystemExit(failure.status) from None
    except click.Abort:
        raise SystemExit(exits.INTERRUPTED) from None
    except Exception as error:  # noqa: BLE001  # the edge of the program: nothing may pass it
        raise SystemExit(show_defect(error)) from None
    raise SystemExit(status if isinstance(status, int) else exits.OK)

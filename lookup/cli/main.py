"""`lacuna`: the group of all commands. A command's module is imported when it is called."""

from importlib import import_module
from pathlib import Path
from typing import Final

import click

from lookup import exits

# name → module: attribute, and the line that --help shows without importing anything.
COMMANDS: Final = {
    "init": ("lookup.cli.init:command", "Make a new site: store, mirror, slot, officer's token."),
    "serve": ("lookup.cli.serve:command", "Run a site: one custodian and its workers."),
    "status": ("lookup.cli.status:command", "Show where a running site stands."),
    "doctor": ("lookup.cli.doctor:command", "Check what this machine can promise."),
    "import": ("lookup.cli.importing:command", "Add or change many records from NDJSON."),
    "lookup": ("lookup.cli.lookup:command", "Ask whether a child is known."),
    "shred": ("lookup.cli.shred:command", "Destroy the keys of records, for good."),
    "backup": ("lookup.cli.backup:command", "Back up a running site's store."),
    "restore": ("lookup.cli.restore:command", "Bring a site back from what is left."),
    "client": ("lookup.cli.client:group", "Enrol and list the clients that may ask."),
    "lookup-key": ("lookup.cli.lookup_key:group", "Rotate, retire and list lookup keys."),
    "slot": ("lookup.cli.slot:group", "Add, remove and list root slots."),
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
    type=click.Path(path_type=Path),
    envvar="LACUNA_CONFIG",
    default=None,
    help="The site's configuration; default ./lacuna.toml, then /etc/lacuna/lacuna.toml.",
)
@click.pass_context
def group(ctx: click.Context, config: Path | None) -> None:
    """Lacuna: is this child known to social services? And: forget, provably.

    Exit status: 0 done; 1 done, and something needs a person; 64 usage; 65 refused, a person has
    to decide; 66 no input; 69 no custodian answers; 70 stopped rather than guessed; 73 cannot
    create; 75 in use or could not check; 77 wrong passphrase; 78 configuration.
    """
    ctx.obj = config


def main() -> None:
    """Run the command line."""
    try:
        status = group.main(standalone_mode=False)
    except click.UsageError as error:
        error.show()
        raise SystemExit(exits.USAGE) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(getattr(error, "status", error.exit_code)) from None
    except click.Abort:
        raise SystemExit(130) from None
    raise SystemExit(status if isinstance(status, int) else exits.OK)

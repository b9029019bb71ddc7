"""`lacuna init`: make a new site."""

from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.asking import is_there
from lookup.cli.configured import load
from lookup.cli.console import fail, json_option, note, print_json, say_facts
from lookup.cli.making import Wish, described, make

# What a configuration says already, when there is one.
_CONFIGURED: Final = (
    "slots",
    "mirror",
    "authorities",
    "lookup",
    "custodian",
    "workers",
    "demo",
)

HELP: Final = """Make a new site: vault, slots, mirror, and its first officers.

With FOLDER a configuration is written to FOLDER/lacuna.toml, and store and mirror are made beside
it. Without FOLDER the site that --config describes is made.

A slot on the store's medium, or one that the medium cannot make forget, is refused: an old image
would hold a key and what it opens. --demo tolerates one medium, and says so on everything.

Officers decide what is expunged, and nobody alone does: name three at least, each by the public key
that `lacuna officer key` made on their own machine; among them a requester, a legal officer, and
one more who may approve. A system that sends records is an officer too, a registrar. With --demo
and no --officer, keys for one of each role are made in officers/ beside the store.

What fails leaves nothing behind.

\b
Exit status
  0   made
  64  an option is missing or contradicts the configuration, the officers could decide nothing, or
      the passphrase is too short
  65  the machine cannot keep what a slot there promises; see `lacuna doctor`
  66  the authorities cannot be read
  73  a file cannot be made, or is there already
  77  the passphrase file cannot be read, or can be read by others
  78  what the options describe is no valid configuration
"""


@click.command(help=HELP, short_help="Make a new site.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option(
    "--slot",
    "slots",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for a root slot, on a medium of its own; may be repeated.",
)
@click.option(
    "--mirror",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the mirror, on another medium than the store.  [FOLDER/mirror]",
)
@click.option(
    "--authorities",
    type=click.Path(path_type=Path),
    help="TOML file of [[authority]] tables: code, name, office_hours, out_of_hours.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="Private file with the passphrase; without it you are asked, twice.",
)
@click.option("--generate-passphrase", is_flag=True, help="Write a new one to --passphrase-file.")
@click.option(
    "--leaves",
    type=click.Choice(["256", "65536"]),
    default="65536",
    show_default=True,
    help="Leaves of the map: 65536 from about 10,000 records on.",
)
@click.option("--lookup", default="127.0.0.1:8440", show_default=True, help="Where workers listen.")
@click.option(
    "--custodian",
    default="127.0.0.1:8441",
    show_default=True,
    help="Where the custodian listens.",
)
@click.option("--operator", help="Where the custodian tells metrics; without it, nowhere.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=2, show_default=True, help="How many."
)
@click.option(
    "--officer",
    "officers",
    metavar="NAME:ROLE[,ROLE]:FILE",
    multiple=True,
    help="A first officer, with roles and public key file; give it again for each.",
)
@click.option("--demo", is_flag=True, help="Tolerate one medium, and say *demo* on everything.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, folder: Path | None, **options: Any) -> None:  # noqa: ANN401  # one option each, as above
    """Describe the site, make it, say what comes next."""
    as_json = options.pop("as_json")
    if folder is not None:
        made = make_site(folder.absolute(), **options)
    else:
        made = _make_configured(ctx, options)
    for warning in made["warnings"]:
        note(f"lacuna: warning: {warning}")
    if as_json:
        print_json(made)
        return
    promise = "class D: keep it in no backup, on no snapshot"
    say_facts(
        {
            "vault": made["vault"],
            "config": made["config"],
            "officers": ", ".join(made["officers"]),
            **({"their keys": made["officer_keys"]} if made["officer_keys"] else {}),
            "slots": [f"{slot}, {promise}" for slot in made["slots"]],
            "next": f"lacuna --config {made['config']} serve",
        }
    )


def make_site(folder: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401  # as `command`
    """Make a site in a folder; return what was made."""
    if not options["slots"] or options["authorities"] is None:
        fail(exits.USAGE, "a new site needs --slot and --authorities", "see `lacuna init --help`")
    config, text = described(folder, options)
    wish = Wish(
        leaves=options["leaves"],
        passphrase_file=config.passphrase_file,
        generate=options["generate_passphrase"],
        officers=options["officers"],
        config_text=text,
    )
    return make(config, wish)


def _make_configured(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Make the site that a configuration describes."""
    default = click.core.ParameterSource.DEFAULT
    given = [name for name in _CONFIGURED if ctx.get_parameter_source(name) != default]
    if given:
        option = f"--{given[0].removesuffix('s') if given[0] == 'slots' else given[0]}"
        message = f"{option} belongs into the configuration, or FOLDER is missing"
        fail(exits.USAGE, message, "see `lacuna init --help`")
    config = load(ctx)
    file: Path | None = options["passphrase_file"]
    if file is None and (options["generate_passphrase"] or is_there(config.passphrase_file)):
        file = config.passphrase_file
    wish = Wish(
        leaves=options["leaves"],
        passphrase_file=None if file is None else file.absolute(),
        generate=options["generate_passphrase"],
        officers=options["officers"],
    )
    return make(config, wish)

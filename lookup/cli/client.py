"""`lacuna client`: who may ask."""

import json
from pathlib import Path
from typing import Final

import click

from lookup.cli.console import json_option, print_json, say, say_facts
from lookup.cli.files import new_private_file
from lookup.cli.officer import connect
from lookup.cli.standing import moment

ADD: Final = """Enrol a client, such as a hospital, under NAME.

The enrolment file holds all that the client needs: base URLs, its secret, the lookup key. It is
the only copy of the secret; hand it over as you would a password, then remove it here.

\b
Exit status
  0   enrolled, and the file is written
  64  the name breaks a rule
  65  a client of this name exists
  69  no custodian answers
  73  the file cannot be made, or is there already; then nobody was enrolled
"""
LIST: Final = """List the clients that may ask, by name.

\b
Exit status
  0   listed
  69  no custodian answers
"""


@click.group()
def group() -> None:
    """Enrol and list the clients that may ask."""


@group.command(help=ADD, short_help="Enrol a client; write its enrolment file.")
@click.argument("name")
@click.option(
    "--enrolment",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to make; only you will be able to read it.",
)
@json_option
@click.pass_context
def add(ctx: click.Context, name: str, *, enrolment: Path, as_json: bool) -> None:
    """Make the file before the client: a secret without a place to go would be lost."""
    officer = connect(ctx)
    with new_private_file(enrolment) as file:
        made = officer.post("/v1/local/clients", {"name": name}, hint="see `lacuna client list`")
        file.write(json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n")
    shown = {
        "client": made["client_id"],
        "name": made["client_name"],
        "kid": made["kid"],
        "enrolment": str(enrolment.absolute()),
    }
    if as_json:
        print_json(shown)
    else:
        say_facts(shown | {"next": f"lacuna lookup --enrolment {enrolment}"})


@group.command("list", help=LIST, short_help="List the clients that may ask.")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """Ask, and print."""
    found = connect(ctx).get("/v1/local/clients")
    if as_json:
        print_json(found)
        return
    for client in found["clients"]:
        say(f"{client['id']}  since {moment(client['made'])}  {client['name']}")

"""`lacuna client`: who may ask, how much, and with which secret."""

import json
from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.certificates import fingerprint
from lookup.cli.console import (
    confirm,
    fail,
    json_option,
    print_json,
    say,
    say_facts,
    yes_option,
)
from lookup.cli.custodian import Custodian, connect
from lookup.cli.destruction import destruction_facts, destruction_status
from lookup.cli.files import new_private_file
from lookup.cli.standing import moment

ADD: Final = """Enrol a client, such as a hospital, under NAME.

The enrolment file holds all that the client needs: base URLs, its secret, the lookup key. It is
the only copy of the secret; hand it over as you would a password, then remove it here.

\b
Exit status
  0   enrolled, and the file is written
  64  the name or a limit breaks a rule
  65  a client of this name exists
  66  a certificate cannot be read
  69  no custodian answers
  73  the file cannot be made, or is there already; then nobody was enrolled
"""
LIST: Final = """List the clients that may ask, by name, and what they may.

\b
Exit status
  0   listed
  69  no custodian answers
"""
ROTATE: Final = """Give CLIENT, a name or an id, another secret and the newest lookup key.

The new enrolment file is the only copy of the new secret. The secret of now stays valid for the
hours of grace, so that the client can change over; --grace-hours 0 refuses it at once. Access
tokens that were given for it end within ten minutes.

\b
Exit status
  0   rotated, and the file is written; the earlier enrolment is forgotten after its grace
  1   the same, and a root slot lags
  65  there is no such client, or three former secrets of it are valid yet
  69  no custodian answers
  73  the file cannot be made, or is there already; then nothing was changed
"""
REVOKE: Final = """Revoke CLIENT, a name or an id: every worker refuses it from now on.

It cannot be brought back; enrol it anew.

\b
Exit status
  0   revoked; every slot has shown that no earlier key is left
  1   revoked, and a root slot lags
  65  there is no such client
  69  no custodian answers
"""
_PATH: Final = "/v1/local/clients"
_LIST_FIRST: Final = "see `lacuna client list`"

enrolment_option = click.option(
    "--enrolment",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to make; only you will be able to read it.",
)


@click.group()
def group() -> None:
    """Enrol, list, rotate and revoke the clients that may ask."""


@group.command(help=ADD, short_help="Enrol a client; write its enrolment file.")
@click.argument("name")
@enrolment_option
@click.option("--per-second", type=int, default=50, show_default=True, help="Tokens in a second.")
@click.option("--per-day", type=int, default=100_000, show_default=True, help="Tokens in a day.")
@click.option("--batch/--no-batch", default=True, help="Whether it may ask in batches.")
@click.option(
    "--certificate",
    "certificates",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A client certificate, PEM, that it must connect with; give it again for another one.",
)
@json_option
@click.pass_context
def add(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    name: str,
    *,
    enrolment: Path,
    per_second: int,
    per_day: int,
    batch: bool,
    certificates: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Make the file before the client: a secret without a place to go would be lost."""
    wanted = {
        "name": name,
        "per_second": per_second,
        "per_day": per_day,
        "batch": batch,
        "certificates": [fingerprint(path) for path in certificates],
    }
    custodian = connect(ctx)
    with new_private_file(enrolment) as file:
        made = custodian.post(_PATH, wanted, hint=_LIST_FIRST)
        file.write(_enrolment_file(made))
    shown = _enrolled(made, enrolment)
    if as_json:
        print_json(shown)
    else:
        say_facts(shown | {"next": f"lacuna lookup --enrolment {enrolment}"})


@group.command("list", help=LIST, short_help="List the clients that may ask.")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """Ask, and print."""
    found = connect(ctx).get(_PATH)
    if as_json:
        print_json(found)
        return
    for client in found["clients"]:
        say(f"{client['id']}  since {moment(client['made'])}  {client['name']}")
        say(f"    {', '.join(_allowed(client))}")


@group.command(help=ROTATE, short_help="Give a client another secret.")
@click.argument("client")
@enrolment_option
@click.option(
    "--grace-hours",
    type=click.IntRange(0, 720),
    default=24,
    show_default=True,
    help="How long the secret of now stays valid.",
)
@json_option
@click.pass_context
def rotate(
    ctx: click.Context, client: str, *, enrolment: Path, grace_hours: int, as_json: bool
) -> int:
    """Find the client and make the file before its secret."""
    custodian = connect(ctx)
    path = f"{_PATH}/{_find(custodian, client)['id']}/rotate"
    with new_private_file(enrolment) as file:
        done = custodian.post(
            path,
            {"grace_seconds": 3600 * grace_hours},
            hint="wait until a former secret has ended, or give --grace-hours 0",
        )
        made = done.pop("enrolment")
        file.write(_enrolment_file(made))
    shown = _enrolled(made, enrolment)
    if as_json:
        print_json(shown | done)
    else:
        facts: dict[str, object] = {**shown, "former secret until": moment(done["former_until"])}
        say_facts(facts | destruction_facts(done))
    return destruction_status(done)


@group.command(help=REVOKE, short_help="Refuse a client from now on.")
@click.argument("client")
@yes_option
@json_option
@click.pass_context
def revoke(ctx: click.Context, client: str, *, yes: bool, as_json: bool) -> int:
    """Find the client, ask whether that is meant, revoke it."""
    custodian = connect(ctx)
    found = _find(custodian, client)
    confirm(f"{found['name']} can check nothing more.", assumed=yes)
    done = custodian.post(f"{_PATH}/{found['id']}/revoke", hint=_LIST_FIRST)
    if as_json:
        print_json(done)
    else:
        revoked = f"{found['name']} ({found['id']})"
        say_facts({"revoked": revoked, **destruction_facts(done)})
    return destruction_status(done)


def _find(custodian: Custodian, wanted: str) -> dict[str, Any]:
    clients: list[dict[str, Any]] = custodian.get(_PATH)["clients"]
    found = [client for client in clients if wanted in {client["id"], client["name"]}]
    if len(found) != 1:
        what = "two clients answer to this" if found else "there is no client of this name or id"
        fail(exits.REFUSED, what, _LIST_FIRST)
    return found[0]


def _enrolment_file(made: dict[str, Any]) -> bytes:
    return json.dumps(made, indent=2, ensure_ascii=False).encode() + b"\n"


def _enrolled(made: dict[str, Any], enrolment: Path) -> dict[str, object]:
    return {
        "client": made["client_id"],
        "name": made["client_name"],
        "kid": made["kid"],
        "enrolment": str(enrolment.absolute()),
    }


def _allowed(client: dict[str, Any]) -> list[str]:
    said = [f"{client['per_second']} a second", f"{client['per_day']} a day"]
    said.append("also in batches" if client["batch"] else "no batches")
    if client["certificates"]:
        said.append(f"certificates: {len(client['certificates'])}")
    if client["former_secrets_until"]:
        said.append(f"a former secret until {moment(client['former_secrets_until'][-1])}")
    return said

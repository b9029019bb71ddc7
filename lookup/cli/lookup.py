"""`lacuna lookup`: ask a site about one child, at a terminal or from a script.

Invariants:

* The identifier comes from the prompt or standard input. On the command line other users of the
  machine and the shell's history would see it, so there it is refused, and not repeated.
* *Could not check* is an error, and no answer: no script can take it for *no record*.
"""

import os
import pwd
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from lookup import exits
from lookup.catalogue import Purpose
from lookup.cli.console import fail, json_option, print_json, say
from lookup.cli.enrolled import enrolled, fail_unchecked, open_client
from lookup.identifiers import SCHEMES, Identifier, InvalidIdentifier, parse_identifier

if TYPE_CHECKING:
    from lookup.client.outcome import Answer, KnownRecord
    from lookup.client.questions import Occasion
    from lookup.client.sync import LookupClient

MAX_INPUT: Final = 1_024
_TEN_DIGITS: Final = re.compile(r"(?:[0-9][ -]?){9,10}")

NO_RECORD: Final = """\
no record
  No authority of this site has a record of this child that it may answer.
  It does not mean that there is no concern: go by what you see and hear."""

HELP: Final = """Ask whether a child is known.

The identifier, such as nhs:9434765919, is asked for, or read from standard input: one, on one
line. It is never an argument, where other users of this machine could see it.

\b
Exit status
  0   answered: known, or no record (--json tells a script which)
  64  the command line or the identifier breaks a rule
  66  the enrolment file, CA file or certificate cannot be used
  75  could not check: this is not "no record"
"""


class _LookupCommand(click.Command):
    """Refuses identifiers among its arguments before anything can repeat them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(map(_looks_like_identifier, args)):
            _refuse_argument()
        rest = super().parse_args(ctx, args)
        if ctx.args:  # whatever it is, it may be an identifier with a slip in it
            _refuse_argument()
        return rest


@click.command(
    "lookup",
    cls=_LookupCommand,
    help=HELP,
    short_help="Ask whether a child is known.",
    context_settings={"allow_extra_args": True},
)
@enrolled
@click.option(
    "--purpose",
    type=click.Choice([purpose.value for purpose in Purpose]),
    default=Purpose.UNSCHEDULED_CARE.value,
    show_default=True,
    help="What the child is here for.",
)
@json_option
@click.option(
    "--user-id",
    envvar="LACUNA_USER_ID",
    show_envvar=True,
    help="Who asks, for the site's audit. Default: the name you are logged in by.",
)
@click.option(
    "--user-role",
    envvar="LACUNA_USER_ROLE",
    show_envvar=True,
    default="command line",
    show_default=True,
    help="In what role, for the site's audit.",
)
def command(  # noqa: PLR0913  # one parameter for each option
    *,
    enrolment: Path,
    purpose: str,
    as_json: bool,
    user_id: str | None,
    user_role: str,
    ca_file: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> None:
    """Ask, and print what can be said."""
    occasion = _make_occasion(purpose, user_id or _login_name(), user_role)
    with open_client(enrolment, ca_file, certificate, key) as client:
        # Asked for last: nobody should type a number for a command that cannot use it.
        answer = _ask(client, _read_identifier(), occasion, as_json=as_json)
    if as_json:
        print_json(_members(answer))
    else:
        say(_sentences(answer))


def _ask(
    client: "LookupClient", identifier: Identifier, occasion: "Occasion", *, as_json: bool
) -> "Answer":
    from lookup.client.outcome import CouldNotCheck  # noqa: PLC0415

    try:
        return client.lookup(identifier, occasion)
    except CouldNotCheck as failure:
        hint = 'this is not "no record": treat as unknown, and ring the authority'
        fail_unchecked(failure.reason, hint, as_json=as_json)


def _make_occasion(purpose: str, user_id: str, user_role: str) -> "Occasion":
    from lookup.client.questions import Occasion, User  # noqa: PLC0415

    try:
        return Occasion(User(user_id, user_role), Purpose(purpose))
    except ValueError as broken:
        fail(exits.USAGE, str(broken), "see `lacuna lookup --help`")


def _read_identifier() -> Identifier:
    text = _prompt() if sys.stdin.isatty() else _read_line()
    try:
        return parse_identifier(text)
    except InvalidIdentifier as broken:
        hint = "compare it with where it came from; it is written scheme:number"
        fail(exits.USAGE, f"not an identifier: {broken}", hint)


def _prompt() -> str:
    return str(click.prompt("identifier (scheme:number)", err=True)).strip()


def _read_line() -> str:
    data = sys.stdin.buffer.read(MAX_INPUT + 1)
    lines = data.decode("ascii", errors="replace").strip().splitlines()
    if len(lines) != 1 or len(data) > MAX_INPUT:
        hint = "write one to standard input; ask again for each other one"
        fail(exits.USAGE, "standard input is not one identifier on one line", hint)
    return lines[0]


def _members(answer: "Answer") -> dict[str, object]:
    """Return the answer as the lookup protocol writes it, without its padding, and its request."""
    from lookup.client.outcome import Known  # noqa: PLC0415

    named = {"request_id": str(answer.request_id)}
    if not isinstance(answer, Known):
        return {"outcome": "no-record", "records": [], "more": False} | named
    records = [
        {
            "category": record.category,
            "since": record.since.isoformat(),
            "until": None if record.until is None else record.until.isoformat(),
            "authority": asdict(record.authority),
        }
        for record in answer.records
    ]
    return {"outcome": "known", "records": records, "more": answer.more} | named


def _sentences(answer: "Answer") -> str:
    from lookup.client.outcome import Known  # noqa: PLC0415

    if not isinstance(answer, Known):
        return NO_RECORD
    lines = ["known", *(line for record in answer.records for line in _record_lines(record))]
    if answer.more:
        lines.append("  There are more records than an answer holds: ask the authority.")
    return "\n".join(lines)


def _record_lines(record: "KnownRecord") -> tuple[str, ...]:
    authority = record.authority
    until = "" if record.until is None else f" until {record.until.isoformat()}"
    return (
        f"  {record.category} since {record.since.isoformat()}{until}",
        f"    ring {authority.name} ({authority.code})",
        f"    office hours {authority.office_hours}, out of hours {authority.out_of_hours}",
    )


def _looks_like_identifier(argument: str) -> bool:
    scheme, colon, _ = argument.partition(":")
    named = bool(colon) and scheme.strip().lower() in SCHEMES
    return named or _TEN_DIGITS.fullmatch(argument) is not None


def _refuse_argument() -> NoReturn:
    fail(
        exits.USAGE,
        "an identifier is not given as an argument, where others can see it",
        "leave it out and type it when asked; then delete this line from your shell's history",
    )


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # a container's user may have no name
        return f"uid {os.geteuid()}"

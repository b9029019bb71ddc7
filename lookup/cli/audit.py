"""`lacuna audit`: what the audit chain says, and whether it is whole."""

import json
import re
from typing import Final

import click

from lookup import exits
from lookup.cli.console import fail, json_option, print_json, say, say_facts
from lookup.cli.custodian import connect
from lookup.cli.walking import walk

_RECORD_ID: Final = re.compile(r"[0-9a-f]{32}")
_LOCAL: Final = "/v1/local/audit"

VERIFY: Final = """Verify the audit chain: every entry is there, in its order, as it was taken in.

Each row is followed from the one before it and opened, and the end is compared with the anchors,
which lie on another medium than the store. Entries that workers have written within the last
seconds are taken in first.

\b
Exit status
  0   the chain is whole
  1   it is not: rows are missing, changed or cannot be read
  65  the vault refused
  69  no custodian answers
"""
ACCESSES: Final = """Show who was answered with the record RECORD_ID: when, who, and what for.

Every entry is compared with the record's links, about 5 us each. Once a record is shredded its
accesses cannot be found any more, by nobody.

\b
Exit status
  0   shown
  64  RECORD_ID is not 32 hexadecimal digits
  65  there is no such record
  69  no custodian answers
"""
EXPORT: Final = """Print every audit entry: who asked when and what for, one JSON object a line.

With --json the lines are one document instead, and all of them in memory first.

What was asked for and what was answered is not in it. It names people: hand it on as you would a
staff record.

\b
Exit status
  0   all of it was printed
  65  the vault refused
  69  no custodian answers, or it stopped in the middle
"""


@click.group()
def group() -> None:
    """Verify the audit, show who was answered, export it."""


@group.command(help=VERIFY, short_help="Verify that the audit chain is whole.")
@json_option
@click.pass_context
def verify(ctx: click.Context, *, as_json: bool) -> int:
    """Have it followed, and say what was found."""
    (line,) = walk(connect(ctx), f"{_LOCAL}/verify", "following the chain")
    verdict = line["verdict"]
    if as_json:
        print_json(verdict)
    else:
        say_facts(
            {
                "chain": "whole" if verdict["sound"] else "NOT WHOLE",
                "rows": verdict["rows"],
                "entries": verdict["entries"],
                "broken": verdict["broken"] and f"row {verdict['broken']} does not follow",
                "gaps": [_gap(*ends) for ends in verdict["gaps"]] or ["none"],
                "not readable": [f"row {row}" for row in verdict["unreadable"]] or ["none"],
                "anchors": "agree" if verdict["anchored"] else "have seen another chain",
            }
        )
    return exits.OK if verdict["sound"] else exits.FINDING


@group.command(help=ACCESSES, short_help="Show who was answered with a record.")
@click.argument("record_id")
@json_option
@click.pass_context
def accesses(ctx: click.Context, record_id: str, *, as_json: bool) -> None:
    """Have the chain searched, and print what was found."""
    if not _RECORD_ID.fullmatch(record_id):
        # Not repeated: somebody may have taken a child's number for a record's.
        hint = "give a record id as the site returned it, never an identifier"
        fail(exits.USAGE, "the record id is not 32 hexadecimal digits", hint)
    lines = walk(connect(ctx), f"{_LOCAL}/accesses/{record_id}", "searching the chain")
    found = [line["access"] for line in lines if "access" in line]
    if as_json:
        print_json({"record_id": record_id, "accesses": found})
        return
    for access in found:
        who = access["client_name"] or access["client"]
        words = (access["user"], access["role"], access["purpose"], access["encounter"])
        say("  ".join((access["time"], who, *(word or "-" for word in words))))
    if not found:
        say("nobody was answered with this record")


@group.command(help=EXPORT, short_help="Print every audit entry, one JSON object a line.")
@json_option
@click.pass_context
def export(ctx: click.Context, *, as_json: bool) -> None:
    """Print the lines as they come."""
    lines = (
        line
        for line in walk(connect(ctx), f"{_LOCAL}/export", "exporting")
        if "complete" not in line
    )
    if as_json:
        print_json({"audit": list(lines)})
        return
    for line in lines:
        say(json.dumps(line, ensure_ascii=False))


def _gap(first: int, last: int) -> str:
    return f"rows {first} to {last} were lost" if last >= first else f"unknown, at row {first}"

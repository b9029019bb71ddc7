"""`lacuna shred`: destroy the keys of records, all in one epoch change."""

import re
import sys
from typing import Final

import click

from lookup import exits
from lookup.cli.console import confirm, fail, json_option, print_json, say_facts, yes_option
from lookup.cli.destruction import destruction_facts, destruction_status
from lookup.cli.officer import connect

# As lookup/custodian/shredding.py has them; a test holds the two together.
REASONS: Final = {
    "art-17-1-a": "no longer necessary",
    "art-17-1-b": "consent was withdrawn",
    "art-17-1-c": "objected to",
    "art-17-1-d": "processed unlawfully",
    "art-17-1-e": "a legal obligation to erase",
    "art-17-1-f": "collected for information society services to a child",
    "art-17-1-g": "a malicious allegation",
}
MAX_RECORDS: Final = 10_000
_RECORD_ID: Final = re.compile(r"[0-9a-f]{32}")
_DEMO: Final = "a demonstration site: store, mirror and slot lie on one medium"

_REASONS_LISTED: Final = "\n".join(f"  {code}  {why}" for code, why in REASONS.items())
HELP: Final = f"""Destroy the keys of records, for good.

RECORD_ID is what `lacuna import --results` and the custodian's API return: 32 hexadecimal digits;
a dash reads them from standard input, one on a line. Either all of them are shredded or, when one
is not there, none. Nothing brings a shredded record back: no backup, no restore.

\b
Reasons (UK GDPR Art 17(1))
{_REASONS_LISTED}

\b
Exit status
  0   shredded; every slot has shown that no earlier key is left
  1   shredded, and a slot lags: until it confirms, it and an old backup read on
  65  a record is not there; none was shredded
  69  no custodian answers
"""


@click.command(help=HELP, short_help="Destroy the keys of records, for good.")
@click.argument("record_ids", metavar="RECORD_ID...", nargs=-1, required=True)
@click.option(
    "--reason",
    metavar="CODE",
    type=click.Choice(list(REASONS)),
    required=True,
    help="Why: one of the codes above.",
)
@yes_option
@json_option
@click.pass_context
def command(
    ctx: click.Context, record_ids: tuple[str, ...], *, reason: str, yes: bool, as_json: bool
) -> int:
    """Ask whether that is meant, shred, and print what was destroyed."""
    wanted = _parse(record_ids)
    confirm(f"{len(wanted)} records will be destroyed, for good.", assumed=yes)
    done = connect(ctx).post(
        "/v1/local/shred",
        {"record_ids": wanted, "reason": reason},
        hint="compare the record ids; one that was shredded before is not there either",
    )
    if as_json:
        print_json(done)
    else:
        facts: dict[str, object] = {
            "destroyed": [f"record {record_id}" for record_id in done["record_ids"]],
            "reason": f"{reason}, {REASONS[reason]}",
            **destruction_facts(done),
        }
        say_facts(facts | ({"demo": _DEMO} if done["demo"] else {}))
    return destruction_status(done)


def _parse(given: tuple[str, ...]) -> list[str]:
    """Return the record ids, without those that are given twice."""
    texts: list[str] = []
    for text in given:
        texts += _read() if text == "-" else [text]
    for number, text in enumerate(texts, start=1):
        if not _RECORD_ID.fullmatch(text):
            # Not repeated: somebody may have taken a child's number for a record's.
            fail(
                exits.USAGE,
                f"record id {number} of {len(texts)} is not 32 hexadecimal digits",
                "give record ids as the site returned them, never identifiers",
            )
    wanted = list(dict.fromkeys(texts))
    if not 1 <= len(wanted) <= MAX_RECORDS:
        fail(exits.USAGE, f"{len(wanted)} records were named; one call shreds 1 to {MAX_RECORDS}")
    return wanted


def _read() -> list[str]:
    text = sys.stdin.buffer.read(64 * MAX_RECORDS + 1)
    if len(text) > 64 * MAX_RECORDS:
        fail(exits.USAGE, f"one call shreds at most {MAX_RECORDS} records")
    return text.decode("ascii", errors="replace").split()

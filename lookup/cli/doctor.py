"""`lacuna doctor`: what this machine and these folders can promise."""

from collections.abc import Mapping
from typing import Final

import click

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import json_option, print_json, say

HELP: Final = """Check what this machine can promise.

A class D slot forgets by overwriting a file. The file system, the media, swap, hibernation, core
dumps and permissions are looked at for what could keep a copy of an old key; passphrase file,
folders and index for what would let others read. Nothing is changed; the site may run or not.

It cannot see what a disk or a host keeps below it: flash translation, snapshots of a virtual
machine's disk, backups that somebody makes of the slot's medium.

\b
Exit status
  0   nothing to do
  1   something is refused, or is for a person to weigh; in a demonstration
      one medium for all is tolerated
"""


@click.command(help=HELP, short_help="Check what this machine can promise.")
@json_option
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Look, and list."""
    config = load(ctx)
    from lookup.cli.fitness import examine  # noqa: PLC0415  # `--help` must not wait for this

    concerns = examine(config)
    rows = [
        {
            "severity": concern.finding.severity.value,
            "tolerated": concern.matters(demo=False) and not concern.matters(demo=config.demo),
            "rule": concern.finding.rule,
            "finding": concern.finding.text,
            "hint": concern.finding.hint,
            "slots": [str(slot) for slot in concern.slots],
        }
        for concern in concerns
    ]
    if as_json:
        print_json({"demo": config.demo, "findings": rows})
    else:
        for row in rows:
            _show(row, several=len(config.slots) > 1)
    return exits.FINDING if any(c.matters(demo=config.demo) for c in concerns) else exits.OK


def _show(row: Mapping[str, object], *, several: bool) -> None:
    about = f" [{', '.join(row['slots'])}]" if several and isinstance(row["slots"], list) else ""
    say(f"{row['severity']:<7} {row['rule']:<14} {row['finding']}{about if row['slots'] else ''}")
    if row["tolerated"]:
        say(f"{'':<22} tolerated, for this is a demonstration")
    elif row["hint"]:
        say(f"{'':<22} {row['hint']}")

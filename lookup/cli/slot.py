"""`lacuna slot`: root slots, which hold what opens the vault."""

import json
from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.configured import load
from lookup.cli.console import (
    confirm,
    fail,
    json_option,
    note,
    print_json,
    say,
    say_facts,
    yes_option,
)
from lookup.cli.custodian import Custodian, connect
from lookup.cli.destruction import destruction_facts, destruction_status
from lookup.config import Config

ADD: Final = """Make a slot in FOLDER, and give it the next epoch's key.

FOLDER lies on a medium of its own, in no backup and on no snapshot. Afterwards write it into
vault.slots of the configuration: a slot that is not named there is away at the next start.

\b
Exit status
  0   made; every slot has shown that no earlier key is left
  1   made, and a slot lags
  65  there is a slot in FOLDER already, or the vault has eight
  69  no custodian answers
"""
REMOVE: Final = """Let the slot SLOT_ID leave: it destroys every key it holds.

A slot that is out of reach cannot show that; --lost signs it off. It stays named in every later
destruction, because whoever finds it can read on with an old backup. Afterwards take its folder
out of vault.slots of the configuration.

\b
Exit status
  0   it left
  1   it is signed off as lost, or another slot lags
  65  there is no such slot, it is the last one, or it is out of reach and --lost is not given
  69  no custodian answers
"""
LIST: Final = """List the root slots: id, class, whether it has confirmed, label.

\b
Exit status
  0   all have confirmed
  1   one lags
  69  no custodian answers
"""


@click.group()
def group() -> None:
    """Add, remove and list root slots."""


@group.command(help=ADD, short_help="Make a slot.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@json_option
@click.pass_context
def add(ctx: click.Context, folder: Path, *, as_json: bool) -> int:
    """Have it made; say what the configuration must say."""
    custodian = connect(ctx)
    config, target = load(ctx), folder.absolute()
    _refuse_unfit(config, target)
    hint = "choose an empty folder on a medium of its own"
    done = custodian.post("/v1/local/slots", {"folder": str(target)}, hint=hint)
    if as_json:
        print_json(done)
    else:
        slots = json.dumps([str(slot) for slot in (*config.slots, target)])
        say_facts(destruction_facts(done) | {"next": f"in {config.path}: slots = {slots}"})
    return destruction_status(done)


def _refuse_unfit(config: Config, folder: Path) -> None:
    from lookup.cli.fitness import foreseen, is_forbidding  # noqa: PLC0415  # `--help` must not wait for this

    for finding in foreseen(config, [folder]):
        if is_forbidding(finding, demo=config.demo):
            fail(exits.REFUSED, finding.text, finding.hint)
        note(f"lacuna: warning: {finding.text}")


@group.command(help=REMOVE, short_help="Let a slot leave.")
@click.argument("slot_id")
@click.option("--lost", is_flag=True, help="Sign off a slot that is out of reach.")
@yes_option
@json_option
@click.pass_context
def remove(ctx: click.Context, slot_id: str, *, lost: bool, yes: bool, as_json: bool) -> int:
    """Look what it is, ask whether that is meant, let it leave."""
    custodian = connect(ctx)
    found = [slot for slot in _slots(custodian) if slot["id"] == slot_id]
    if not found:
        fail(exits.REFUSED, "no slot of this id is registered", "see `lacuna slot list`")
    if found[0]["lagging"] and not lost:
        message = "this slot lags: out of reach, it cannot show that its keys are destroyed"
        fail(exits.REFUSED, message, "bring it back and restart the site, or sign it off: --lost")
    confirm(f"The slot {found[0]['label']} will open nothing any more.", assumed=yes)
    done = custodian.post(f"/v1/local/slots/{slot_id}/remove", hint="add another slot first")
    if as_json:
        print_json(done)
    else:
        say_facts(destruction_facts(done) | {"next": "take its folder out of vault.slots"})
    return exits.FINDING if slot_id in done["lost"] else destruction_status(done)


@group.command("list", help=LIST, short_help="List the root slots.")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> int:
    """Ask, and print."""
    slots = _slots(connect(ctx))
    if as_json:
        print_json({"slots": slots})
    else:
        for slot in slots:
            standing = "lost" if slot["lost"] else "lagging" if slot["lagging"] else "confirmed"
            say(f"{slot['id']}  class {slot['class']}  {standing}  {slot['label']}")
    return exits.FINDING if any(slot["lagging"] for slot in slots) else exits.OK


def _slots(custodian: Custodian) -> list[dict[str, Any]]:
    return list(custodian.get("/v1/local/status")["slots"])

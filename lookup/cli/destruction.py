"""What an epoch change can say of itself, as every command that makes one prints it. Pure."""

from typing import Any

from lookup import exits
from lookup.cli.standing import moment

Json = dict[str, Any]

_STILL = "until it confirms, whoever holds it and an old backup can read on"


def destruction_facts(done: Json) -> dict[str, object]:
    """Return names and values for `console.say_facts`."""
    shown: dict[str, object] = {
        "epoch": f"{done['epoch']}, at {moment(done['time'])}",
        "confirmed": [f"{s['slot']} class {s['class']}: {s['promise']}" for s in done["confirmed"]],
    }
    if done["lagging"]:
        shown["lagging"] = [f"{slot}: {_STILL}" for slot in done["lagging"]]
    if done["lost"]:
        shown["lost"] = [f"{slot}: whoever finds it can do the same" for slot in done["lost"]]
    return shown


def destruction_status(done: Json) -> int:
    """Return 1 while a slot has yet to confirm; a lost one was decided about."""
    return exits.FINDING if done["lagging"] else exits.OK

"""`lacuna lookup-key`: the keys that hospitals hash identifiers with."""

import time
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.console import confirm, fail, json_option, print_json, say, say_facts, yes_option
from lookup.cli.custodian import Custodian, connect
from lookup.cli.progress import Bar
from lookup.cli.standing import moment

_PATH: Final = "/v1/local/lookup-keys"
_POLL: Final = 0.2  # seconds

ROTATE: Final = """Make a new lookup key beside the one of now.

It can be used once every record is indexed under it too; the command waits for that. From then on
`lacuna client add` and `lacuna client rotate` give it out, and both keys are answered until the old
one is retired.

\b
Exit status
  0    made, and indexed (with --no-wait: made)
  65   two lookup keys are live: retire the old one first
  69   no custodian answers; a key that was made is indexed at its next start
  130  Ctrl-C: the key is made, and goes on being indexed
"""
RETIRE: Final = """Destroy the lookup key KID; lookups with it are refused from now on.

Clients whose enrolment has it can check nothing more: give them the new one first, by `lacuna
client rotate`. Nothing brings the key back.

\b
Exit status
  0   destroyed
  65  there is no such key, or no other one is live and indexed
  69  no custodian answers
"""
LIST: Final = """List the live lookup keys, the oldest first.

\b
Exit status
  0   listed
  69  no custodian answers
"""


@click.group()
def group() -> None:
    """Rotate, retire and list lookup keys."""


@group.command(help=ROTATE, short_help="Make a new lookup key.")
@click.option("--no-wait", is_flag=True, help="Do not wait until it is indexed.")
@json_option
@click.pass_context
def rotate(ctx: click.Context, *, no_wait: bool, as_json: bool) -> None:
    """Make one, and wait."""
    custodian = connect(ctx)
    kid = custodian.post(_PATH, hint="see `lookup-key list`, then `lookup-key retire`")["kid"]
    if not no_wait:
        _await_indexed(custodian, kid)
    made = {"kid": kid, "indexed": not no_wait}
    if as_json:
        print_json(made)
        return
    hint = "give every client the new key (`lacuna client rotate`), then retire the old one"
    say_facts({"kid": kid, "indexed": "not awaited" if no_wait else "yes", "next": hint})


def _await_indexed(custodian: Custodian, kid: str) -> None:
    with Bar("indexing", 1.0) as bar:
        while True:
            report = custodian.get("/v1/local/status")
            key = _find(report["lookup_keys"], kid)
            if key is None:
                fail(exits.FINDING, f"lookup key {kid} was retired meanwhile")
            if key["indexed"]:
                return
            bar.move(report["table"]["building"] or 0.0)
            time.sleep(_POLL)


def _find(keys: list[dict[str, Any]], kid: str) -> dict[str, Any] | None:
    return next((key for key in keys if key["kid"] == kid), None)


# A kid may begin with a dash, and is no option then.
@group.command(
    help=RETIRE,
    short_help="Destroy a lookup key.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("kid")
@yes_option
@json_option
@click.pass_context
def retire(ctx: click.Context, kid: str, *, yes: bool, as_json: bool) -> None:
    """Look whether there is such a key, ask whether that is meant, destroy it."""
    custodian = connect(ctx)
    if _find(custodian.get(_PATH)["lookup_keys"], kid) is None:
        fail(exits.REFUSED, "there is no live lookup key of this kid", "see `lookup-key list`")
    confirm("Clients enrolled with this key can check nothing more.", assumed=yes)
    hint = "rotate first, and wait until the new key is indexed"
    done = custodian.post(f"{_PATH}/{kid}/retire", hint=hint)
    if as_json:
        print_json(done)
    else:
        say_facts({"destroyed": f"lookup key {done['kid']}"})


@group.command("list", help=LIST, short_help="List the live lookup keys.")
@json_option
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """Ask, and print."""
    found = connect(ctx).get(_PATH)
    if as_json:
        print_json(found)
        return
    for key in found["lookup_keys"]:
        standing = "indexed" if key["indexed"] else "not indexed yet"
        say(f"{key['kid']}  since {moment(key['made'])}  {standing}")

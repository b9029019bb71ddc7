"""`lacuna retention`: how long records are kept, and which are to be looked at again."""

from typing import Any, Final

import click

from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import json_option, print_json, say, say_facts
from lookup.cli.custodian import connect

LIST: Final = """List the records that are to be destroyed because their time is over.

Every record is listed for a week before it goes. Who knows why one must stay places a hold
(`lacuna officer place-hold`), or has its authority correct what it says of its retention. What left
a list alive in the last sweep is listed too, with the reason.

\b
Exit status
  0   listed
  65  none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
"""
DRY_RUN: Final = """Look at every record, and say what a sweep would find; nothing is changed.

Due, listed already, on hold and by what, in open cases, still answered to hospitals, not due yet;
those whose expiry nobody can say, by class and missing clock; those without retention, which are
never swept; and in which years the records of each class expire. Works without an approval.

\b
Exit status
  0   told
  65  none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
"""
CLASSES: Final = """Show the retention classes in force: the file whose SHA-256 officers sign.

With `lacuna officer set-retention` an officer proposes that what is due by just these is swept.

\b
Exit status
  0   shown
  65  none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
"""
SWEEP: Final = """Do tonight's sweep now: list what is due, destroy what has been listed for a week.

The custodian does it once a day by itself. Without an approval that officers have signed, of the
very classes that are in force, nothing happens; and however often it is called, no more is listed
or destroyed in a day than the approval's cap.

\b
Exit status
  0   done
  69  no custodian answers
"""
REVIEWS: Final = """List the records whose accuracy is due for review, the longest due first.

A record is due so many months after it began, or was last changed or reviewed, as its retention
class says. Of more than 10,000 the first are listed, and all are counted.

\b
Exit status
  0   listed
  65  none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
"""
REVIEWED: Final = """Note that you have looked today whether RECORD is accurate still.

What you have found to be wrong its authority corrects, by sending it again; that counts as a
review, too.

\b
Exit status
  0   noted; the day on which it is due again is printed
  64  RECORD is not 32 hexadecimal digits
  65  there is no such record, it has no retention class, or none of your roles may review
  66  the key cannot be read
  69  no custodian answers
"""
_PATH: Final = "/v1/retention"
_FOUND: Final = {
    "records": "records",
    "due": "due",
    "listed": "listed already",
    "held": "on hold",
    "in-open-case": "in open cases",
    "answered": "still answered to hospitals",
    "not-yet": "not due yet",
    "unknown-clock": "nobody can say",
    "unknown-class": "of no class in force",
    "without-retention": "without retention",
}


@click.group()
def group() -> None:
    """Keep no record longer than its class says, and look in time whether it is true."""


@group.command("list", help=LIST, short_help="List what is to be destroyed.")
@officer_options
@json_option
@click.pass_context
def list_(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).custodian.get(_PATH, patient=True)
    if as_json:
        print_json(found)
        return
    for each in found["records"]:
        kept = f"  kept: {each['why']}" if each["why"] != "due" else ""
        says = f"{each['class'] or '-'}  expired {each['expired'] or '-'}"
        say(f"{each['record_id']}  {says}  not before {each['not_before']}{kept}")
    for each in found["left"]:
        say(f"{each['record_id']}  left the list: {each['why']}")
    say_facts(_standing(found) | {"listed": len(found["records"])})


@group.command("dry-run", help=DRY_RUN, short_help="Say what a sweep would find.")
@officer_options
@json_option
@click.pass_context
def dry_run(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Have all records looked at, and print what was found."""
    found = act(ctx, officer).custodian.get(f"{_PATH}/dry-run", patient=True)
    if as_json:
        print_json(found)
        return
    clocks = [
        f"{code}: {number} without {clock}"
        for code, missing in found["clocks"].items()
        for clock, number in missing.items()
    ]
    years = [
        f"{code}: " + ", ".join(f"{number} in {year}" for year, number in each.items())
        for code, each in found["years"].items()
    ]
    say_facts(
        _standing(found)
        | {words: found[name] for name, words in _FOUND.items()}
        | {
            "holds": [f"{hold}: {number}" for hold, number in found["holds"].items()] or ["none"],
            "clocks unknown": clocks or ["none"],
            "expire": years or ["none"],
            "damaged pages": len(found["damaged_pages"]),
        }
    )


@group.command(help=CLASSES, short_help="Show the classes in force.")
@officer_options
@json_option
@click.pass_context
def classes(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print the file as it is."""
    found = act(ctx, officer).custodian.get(f"{_PATH}/classes")
    if as_json:
        print_json(found)
    else:
        say(found["file"].rstrip())


@group.command(help=SWEEP, short_help="Do tonight's sweep now.")
@json_option
@click.pass_context
def sweep(ctx: click.Context, /, *, as_json: bool) -> None:
    """Ask for it, and print what was done."""
    done = connect(ctx).post("/v1/local/retention/sweep")
    if as_json:
        print_json(done)
        return
    left = [f"{number} {why}" for why, number in done["left"].items()]
    say_facts(
        _standing(done)
        | {
            "destroyed": done["destroyed"],
            "listed": done["listed"],
            "left a list alive": left or ["none"],
        }
    )


@group.command(help=REVIEWS, short_help="List what is due for review.")
@officer_options
@json_option
@click.pass_context
def reviews(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).custodian.get(f"{_PATH}/reviews", patient=True)
    if as_json:
        print_json(found)
        return
    for each in found["reviews"]:
        say(f"{each['record_id']}  {each['day']}  {each['class']}")
    say_facts({"due": found["total"], "damaged pages": len(found["damaged_pages"])})


@group.command(help=REVIEWED, short_help="Note that a record was reviewed.")
@id_argument("record")
@officer_options
@json_option
@click.pass_context
def reviewed(ctx: click.Context, /, record: str, *, as_json: bool, officer: OfficerOptions) -> None:
    """Say so, and print when it is due again."""
    done = act(ctx, officer).custodian.post(
        f"{_PATH}/reviews/{record}", hint="see `lacuna retention reviews`"
    )
    if as_json:
        print_json(done)
    else:
        say_facts({"record": done["record_id"], "due again": done["day"]})


def _standing(found: dict[str, Any]) -> dict[str, object]:
    """Return which classes are in force, and what was approved, in words."""
    approvals = [
        f"{each['authority'] or 'all'}: at most {each['cap']} a night"
        + ("" if each["in_force"] else ", not in force: nothing is swept by it")
        for each in found["approvals"]
    ]
    return {
        "classes": f"version {found['version']}, SHA-256 {found['policy']}",
        "approved": approvals or ["nothing: see `lacuna officer set-retention`"],
    }

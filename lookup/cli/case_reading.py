"""`lacuna case list`, `show`, `opening`, `certificate`: how cases stand, what families get."""

import json
from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.console import fail, json_option, print_json, say, say_facts
from lookup.cli.files import new_private_file
from lookup.cli.standing import moment

LIST: Final = """List the cases that you may read, the oldest first.

\b
Exit status
  0   listed
  65  none of your roles may read cases
  66  the key cannot be read
  69  no custodian answers
"""
SHOW: Final = """Show CASE: what it says, who has signed what, what is wanting.

\b
Exit status
  0   shown
  65  there is no such case; one that was carried out has left a certificate
  66  the key cannot be read
  69  no custodian answers
"""
OPENING: Final = """Write what the family of CASE needs to open its certificate.

The file holds the nonces and what they commit to: with it, and nothing else, anybody can be shown
that the certificate speaks of these records. The site forgets it when the case is carried out, so
write it before, and hand it to the family as you would any letter about the child.

\b
Exit status
  0   written
  65  there is no such case, or none of your roles may read this
  66  the key cannot be read
  69  no custodian answers
  73  the file cannot be made, or is there already
"""
CERTIFICATES: Final = """List what was destroyed by cases, as the log has it.

\b
Exit status
  0   listed
  65  none of your roles may read cases
  66  the key cannot be read
  69  no custodian answers
"""
CERTIFICATE: Final = """Write CERTIFICATE, by its id, to a file: statement, proof and checkpoint.

Anybody can check the file with `lacuna certificate verify`, offline; `lacuna certificate letter`
makes the family's letter of it.

\b
Exit status
  0   written
  65  there is no such certificate, or it waits for a slot that lags
  66  the key cannot be read
  69  no custodian answers
  73  the file cannot be made, or is there already
"""

LIST_FIRST: Final = "see `lacuna case list`, or what was carried out: `lacuna case certificates`"


@click.command("list", help=LIST, short_help="List the cases.")
@officer_options
@json_option
@click.pass_context
def list_(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).custodian.get("/v1/cases")
    if as_json:
        print_json(found)
        return
    for case in found["cases"]:
        say(f"{case['case']}  {case['authority']}  {case['ground']}  {_state(case)}")


@click.command("show", help=SHOW, short_help="Show one case.")
@id_argument("case_id", "CASE")
@officer_options
@json_option
@click.pass_context
def show(ctx: click.Context, /, case_id: str, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    case = act(ctx, officer).custodian.get(f"/v1/cases/{case_id}", hint=LIST_FIRST)
    if as_json:
        print_json(case)
    else:
        say_facts(case_facts(case))


@click.command("opening", help=OPENING, short_help="Write what opens the certificate.")
@id_argument("case_id", "CASE")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file to make.")
@officer_options
@json_option
@click.pass_context
def opening(
    ctx: click.Context,
    /,
    case_id: str,
    *,
    output: Path,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Make the file before anything is asked: it is the only copy."""
    custodian = act(ctx, officer).custodian
    with new_private_file(output) as file:
        file.write(custodian.fetch(f"/v1/cases/{case_id}/opening", hint=LIST_FIRST))
    say_file("opening", output, "hand it to the family, and nobody else", as_json=as_json)


@click.command("certificates", help=CERTIFICATES, short_help="List what was destroyed.")
@officer_options
@json_option
@click.pass_context
def certificates(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    found = act(ctx, officer).custodian.get("/v1/certificates")
    if as_json:
        print_json(found)
        return
    for each in found["certificates"]:
        records = f"{each['records']} record{'s' if each['records'] > 1 else ''}"
        whose = f"{each['authority']}  {each['ground']}"
        say(f"{each['certificate']}  {each['destroyed_at']}  {whose}  {records}")
    if found["waiting"]:
        say(f"{found['waiting']} wait for a slot that lags: see `lacuna status`")


@click.command("certificate", help=CERTIFICATE, short_help="Write a certificate of destruction.")
@id_argument("certificate_id", "CERTIFICATE")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="The file to make.")
@officer_options
@json_option
@click.pass_context
def certificate(
    ctx: click.Context,
    /,
    certificate_id: str,
    *,
    output: Path,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Ask, then make the file."""
    found = act(ctx, officer).custodian.fetch(
        f"/v1/certificates/{certificate_id}", hint="see `lacuna case certificates`"
    )
    with new_private_file(output) as file:
        file.write(found)
    hint = f"lacuna certificate verify {output} --log-key KEY"
    say_file("certificate", output, hint, as_json=as_json)


def say_file(what: str, path: Path, hint: str, *, as_json: bool) -> None:
    """Say what was made where, and what comes next."""
    made = {what: str(path.absolute())}
    if as_json:
        print_json(made)
    else:
        say_facts({**made, "next": hint})


def require_as_shown(case: dict[str, Any], case_id: str) -> None:
    """End the command unless what is to be signed is what the site shows."""
    from lookup.officers.signing import NotAsShown, require_shown  # noqa: PLC0415  # `--help` must not wait

    try:
        require_shown(case, case_id)
    except NotAsShown as error:
        fail(exits.REFUSED, str(error), "sign nothing, and tell the auditors")


def case_facts(case: dict[str, Any]) -> dict[str, object]:
    """Return a case as names and values for `console.say_facts`."""
    content = case["content"]
    # What is signed is the content; category and dates are the site's word about its records.
    named = {
        each["record_id"]: f", {each['category']} since {each['since']}{_stated(each)}"
        for each in case["named"]
    }
    shown: dict[str, object] = {
        "case": case["case"],
        "state": _state(case),
        "certificate": f"{case['certificate']}, once the case is carried out",
        "authority": content["authority"],
        "remedy": case["remedy"],
        **({"unlink": content["unlink"]} if "unlink" in content else {}),
        **(
            {"correction": json.dumps(content["correction"], indent=2).splitlines()}
            if "correction" in content
            else {}
        ),
        "ground": content["ground"],
        "received": content["received"],
        "restriction": "asked for" if content["restrict"] else "not asked for",
        "records": [
            f"{each['record_id']}  version {each['version']}{named.get(each['record_id'], '')}"
            for each in content["records"]
        ],
        "evidence": json.dumps(content["evidence"], indent=2).splitlines(),
        **({"note": note.splitlines()} if (note := content["note"]) else {}),
        "others": content["others"] or ["no other record names the same child"],
        "answer by": f"{case['answer_by']} ({case['clock']})",
        "cooling off": f"{case['cooling_off_days']} days{_order(case)}",
    }
    if case["assessment"]:
        shown["ground (g)"] = case["assessment"]
    if case["restriction"]:
        by = case["restriction"]
        confirmed = by["confirmed_by"] or "nobody yet: it lapses after 72 hours"
        shown["restricted"] = f"by {by['by']} at {moment(by['since'])}, confirmed by {confirmed}"
    if case["recall"]:
        shown["recall"] = _recall(case["recall"])
    if case["held_by"]:
        shown["hold"] = f"by {case['held_by']}"
    if case["holds"]:
        shown["holds"] = [f"{each} covers a record of the case" for each in case["holds"]]
    if case["escalated"]:
        shown["look again"] = case["escalated"]
    if case["parked"]:
        shown["parked"] = f"{case['parked']} updates wait for the end of the case"
    shown["steps"] = [
        f"{each['number']}  {each['when']}  {each['officer']}  {each['act']}{_said(each)}"
        for each in case["steps"]
    ]
    return shown


def _state(case: dict[str, Any]) -> str:
    parts = [case["state"]]
    if case["wanting"] and case["state"] == "requested":
        parts.append(f"wants {' and '.join(case['wanting'])}")
    if case["due_in"] is not None:
        parts.append("due" if case["due_in"] == 0 else f"due in {case['due_in'] / 86_400:.1f} days")
    parts += ["hold"] if case["hold"] or case["holds"] else []
    parts += ["hidden"] if case["hidden"] else []
    return ", ".join(parts)


def _recall(recall: dict[str, Any]) -> list[str]:
    told = f"{recall['acknowledged']} of {recall['recipients']} recipients have acknowledged"
    late = "; the others are overdue: `lacuna case write-letters`" if recall["overdue"] else ""
    written = "; the others were written to" if recall["written"] else ""
    return [
        told + late + written,
        *(
            f"{each['client_name'] or each['client']}: {len(each['requests'])} requests"
            f"{'' if each['enrolled'] else ', enrolled no more: write to them'}"
            for each in recall["waiting"]
        ),
    ]


def _stated(named: dict[str, Any]) -> str:
    number = named.get("statements", 0)  # a site from before there were any says nothing
    return f", {number} statement{'s' if number > 1 else ''} beside it" if number else ""


def _order(case: dict[str, Any]) -> str:
    return f", by {case['court_order']}" if case["court_order"] else ""


def _said(step: dict[str, Any]) -> str:
    return "".join(f" {name}={value}" for name, value in step["details"].items())

"""`lacuna officer`: who decides cases, and by which rules; changed by several signatures."""

from pathlib import Path
from typing import Any, Final

import click

from lookup import exits
from lookup.cli.acting import Acting, OfficerOptions, act, id_argument, officer_options
from lookup.cli.asking import typed_line
from lookup.cli.console import confirm, fail, json_option, print_json, say, say_facts, yes_option
from lookup.cli.files import read_file
from lookup.cli.officer_key import command as key

ROLES: Final = ("approver", "auditor", "legal", "registrar", "requester", "safeguarding")

ADD: Final = """Propose that NAME becomes an officer, with PUBLIC_KEY, an OpenSSH public key file.

The new officer makes the key with `lacuna officer key`, on a machine of their own, or has an
OpenSSH key of type ed25519. Compare the fingerprint with them before you sign.

\b
Roles
  requester     opens and withdraws cases
  approver      approves and refuses cases, and proposals such as this
  legal         the same; needed for ground (g), holds, and another cooling-off
  safeguarding  agrees that a record which protects a child is hidden
  auditor       reads all cases
  registrar     sends records: a system of an authority

\b
Exit status
  0   proposed: so many others have to approve it
  64  name, role or key breaks a rule
  65  an officer of this name or key exists, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""
CHANGE: Final = """Propose that the officer NAME has other roles.

\b
Exit status
  0   proposed: so many others have to approve it
  65  there is no such officer, or those who remain could decide no case
  66  a key file cannot be read
  69  no custodian answers
"""
REMOVE: Final = """Propose that NAME is an officer no longer; what they approved counts no more.

\b
Exit status
  0   proposed: so many others have to approve it
  65  there is no such officer, or those who remain could decide no case
  66  a key file cannot be read
  69  no custodian answers
"""
RULES: Final = """Propose other rules for cases, of the site or of one authority.

What you leave out stays as it is. --malicious-from is the day from which ground (g), malicious
allegation, is law here; "unknown" takes it back. Sources disagree about its commencement: ask
counsel.

\b
Exit status
  0   proposed: so many others have to approve it
  64  a rule breaks a bound
  65  there are too few officers for it, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""
LIST: Final = """List officers, rules, and the proposals that wait.

\b
Exit status
  0   listed
  66  a key file cannot be read
  69  no custodian answers
"""
APPROVE: Final = """Approve PROPOSAL, by its id; with the last approval that it needs, it is made.

\b
Exit status
  0   approved
  65  there is no such proposal, it is your own, or none of your roles may approve
  66  a key file cannot be read
  69  no custodian answers
"""
LIFT_FENCE: Final = """Propose that a destroyed record of AUTHORITY may be stored again.

What a feed sends again of a destroyed record is refused until the authority's horizon. Where it was
destroyed by mistake, or the same reference now means something else, its fence is lifted. The
source reference is typed, or read from standard input: others can see arguments.

\b
Exit status
  0   proposed: so many others have to approve it
  64  the reference or the authority breaks a rule
  65  no fence stands around this reference, or none of your roles may propose
  66  a key file cannot be read
  69  no custodian answers
"""
_PATH: Final = "/v1/officers"
_MAX_PUBLIC_KEY: Final = 4_096
_FORM: Final = (
    "a name has up to 40 letters, digits, dots, hyphens and underscores, an authority its code, a"
    " day is YYYY-MM-DD"
)


@click.group()
def group() -> None:
    """Make keys; list officers and rules; propose and approve changes of them."""


group.add_command(key)
roles_option = click.option(
    "--role",
    "roles",
    type=click.Choice(ROLES),
    multiple=True,
    required=True,
    help="What the officer is here for; give it again for another one.",
)


@group.command("list", help=LIST, short_help="List officers, rules and proposals.")
@officer_options
@json_option
@click.pass_context
def list_(ctx: click.Context, /, *, as_json: bool, officer: OfficerOptions) -> None:
    """Ask, and print."""
    office = act(ctx, officer).office
    if as_json:
        print_json(office)
        return
    for each in office["officers"]:
        bound = f", of {each['authority']}" if each["authority"] else ""
        say(f"{each['name']}  {', '.join(each['roles'])}{bound}  {each['fingerprint']}")
    say_facts({"rules": _rules(office["rules"])})
    for code, rules in office["rules"]["authorities"].items():
        say_facts({f"rules of {code}": _rules(rules)})
    for each in office["proposals"]:
        so_far = len(each["approved_by"])
        words = _words(office, each["change"])
        say(f"proposal {each['proposal']}  {so_far} of {each['needs']}  {words}")


@group.command("add", help=ADD, short_help="Propose another officer.")
@click.argument("name")
@click.argument("public_key", type=click.Path(path_type=Path))
@roles_option
@click.option("--authority", help="The one authority whose cases are theirs; without it, all.")
@officer_options
@yes_option
@json_option
@click.pass_context
def add(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    name: str,
    public_key: Path,
    *,
    roles: tuple[str, ...],
    authority: str | None,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Read the key, show its fingerprint, propose."""
    change = {
        "change": "add-officer",
        "name": name,
        "roles": sorted(set(roles)),
        "key": read_public_key(public_key),
        "authority": authority,
    }
    _propose(act(ctx, officer), change, yes=yes, as_json=as_json)


@group.command("change", help=CHANGE, short_help="Propose other roles.")
@click.argument("name")
@roles_option
@officer_options
@yes_option
@json_option
@click.pass_context
def change(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    name: str,
    *,
    roles: tuple[str, ...],
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Find the officer, propose."""
    acting = act(ctx, officer)
    wanted = {
        "change": "change-officer",
        "officer": _find(acting, name),
        "roles": sorted(set(roles)),
    }
    _propose(acting, wanted, yes=yes, as_json=as_json)


@group.command("remove", help=REMOVE, short_help="Propose that somebody leaves.")
@click.argument("name")
@officer_options
@yes_option
@json_option
@click.pass_context
def remove(
    ctx: click.Context,
    /,
    name: str,
    *,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Find the officer, propose."""
    acting = act(ctx, officer)
    wanted = {"change": "remove-officer", "officer": _find(acting, name)}
    _propose(acting, wanted, yes=yes, as_json=as_json)


@group.command("rules", help=RULES, short_help="Propose other rules for cases.")
@click.option("--approvals", type=click.IntRange(2, 8), help="How many.")
@click.option("--cooling-off-days", type=click.IntRange(1, 365), help="Days.")
@click.option(
    "--malicious-from", metavar="DAY", help="From when ground (g) is law, YYYY-MM-DD, or unknown."
)
@click.option("--authority", help="The authority that these rules are for; without it, all others.")
@officer_options
@yes_option
@json_option
@click.pass_context
def rules(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    /,
    *,
    approvals: int | None,
    cooling_off_days: int | None,
    malicious_from: str | None,
    authority: str | None,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Start from the rules of now, propose."""
    acting = act(ctx, officer)
    site = acting.office["rules"]
    now = site["authorities"].get(authority, site)
    day = now["malicious_from"] if malicious_from is None else malicious_from
    wanted = {
        "change": "set-rules",
        "approvals": approvals or now["approvals"],
        "cooling_off_days": cooling_off_days or now["cooling_off_days"],
        "malicious_from": None if day == "unknown" else day,
        "authority": authority,
    }
    _propose(acting, wanted, yes=yes, as_json=as_json)


@group.command("lift-fence", help=LIFT_FENCE, short_help="Propose to take a record in again.")
@click.argument("authority")
@officer_options
@yes_option
@json_option
@click.pass_context
def lift_fence(
    ctx: click.Context,
    /,
    authority: str,
    *,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Ask for the reference, which is never an argument; propose."""
    reference = typed_line("Source reference")
    wanted = {"change": "lift-fence", "authority": authority, "source_ref": reference}
    _propose(act(ctx, officer), wanted, yes=yes, as_json=as_json)


@group.command("approve", help=APPROVE, short_help="Approve a proposal.")
@id_argument("proposal")
@officer_options
@yes_option
@json_option
@click.pass_context
def approve(
    ctx: click.Context,
    /,
    proposal: str,
    *,
    yes: bool,
    as_json: bool,
    officer: OfficerOptions,
) -> None:
    """Show the change, ask, sign."""
    acting = act(ctx, officer)
    found = [each for each in acting.office["proposals"] if each["proposal"] == proposal]
    if not found:
        fail(exits.REFUSED, "there is no such proposal", "see `lacuna officer list`")
    confirm(f"You approve: {_words(acting.office, found[0]['change'])}.", assumed=yes)
    wanted = parse_wanted(found[0]["change"])
    signed = acting.signer.approval(bytes.fromhex(proposal), wanted)
    done = acting.custodian.post(f"{_PATH}/proposals/approve", signed)
    if as_json:
        print_json(done)
    else:
        so_far = f"{len(done['approved_by'])} of {done['needs']} approvals"
        say_facts({"proposal": proposal, "stands": "made" if done["made"] else so_far})


def read_public_key(file: Path) -> str:
    """Return the OpenSSH public key that a file holds, without its comment."""
    from crypto.sshsig import InvalidPublicKey, format_public_key, parse_public_key  # noqa: PLC0415  # `--help` must not wait

    text = read_file(file, _MAX_PUBLIC_KEY).decode("ascii", errors="replace").strip()
    try:
        return format_public_key(parse_public_key(text))
    except InvalidPublicKey as error:
        hint = "name the .pub file that `lacuna officer key` made"
        fail(exits.USAGE, f"{file}: {error}", hint)


def _propose(acting: Acting, wanted: dict[str, Any], *, yes: bool, as_json: bool) -> None:
    parsed = parse_wanted(wanted)
    confirm(f"You propose: {_words(acting.office, wanted)}.", assumed=yes)
    made = acting.custodian.post(
        f"{_PATH}/proposals", acting.signer.proposal(parsed, acting.office["changes"])
    )
    if as_json:
        print_json(made)
        return
    say_facts(
        {
            "proposal": made["proposal"],
            "change": _words(acting.office, wanted),
            "needs": f"{made['needs']} approvals, by others",
            "next": f"lacuna officer approve {made['proposal']}",
        }
    )


def parse_wanted(wanted: dict[str, Any]) -> Any:  # noqa: ANN401  # one of the changes
    """Return the change that was asked for, or end the command where it breaks a rule."""
    import msgspec  # noqa: PLC0415  # `--help` must not wait for this

    from lookup.officers.proposal import InvalidProposal, parse_change  # noqa: PLC0415  # as above

    try:
        return parse_change(msgspec.json.encode(wanted, order="sorted"))
    except InvalidProposal as error:
        fail(exits.USAGE, str(error), _FORM)
    except UnicodeEncodeError:
        fail(exits.USAGE, "what was given is no text", _FORM)


def _find(acting: Acting, name: str) -> str:
    found = [each["id"] for each in acting.office["officers"] if each["name"] == name]
    if not found:
        fail(exits.REFUSED, "there is no officer of this name", "see `lacuna officer list`")
    return str(found[0])


def _words(office: dict[str, Any], change: dict[str, Any]) -> str:
    """Return a change as whoever signs it has to understand it."""
    from crypto.sshsig import fingerprint, parse_public_key  # noqa: PLC0415  # as above

    kind, roles = change["change"], ", ".join(change.get("roles", ()))
    whose = f" of {change['authority']}" if change.get("authority") else ""
    if kind == "lift-fence":
        return f"what was destroyed under {change['source_ref']!r}{whose} may be stored again"
    if kind == "set-rules":
        return f"rules{whose}: {_rules(change)}"
    if kind == "add-officer":
        key = fingerprint(parse_public_key(change["key"]))
        return f"{change['name']} becomes {roles}{whose}, with the key {key}"
    found = [each["name"] for each in office["officers"] if each["id"] == change["officer"]]
    name = found[0] if found else "somebody who has left"
    return f"{name} becomes {roles}" if kind == "change-officer" else f"{name} leaves"


def _rules(rules: dict[str, Any]) -> str:
    law = rules["malicious_from"] or "not said yet"
    cooling = f"cooling-off of {rules['cooling_off_days']} days"
    return f"{rules['approvals']} approvals, {cooling}, ground (g) from: {law}"

"""`lacuna officer`: who decides cases, and by which rules; changed by several signatures."""

from pathlib import Path
from typing import Final

import click

from lookup import exits
from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.asking import typed_line
from lookup.cli.attaching import attach
from lookup.cli.console import confirm, fail, json_option, print_json, say, say_facts, yes_option
from lookup.cli.files import read_file
from lookup.cli.holding import holds, lift_hold, place_hold
from lookup.cli.officer_key import command as key
from lookup.cli.proposing import PATH, find_officer, parse_wanted, propose, rules_words, words_of
from lookup.cli.rewinding import set_cursor
from lookup.cli.sweeping import command as set_retention
from lookup.cli.withdrawing import withdraw_statement

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
LIST: Final = """List officers, rules, how far feeds have come, and the proposals that wait.

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


_MAX_PUBLIC_KEY: Final = 4_096


@click.group()
def group() -> None:
    """Make keys; list officers, rules and holds; place holds; propose and approve changes."""


_OTHERS: Final = (
    *(key, place_hold, lift_hold, holds, set_retention, set_cursor),
    *(attach, withdraw_statement),
)
for each in _OTHERS:
    group.add_command(each)
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
    say_facts({"rules": rules_words(office["rules"])})
    for code, rules in office["rules"]["authorities"].items():
        say_facts({f"rules of {code}": rules_words(rules)})
    for code, cursor in office["cursors"].items():
        say_facts({f"cursor of {code}": cursor})
    for each in office["proposals"]:
        so_far = len(each["approved_by"])
        words = words_of(office, each["change"])
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
    propose(act(ctx, officer), change, yes=yes, as_json=as_json)


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
        "officer": find_officer(acting, name),
        "roles": sorted(set(roles)),
    }
    propose(acting, wanted, yes=yes, as_json=as_json)


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
    wanted = {"change": "remove-officer", "officer": find_officer(acting, name)}
    propose(acting, wanted, yes=yes, as_json=as_json)


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
    propose(acting, wanted, yes=yes, as_json=as_json)


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
    propose(act(ctx, officer), wanted, yes=yes, as_json=as_json)


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
    confirm(f"You approve: {words_of(acting.office, found[0]['change'])}.", assumed=yes)
    wanted = parse_wanted(found[0]["change"])
    signed = acting.signer.approval(bytes.fromhex(proposal), wanted)
    done = acting.custodian.post(f"{PATH}/proposals/approve", signed)
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

"""Proposing from the command line: a change is said in words, confirmed, signed, and sent."""

from typing import Any, Final

from lookup import exits
from lookup.cli.acting import Acting
from lookup.cli.console import confirm, fail, print_json, say_facts

PATH: Final = "/v1/officers"
_FORM: Final = (
    "a name has up to 40 letters, digits, dots, hyphens and underscores, an authority its code, a"
    " day is YYYY-MM-DD, an id 32 hexadecimal digits, a reason or class up to 32 of a-z, 0-9, -"
)


def propose(acting: Acting, wanted: dict[str, Any], *, yes: bool, as_json: bool) -> None:
    """Say what is proposed, ask, sign, send; print what came of it."""
    parsed = parse_wanted(wanted)
    confirm(f"You propose: {words_of(acting.office, wanted)}.", assumed=yes)
    made = acting.custodian.post(
        f"{PATH}/proposals", acting.signer.proposal(parsed, acting.office["changes"])
    )
    if as_json:
        print_json(made)
        return
    facts = {"proposal": made["proposal"], "change": words_of(acting.office, wanted)}
    if made["made"]:
        say_facts(facts | {"stands": "made"})
        return
    say_facts(
        facts
        | {
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


def find_officer(acting: Acting, name: str) -> str:
    """Return an officer's id, or end the command."""
    found = [each["id"] for each in acting.office["officers"] if each["name"] == name]
    if not found:
        fail(exits.REFUSED, "there is no officer of this name", "see `lacuna officer list`")
    return str(found[0])


def words_of(office: dict[str, Any], change: dict[str, Any]) -> str:
    """Return a change as whoever signs it has to understand it."""
    kind = change["change"]
    whose = f" of {change['authority']}" if change.get("authority") else ""
    if kind in {"lift-fence", "attach-record", "withdraw-statement"}:
        return _record_words(change, whose)
    if kind == "set-cursor":
        return _cursor_words(office, change, whose)
    if kind == "set-rules":
        return f"rules{whose}: {rules_words(change)}"
    if kind == "set-retention":
        return (
            f"what is due{whose} by the retention classes of version {change['version']} is"
            f" destroyed after a week on the list, up to {change['cap']} a night; their file's"
            f" SHA-256 is {change['policy']}"
        )
    if kind in {"place-hold", "lift-hold"}:
        return _hold_words(office, change)
    return _officer_words(office, change, whose)


def _record_words(change: dict[str, Any], whose: str) -> str:
    if change["change"] == "lift-fence":
        return f"what was destroyed under {change['source_ref']!r}{whose} may be stored again"
    which = f"the record {change['record']}{whose}"
    if change["change"] == "attach-record":
        return f"{which} takes its feed's word again"
    return f"the statement {change['statement']} beside {which} is destroyed"


def _cursor_words(office: dict[str, Any], change: dict[str, Any], whose: str) -> str:
    now = office["cursors"].get(change["authority"], 0)
    return (
        f"the cursor of the feed{whose} is set back from {now} to {change['cursor']}: what comes"
        " with a newer one is stored, also what was sent before, and what was destroyed before"
    )


def _hold_words(office: dict[str, Any], change: dict[str, Any]) -> str:
    if change["change"] == "place-hold":
        return f"nothing is destroyed of: {scope_words(change)}"
    scopes = [each["scope"] for each in office["holds"] if each["hold"] == change["hold"]]
    what = scope_words(scopes[0]) if scopes else "what is on hold no longer"
    return f"the hold {change['hold']} ends; it covers: {what}"


def _officer_words(office: dict[str, Any], change: dict[str, Any], whose: str) -> str:
    from crypto.sshsig import fingerprint, parse_public_key  # noqa: PLC0415  # as above

    kind, roles = change["change"], ", ".join(change.get("roles", ()))
    if kind == "add-officer":
        key = fingerprint(parse_public_key(change["key"]))
        return f"{change['name']} becomes {roles}{whose}, with the key {key}"
    found = [each["name"] for each in office["officers"] if each["id"] == change["officer"]]
    name = found[0] if found else "somebody who has left"
    return f"{name} becomes {roles}" if kind == "change-officer" else f"{name} leaves"


def scope_words(scope: dict[str, Any]) -> str:
    """Return what a hold covers."""
    parts = (
        f"{word} {scope[member]}"
        for member, word in (
            ("record", "record"),
            ("authority", "of"),
            ("category", "category"),
            ("class", "class"),
        )
        if scope[member] is not None
    )
    return f"{', '.join(parts) or 'every record'} ({scope['reason']})"


def rules_words(rules: dict[str, Any]) -> str:
    """Return rules for cases."""
    law = rules["malicious_from"] or "not said yet"
    cooling = f"cooling-off of {rules['cooling_off_days']} days"
    return f"{rules['approvals']} approvals, {cooling}, ground (g) from: {law}"

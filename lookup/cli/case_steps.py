"""`lacuna case approve`, `hold` … `carry-out`: one signed step each, from one table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import click

from lookup.cli.acting import OfficerOptions, act, id_argument, officer_options
from lookup.cli.case_reading import LIST_FIRST, case_facts, require_as_shown
from lookup.cli.console import (
    confirm,
    fact_lines,
    json_option,
    note,
    print_json,
    say_facts,
    yes_option,
)
from lookup.cli.destruction import destruction_facts, destruction_status

_EXITS: Final = """
\b
Exit status
  0   the step is taken
  64  an option breaks a rule
  65  the case is in another state, or has moved on, or none of your roles may do this
  66  the key cannot be read
  69  no custodian answers
"""
_DEMO: Final = "a demonstration site: store, mirror and slot lie on one medium"

Decorator = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Act:
    """One act: what it means, in short and at length, what it asks, and its options."""

    short: str
    long: str
    question: str = ""
    options: tuple[Decorator, ...] = field(default=())


def _reason(text: str) -> Decorator:
    return click.option("--reason", metavar="CODE", required=True, help=text)


ACTS: Final = {
    "approve": _Act(
        "Approve a case as it stands.",
        "Approve CASE as it stands now. What changes it later voids your approval. Whoever opened"
        " or changed it cannot; nobody can twice.",
        "You sign that these records are to be destroyed.",
    ),
    "refuse": _Act(
        "Refuse a case, for a reason of the law.",
        "Refuse CASE for a reason of Art 17(3), or because no ground holds; another officer has to"
        " review it. --words are what the family is told. Codes: lookup/cases/data/refusals.toml.",
        options=(
            _reason("Such as art-17-3-b."),
            click.option("--words", required=True, help="Why, in words for the family."),
        ),
    ),
    "review": _Act(
        "Agree to a refusal.",
        "Agree to the refusal of CASE by another officer: with this it is refused.",
    ),
    "restrict": _Act(
        "Hide records that protect a child.",
        "Agree, for safeguarding, that the records of CASE are not answered meanwhile, as its"
        " request asks. It raises an alarm, and lapses after 72 hours unless it is confirmed.",
        "A hospital that asks about this child will hear nothing of these records.",
    ),
    "confirm": _Act(
        "Confirm a restriction, for as long as the case is open.",
        "Confirm the restriction of CASE by another officer, so that it does not lapse.",
    ),
    "lift": _Act("End a restriction.", "Answer about the records of CASE again, at once."),
    "hold": _Act(
        "Keep a case from being carried out.",
        "Put a legal hold on CASE: nothing of it is destroyed until the hold is released.",
        options=(_reason("A code, such as inquiry."),),
    ),
    "release": _Act("End a hold.", "Release CASE from its hold."),
    "shorten": _Act(
        "Set another cooling-off.",
        "Set how long CASE waits after it was approved. No time at all needs the reference of a"
        " court's order.",
        options=(
            click.option("--days", type=click.IntRange(0, 365), required=True, help="0 to 365."),
            click.option("--court-order", default="", help="The order's reference."),
        ),
    ),
    "ask-identity": _Act(
        "Say that the requester was asked who they are.",
        "The time to answer CASE starts anew when the identity is confirmed (Art 12A).",
    ),
    "confirm-identity": _Act(
        "Say that the requester's identity is confirmed.",
        "The time to answer CASE runs from today.",
    ),
    "extend": _Act(
        "Extend the time to answer by two months.",
        "Extend the time to answer CASE (Art 12A(3)); the family has to be told within the first"
        " month.",
        options=(_reason("complexity or number-of-requests."),),
    ),
    "withdraw": _Act("Withdraw a case.", "Withdraw CASE: its records stay, updates are taken."),
    "letters": _Act(
        "Say that whoever did not acknowledge was written to.",
        "Say that the recipients of CASE who have not acknowledged that their answers are withdrawn"
        " were written to: `lacuna case write-letters` makes the letters. The case then waits for"
        " them no longer. Whoever opened or changed it cannot.",
        "After this the case is carried out, and nobody knows any more who was answered.",
    ),
    "carry-out": _Act(
        "Destroy the keys of a case's records, for good.",
        "Carry CASE out, which is approved and has cooled off; the site does so by itself within"
        " seconds. Whoever was answered with its records is told first, and has to acknowledge."
        " Nothing brings the records back: no backup, no restore. Write the family's"
        " opening first: `lacuna case opening`.",
        "The records of this case will be destroyed, for good.",
    ),
}


def _make(name: str, wanted: _Act) -> click.Command:
    @click.pass_context
    def run(
        ctx: click.Context,
        /,
        case_id: str,
        *,
        yes: bool,
        as_json: bool,
        officer: OfficerOptions,
        **given: Any,  # noqa: ANN401  # the options of the act
    ) -> int:
        from lookup.officers.roles import Act  # noqa: PLC0415  # `--help` must not wait for this

        acting = act(ctx, officer)
        case = acting.custodian.get(f"/v1/cases/{case_id}", hint=LIST_FIRST)
        require_as_shown(case, case_id)
        if wanted.question:
            for line in fact_lines(case_facts(case)):
                note(line)
            confirm(wanted.question, assumed=yes)
        signed = acting.signer.step(case["next"], Act(name), given)
        done = acting.custodian.post(
            f"/v1/cases/{case_id}/steps", signed, hint=f"see `lacuna case show {case_id}`"
        )
        return _tell(done, as_json=as_json)

    help_text = f"{wanted.long}\n{_EXITS}"
    command: Any = run
    for decorate in (
        json_option,
        yes_option,
        officer_options,
        *reversed(wanted.options),
        id_argument("case_id", "CASE"),
    ):
        command = decorate(command)
    made: click.Command = click.command(name, help=help_text, short_help=wanted.short)(command)
    return made


def _tell(done: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print_json(done)
    elif "certificates" in done:
        facts: dict[str, object] = {
            "destroyed": [f"record {record_id}" for record_id in done["record_ids"]],
            "certificate": done["certificates"],
            **destruction_facts(done),
        }
        say_facts(facts | ({"demo": _DEMO} if done["demo"] else {}))
    else:
        say_facts(case_facts(done))
    return destruction_status(done) if "certificates" in done else 0


STEPS: Final = [_make(name, wanted) for name, wanted in ACTS.items()]

"""Refusals: an erasure is refused for a coded reason, in words, and with the ways on.

    refused = reason of refusals.toml  +  the officers' own text  +  appeal text (Art 12(4))

Invariants:

* A Refusal that exists has a reason of the data and a text of 20 to 4,000 characters: a code alone
  tells nobody why.
* It shows its reason and never its text, which is about a person.
"""

from dataclasses import dataclass, field
from typing import Final

from lookup.cases.law import RefusalReason, refusals

MIN_TEXT: Final = 20
MAX_TEXT: Final = 4_000


class InvalidRefusal(ValueError):
    """A refusal breaks a rule; the message names the rule."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an erasure is refused. Raises InvalidRefusal for a broken rule."""

    reason: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if self.reason not in reasons():
            raise InvalidRefusal(f"write a reason code: one of {', '.join(reasons())}")
        words = self.text.strip()
        if len(words) < MIN_TEXT or len(self.text) > MAX_TEXT:
            raise InvalidRefusal(f"write the refusal's text in {MIN_TEXT} to {MAX_TEXT} characters")
        if not all(line.isprintable() for line in self.text.split("\n")):
            raise InvalidRefusal("write the refusal's text in printable characters and new lines")


def reasons() -> dict[str, RefusalReason]:
    """Return the reasons there are, by their codes."""
    return {each.code: each for each in refusals().reason}


def describe_refusal(refusal: Refusal) -> list[str]:
    """Return what a data subject is told: the reason in words, the text, the ways on."""
    reason = reasons()[refusal.reason]
    return [f"{reason.text} ({reason.code})", *refusal.text.split("\n"), refusals().appeal]

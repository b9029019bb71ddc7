"""The letter to a hospital that has not acknowledged a recall (UK GDPR Art 19).

Invariants:

* It names requests, which the hospital made itself, and no child: nobody who opens the post learns
  whose record it was.
* It says whether what the answer rested on is erased or corrected, for the law wants a recipient to
  be told of that (Art 19); and of a number that is taken off a record what it says of any
  correction. Otherwise whoever asked by a child's old number would learn that there is a new one.
* Whatever the remedy, it says to delete the answer and to ask again: a corrected plan stands, and
  of a child whose record is erased there may be another.
* It is made where the officer is. The site keeps no letter, and forgets whom it was for with the
  case.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Final

from lookup.cases.standing import Remedy
from lookup.transparency.meaning import counted

WIDTH: Final = 88
_ERASED: Final = "erased (UK GDPR Article 17)"
_CORRECTED: Final = "corrected (UK GDPR Article 16)"
_DONE: Final[dict[str, str]] = {
    Remedy.ERASE: _ERASED,
    Remedy.UNLINK: _CORRECTED,
    Remedy.RECTIFY: _CORRECTED,
}
_WHAT: Final = (
    "You asked us about a person, and were told that a record is known. That answer is withdrawn:"
    " what it rested on is being {done}, and we have to tell everybody to whom it was disclosed"
    " (Article 19)."
)
_DO: Final = (
    "Please find the requests by their ids, which your system sent as X-Request-ID; delete the"
    " answers, and whatever was noted because of them; and make sure that nobody relies on them any"
    " more. If you have passed them on, please tell those who received them."
)
_ASK: Final = (
    "If you still care for the person, ask again: what you are told then counts, and nothing that"
    " you were told before. That an answer is withdrawn says neither that there is a concern nor"
    " that there is none."
)
_WHY_NO_NAME: Final = (
    "This letter does not say whom it is about: you need no name to find the requests."
)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom the letter is for, and what was answered there. The name may have gone."""

    client: str
    name: str
    requests: Sequence[str]


def make_recall_letter(to: Addressee, authority: str, contact: str, day: str, remedy: str) -> str:
    """Return the letter about a case that asks for a remedy, as plain text."""
    name = to.name or f"the system that was enrolled as {to.client}"
    requests = counted(len(to.requests), "request")
    parts = [
        f"To {name}\nFrom {authority}\n{day}",
        f"An answer that you received is withdrawn: delete it, and ask again ({requests})",
        *(fill(text, WIDTH) for text in (_WHAT.format(done=_DONE[remedy]), _DO)),
        "\n".join(f"    {request}" for request in to.requests),
        *(fill(text, WIDTH) for text in (_ASK, _WHY_NO_NAME)),
        fill(f"Questions: {contact}", WIDTH),
    ]
    return "\n\n".join(parts) + "\n"

"""The letter to a hospital that has not acknowledged a recall (UK GDPR Art 19).

Invariants:

* It names requests, which the hospital made itself, and no child: nobody who opens the post learns
  whose record it was, or that there was one.
* It is made where the officer is. The site keeps no letter, and forgets whom it was for with the
  case.

Pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Final

from lookup.transparency.meaning import counted

WIDTH: Final = 88
_WHAT: Final = (
    "You asked us about a person, and were told that a record is known. That answer is withdrawn:"
    " what it rested on is being erased (UK GDPR Article 17), and we have to tell everybody to whom"
    " it was disclosed (Article 19)."
)
_DO: Final = (
    "Please find the requests by their ids, which your system sent as X-Request-ID; delete the"
    " answers, and whatever was noted because of them; and make sure that nobody relies on them any"
    " more. If you have passed them on, please tell those who received them."
)
_WHY_NO_NAME: Final = (
    "This letter does not say whose record it was. You need no name to find the requests, and we"
    " shall soon be unable to say."
)


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom the letter is for, and what was answered there. The name may have gone."""

    client: str
    name: str
    requests: Sequence[str]


def make_recall_letter(to: Addressee, authority: str, contact: str, day: str) -> str:
    """Return the letter as plain text."""
    name = to.name or f"the system that was enrolled as {to.client}"
    requests = counted(len(to.requests), "request")
    parts = [
        f"To {name}\nFrom {authority}\n{day}",
        f"An answer that you received is withdrawn: delete it ({requests})",
        *(fill(text, WIDTH) for text in (_WHAT, _DO)),
        "\n".join(f"    {request}" for request in to.requests),
        fill(_WHY_NO_NAME, WIDTH),
        fill(f"Questions: {contact}", WIDTH),
    ]
    return "\n\n".join(parts) + "\n"

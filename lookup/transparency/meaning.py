"""What a statement means, in plain words: for the command line and for the family's letter.

Invariants:

* Every value that a statement can have has its words, and each is a sentence or can end one.
* Words promise no more than the statement does: slots as in `keys.slot.DESTRUCTION`, which is not
  imported so that a family's computer needs no key code; tests hold the two together.

Legal ground: UK GDPR Art 17(1), or for retention Art 5(1)(e); for (g) Art 17(4) and (5), by the
Victims and Prisoners Act 2024, section 31. None of it is legal advice.
"""

from datetime import UTC, datetime
from typing import Final, NamedTuple

from lookup.transparency.statement import COURT_ORDER, INACCURATE, RETENTION, Statement

GROUND: Final = {
    "art-17-1-a": "it was no longer necessary for what it was kept for",
    "art-17-1-b": "the consent that it was kept by was withdrawn, and nothing else allowed it",
    "art-17-1-c": "its use was objected to, and nothing overrode the objection",
    "art-17-1-d": "it had been kept unlawfully",
    "art-17-1-e": "the law required that it be erased",
    "art-17-1-f": "it was collected by an online service when the person was a child",
    "art-17-1-g": "it was kept because of an allegation by a malicious person: somebody convicted"
    " of a listed harassment or stalking offence against the person the record was about, or"
    " bound by a stalking protection order that protects them; the allegation was investigated,"
    " and no further action was taken",
    "art-16": "what was kept was inaccurate: of another child, of an old number, or wrong",
    "retention": "the time was over for which records of its kind are kept, by a schedule that"
    " officers had approved; it was on a list for a week before",
}


# What was destroyed of each record.
REMEDY: Final = {
    "erase": "the whole of it",
    "unlink": "what tied it to a number; the rest stays",
    "rectify": "what was wrong in it; the rest stays",
}


class Words(NamedTuple):
    """How a remedy is told: its title, what was done by which right, and what is gone for good."""

    title: str
    done: str
    right: str
    gone: str
    asked: str


WORDS: Final = {
    "erase": Words(
        "Your record has been destroyed",
        "we destroyed {records} for good",
        "erased under {article}, the right to erasure",
        "it",
        "Whoever asks about it now gets the answer for somebody who was never known",
    ),
    "unlink": Words(
        "A number was taken off a record",
        "we took a number off {records} for good",
        "corrected under {article}, the right to rectification",
        "what it said before",
        "Whoever asks by that number now gets the answer for somebody who was never known",
    ),
    "rectify": Words(
        "Your record has been corrected",
        "we corrected {records}, and destroyed what was wrong in it for good",
        "corrected under {article}, the right to rectification",
        "what it said before",
        "Whoever asks about it now gets the corrected answer",
    ),
}

SLOT: Final = {
    "A": "a hardware security module from which keys cannot be copied and of which there is no"
    " backup; it has destroyed the key",
    "B": "a security chip bound to a counter that only goes up; it no longer opens the earlier key",
    "D": "a file that was overwritten in place: the key is gone unless the disk, or a snapshot of"
    " it, kept the old bytes and somebody also knows the passphrase",
}

NOT_COVERED: Final = {
    "hospital-copies": "what hospitals wrote down when they were told of the record",
    "documents-handed-out": "letters, exports and printouts that were handed out before",
    "feed-fence": "a sealed mark that keeps an old delivery from bringing the record back: while it"
    " is kept, the site's keys and the old reference can show that there was one",
    "slot-class-d": "an old copy of a class D key store, if somebody has the passphrase too",
}

ASK: Final = {
    "hospital-copies": "the hospital's data protection officer",
    "documents-handed-out": "whoever holds the document",
    "feed-fence": "the authority",
    "slot-class-d": "the authority",
}

LOST_SLOT: Final = (
    "officers signed it off as lost: nobody has seen its keys destroyed, so whoever finds it, with"
    " an old copy of the store, might read the record"
)

DEMO: Final = "a demonstration: no real record is meant, and it is proof of nothing"


def day(seconds: int) -> str:
    """Return a date as a letter has it."""
    when = datetime.fromtimestamp(seconds, UTC)
    return f"{when.day} {when:%B %Y}"


def ground_article(ground: str) -> str:
    """Return the article as it is cited."""
    if ground == INACCURATE:
        return "UK GDPR Article 16"
    if ground == RETENTION:
        return "UK GDPR Article 5(1)(e)"
    return f"UK GDPR Article 17(1)({ground[-1]})"


def right(statement: Statement) -> str:
    """Return what was done, and by which right; of what was swept nobody had to ask for one."""
    article = ground_article(statement.ground)
    if statement.ground == RETENTION:
        return f"destroyed under {article}, storage limitation"
    return WORDS[statement.remedy].right.format(article=article)


def cooling_off(statement: Statement) -> str:
    """Return how long was waited between approval and destruction, or why not."""
    days, without = statement.cooling_off
    if not without:
        return f"{days} days were left between approval and destruction"
    why = "a court ordered it" if without == COURT_ORDER else "it is a demonstration"
    return f"no days were left between approval and destruction, because {why}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"

"""The acknowledgement letter: what a verified certificate means, for a parent, as one HTML page.

Invariants:

* It is made of a certificate that has been verified, and says nothing that the statement does not,
  but for the authority's name and contact, which officers gave (opening.py).
* Every value is escaped and the template is filled in once, so that no value can add markup, or a
  place for another value. No script, no image, no font, no request: its own policy forbids them.
* No identifier is in it unless the family's opening was given; then its last three characters are.
* The certificate is in it whole, to read and to save.

What the law says is in meaning.py and in data/letter.html. Pure, but for reading that file.
"""

import shlex
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from lookup.transparency import meaning
from lookup.transparency.statement import Statement

if TYPE_CHECKING:
    from lookup.transparency.opening import Opening

_TEMPLATE: Final = files("lookup.transparency") / "data" / "letter.html"


@dataclass(frozen=True, slots=True)
class Attachment:
    """The certificate as it is attached: its text, its file's name, the key that verified it."""

    text: bytes
    file_name: str
    log_key: str


def make_letter(
    statement: Statement, attachment: Attachment, opening: "Opening | None" = None
) -> str:
    """Return the letter about a verified statement, as HTML."""
    values = _when_and_why(statement) | _what_it_means(statement)
    values |= _how_to_check(attachment)
    values["authority"] = escape(_authority(statement, opening))
    values["removed"] = escape(_removed(statement, opening))
    values["opened"] = _opened(opening)
    values["contact"] = escape(_contact(statement, opening))
    return Template(_TEMPLATE.read_text("utf-8")).substitute(values)


def _when_and_why(said: Statement) -> dict[str, str]:
    words = meaning.WORDS[said.remedy]
    officers = meaning.counted(len(said.approvals), "officer")
    roles = sorted({approval.role.replace("-", " ") for approval in said.approvals})
    return {
        "demo": f'<p class="demo">This is {escape(meaning.DEMO)}.</p>\n' if said.demo else "",
        "certificate": escape(said.certificate),
        "destroyed": escape(meaning.day(said.destroyed_at)),
        "title": escape(words.title),
        "right": escape(meaning.right(said)),
        "gone": escape(words.gone),
        "ground": escape(meaning.GROUND[said.ground]),
        "requested": escape(meaning.day(said.requested_at)),
        "approved": escape(meaning.day(said.approved_at)),
        "officers": escape(f"{officers} ({', '.join(roles)})"),
        "cooling_off": escape(meaning.cooling_off(said)),
    }


def _what_it_means(said: Statement) -> dict[str, str]:
    letters = [slot.letter for slot in said.slots]
    slots = [
        f"{meaning.counted(letters.count(letter), 'key store')} of class {letter}:"
        f" {meaning.SLOT[letter]}."
        for letter in sorted(set(letters))
    ]
    if said.lost_slots:
        lost = meaning.counted(len(said.lost_slots), "key store")
        slots.append(f"{lost} could not be reached: {meaning.LOST_SLOT}.")
    limits = [f"{meaning.NOT_COVERED[name]}. Ask {meaning.ASK[name]}." for name in said.not_covered]
    processes = meaning.counted(said.workers, "process", "processes")
    return {
        "slots": _items(slots),
        "not_covered": _items(limit[:1].upper() + limit[1:] for limit in limits),
        "workers": escape(
            f"{meaning.WORDS[said.remedy].asked}: {processes} had confirmed that no earlier answer"
            " was under way."
        ),
    }


def _how_to_check(attachment: Attachment) -> dict[str, str]:
    name = escape(attachment.file_name)
    content = b64encode(attachment.text).decode()
    words = ["lacuna", "certificate", "verify", attachment.file_name]
    return {
        "file_name": name,
        "command": escape(shlex.join([*words, "--log-key", attachment.log_key])),
        "download": f'<span class="screen"> (<a download="{name}"'
        f' href="data:text/plain;base64,{content}">download</a>)</span>',
        "text": escape(attachment.text.decode()),
    }


def _authority(said: Statement, opening: "Opening | None") -> str:
    if opening is None or not opening.authority_name:
        return f"the authority {said.authority}"
    return f"{opening.authority_name} ({said.authority})"


def _removed(said: Statement, opening: "Opening | None") -> str:
    records = meaning.counted(len(said.records), "record")
    done = meaning.WORDS[said.remedy].done.format(records=records)
    removed = f"On {meaning.day(said.destroyed_at)} {done}"
    if opening is None:
        return f"{removed}. To protect you, this letter does not say whose."
    if len(opening.records) < len(said.records):
        return f"{removed}; the ones about your family are:"
    return f"{removed}:"


def _opened(opening: "Opening | None") -> str:
    if opening is None:
        return ""
    records = [
        f"reference {record.source_ref}, for {', '.join(record.masked_identifiers())}"
        for record in opening.records
    ]
    return f"<ul>\n{_items(records)}</ul>\n"


def _contact(said: Statement, opening: "Opening | None") -> str:
    if opening is None or not opening.contact:
        return f"The authority's data protection officer answers questions ({said.authority})."
    return f"The authority answers questions: {opening.contact}"


def _items(texts: Iterable[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>\n" for text in texts)

"""The page: an export for people, as one HTML file to read or to print.

Invariants:

* It says what the export says, and nothing that was left out of it: it is made of what is left.
* Every value is escaped, is shown apart from the text around it, and can turn none of that around:
  it stands alone (`bdi`), also within what is shown as JSON, and what ends that, or overrides how
  signs run, is shown as a sign that is none. The template is filled in once, so that no value is a
  place for another.
* No script, no image, no font, no request: its own policy forbids them.
* Headings come in order, a table says what its rows and columns are, and what was left out is
  marked in words, not by a colour.

What the law says is in words.py and in data/export.html. Pure, but for reading that file.
"""

import re
from collections.abc import Callable, Iterable
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Final

import msgspec

from lookup.disclosure import words
from lookup.disclosure.export import Export, Json
from lookup.disclosure.redacting import Reason, reason_of
from lookup.transparency import meaning

_TEMPLATE: Final = files("lookup.disclosure") / "data" / "export.html"
# What is nested deeper is shown as JSON: a page has only so much room to the right.
_MOST_NESTED: Final = 8
_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
# Separators of lines and paragraphs, and what embeds, overrides or isolates a direction: a value
# that has the end of an isolate in it would get out of its own.
_DIRECTIONS: Final = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
_UNPRINTED: Final = {
    code: "\ufffd" for code in (*_CONTROLS, *_DIRECTIONS) if chr(code) not in "\t\n"
}
_STRING: Final = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*")')  # in JSON


def render_html(export: Export) -> str:
    """Return the page of an export."""
    said = export.document
    authority = said["authority"]
    return Template(_TEMPLATE.read_text("utf-8")).substitute(
        authority=_text(authority["name"] or authority["code"]),
        contact=_contact(authority),
        made=_text(words.moment(said["made"])),
        record=_record(said["record"]),
        payload=_value(said["payload"], 0),
        statements=_statements(said["statements"]),
        cases=_cases(said["cases"]),
        waiting=_waiting(said["waiting"], said["cases"]),
        accesses=_accesses(said["accesses"]),
        missing=_missing(said["missing"]),
        left_out=_left_out(said["redactions"]),
        format=_text(said["format"]),
        site=_text(said["site"]),
    )


def _text(value: str) -> str:
    return escape(value.translate(_UNPRINTED))


def _shown(value: object, say: Callable[[str], str] = str) -> str:
    """Return one value, said in words; a mark where it was left out."""
    if (reason := reason_of(value)) is not None:
        return f'<span class="left-out">left out: {_text(words.SHORT[reason])}</span>'
    if value is None:
        return "<span>not given</span>"
    return f"<bdi>{_text(say(str(value)))}</bdi>"


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a list; the values are HTML."""
    return "".join(f"<div><dt>{name}</dt>\n<dd>{value}</dd></div>\n" for name, value in rows)


def _record(record: Json) -> str:
    identifiers = record["identifiers"]
    listed = identifiers if isinstance(identifiers, list) else [identifiers]
    return _rows(
        (
            ("Kind of record", _shown(record["category"], words.member)),
            ("Reference of the authority", _shown(record["source_ref"])),
            ("Numbers that it is found by", "<br>\n".join(_shown(each) for each in listed)),
            ("Since", _shown(record["since"], words.day)),
            ("Until", _shown(record["until"], words.day)),
            ("Hospitals may be told until", _shown(record["answer_until"], words.day)),
            ("Kept", _kept(record["kept"])),
            ("Number of the record", _shown(record["record_id"])),
            ("Version", _shown(record["version"])),
        )
    )


def _kept(kept: Json | None) -> str:
    if kept is None or reason_of(kept) is not None:
        return "<span>ask the authority</span>" if kept is None else _shown(kept)
    until = kept["until"]
    last = "<span>a day that nobody knows yet</span>" if until is None else _shown(until, words.day)
    return f"until {last}, by the schedule {_shown(kept['schedule'], words.member)}"


def _value(value: Any, depth: int) -> str:  # noqa: ANN401  # whatever a payload holds
    """Return a payload, or a part of it."""
    if reason_of(value) is not None:
        return _shown(value)
    if isinstance(value, dict | list) and depth >= _MOST_NESTED:
        return f"<pre>{_json(value)}</pre>"
    if isinstance(value, dict) and value:
        inside = ((_name(name), _value(each, depth + 1)) for name, each in value.items())
        return f"<dl>\n{_rows(inside)}</dl>"
    if isinstance(value, list) and value:
        items = (f"<li>{_value(each, depth + 1)}</li>\n" for each in value)
        return f"<ol>\n{''.join(items)}</ol>"
    return _leaf(value)


def _json(value: Any) -> str:  # noqa: ANN401  # as above
    """Return a value as JSON, each string in it apart from the next."""
    parts = _STRING.split(msgspec.json.encode(value).decode())
    return "".join(
        f"<bdi>{_text(part)}</bdi>" if part.startswith('"') else _text(part) for part in parts
    )


def _leaf(value: Any) -> str:  # noqa: ANN401  # as above
    if isinstance(value, msgspec.Raw):
        return _shown(bytes(value).decode())
    if isinstance(value, bool):
        return "<span>yes</span>" if value else "<span>no</span>"
    if isinstance(value, str) and value:
        return _shown(value)
    return "<span>nothing</span>"  # null, or empty


def _name(name: str) -> str:
    return f"<bdi>{_text(words.member(name))}</bdi>"


def _statements(statements: list[Json]) -> str:
    if not statements:
        return "<p>None. You may ask for one (Article 16).</p>\n"
    lost = "its text was lost, and is being looked for"
    return "".join(
        f"<h3>Statement of {_text(words.day(each['day']))}</h3>\n"
        f'<p class="words">{_shown(lost if each["text"] is None else each["text"])}</p>\n'
        for each in statements
    )


def _cases(cases: list[Json]) -> str:
    if not cases:
        return "<p>None.</p>\n"
    return "".join(map(_case, cases, range(1, len(cases) + 1)))


def _case(case: Json, number: int) -> str:
    head = f"<h3>Request {number}</h3>\n"
    if reason_of(case) is not None:
        return f"{head}<p>{_shown(case)}</p>\n"
    state = "its content was lost, its steps are below" if case["state"] is None else case["state"]
    facts = _rows(
        (
            ("Where it stands", _shown(state, lambda each: words.STATES.get(each, each))),
            ("What was asked", _shown(case["remedy"], lambda each: words.REMEDIES.get(each, each))),
            ("Received", _shown(case["received"], words.day)),
            ("Asked for under", _shown(case["ground"], lambda each: words.GROUNDS.get(each, each))),
        )
    )
    steps = case["steps"]
    if reason_of(steps) is not None:
        return f"{head}<dl>\n{facts}</dl>\n<p>{_shown(steps)}</p>\n"
    listed = "".join(f"<li>{_case_step(each)}</li>\n" for each in steps)
    return f"{head}<dl>\n{facts}</dl>\n<ol>\n{listed}</ol>\n"


def _case_step(step: Json) -> str:
    if reason_of(step) is not None:
        return _shown(step)
    by = {None: words.GONE, "site": words.SITE}.get(_known(step["by"]), step["by"])
    act = _shown(step["act"], lambda each: words.ACTS.get(each, each))
    said = "" if step["words"] is None else f": {_shown(step['words'])}"
    return f"{_shown(step['time'], words.moment)}: {act}, by {_shown(by)}{said}"


def _known(value: object) -> str | None:
    """Return a value that may be looked up; a mark is not."""
    return value if isinstance(value, str) or value is None else ""


def _waiting(number: int, cases: list[Json]) -> str:
    if not number:
        return "<p>Nothing waits.</p>\n"
    updates = meaning.counted(number, "update")
    # What waits of a record that a request has changed before waits for no request.
    decided = ", or when the request above is decided" if any(map(_is_open, cases)) else ""
    return (
        f"<p>{updates} from the authority itself will be looked at by officers{decided}. Nobody is"
        " told of it meanwhile.</p>\n"
    )


def _is_open(case: Json) -> bool:
    """Say whether a request may be undecided; one that was left out may be."""
    return reason_of(case) is not None or _known(case["state"]) not in words.DECIDED


def _accesses(accesses: list[Json]) -> str:
    if not accesses:
        return "<p>Nobody has been told of this record.</p>\n"
    columns = ("When", "Who", "In what role", "What for", "Which person", "Which visit")
    heads = "".join(f'<th scope="col">{column}</th>' for column in columns)
    times = meaning.counted(len(accesses), "time")
    return (
        f"<table>\n<caption>This record was told {times}</caption>\n"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{''.join(map(_access, accesses))}</tbody>\n"
        "</table>\n"
    )


def _access(access: Json) -> str:
    cells = (_who(access), access["role"], access["purpose"], access["user"], access["encounter"])
    who, *others = cells
    shown = [
        _shown(who),
        _shown(others[0]),
        _shown(others[1], lambda each: words.PURPOSES.get(each, each)),
        *map(_shown, others[2:]),
    ]
    return (
        f'<tr><th scope="row">{_text(words.moment(access["time"]))}</th>'
        f"{''.join(f'<td>{each}</td>' for each in shown)}</tr>\n"
    )


def _who(access: Json) -> object:
    if access["officer"]:
        return "an officer who works with these records"
    if access["client_name"] is not None:
        return access["client_name"]
    return "somebody who may no longer ask"


def _missing(number: int) -> str:
    if not number:
        return ""
    parts = meaning.counted(number, "part")
    return (
        f"<p><strong>{parts} of the list of everybody who asked cannot be read any more. Whether"
        " this record was told to anybody in there, nobody can say.</strong></p>\n"
    )


def _left_out(counts: dict[str, int]) -> str:
    if not counts:
        return "<p>Nothing was left out of this copy.</p>\n"
    rows = "".join(
        f'<tr><th scope="row">{_text(words.REASONS[Reason(reason)])}</th><td>{number}</td></tr>\n'
        for reason, number in counts.items()
    )
    return (
        "<table>\n<caption>What was left out, by reason</caption>\n"
        '<thead><tr><th scope="col">Because</th><th scope="col">In how many places</th></tr>'
        f"</thead>\n<tbody>\n{rows}</tbody>\n</table>\n"
    )


def _contact(authority: Json) -> str:
    numbers = [
        f"{_text(authority[name])} ({when})"
        for name, when in (("office_hours", "office hours"), ("out_of_hours", "at other times"))
        if authority[name]
    ]
    return f", telephone {', '.join(numbers)}" if numbers else ""

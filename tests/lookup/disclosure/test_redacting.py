"""Redactions: what is marked is gone, what misses is an error."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.disclosure.errors import InvalidRedactions
from lookup.disclosure.page import render_html
from lookup.disclosure.redacting import (
    MAX_FILE,
    MAX_REDACTIONS,
    Reason,
    Redaction,
    left_elsewhere,
    parse_redactions,
    reason_of,
    redact,
)
from tests.lookup.disclosure.making import PAYLOAD, export, without

MARK: Final = "Sorrel-Bexley"


def encodings(text: str) -> list[bytes]:
    """Return how a file could hold a text, whole or in part."""
    raw = text.encode()
    return [
        raw,
        raw[1:-1],
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        "".join(f"\\u{ord(each):04x}" for each in text).encode(),
        "".join(f"&#{ord(each)};" for each in text).encode(),
        escape(text).encode(),
        raw.hex().encode(),
        # Base64 of a text depends on where in a larger one it begins.
        *(b64encode(b"x" * at + raw)[4:-4] for at in range(3)),
    ]


def shapes() -> st.SearchStrategy[Any]:
    """Draw payloads; each `None` becomes a string of its own."""
    return st.recursive(
        st.just(None),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b/c", "d~e", ""]), inner, min_size=1)
        ),
        max_leaves=8,
    )


def planted(shape: Any, path: str, found: dict[str, str]) -> Any:  # noqa: ANN401  # JSON
    """Return a payload with a unique string in each place of a shape; `found` has where."""
    if isinstance(shape, list):
        return [planted(each, f"{path}/{at}", found) for at, each in enumerate(shape)]
    if isinstance(shape, dict):
        return {
            name: planted(each, f"{path}/{name.replace('~', '~0').replace('/', '~1')}", found)
            for name, each in shape.items()
        }
    found[path] = f'<&"ma\u0159k{len(found):04}>'
    return found[path]


@given(shapes(), st.data())
def test_what_is_left_out_is_in_neither_file(shape: object, data: st.DataObject) -> None:
    """Each string of a payload is unique; some are marked, and these are nowhere in any form."""
    where: dict[str, str] = {}
    payload = planted(shape, "/payload", where)
    gone = data.draw(st.sets(st.sampled_from(sorted(where))))
    told = without(*sorted(gone), payload=payload)
    files = told.json() + b"\n" + render_html(told).encode()
    for path, text in where.items():
        if path in gone:
            assert not any(form in files for form in encodings(text))
        else:
            assert escape(text).encode() in files
            assert json.dumps(text, ensure_ascii=False).encode() in files
    assert told.document["redactions"]["third-party"] == len(gone) + 2  # with the users of accesses


def test_a_value_is_replaced_by_why() -> None:
    told = json.loads(without("/payload/notes/0/author", "/payload/outcome").json())
    assert told["payload"] == {
        "notes": [
            {"author": {"redacted": "third-party"}, "text": PAYLOAD["notes"][0]["text"]},  # type: ignore[index]  # JSON
            PAYLOAD["notes"][1],  # type: ignore[index]  # as above
        ],
        "outcome": {"redacted": "third-party"},
    }


def test_what_was_there_stays_as_it_was() -> None:
    """The export that marks are applied to is another one than they give."""
    whole = export()
    before = whole.json()
    redact(whole, [Redaction("/payload", Reason.SERIOUS_HARM)])
    assert whole.json() == before


def test_users_are_left_out_unless_it_is_said_otherwise() -> None:
    """Role and client stay; where nobody was named nothing is left out."""
    told, kept = redact(export(), []), redact(export(), [], with_users=True)
    assert [each["user"] for each in kept.document["accesses"]] == ["nurse-17", "leo"]
    for each in told.document["accesses"]:
        assert reason_of(each["user"]) is Reason.THIRD_PARTY
        assert each["role"] is not None
    assert told.document["accesses"][0]["client_name"] == "St. Elsewhere"
    assert b"nurse-17" not in told.json() + render_html(told).encode()


def test_a_user_may_be_marked_for_another_reason() -> None:
    told = without("/accesses/0/user", reason=Reason.SERIOUS_HARM)
    assert told.document["redactions"] == {"third-party": 1, "serious-harm": 1}


def test_what_a_payload_says_in_the_words_of_a_mark_is_none() -> None:
    """It is not counted, nor boxed."""
    payload = {"redacted": "third-party"}
    assert redact(export(payload), [], with_users=True).document["redactions"] == {}
    assert reason_of(export(payload).document["payload"]) is None
    assert 'class="left-out"' not in render_html(redact(export(payload), [], with_users=True))


def test_words_that_stand_elsewhere_are_pointed_out() -> None:
    """By the number of the mark and how many places there are, never by the words."""
    whole = export({"author": "Mr Bexley", "text": "he, mr bexley, rang", "id": 4711, "of": "4711"})
    marks = [
        Redaction("/payload/author", Reason.THIRD_PARTY),
        Redaction("/record/source_ref", Reason.THIRD_PARTY),
        Redaction("/payload/id", Reason.THIRD_PARTY),
    ]
    assert left_elsewhere(whole, redact(whole, marks), marks) == [(1, 1), (3, 1)]


def test_a_note_goes_nowhere() -> None:
    """It is the officer's own."""
    told = redact(export(), [Redaction("/payload", Reason.THIRD_PARTY, note=MARK)])
    assert MARK.encode() not in told.json() + render_html(told).encode()
    assert MARK not in repr(Redaction("/payload", Reason.THIRD_PARTY, note=MARK))


def marked(path: object = "/payload", **more: object) -> bytes:
    return json.dumps([{"path": path, "reason": "third-party"} | more]).encode()


def two(one: str, other: str) -> bytes:
    return json.dumps([{"path": path, "reason": "third-party"} for path in (one, other)]).encode()


NOTHING, HAS_TO = "points to nothing", "points to what has to be told"
FORM, POINTER = "is not a path, a reason", "is no pointer"
BAD: Final = {
    # The file
    "no JSON": (b"path: /payload", "no JSON"),
    "not UTF-8": (b'[{"path": "\xff"}]', "no JSON"),
    "too large": (b" " * (MAX_FILE + 1), "more than"),
    "an object": (b"{}", "no list"),
    "too many": (b"[" + b"0," * MAX_REDACTIONS + b"0]", "no list of at most"),
    "nested too deep": (b"[" * 9_999, "no JSON"),
    "a path twice in one": (
        b'[{"path":"/payload","path":"/cases/0","reason":"third-party"}]',
        "twice",
    ),
    # A mark
    "a word": (json.dumps([MARK]).encode(), FORM),
    "no reason": (b'[{"path": "/payload"}]', FORM),
    "no path": (b'[{"reason": "third-party"}]', FORM),
    "a reason of another law": (marked(reason="because"), FORM),
    "a reason that is a number": (marked(reason=7), FORM),
    "a member more": (marked(**{MARK: 1}), FORM),
    "a path that is a number": (marked(7), FORM),
    "a path too long": (marked("/payload/" + "x" * 1_024), FORM),
    "a note too long": (marked(note="x" * 1_001), FORM),
    # A pointer
    "no slash": (marked("payload"), POINTER),
    "a fragment": (marked("#/payload"), POINTER),
    "a half escape": (marked("/payload/~2"), POINTER),
    "a tilde at the end": (marked("/payload/~"), POINTER),
    "a member that is not there": (marked(f"/payload/{MARK}"), NOTHING),
    "below a text": (marked("/payload/notes/0/author/x"), NOTHING),
    "behind the last": (marked("/payload/notes/2"), NOTHING),
    "the place behind the last": (marked("/payload/notes/-"), NOTHING),
    "a negative place": (marked("/payload/notes/-1"), NOTHING),
    "a place with a zero before": (marked("/payload/notes/01"), NOTHING),
    "a place in letters": (marked("/payload/notes/one"), NOTHING),
    "a place in other digits": (marked("/payload/notes/\u0661"), NOTHING),
    "an access that is not there": (marked("/accesses/9/user"), NOTHING),
    # What has to be told
    "everything": (marked(""), HAS_TO),
    "the format": (marked("/format"), HAS_TO),
    "the site": (marked("/site"), HAS_TO),
    "who holds it": (marked("/authority/name"), HAS_TO),
    "the whole record": (marked("/record"), HAS_TO),
    "the record's id": (marked("/record/record_id"), HAS_TO),
    "that there are accesses": (marked("/accesses"), HAS_TO),
    "one access": (marked("/accesses/0"), HAS_TO),
    "when that was": (marked("/accesses/0/time"), HAS_TO),
    "that there are statements": (marked("/statements/0"), HAS_TO),
    "that there are cases": (marked("/cases"), HAS_TO),
    "that something waits": (marked("/waiting"), HAS_TO),
    "what was left out": (marked("/redactions"), HAS_TO),
    # Two of them
    "twice the same": (two("/payload/notes", "/payload/notes"), "what another one leaves out"),
    "one in another": (two("/payload/notes", "/payload/notes/0"), "what another one leaves out"),
    "one around another": (two("/payload/notes/0", "/payload"), "another one points into"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "told"), BAD.values(), ids=BAD)
def test_a_mark_that_misses_is_an_error(raw: bytes, told: str) -> None:
    """It would leave in what somebody meant to leave out. No error repeats what was marked."""
    with pytest.raises(InvalidRedactions, match=told) as refused:
        redact(export(), parse_redactions(raw))
    assert MARK not in str(refused.value)


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 25


GOOD: Final = [
    "/payload",
    "/payload/notes/1",
    "/payload/outcome/score",
    "/payload/outcome/closed",
    "/record/identifiers/1",
    "/record/identifiers",
    "/record/source_ref",
    "/record/since",
    "/statements/0/text",
    "/cases/0",
    "/cases/0/steps",
    "/cases/0/steps/1",
    "/cases/0/steps/1/words",
    "/cases/0/state",
    "/cases/0/received",
    "/accesses/0/client_name",
    "/accesses/0/role",
    "/accesses/0/purpose",
    "/accesses/0/encounter",
    "/accesses/1/user",
]


@pytest.mark.parametrize("path", GOOD)
@pytest.mark.parametrize("reason", Reason)
def test_what_may_be_left_out(path: str, reason: Reason) -> None:
    """Each by each reason, and the page says so in a box, and counts it in the table."""
    raw = json.dumps([{"path": path, "reason": reason, "note": "so"}]).encode()
    told = redact(export(), parse_redactions(raw), with_users=True)
    assert told.document["redactions"] == {reason: 1}
    assert render_html(told).count('class="left-out"') == 1 + (path == "/accesses/0/client")
    assert followed(json.loads(told.json()), path) == {"redacted": reason}


def followed(value: Any, path: str) -> Any:  # noqa: ANN401  # JSON
    """Return what a pointer points to, by a second reading of RFC 6901."""
    steps: Iterator[str] = iter(path.split("/")[1:])
    unescaped: Callable[[str], str] = lambda s: s.replace("~1", "/").replace("~0", "~")  # noqa: E731
    for each in map(unescaped, steps):
        value = value[int(each)] if isinstance(value, list) else value[each]
    return value

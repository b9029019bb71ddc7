"""The export: whole, in its one form, or not made."""

import json
import re
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.disclosure.errors import InvalidExport
from lookup.disclosure.export import FORMAT, Export, make_export, parse_payload
from tests.lookup.disclosure.making import STATEMENT, Json, access, export, lines, step, told

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def spelled(payload: str) -> Json:
    """Return a record whose payload is this text."""
    return told() | {"payload": payload}


def written(payload: str) -> Export:
    """Return the export of that record."""
    return make_export([{"record": spelled(payload)}, *lines()[1:]])


@given(JSON)
def test_a_payload_is_whole(payload: object) -> None:
    """Whatever JSON it is, it comes back as it was."""
    whole = export(payload).json()
    assert json.loads(whole)["payload"] == payload


@pytest.mark.parametrize(
    "number", ["1.50", "1e400", "-0", "123456789012345678901234567890", "0.1000000000000000055"]
)
def test_a_number_stays_as_it_was_written(number: str) -> None:
    """Also one that no float holds."""
    assert f'"payload": {number},'.encode() in written(number).json()


def test_a_member_that_is_given_twice_is_told_twice() -> None:
    """A payload may say something twice; what was said first is no less held."""
    twice = '{"note": 1, "note": 2, "note (2)": 3, "note": 4}'
    assert json.loads(written(twice).json())["payload"] == {
        "note": 1,
        "note (2)": 2,
        "note (2) (2)": 3,
        "note (3)": 4,
    }


def test_half_a_character_is_shown_as_none() -> None:
    assert json.loads(written('["\\ud800x", {"\\udc00": 1}]').json())["payload"] == [
        "\ufffdx",
        {"\ufffd": 1},
    ]


def test_its_form_is_one() -> None:
    """The same lines give the same bytes; what a newer site says besides is left out."""
    more = lines()
    more[0]["record"]["mood"] = "new"
    assert export().json() == export().json() == make_export(more).json()
    assert list(export().document)[:3] == ["format", "made", "site"]
    assert export().document["format"] == FORMAT


def test_the_document_shows_one() -> None:
    """crypto/FORMATS.md has the export of these lines, byte for byte."""
    document = (Path(__file__).parents[3] / "crypto" / "FORMATS.md").read_text("utf-8")
    (shown,) = re.findall(
        r'```json\n(\{\n  "format": "lacuna-subject-access.*?)```', document, re.DOTALL
    )
    case = {
        "state": "requested",
        "remedy": "erase",
        "ground": "art-17-1-g",
        "received": "2026-11-01",
    }
    short: list[Json] = [
        {"record": told({"note": "visited"})},
        {"statement": STATEMENT},
        {"case": case | {"steps": [step("open")]}},
        {"waiting": 0},
        {"access": access()},
        {"complete": True, "missing": 0},
    ]
    assert make_export(short).json().decode() == shown


def cut(at: int) -> list[Json]:
    """Return the lines without one of them."""
    return [line for number, line in enumerate(lines()) if number != at]


NONE: Final[dict[str, list[Json]]] = {
    "nothing": [],
    "no last line": cut(6),
    "no record": cut(0),
    "no word on what waits": cut(3),
    "two records": [*lines(), {"record": told()}],
    "a record that is a list": [{"record": []}, *cut(0)],
    "a record without a site": [{"record": told(site=None)}, *cut(0)],
    "a payload that is no JSON": [{"record": spelled("{")}, *cut(0)],
    "a payload that is no number": [{"record": spelled("NaN")}, *cut(0)],
    "a payload cut off where it is deep": [{"record": spelled("[" * 5_000)}, *cut(0)],
    "an access without a time": [*lines(), {"access": access(time=None)}],
    "a statement that is a number": [*lines(), {"statement": 7}],
    "a case of a word": [*lines(), {"case": "Sorrel-Bexley"}],
}


@pytest.mark.parametrize("said", NONE.values(), ids=NONE)
def test_what_is_not_all_is_no_export(said: list[Json]) -> None:
    """Nothing is made of less than the site has said to be complete, and no value is repeated."""
    with pytest.raises(InvalidExport) as refused:
        make_export(said)
    assert "Sorrel" not in str(refused.value)


def test_nothing_of_it_prints() -> None:
    """A traceback or a log would otherwise show a child."""
    assert "CASE-17" not in repr(export())


def test_a_payload_alone() -> None:
    assert parse_payload("null") is None

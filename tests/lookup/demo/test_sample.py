import json
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from datetime import date
from itertools import islice

import pytest

from lookup.catalogue import DEFAULT_CATEGORIES, Catalogue, parse_catalogue
from lookup.demo.sample import (
    MAX_GENERATED,
    SAMPLE_SIZE,
    SampleRecord,
    Scene,
    _nhs_numbers,
    generate,
    load_authorities,
    load_sample,
    sample,
    scenes,
    to_line,
)
from lookup.identifiers import parse_identifier

TODAY = date(2026, 11, 23)
YEARS_FROM_NOW = date(2036, 1, 1)
ANSWERABLE = {category.name for category in DEFAULT_CATEGORIES if category.answerable}


def catalogue() -> Catalogue:
    return parse_catalogue(load_authorities())


def every_scene() -> dict[str, Scene]:
    told = scenes()
    return {field.name: getattr(told, field.name) for field in fields(told)}


def answered(record: SampleRecord, today: date) -> bool:
    """The rule of the import: until unknown, or for twelve months after it."""
    if record["category"] not in ANSWERABLE or date.fromisoformat(record["since"]) > today:
        return False
    if record["until"] is None:
        return True
    until = date.fromisoformat(record["until"])
    last = record.get("answer_until") or until.replace(year=until.year + 1, day=1).isoformat()
    return today <= date.fromisoformat(last)


def test_the_shipped_file_is_what_the_generator_makes() -> None:
    """Byte for byte, by the command in the module's docstring."""
    made = subprocess.run(
        [sys.executable, "-m", "lookup.demo.sample"], capture_output=True, check=True, timeout=60
    )

    assert made.stdout == load_sample()
    assert made.stdout.decode("ascii").splitlines(keepends=True) == list(map(to_line, sample()))


def test_every_record_is_valid() -> None:
    """As the import will judge it: identifiers canonical, names known, dates in order."""
    known = catalogue()
    records = list(sample())

    assert len(records) == SAMPLE_SIZE
    for record in records:
        assert record["authority"] in known.authority_numbers
        assert record["category"] in known.category_numbers
        assert [parse_identifier(text).text for text in record["identifiers"]] == (
            record["identifiers"]
        )
        since = date.fromisoformat(record["since"])
        until = record["until"]
        assert since <= TODAY
        assert until is None or since < date.fromisoformat(until)
        assert json.loads(to_line(record)) == record
    assert len({(record["authority"], record["source_ref"]) for record in records}) == SAMPLE_SIZE
    assert {record["authority"] for record in records} == known.authority_numbers.keys()
    assert {record["category"] for record in records} == known.category_numbers.keys()


def test_nobody_real_is_meant() -> None:
    """Numbers that are never issued, telephones of the drama range, names that say so."""
    for record in sample():
        for text in record["identifiers"]:
            assert text.startswith(("nhs:999", "upn:J000", "local:MVB:"))
    for authority in catalogue().authorities:
        assert authority.office_hours.startswith("01632 960")
        assert authority.out_of_hours.startswith("01632 960")
        assert authority.name.endswith("(fictional)")


def test_a_marker_finds_one_record() -> None:
    """So that a thief who finds none has not read that record."""
    text = load_sample().decode()

    for record in sample():
        assert text.count(f'"{record["payload"]["marker"]}"') == 1


def test_the_scenes_are_in_the_sample() -> None:
    """Every record under a scene's identifiers is one of the scene's."""
    records = list(sample())
    for name, scene in every_scene().items():
        found = [r for r in records if set(r["identifiers"]) & set(scene.identifiers)]
        assert found == list(scene.records), name


def test_scenes_have_no_child_in_common() -> None:
    identifiers = [text for scene in every_scene().values() for text in scene.identifiers]

    assert len(identifiers) == len(set(identifiers))


@pytest.mark.parametrize("today", [TODAY, YEARS_FROM_NOW], ids=str)
def test_the_scenes_mean_what_their_names_say(today: date) -> None:
    """Today, and for years."""
    told = scenes()
    known = {name: [answered(r, today) for r in s.records] for name, s in every_scene().items()}

    assert known == {
        "known": [True],
        "unknown": [],
        "no_further_action": [False],
        "two_records": [True, True],
        "two_identifiers": [True],
        "siblings": [True, True, True],
        "twins": [True, True],
        "unborn": [True],
        "ended": [True],
        "expired": [False],
        "child_in_need": [False],
        "allegation": [False],
        "local_number": [True],
        "sibling": [True],
        "adopted": [True],
    }
    for child in (told.known, told.sibling):
        assert child.records[0]["category"] == "child-protection-plan"
        assert child.records[0]["authority"] == "AXT"
    assert told.known.records[0]["until"]
    assert told.sibling.records[0]["until"] is None
    # The thief looks for it; whoever else names it would be found instead.
    assert load_sample().count(told.known.source_ref.encode()) == 1
    assert told.no_further_action.records[0]["category"] == "enquiry-no-further-action"
    assert told.unborn.records[0]["category"] == "unborn-plan"
    assert len({record["authority"] for record in told.two_records.records}) == 2
    assert len(told.two_records.identifiers) == 1
    assert [text.partition(":")[0] for text in told.two_identifiers.identifiers] == ["nhs", "upn"]
    assert len(told.siblings.identifiers) == 3
    assert len(told.twins.identifiers) == 2
    assert parse_identifier(told.unknown.identifier).scheme == "nhs"


def test_a_scene_is_named_by_its_first_record() -> None:
    scene = scenes().known

    assert scene.identifier == scene.identifiers[0]
    assert scene.source_ref == scene.records[0]["source_ref"]
    assert scene.marker == scene.records[0]["payload"]["marker"]


def test_the_sample_stays_lively_for_years() -> None:
    """Answered, unanswered and expired records are all there, now and later."""
    for today in (TODAY, YEARS_FROM_NOW):
        count = Counter(
            (record["category"] in ANSWERABLE, answered(record, today)) for record in sample()
        )
        assert count[True, True] > 400
        assert count[True, False] > 50
        assert count[False, False] > 300


def test_generated_records_are_a_function_of_their_arguments() -> None:
    """A benchmark's records can be had again, and another seed's are others."""
    first = list(generate(2000, 1, ["A", "B"]))

    assert first == list(generate(2000, 1, ["A", "B"]))
    assert first[:500] == list(generate(500, 1, ["A", "B"]))
    assert first[0] != next(generate(1, 2, ["A", "B"]))
    assert Counter(record["authority"] for record in first) == {"A": 1000, "B": 1000}


def test_generated_records_are_distinct() -> None:
    records = list(generate(20_000, 7, ["A"]))

    assert len({text for record in records for text in record["identifiers"]}) == 20_000
    assert len({record["payload"]["marker"] for record in records}) == 20_000
    assert len({record["source_ref"] for record in records}) == 20_000
    assert all(parse_identifier(record["identifiers"][0]) for record in records[:2000])


def test_after_the_999_range_others_follow() -> None:
    """All of one range come before any of the next, none twice, none of the scenes'."""
    numbers = list(islice(_nhs_numbers(3), 1_000_000))
    starts = Counter(number[:3] for number in numbers)

    assert len(set(numbers)) == 1_000_000
    assert starts == {"999": 907_273, "998": 92_727}
    assert numbers[907_272].startswith("999")
    assert not any(number.startswith("999000") for number in numbers)
    assert all(parse_identifier(f"nhs:{number}") for number in numbers[::500])


def test_more_than_there_are_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 90000000"):
        next(generate(MAX_GENERATED + 1, 1, ["A"]))

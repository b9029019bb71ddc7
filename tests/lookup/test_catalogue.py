import tomllib
from dataclasses import FrozenInstanceError, replace

import pytest

from lookup.catalogue import (
    DEFAULT_CATEGORIES,
    TEST,
    Authority,
    Catalogue,
    Category,
    InvalidCatalogue,
    Purpose,
    Replay,
    parse_catalogue,
)

AXTONBURY = Authority("AXT", "Axtonbury City Council", "01632 960110", "01632 960119")
BARSETSHIRE = Authority("BSC", "Barsetshire County Council", "01632 960220", "(01632) 960229")

AUTHORITY = """
    [[authority]]
    code = "AXT"
    name = "Axtonbury City Council"
    office_hours = "01632 960110"
    out_of_hours = "01632 960119"
"""
CATEGORY = """
    [[category]]
    name = "looked-after"
    answerable = true
"""


def parse(text: str) -> Catalogue:
    return parse_catalogue(tomllib.loads(text))


def test_without_categories_the_default_ones_hold() -> None:
    """What is answered by default is what protects a child today; the rest is stored."""
    catalogue = parse(AUTHORITY)

    assert catalogue == Catalogue(DEFAULT_CATEGORIES, (AXTONBURY,))
    assert {each.name for each in catalogue.categories if each.answerable} == {
        "child-protection-plan",
        "looked-after",
        "unborn-plan",
        "test",
    }
    assert {each.name for each in catalogue.categories if not each.answerable} == {
        "enquiry-no-further-action",
        "child-in-need",
        "allegation",
    }


def test_how_a_feed_may_repeat_itself() -> None:
    """A year and a month back, where nothing is said; or so far; or, with a cursor, not at all."""
    said = parse(AUTHORITY + "replay_months = 120\n").replay_of("AXT")
    counted = parse(AUTHORITY + "cursor = true\n").replay_of("AXT")

    assert parse(AUTHORITY).replay_of("AXT") == Replay(13, cursor=False)
    assert (said.months, said.cursor) == (120, False)
    assert counted.cursor


def test_a_number_is_a_position() -> None:
    """The index holds numbers, and both planes read them out of the same tuples."""
    catalogue = Catalogue(DEFAULT_CATEGORIES, (AXTONBURY, BARSETSHIRE))

    for name, number in catalogue.category_numbers.items():
        assert catalogue.categories[number].name == name
    for code, number in catalogue.authority_numbers.items():
        assert catalogue.authorities[number].code == code
    assert catalogue.categories[catalogue.test_number] == TEST


def test_records_cannot_have_the_canarys_category() -> None:
    """Else a record could pass for the canary, or the canary for a child."""
    catalogue = parse(CATEGORY + AUTHORITY)

    assert catalogue.categories == (Category("looked-after", answerable=True), TEST)
    assert catalogue.category_numbers == {"looked-after": 0}


def test_a_catalogue_cannot_be_changed() -> None:
    catalogue = parse(AUTHORITY)

    with pytest.raises(FrozenInstanceError):
        catalogue.authorities = ()  # type: ignore[misc]  # that is the test
    with pytest.raises(TypeError):
        catalogue.authority_numbers["BSC"] = 1  # type: ignore[index]  # that is the test


def test_as_many_as_a_slot_can_number_fit() -> None:
    """Four bits of a slot are the category's, ten the authority's."""
    categories = tuple(Category(f"kind-{n}", answerable=False) for n in range(15))
    authorities = tuple(replace(AXTONBURY, code=f"A{n}") for n in range(1024))

    catalogue = Catalogue((*categories, TEST), authorities)

    assert max(catalogue.authority_numbers.values()) == 2**10 - 1
    assert catalogue.test_number == 2**4 - 1
    with pytest.raises(InvalidCatalogue, match="where 16 fit"):
        Catalogue((*categories, TEST, Category("one-more", answerable=False)), authorities)
    with pytest.raises(InvalidCatalogue, match="where 1024 fit"):
        Catalogue((TEST,), (*authorities, replace(AXTONBURY, code="B")))


def test_purposes_are_words_of_the_interface() -> None:
    assert list(Purpose) == ["unscheduled-care", "scheduled-care"]


AUTHORITIES_REFUSED = {
    "an empty code": replace(AXTONBURY, code=""),
    "a lower-case code": replace(AXTONBURY, code="axt"),
    "a code of 17": replace(AXTONBURY, code="A" * 17),
    "a code with a line's end": replace(AXTONBURY, code="AXT\n"),
    "an empty name": replace(AXTONBURY, name=""),
    "a blank name": replace(AXTONBURY, name="  "),
    "a name of 81": replace(AXTONBURY, name="a" * 81),
    "a name with a line's end": replace(AXTONBURY, name="Axtonbury\nCouncil"),
    "a name that turns the line around": replace(AXTONBURY, name="\N{RIGHT-TO-LEFT OVERRIDE}a"),
    "no telephone": replace(AXTONBURY, office_hours=""),
    "a telephone without a digit": replace(AXTONBURY, out_of_hours="none"),
    "a telephone of 33": replace(AXTONBURY, out_of_hours="0" * 33),
    "a telephone with a tab": replace(AXTONBURY, office_hours="01632\t960110"),
    "a telephone with outer space": replace(AXTONBURY, office_hours="01632 960110 "),
}


@pytest.mark.parametrize("authority", AUTHORITIES_REFUSED.values(), ids=AUTHORITIES_REFUSED)
def test_what_cannot_be_shown_is_refused(authority: Authority) -> None:
    """It would be read out by someone at three in the morning."""
    with pytest.raises(InvalidCatalogue, match=r"^authority 2: "):
        Catalogue(DEFAULT_CATEGORIES, (BARSETSHIRE, authority))


@pytest.mark.parametrize("name", ["", "Looked-After", "-a", "a-", "1st", "a b", "a" * 33, "a\n"])
def test_a_category_is_a_short_word(name: str) -> None:
    with pytest.raises(InvalidCatalogue, match=r"^category 2: the name must"):
        Catalogue((TEST, Category(name, answerable=True)), (AXTONBURY,))


REFUSED = {
    "nothing": ("", "no authority: add a table"),
    "no authority": (CATEGORY, "no authority: add a table"),
    "a horizon of nothing": (AUTHORITY + "replay_months = 0\n", "from 1 to 120"),
    "a horizon beyond all": (AUTHORITY + "replay_months = 121\n", "from 1 to 120"),
    "a horizon in words": (AUTHORITY + "replay_months = '13'\n", "write one, unquoted"),
    "a horizon that is true": (AUTHORITY + "replay_months = true\n", "write one, unquoted"),
    "a cursor in words": (AUTHORITY + "cursor = 'yes'\n", "neither true nor false"),
    "another key of an authority": (AUTHORITY + "feed = true\n", "give exactly the keys"),
    "another table": (AUTHORITY + "[site]\nname = 'x'", "remove the others"),
    "a category twice": (CATEGORY + CATEGORY + AUTHORITY, "category 2: its name is taken"),
    "an authority twice": (AUTHORITY + AUTHORITY, "authority 2: its code is taken"),
    "honey that would be answered": (
        CATEGORY.replace("looked-after", "honey") + AUTHORITY,
        "honey is never answered",
    ),
    "the reserved category": (CATEGORY.replace("looked-after", "test") + AUTHORITY, "remove it"),
    "a table for an array": (AUTHORITY.replace("[[authority]]", "[authority]"), "under [[author"),
    "an array of text": ('authority = ["AXT"]', "under [[authority]]"),
    "a missing key": (AUTHORITY.replace("name", "# name"), "authority 1: give exactly the keys"),
    "an unknown key": (AUTHORITY + "fax = '1'", "authority 1: give exactly the keys"),
    "a number for text": (AUTHORITY.replace('"01632 960110"', "1632960110"), "quotation marks"),
    "text for a boolean": (CATEGORY.replace("true", '"true"') + AUTHORITY, "write one, unquoted"),
    "a number for a boolean": (CATEGORY.replace("true", "1") + AUTHORITY, "write one, unquoted"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_say_what_to_do(text: str, message: str) -> None:
    with pytest.raises(InvalidCatalogue) as caught:
        parse(text)
    assert message in str(caught.value)


def test_the_canarys_category_must_be_answerable() -> None:
    """A canary that is not answered proves nothing."""
    with pytest.raises(InvalidCatalogue, match="lack test, answerable"):
        Catalogue((Category("test", answerable=False),), (AXTONBURY,))

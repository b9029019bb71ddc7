"""The data of the law are complete, and say where they are from."""

from datetime import date, timedelta
from importlib.resources import files

import msgspec
import pytest

from lookup.cases import law
from lookup.cases.grounds import Ground

# Entry, enactment, sections, jurisdiction, the entries of a corresponding offence: written from the
# table of Art 17(5).
PHA = "Protection from Harassment Act 1997"
PHO = "Protection from Harassment (Northern Ireland) Order 1997"
TABLE = [
    (1, PHA, ("2",), "England and Wales", ()),
    (2, PHA, ("2A", "4", "4A"), "England and Wales", ()),
    (3, "Stalking Protection Act 2019", ("8",), "England and Wales", ()),
    (4, "Armed Forces Act 2006", ("42",), "service law", (1, 2, 3)),
    (5, "Army Act 1955 or Air Force Act 1955", ("70",), "service law", (1, 2)),
    (6, "Naval Discipline Act 1957", ("42",), "service law", (1, 2)),
    (7, "Criminal Justice and Licensing (Scotland) Act 2010", ("39",), "Scotland", ()),
    (8, "Protection from Stalking Act (Northern Ireland) 2022", ("1",), "Northern Ireland", ()),
    (9, "Protection from Stalking Act (Northern Ireland) 2022", ("13",), "Northern Ireland", ()),
    (
        10,
        "Protection from Harassment (Northern Ireland) Order 1997",
        ("4", "6"),
        "Northern Ireland",
        (),
    ),
]


@pytest.mark.parametrize(
    "loaded", [law.offences(), law.grounds(), law.refusals(), law.bank_holidays()]
)
def test_every_file_says_its_version_its_source_and_when_that_was_read(loaded: law.Origin) -> None:
    assert loaded.version >= 1
    assert len(loaded.source) > 20
    assert date(2026, 1, 1) <= loaded.read


def test_the_table_has_the_ten_entries_of_article_17_5() -> None:
    found = [
        (
            each.entry,
            each.enactment,
            each.sections,
            each.jurisdiction,
            tuple(int(other.removeprefix("art-17-5-")) for other in each.corresponding),
        )
        for each in law.offences().offence
    ]

    assert found == TABLE
    assert [each.id for each in law.offences().offence] == [f"art-17-5-{n}" for n in range(1, 11)]
    assert all(len(each.column_2) > 20 and each.about for each in law.offences().offence)


def test_the_orders_are_those_of_article_17_4_b() -> None:
    assert [(each.id, each.enactment, each.sections) for each in law.offences().order] == [
        ("spa-2019-s2", "Stalking Protection Act 2019", ("2",)),
        ("psa-ni-2022-s8", "Protection from Stalking Act (Northern Ireland) 2022", ("8",)),
    ]


def test_what_people_offer_in_vain_is_named() -> None:
    assert {each.id for each in law.offences().not_in_table} == {
        "coercive-control",
        "breach-of-restraining-order",
        "breach-of-non-molestation-order",
        "malicious-communications",
        "perverting-justice",
        "civil-finding",
        "interim-stalking-protection-order",
        "other",
    }


def test_the_table_does_not_say_from_when_it_applies_and_says_why() -> None:
    """Commencement is uncertain, so it is configuration (`effective_from`)."""
    text = (files("lookup.cases") / "data" / "offences.toml").read_text(encoding="utf-8")

    assert "effective_from" in text
    assert "Have counsel" in text
    assert "effective_from" not in msgspec.structs.asdict(law.offences())


def test_the_grounds_are_those_that_records_are_shredded_for() -> None:
    assert [each.code for each in law.grounds().ground] == list(Ground)
    assert all(each.text and each.evidence for each in law.grounds().ground)


def test_what_is_to_be_looked_at_instead_of_g_is_never_g() -> None:
    assert [each.code[-1] for each in law.grounds().ground if each.instead] == ["a", "c", "d"]


def test_the_refusals_have_the_five_exceptions_of_article_17_3() -> None:
    codes = [each.code for each in law.refusals().reason]

    assert [code for code in codes if code.startswith("art-17-3-")] == [
        f"art-17-3-{letter}" for letter in "abcde"
    ]
    assert all(each.text and each.needs for each in law.refusals().reason)


def test_who_is_refused_is_told_of_controller_commissioner_and_court() -> None:
    """Art 12(4)."""
    appeal = law.refusals().appeal

    assert all(f"section {number}" in appeal for number in ("164A", "165", "167"))


def test_a_law_file_with_a_member_that_nobody_reads_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"code": "a", "text": "b", "extra": 1}, law.EvidenceKind)


def easter(year: int) -> date:
    """Return Easter Sunday (Meeus, Jones and Butcher)."""
    a, (b, c) = year % 19, divmod(year, 100)
    d, e = divmod(b, 4)
    g = (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = divmod(c, 4)
    r = (32 + 2 * e + 2 * i - h - k) % 7
    m = (a + 11 * h + 22 * r) // 451
    month, day = divmod(h + r - 7 * m + 114, 31)
    return date(year, month, day + 1)


def computed(year: int) -> list[date]:
    """Return a year's bank holidays by rule; who falls on a weekend gets the next free weekday."""
    taken: list[date] = []
    for fixed in (date(year, 1, 1), date(year, 12, 25), date(year, 12, 26)):
        day = fixed
        while day.weekday() >= 5 or day in taken:
            day += timedelta(days=1)
        taken.append(day)
    first_of_may, last_of_may, last_of_august = (
        date(year, 5, 1),
        date(year, 5, 31),
        date(year, 8, 31),
    )
    return sorted(
        [
            *taken,
            easter(year) - timedelta(days=2),
            easter(year) + timedelta(days=1),
            first_of_may + timedelta(days=-first_of_may.weekday() % 7),
            last_of_may - timedelta(days=last_of_may.weekday()),
            last_of_august - timedelta(days=last_of_august.weekday()),
        ]
    )


def test_bank_holidays_follow_from_their_rules() -> None:
    """A second implementation: the data were compared with lists, these are computed."""
    holidays = law.bank_holidays()

    assert sorted(holidays.holidays) == [
        day for year in (2026, 2027, 2028) for day in computed(year)
    ]
    assert (holidays.first, holidays.last) == (date(2026, 1, 1), date(2028, 12, 31))
    assert all(day.weekday() < 5 for day in holidays.holidays)


def test_a_code_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        law._require_distinct(["a", "b", "a"])

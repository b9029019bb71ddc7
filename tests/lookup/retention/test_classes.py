"""The classes of retention are complete, say where they are from, and are read strictly."""

from hashlib import sha256
from importlib.resources import files

import pytest

from lookup.retention.classes import (
    MAX_CLASSES,
    MAX_CLASSES_SIZE,
    Clock,
    InvalidClasses,
    parse_classes,
    shipped_classes,
)

HEAD = 'version = 3\nsource = "a schedule"\nread = 2026-11-27\n'


def a_class(
    code: str = "a", keep: str = '[{ clock = "birth", years = 21 }]', more: str = ""
) -> str:
    """One class of a file, valid unless a test says otherwise."""
    return (
        f'[[class]]\ncode = "{code}"\ntext = "t"\norigin = "o"\nreview_months = 12\n'
        f"keep = {keep}\n{more}\n"
    )


# Code, and each clause as (clock, years, before age): written from the sources that the file names.
SHIPPED = {
    "looked-after": [("birth", 75, None), ("death", 15, 18)],
    "adoption": [("order", 100, None)],
    "child-in-need": [("birth", 21, None)],
    "child-protection": [("closure", 35, None)],
    "enquiry-no-further-action": [("birth", 24, None)],
    "allegation-unfounded": [("closure", 10, None)],
    "allegation-unsubstantiated": [("birth", 100, None)],
    "allegation-substantiated": [("birth", 100, None)],
}


def test_the_shipped_classes_are_those_of_the_schedules() -> None:
    found = {
        code: [(each.clock, each.years, each.before_age) for each in rules.keep]
        for code, rules in shipped_classes().by_code.items()
    }

    assert found == SHIPPED


def test_every_class_says_what_it_is_and_where_it_is_from() -> None:
    for each in shipped_classes().by_code.values():
        assert len(each.text) > 10
        assert len(each.origin) > 20
        assert 1 <= each.review_months <= 36


def test_a_policy_is_named_by_the_bytes_of_its_file() -> None:
    """A byte more, also in a comment, is another policy: officers have signed the one."""
    raw = (files("lookup.retention") / "data" / "classes.toml").read_bytes()

    assert shipped_classes().policy == sha256(raw).digest()
    assert parse_classes(raw + b"\n").policy != shipped_classes().policy
    assert parse_classes(raw + b"\n").by_code == shipped_classes().by_code


def test_a_sites_own_file_is_read_as_the_shipped_one() -> None:
    found = parse_classes((HEAD + a_class("a") + a_class("b-2")).encode())

    assert found.version == 3
    assert set(found.by_code) == {"a", "b-2"}
    assert found.by_code["a"].always[0].clock is Clock.BIRTH


BIRTH = '{ clock = "birth", years = 75 }'
EARLY = '{ clock = "death", years = 15, before_age = 18 }'
REFUSED = {
    "nothing": "",
    "no TOML": "[[class",
    "no class": HEAD,
    "a version of nought": HEAD.replace("3", "0", 1) + a_class(),
    "a version in quotes": HEAD.replace("3", '"3"', 1) + a_class(),
    "no source": HEAD.replace('source = "a schedule"\n', "") + a_class(),
    "an empty source": HEAD.replace("a schedule", "") + a_class(),
    "a day that is none": HEAD.replace("2026-11-27", '"soon"') + a_class(),
    "a member that nobody reads": HEAD + "extra = 1\n" + a_class(),
    "a member of a class that nobody reads": HEAD + a_class(more="extra = 1"),
    "a code twice": HEAD + a_class() + a_class(),
    "a code in capitals": HEAD + a_class("A"),
    "a code overlong": HEAD + a_class("a" * 33),
    "a code of hyphens": HEAD + a_class("-a"),
    "too many classes": HEAD + "".join(a_class(f"c{n}") for n in range(MAX_CLASSES + 1)),
    "a class without a clause": HEAD + a_class(keep="[]"),
    "a clock unknown": HEAD + a_class(keep='[{ clock = "moon", years = 21 }]'),
    "no years": HEAD + a_class(keep='[{ clock = "birth" }]'),
    "years of nought": HEAD + a_class(keep='[{ clock = "birth", years = 0 }]'),
    "years overlong": HEAD + a_class(keep='[{ clock = "birth", years = 151 }]'),
    "half a year": HEAD + a_class(keep='[{ clock = "birth", years = 0.5 }]'),
    "a clause with a member more": HEAD
    + a_class(keep='[{ clock = "birth", years = 21, months = 3 }]'),
    "a clock twice": HEAD + a_class(keep=f"[{BIRTH}, {BIRTH}]"),
    "an early death alone": HEAD + a_class(keep=f"[{EARLY}]"),
    "an early death without birth": HEAD
    + a_class(keep=f'[{{ clock = "closure", years = 75 }}, {EARLY}]'),
    "an early closure": HEAD + a_class(keep=f"[{BIRTH}, {EARLY.replace('death', 'closure')}]"),
    "two early deaths": HEAD
    + a_class(keep=f"[{BIRTH}, {EARLY}, {EARLY.replace('death', 'order')}]"),
    "an early death that keeps longer than birth": HEAD
    + a_class(keep=f"[{BIRTH.replace('75', '32')}, {EARLY}]"),
    "reviews of nought": (HEAD + a_class()).replace("review_months = 12", "review_months = 0"),
    "a file overlong": HEAD + a_class() + "#" * MAX_CLASSES_SIZE,
    "nested without end": HEAD + a_class(keep="[" * 5_000 + "]" * 5_000),
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_breaks_a_rule_is_no_class(text: str) -> None:
    """The message says which rule, and begins in lower case."""
    with pytest.raises(InvalidClasses) as refused:
        parse_classes(text.encode())
    assert str(refused.value)[0].islower()


def test_bytes_that_are_no_text_are_no_classes() -> None:
    with pytest.raises(InvalidClasses):
        parse_classes(b"\xff\xfe")


def test_an_early_death_may_keep_as_long_as_birth() -> None:
    """18 + 15 years are 33: then nobody is kept longer than the clause on birth says."""
    keep = f"[{BIRTH.replace('75', '33')}, {EARLY}]"

    assert parse_classes((HEAD + a_class(keep=keep)).encode()).by_code["a"].early_death is not None

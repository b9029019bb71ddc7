"""Identifiers: which numbers a child may be looked up by, and the one way each is written.

    scheme  canonical value                 check
    nhs     ten digits                      modulus 11           England, Wales, Isle of Man
    chi     ten digits, DDMMYY first        modulus 11, or 10    Scotland
    hcn     ten digits                      modulus 11           Northern Ireland
    upn     letter and twelve characters    modulus 23           pupils in England
    local   AUTHORITY:REFERENCE             none                 an authority's own number

Invariants:

* One child has one token for one number: every accepted spelling becomes one canonical text, and
  a number is accepted under one scheme only. The ranges of nhs, chi and hcn are disjoint, so a
  number sent under the wrong one is refused with the right one's name. It is not corrected in
  silence: a sender who mixes schemes up has more wrong than this number.
* Parsing canonical text gives it back; nothing longer than 64 characters is ever looked at.
* No error, repr or str holds a value, or a part of one. Names of rules are stable.
* Modulus 11 (weights 10 to 1) and modulus 23 (weights 2 to 13) catch every wrong digit and every
  exchange of two. They cannot catch a placeholder: ten equal digits always pass, so these are
  refused by name; so is a UPN of equal digits. Nor do they tell a temporary UPN's last letter
  from the digit of equal value (A from 0, B from 1).

The ranges are those of the PyPI package nhs-number 2.2.0. Its 9000000000 to 9999999999, never
issued to anybody, are accepted as nhs: tests, training and the demonstration need numbers that
harm nobody, and a number that is nobody's can answer nothing about anybody.

From February 2026 Scotland may issue numbers with a modulus 10 (Luhn) check digit, for birthdays
whose modulus 11 numbers are used up (Public Health Scotland, phsmethods, `chi_check`). Nothing in
a number tells which check it was made for, so either passes. The price: one mistyped digit in
thirteen makes a CHI number that passes too. Refusing those children for ever would be worse. A
spreadsheet drops the leading zero of a birthday: nine plain digits get it back, if modulus 11
then holds.

A temporary UPN (last character a letter) is accepted; once the school assigns the permanent one
the record must be given it as another identifier. A local reference is upper-cased, since the
systems behind them ignore case. Pure: no I/O, no clock, no logging.
"""

import re
from bisect import bisect_right
from calendar import monthrange
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from lookup.catalogue import AUTHORITY_CODE

MAX_LENGTH: Final = 64

_TEN_DIGITS: Final = re.compile(r"[0-9](?:[ -]?[0-9]){9}")
_NINE_DIGITS: Final = re.compile(r"[0-9]{9}")
_UPN: Final = re.compile(r"[A-HJ-NP-RT-Z](?:[ -]?[0-9]){11}[ -]?[0-9A-HJ-NP-RT-Z]")
_REFERENCE: Final = re.compile(r"[A-Z0-9](?:[A-Z0-9._/-]{0,38}[A-Z0-9])?")
_CANARY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WEIGHTS: Final = (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)
_SEPARATORS: Final = str.maketrans("", "", " -")

# I, O and S are not used; a letter counts as its place here, from 0 (A) to 22 (Z).
_UPN_LETTERS: Final = "ABCDEFGHJKLMNPQRTUVWXYZ"
_UPN_VALUES: Final = {c: v for cs in (_UPN_LETTERS, "0123456789") for v, c in enumerate(cs)}


class InvalidIdentifier(ValueError):
    """The text is no identifier. `rule` names what it breaks; the text is nowhere in here."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(rule, message)
        self.rule = rule
        self.message = message

    def __str__(self) -> str:
        return self.message


class Identifier(NamedTuple):
    """A scheme and a canonical value. Sensitive: it prints as its scheme alone."""

    scheme: str
    value: str

    @property
    def text(self) -> str:
        """The canonical text, as in `nhs:9434765919`. Never for a log, a URL or an error."""
        return f"{self.scheme}:{self.value}"

    def __repr__(self) -> str:
        return f"<Identifier {self.scheme}>"


@dataclass(frozen=True)
class Scheme:
    """A kind of number, and what makes its canonical value or raises InvalidIdentifier."""

    title: str
    canonical: Callable[[str], str]


def parse_identifier(text: str) -> Identifier:
    """Return the identifier that `scheme:value` spells, or raise InvalidIdentifier.

    Case and the spaces around the value do not matter; nor do single spaces or hyphens inside a
    number.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidIdentifier("identifier-length", f"more than {MAX_LENGTH} characters")
    if not (text.isascii() and text.isprintable()):
        raise InvalidIdentifier("identifier-characters", "only printable ascii may be used")
    name, colon, value = text.partition(":")
    name = name.lower()
    scheme = SCHEMES.get(name)
    if not colon or scheme is None:
        known = ", ".join(SCHEMES)
        raise InvalidIdentifier("identifier-scheme", f"write scheme:value, scheme one of {known}")
    return Identifier(name, scheme.canonical(value.strip(" ").upper()))


def canary(value: str) -> Identifier:
    """Return a site's canary, which must answer *known, test*; no text parses to it."""
    if not _CANARY.fullmatch(value):
        raise InvalidIdentifier("canary-format", "a canary has 1 to 64 letters, digits, _ or -")
    return Identifier("canary", value)


def _nhs(text: str) -> str:
    return _issued_number("nhs", text)


def _hcn(text: str) -> str:
    return _issued_number("hcn", text)


def _chi(text: str) -> str:
    restored = _NINE_DIGITS.fullmatch(text) is not None
    number = _in_range("chi", f"0{text}" if restored else text)
    if not _is_day(day=int(number[:2]), month=int(number[2:4]), year=2000 + int(number[4:6])):
        raise InvalidIdentifier("chi-date", "the first six digits are not a day, DDMMYY")
    # A number may also have nine digits because another one got lost. With modulus 11 alone that
    # passes in one case of seventy (measured); with either check it would be twice as many.
    if not (_modulus_11_holds(number) or (not restored and _modulus_10_holds(number))):
        raise InvalidIdentifier("chi-check-digit", "the check digit is wrong: a digit is mistyped")
    return number


def _issued_number(scheme: str, text: str) -> str:
    number = _in_range(scheme, text)
    if not _modulus_11_holds(number):
        raise InvalidIdentifier(
            f"{scheme}-check-digit", "the check digit is wrong: a digit is mistyped"
        )
    return number


def _upn(text: str) -> str:
    if not _UPN.fullmatch(text):
        raise InvalidIdentifier(
            "upn-format",
            "a upn is a letter and twelve digits, the last of which may be a letter; not i, o, s",
        )
    number = text.translate(_SEPARATORS)
    if number[1:12] == number[1] * 11:
        raise InvalidIdentifier("upn-repeated", "equal digits are a placeholder, not a upn")
    total = sum(place * _UPN_VALUES[c] for place, c in enumerate(number[1:], start=2))
    if _UPN_LETTERS[total % 23] != number[0]:
        raise InvalidIdentifier("upn-check-letter", "the first letter does not fit the rest")
    return number


def _local(text: str) -> str:
    authority, colon, reference = text.partition(":")
    if not colon or not AUTHORITY_CODE.fullmatch(authority):
        raise InvalidIdentifier(
            "local-authority", "write local:authority:reference, with the authority's code"
        )
    if not _REFERENCE.fullmatch(reference):
        raise InvalidIdentifier(
            "local-reference",
            "a reference has 1 to 40 letters, digits and . _ / -, and no sign at its ends",
        )
    return text


SCHEMES: Final[Mapping[str, Scheme]] = MappingProxyType(
    {
        "nhs": Scheme("NHS number of England, Wales and the Isle of Man", _nhs),
        "chi": Scheme("CHI number of Scotland", _chi),
        "hcn": Scheme("Health and Care Number of Northern Ireland", _hcn),
        "upn": Scheme("Unique Pupil Number", _upn),
        "local": Scheme("number of one authority", _local),
    }
)

# Where each range of ten digits begins, and whose it is: a scheme's, or why it is nobody's.
_RANGES: Final = (
    ("0000000000", "no such number is issued"),
    ("0100000000", "chi"),
    ("3113000000", "no such number is issued"),
    ("3200000000", "hcn"),
    ("4000000000", "nhs"),
    ("5000000000", "numbers that begin with 5 are reserved, not issued"),
    ("6000000000", "nhs"),
    ("8000000000", "this is the range of Ireland's health identifiers, which are no scheme here"),
    ("8600000000", "no such number is issued"),
    ("9000000000", "nhs"),
)
_STARTS: Final = tuple(start for start, _ in _RANGES)


def _in_range(scheme: str, text: str) -> str:
    """Return the ten digits if they lie in the scheme's own range."""
    if not _TEN_DIGITS.fullmatch(text):
        raise InvalidIdentifier(
            f"{scheme}-format", "ten digits are needed; single spaces and hyphens may part them"
        )
    number = text.translate(_SEPARATORS)
    if number == number[0] * 10:
        raise InvalidIdentifier(
            f"{scheme}-repeated", "ten equal digits are a placeholder, though their check holds"
        )
    owner = _RANGES[bisect_right(_STARTS, number) - 1][1]
    if owner == scheme:
        return number
    if owner not in SCHEMES:
        raise InvalidIdentifier(f"{scheme}-not-issued", owner)
    raise InvalidIdentifier(
        f"{scheme}-is-{owner}",
        f"this is the range of the {SCHEMES[owner].title}: if it is typed right, use {owner}",
    )


def _is_day(*, day: int, month: int, year: int) -> bool:
    # The number does not tell the century. It need not: 1900 is the only year for which it would
    # matter, and whoever was born in it is no child.
    return 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


def _modulus_11_holds(number: str) -> bool:
    # The check digit has weight 1. Where it would have to be 10 no digit makes the sum vanish.
    return sum(map(int.__mul__, _WEIGHTS, map(int, number))) % 11 == 0


def _modulus_10_holds(number: str) -> bool:
    doubled = sum(int("0246813579"[int(digit)]) for digit in number[0::2])
    return (doubled + sum(map(int, number[1::2]))) % 10 == 0

"""The family's letter: true, whole, and nothing in it that was not meant."""

import math
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.slot import DESTRUCTION
from lookup.transparency import meaning
from lookup.transparency.letter import Attachment, make_letter
from lookup.transparency.opening import Opening
from lookup.transparency.statement import (
    ERASE,
    GROUNDS,
    NOT_COVERED,
    RECTIFY,
    UNLINK,
    ConfirmedSlot,
    CoolingOff,
)
from tests.lookup.transparency.making import (
    DAY,
    LOG,
    NHS,
    OPENING,
    REQUESTED,
    STATEMENT,
    demonstration,
    raw_certificate,
)

RAW = raw_certificate()
ATTACHED = Attachment(RAW, "destruction.certificate", LOG.text())
VOID = {"meta", "br", "link", "img"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2"),
    *("p", "ul", "li", "a", "code", "pre", "span"),
}


class Page(HTMLParser):
    """What a browser would see of a letter."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    @property
    def visible(self) -> str:
        """All text but the style sheet, on one line."""
        parts = [" ".join(texts) for tag, texts in self.texts.items() if tag != "style"]
        return " ".join(" ".join(parts).split())

    def attributes(self) -> Iterator[tuple[str, str, str | None]]:
        for tag, attributes in self.tags:
            for name, value in attributes.items():
                yield tag, name, value


def letter(opening: Opening | None = None, file_name: str = "destruction.certificate") -> Page:
    return Page(make_letter(STATEMENT, replace(ATTACHED, file_name=file_name), opening))


def test_it_says_what_when_why_and_what_not() -> None:
    said = letter().visible

    for each in (
        "2 records",
        "11 December 2026",
        "26 November 2026",
        "UK GDPR Article 17(1)(g)",
        meaning.GROUND["art-17-1-g"],
        "2 officers (legal, safeguarding)",
        "14 days were left",
        meaning.SLOT["D"],
        meaning.LOST_SLOT,
        "2 key stores of class D",
        "ico.org.uk",
    ):
        assert each in said
    for name in STATEMENT.not_covered:
        assert meaning.NOT_COVERED[name][1:] in said
        assert f"Ask {meaning.ASK[name]}." in said


def test_the_certificate_is_in_it_whole() -> None:
    """To read, and to save as a file that verifies."""
    page = letter()
    (link,) = [value for tag, name, value in page.attributes() if (tag, name) == ("a", "href")]

    assert "".join(page.texts["pre"]) == RAW.decode()
    assert link is not None
    assert link.startswith("data:text/plain;base64,")
    assert b64decode(link.partition(",")[2]) == RAW


def test_without_an_opening_it_names_nobody() -> None:
    said = letter().visible

    assert "CASE-1" not in said
    assert NHS[-3:] not in said.replace(RAW.decode(), "")


def test_with_an_opening_identifiers_show_their_end_alone() -> None:
    html = make_letter(STATEMENT, ATTACHED, OPENING)

    assert "nhs:*******014" in html
    assert "Axtonbury City Council (AXT)" in html
    assert "dpo@axtonbury.example" in html
    assert NHS not in html
    assert NHS[-4:] not in html.replace(RAW.decode(), "")


def test_an_opening_of_some_records_says_so() -> None:
    some = msgspec.structs.replace(OPENING, records=OPENING.records[:1])

    assert "the ones about your family are:" in letter(some).visible


def test_a_demonstration_is_marked_first() -> None:
    html = make_letter(demonstration(), ATTACHED)

    assert html.index("demonstration: no real record") < html.index("<h1>")
    assert "demonstration: no real record" not in make_letter(STATEMENT, ATTACHED)


class TestPage:
    """One page that asks for nothing."""

    def test_it_is_accessible(self) -> None:
        """A language, a title, one first heading and none left out below it."""
        page = letter(OPENING)
        headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]

        assert ("html", {"lang": "en-GB"}) in page.tags
        assert page.texts["title"] == ["Your record has been destroyed"]
        assert headings[0] == "h1"
        assert set(headings[1:]) == {"h2"}
        assert page.open == []

    def test_it_loads_nothing_and_runs_nothing(self) -> None:
        page = letter(OPENING)
        policy = "default-src 'none'; style-src 'unsafe-inline'"

        assert {tag for tag, _ in page.tags} <= TAGS
        assert ("meta", "content", policy) in page.attributes()
        assert not any(name.startswith("on") for _, name, _ in page.attributes())
        assert not any(name in {"src", "style", "srcset"} for _, name, _ in page.attributes())
        assert not re.search(r"url\(|@import|https?:", "".join(page.texts["style"]))

    def test_it_is_printed_on_one_page(self) -> None:
        """The certificate goes on the next.

        An estimate: 273 mm of A4 have 58 lines of 13.2 pt; 178 mm have 97 characters of half an em.
        """
        html = make_letter(STATEMENT, ATTACHED, OPENING)
        main = re.sub(r'<span class="screen">.*</span>', "", html.partition("<main>")[2])
        main = main.partition("</main>")[0]
        heights = {"h1": 1.6, "h2": 1.1, "p": 1, "li": 1}
        spaces = {"h1": 0.6, "h2": 0.8, "p": 0.4, "li": 0}
        used = 0.0
        for tag, content in re.findall(r"<(h1|h2|p|li)>(.*?)</\1>", main, re.DOTALL):
            text = " ".join(re.sub("<[^>]+>|&[a-z#0-9]+;", "x", content).split())
            used += math.ceil(len(text) / 92) * heights[tag] + spaces[tag]

        assert 40 < used < 58
        assert "break-before: page" in html


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</pre></section><h1>You owe us</h1>",
    "</title><!-- ",
    "$text $command ${certificate} $$ $1",
    "&lt;b&gt; &#x3c;b&#x3e; &amp;",
    "javascript:alert(1)",
    "{{7*7}} {0} %s %(x)s",
    "]]><![CDATA[",
    "`$(touch x)`; rm -rf ~ #",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_value_adds_markup(text: str) -> None:
    """Whatever officers have typed: the page has the same elements, and shows the text."""
    record = msgspec.structs.replace(
        OPENING.records[0], source_ref=text, identifiers=(f"{text}:{text}",)
    )
    hostile = msgspec.structs.replace(
        OPENING,
        authority_name=text,
        contact=text,
        records=(record, OPENING.records[1]),
    )
    plain = msgspec.structs.replace(
        OPENING, records=(msgspec.structs.replace(record, source_ref="x"), OPENING.records[1])
    )
    page, usual = letter(hostile, text.replace("/", "")), letter(plain)

    assert [tag for tag, _ in page.tags] == [tag for tag, _ in usual.tags]
    assert page.open == []
    assert " ".join(f"{text} (AXT)".split()) in page.visible
    assert "".join(page.texts["pre"]) == RAW.decode()


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
def test_no_file_name_adds_markup(name: str) -> None:
    page = letter(file_name=name)

    assert [tag for tag, _ in page.tags] == [tag for tag, _ in letter().tags]
    assert ("a", "download", name) in page.attributes()


class TestMeaning:
    """Whatever a statement can say has its words."""

    def test_every_value_has_words(self) -> None:
        assert tuple(meaning.GROUND) == GROUNDS
        assert meaning.WORDS.keys() == meaning.REMEDY.keys() == {ERASE, UNLINK, RECTIFY}
        assert tuple(meaning.NOT_COVERED) == tuple(meaning.ASK) == NOT_COVERED
        assert meaning.SLOT.keys() == DESTRUCTION.keys()

    def test_every_combination_makes_a_letter(self) -> None:
        for ground in GROUNDS:
            for letter_ in meaning.SLOT:
                covers = NOT_COVERED if letter_ == "D" else NOT_COVERED[:3]
                said = replace(
                    STATEMENT,
                    ground=ground,
                    remedy=UNLINK if ground == "art-16" else ERASE,
                    slots=(ConfirmedSlot(letter_, "1" * 32),),
                    not_covered=covers,
                    cooling_off=CoolingOff(0, "court order"),
                )
                page = Page(make_letter(said, ATTACHED))
                assert f"1 key store of class {letter_}" in page.visible
                assert "because a court ordered it" in page.visible

    @pytest.mark.parametrize("remedy", [UNLINK, RECTIFY])
    def test_what_stays_is_not_called_destroyed(self, remedy: str) -> None:
        """A corrected record is there: the letter says what of it is gone, and by which right."""
        said = replace(STATEMENT, ground="art-16", remedy=remedy)
        page = Page(make_letter(said, ATTACHED))
        assert meaning.WORDS[remedy].title in page.visible
        assert "right to rectification" in page.visible
        assert "Article 16" in page.visible
        assert "Your record has been destroyed" not in page.visible
        assert "erased" not in page.visible

    @pytest.mark.parametrize(
        ("number", "said"), [(0, "0 records"), (1, "1 record"), (2, "2 records")]
    )
    def test_numbers_have_their_noun(self, number: int, said: str) -> None:
        assert meaning.counted(number, "record") == said

    def test_days_are_written_out(self) -> None:
        assert meaning.day(REQUESTED + 5 * DAY) == "1 December 2026"

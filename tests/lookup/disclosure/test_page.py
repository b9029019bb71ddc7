"""The page: what the export says, for people, and nothing that could do anything."""

import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lookup.cases.standing import State
from lookup.disclosure import words
from lookup.disclosure.export import make_export
from lookup.disclosure.page import render_html
from lookup.disclosure.redacting import Reason, redact
from lookup.officers.roles import Act
from tests.lookup.disclosure.making import Json, access, export, lines, told, without

VOID = {"meta", "br"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "footer", "h1", "h2", "h3"),
    *("p", "a", "dl", "div", "dt", "dd", "ol", "li", "table", "caption", "thead", "tbody", "tr"),
    *("th", "td", "span", "bdi", "br", "pre", "strong"),
}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "name", "href", "id", "class", "scope"}


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "title"}:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def page(html: str) -> str:
    return Page(html).text


@given(st.text(), st.text(min_size=1))
def test_no_value_adds_markup(value: str, name: str) -> None:
    """Whatever a payload, an authority, a hospital or a family has written."""
    clean = "".join(each for each in value if each.isprintable())
    said = lines({name: [value, {"x": value}]}, source_ref=value)
    said[0]["record"]["authority"]["name"] = value
    said[4]["access"]["client_name"] = value
    said[1] = {"statement": {"day": "2026-01-02", "text": value}}
    found = Page(render_html(make_export(said)))
    assert {tag for tag, _ in found.tags} <= TAGS
    assert {each for _, attributes in found.tags for each in attributes} <= ATTRIBUTES
    if clean == value:  # else it has what a page shows in another way
        assert " ".join(value.split()) in found.text


def test_it_loads_nothing_and_runs_nothing() -> None:
    html = render_html(export())
    assert "default-src 'none'; style-src 'unsafe-inline'" in html
    links = [a["href"] for tag, a in Page(html).tags if tag == "a"]
    assert links == ["#left-out"]
    assert not re.search(r"<script|url\(|@import|https?://", html)


def test_control_characters_are_shown_as_none() -> None:
    """Nor can a text that runs from right to left turn what follows it around, or get out."""
    html = render_html(export(["a\x00b\x1b[2J\x85", "\u2069\u202ereversed\u2029"]))
    assert not set(html) & {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))}
    assert "<bdi>\ufffd\ufffdreversed\ufffd</bdi>" in html


def test_headings_come_in_order_and_tables_say_what_they_are() -> None:
    """For whoever hears the page instead of seeing it."""
    tags = Page(render_html(without("/payload/outcome"))).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert tags[0] == ("html", {"lang": "en-GB"})
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in tags if tag == "th")
    names = [tag for tag, _ in tags]
    assert names.count("caption") == names.count("table") == 2


def test_it_says_what_the_law_asks_for() -> None:
    """What is held, who was told and what for, what was left out, the rights, and whom to ask."""
    text = page(render_html(without("/payload/notes/0/author")))
    for said in (
        "From Axtonbury City Council, telephone 01632 960110 (office hours).",
        "27 November 2026, 21:03 UTC",
        "UK GDPR Article 15",
        "child protection plan",
        "2 January 2026",
        "nhs:9990000042",
        "The neighbour, Mr Bexley, had telephoned.",
        "Statement of 3 May 2026",
        "We said so.",
        "UK GDPR Article 17(1)(g)",
        "1 November 2026",
        "refused , by legal : A court has yet to decide.",
        "by the system itself",
        "by an officer who has left",
        "1 update from the authority itself will be looked at",
        "This record was told 2 times",
        "20 November 2026, 09:15 UTC",
        "St. Elsewhere",
        "triage nurse",
        "urgent or emergency care",
        "an officer who works with these records",
        "left out: about somebody else",
        "Schedule 2, Part 3",
        "section 164A",
        "ico.org.uk",
    ):
        assert said in text, said
    assert "M. Okoro" not in text


def test_where_there_is_nothing_it_says_so() -> None:
    said: list[Json] = [{"record": told(None)}, {"waiting": 0}, {"complete": True, "missing": 0}]
    text = page(render_html(make_export(said)))
    for said_so in (
        "nothing",
        "None. You may ask for one (Article 16).",
        "Nothing waits.",
        "Nobody has been told of this record.",
        "Nothing was left out of this copy.",
    ):
        assert said_so in text
    assert "cannot be read" not in text


def test_what_was_lost_is_said() -> None:
    """A statement's text, a case's content, a hospital that has gone, rows of the audit."""
    lost: Json = {"state": None, "remedy": None, "ground": None, "received": None, "steps": []}
    nameless = {"code": "AXT", "name": "", "office_hours": "", "out_of_hours": ""}
    said: list[Json] = [
        {"record": told(authority=nameless)},
        {"statement": {"day": "2026-01-02", "text": None}},
        {"case": lost},
        {"waiting": 0},
        {"access": access(client_name=None, role=None)},
        {"complete": True, "missing": 3},
    ]
    text = page(render_html(make_export(said)))
    assert "From AXT." in text
    assert "its text was lost" in text
    assert "its content was lost" in text
    assert "somebody who may no longer ask" in text
    assert "3 parts of the list of everybody who asked cannot be read any more" in text


@given(st.integers(1, 60))
def test_a_deep_payload_is_all_there(depth: int) -> None:
    """Beyond what a page has room for it is shown as it was written."""
    assert "the end" in page(render_html(export("[" * depth + '"the end"' + "]" * depth)))


def test_every_value_has_its_words() -> None:
    """Each act, state and reason that there is; days and times that are none stay as they are."""
    assert set(words.ACTS) == {act.value for act in list(Act)[: list(Act).index(Act.ESCALATE) + 1]}
    assert set(words.STATES) == set(State)
    assert set(words.REASONS) == set(words.SHORT) == set(Reason)
    assert (words.day("soon"), words.moment("soon")) == ("soon", "soon")


def test_a_browser_shows_it(tmp_path: Path, require_tool: Callable[[str], str]) -> None:
    """Chromium prints it to pages, and reads the same words from it as the parser here does."""
    chromium = require_tool("chromium")
    html = render_html(redact(export(), []))
    file, pdf = tmp_path / "export.html", tmp_path / "export.pdf"
    file.write_text(html)
    own = f"--user-data-dir={tmp_path / 'own'}"
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", own)

    def browse(what: str) -> str:
        command = (chromium, *options, what, file.as_uri())
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout

    assert page(browse("--dump-dom")) == page(html)
    browse(f"--print-to-pdf={pdf}")
    assert pdf.read_bytes().startswith(b"%PDF-")

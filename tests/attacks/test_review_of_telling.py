"""What a review of recalls, remedies and copies for families has found: each was possible once."""

import re
import time
from collections.abc import Iterator
from typing import Final

import pytest

from crypto.audit import SegmentId
from keys.entry import EntryId, Kind
from lookup.audit.segment import parse_header
from lookup.cases.standing import Remedy
from lookup.custodian.audit import own_segment
from lookup.custodian.audit.intake import LIAR
from lookup.custodian.cases.case import removal
from lookup.custodian.cases.saying import says
from lookup.custodian.custody import Custody
from lookup.custodian.records import draft
from lookup.custodian.records.draft import MAX_PAYLOAD
from lookup.disclosure import export as exporting
from lookup.disclosure.export import make_export, parse_payload
from lookup.disclosure.page import render_html
from lookup.disclosure.redacting import redact
from lookup.identifiers import Identifier, parse_identifier
from lookup.transparency.recall_letter import Addressee, make_recall_letter
from tests.lookup.custodian.audit.test_auditing import handles_of
from tests.lookup.custodian.cases.test_recalling import now, settle
from tests.lookup.custodian.cases.test_remedies import carry_out, correcting, read, send, unlinking
from tests.lookup.custodian.records.test_disclosing import made
from tests.lookup.custodian.segments import SegmentFile, head_of
from tests.lookup.disclosure.making import export, lines, step
from tests.officers import Json
from tests.simulator import Custodian, Site, nhs, record

OLD, NEW = nhs(1), nhs(2)
LOCAL: Final = "local:AXT:C-447182"


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as made:
        yield made


@pytest.fixture
def custodian(site: Site) -> Iterator[Custodian]:
    """One that carries out what is due when the test says so."""
    with site.open() as running:
        with running.unscheduled():
            yield running
        assert running.failures == []


def answer(
    custodian: Custodian, record_id: EntryId, slot: int = 0, client: bytes = b"c" * 14
) -> None:
    """Let somebody have been answered with a record, by the worker of a slot, which then ends."""
    handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
    segment = SegmentFile(handed_out, custodian.custody.vault.id, slot=slot)
    segment.ask([handles_of(custodian, record_id)], head_of(client=client))
    segment.close()


def lose_content(custodian: Custodian, case: Json) -> None:
    """Lose what a case says, as a restore of an older store does; the map has the rest."""
    found = custodian.custody.docket.cases[EntryId(bytes.fromhex(case["case"]))]
    names = removal(found)[1].delete

    def lose(custody: Custody) -> None:
        connection = custody.store._database.connection
        connection.executemany("DELETE FROM blob WHERE id = ? AND version = ?", names)

    custodian.call(lose)


def refused_unlinking(custodian: Custodian, identifier: str, note: str) -> bool:
    """Say whether no case may take an identifier off a record whose content says this."""
    record_id = custodian.add("one", identifier, NEW, payload={"note": note})
    content = custodian.desk.content([record_id], **unlinking(identifier))
    signed = custodian.desk.signer("rita").opening(content)
    return custodian.desk.ask("rita", "POST", "/v1/cases", signed).status_code == 409


class TestHackedWorker:
    """A5: it writes whatever it likes into the header of a segment."""

    def test_it_does_not_pass_for_the_custodian(self, custodian: Custodian) -> None:
        """The family's copy says that somebody was told, and not that an officer has looked."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)
        found = made(custodian, record_id).document["accesses"]
        assert sorted(each["officer"] for each in found) == [False, True]

    def test_whom_it_answered_is_told(self, custodian: Custodian) -> None:
        """UK GDPR Art 19: the record stays until that client has deleted the answer."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)
        case = custodian.desk.approved([record_id])
        settle(custodian)
        assert now(custodian, case)["recall"]["recipients"] == 1
        assert custodian.call(lambda custody: custody.record(record_id)) is not None

    def test_it_is_noticed_and_the_chain_is_whole(self, custodian: Custodian) -> None:
        """Each of its entries is there, and opens; the header says who wrote it."""
        record_id = custodian.add("one", OLD)
        answer(custodian, record_id, own_segment.SLOT)

        def look(custody: Custody) -> tuple[int, list[int]]:
            custody.audit.take_in()
            chain = custody.store.audit
            rows = list(chain.walk())
            assert all(len(custody.audit.groups.entries(row)) == 1 for row in rows)
            headers = (chain.header(row.segment) or b"" for row in rows)
            return custody.alarms.damage, [parse_header(header).slot for header in headers]

        assert custodian.call(look) == (1, [LIAR])
        verdict = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
        assert '"sound":true' in verdict

    def test_it_does_not_pass_for_an_officer_either(self, custodian: Custodian) -> None:
        """An officer's id in the place of a client's: the family's copy would name the officer."""
        record_id = custodian.add("one", OLD)
        officer = next(iter(custodian.custody.office.officers))
        answer(custodian, record_id, client=officer[-14:])
        found = made(custodian, record_id).document["accesses"]
        assert sorted(each["officer"] for each in found) == [False, True]
        assert [each["client_name"] for each in found] == [None, None]

    def test_no_entry_of_it_passes_for_a_gap(
        self, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A gap's segment is zeros: what is in such a row is not read, and the chain is broken."""
        record_id = custodian.add("one", OLD)
        with monkeypatch.context() as patched:
            patched.setattr("lookup.audit.segment.SegmentId", lambda _: SegmentId(bytes(16)))
            handed_out = custodian.call(lambda custody: custody.audit.handed_out(demo=True))
            segment = SegmentFile(handed_out, custodian.custody.vault.id)
        segment.ask([handles_of(custodian, record_id)])
        segment.close()
        custodian.call(lambda custody: custody.audit.take_in())
        assert custodian.custody.alarms.damage == 1
        assert segment.path.with_name(f"{segment.path.name}.damaged").exists()
        verdict = custodian.officer.post("/v1/local/audit/verify").text.splitlines()[-1]
        assert '"sound":true' in verdict


class TestRecallsStay:
    """G1: who was told leaves with the record."""

    def test_also_of_a_case_whose_content_was_lost(self, site: Site) -> None:
        """The case's blob is lost with a store; another case destroys the record."""
        with site.open() as custodian, custodian.unscheduled():
            record_id = custodian.add("one", OLD)
            answer(custodian, record_id)
            case = custodian.desk.approved([record_id])
            settle(custodian)
            assert now(custodian, case)["state"] == "recalling"
            lose_content(custodian, case)
        with site.open() as custodian, custodian.unscheduled():
            assert len(custodian.custody.docket.lost) == 1
            custodian.desk.expunge(record_id)
            assert custodian.call(lambda custody: custody.record(record_id)) is None
            assert custodian.call(lambda c: [e.id for e in c.vault.scan(Kind.RECALL)]) == []
            assert custodian.call(lambda custody: custody.outbox.recalls) == {}


NUMBER: Final = OLD.partition(":")[2]
APART: Final = {
    "zero width space": "999\u200b000{}",
    "soft hyphen": "999\u00ad000{}",
    "em space": "999\u2003000{}",
    "parentheses": "(999) 000 {}",
    "commas": "999,000,{}",
    "joiners, and marks of direction": "9\u200d9\u20609\u200e000\ufeff{}",
    "a line through it": "9\u03369\u03369\u0336000{}",
    "keys": "9\ufe0f\u20e39\ufe0f\u20e39\ufe0f\u20e3000{}",
}
DIGITS: Final = {
    "full width": 0xFF10,
    "arabic": 0x0660,
    "persian": 0x06F0,
    "devanagari": 0x0966,
    "bold": 0x1D7CE,
}
SPELLED: Final = {
    "circled": NUMBER.replace("9", "\u2468").replace("0", "\u24ea").replace("1", "\u2776"),
    "raised": NUMBER.replace("9", "\u2079").replace("0", "\u2070"),
    **{
        script: "".join(chr(zero + int(digit)) for digit in NUMBER)
        for script, zero in DIGITS.items()
    },
}


class TestUnlinkedNumber:
    """G1: what was taken off a record is said by its content no more."""

    @pytest.mark.parametrize("said", APART.values(), ids=APART)
    def test_is_found_however_people_part_it(self, custodian: Custodian, said: str) -> None:
        assert refused_unlinking(custodian, OLD, said.format(NUMBER[6:]))

    @pytest.mark.parametrize("said", SPELLED.values(), ids=SPELLED)
    def test_is_found_in_whatever_digits(self, said: str) -> None:
        """As it stands there, and as JSON may escape it: in two halves, beyond 16 bits."""
        escaped = said.encode("utf-16-be").hex()
        units = "".join(f"\\u{escaped[at : at + 4]}" for at in range(0, len(escaped), 4))
        for text in (said, f'"{units}"'):
            assert says(text.encode(), {parse_identifier(OLD)})

    def test_of_an_authority_is_found_as_the_authority_writes_it(
        self, custodian: Custodian
    ) -> None:
        """Nobody writes its code before it; so the content would go on saying the number."""
        assert refused_unlinking(custodian, LOCAL, "see file C-447182")

    @pytest.mark.parametrize(
        ("note", "found"),
        {
            "file c 447 182.": True,
            "C447182, of 2025": True,
            "AXT/C447182": True,
            "ourAXTC447182": True,
            "file C-4471821": False,
            "file BC-447182": False,
            "file 447182": False,
        }.items(),
    )
    def test_of_an_authority_is_a_number_of_its_own(self, note: str, *, found: bool) -> None:
        """Within a longer one it is another number, unless the authority's code is before it."""
        assert says(note.encode(), {parse_identifier(LOCAL)}) == found

    @pytest.mark.parametrize(
        ("reference", "note", "found"),
        [
            ("17", "she was 17, on day 17", False),
            ("17", "file AXT 17", True),
            ("B7", "flat B7", False),
            ("B-7-2", "file B7/2", True),
            ("104", "file 104", True),
        ],
    )
    def test_of_an_authority_is_no_age_and_no_day(
        self, reference: str, note: str, *, found: bool
    ) -> None:
        """One or two signs stand in every text: such a number could never be taken off."""
        assert says(note.encode(), {parse_identifier(f"local:AXT:{reference}")}) == found

    HARD: Final = {
        "plain": "The child was seen at home. " * 40_000,
        "all one digit": "9" * (1 << 20),
        "words of the number's beginning": f"{'A ' * 39}B " * 14_000,
        "escapes": "\\u0039 " * 150_000,
        "marks": "\u0315\u0300" * 270_000,
        "escaped marks": "\\u0315\\u0300" * 90_000,
        "a sign that NFKC makes eighteen of": "\ufdfa" * 350_000,
        "no sign twice": "".join(map(chr, range(0x10000, 0x50000))),
    }

    @pytest.mark.parametrize("text", HARD.values(), ids=HARD)
    def test_is_looked_for_within_a_moment(self, text: str) -> None:
        """By the writer, for whom all wait; a feed chooses what it sends. Measured: 0.35 s."""
        payload = text.encode()[:MAX_PAYLOAD]
        sought = {Identifier("local", f"AXT:{'A' * 40}"), parse_identifier(OLD)}
        began = time.process_time()
        says(payload, sought)
        assert time.process_time() - began < 2


class TestLetter:
    """UK GDPR Art 19: a hospital hears what is true, and what to do about it."""

    def letter(self, remedy: str) -> str:
        to = Addressee("c1" * 14, "Ward", ["r"])
        return " ".join(make_recall_letter(to, "Axton", "01632", "today", remedy).split())

    @pytest.mark.parametrize(
        ("remedy", "done"),
        [
            (Remedy.ERASE, "erased (UK GDPR Article 17)"),
            (Remedy.RECTIFY, "corrected (UK GDPR Article 16)"),
        ],
    )
    def test_it_says_whether_it_is_erased_or_corrected(self, remedy: Remedy, done: str) -> None:
        """Told that it is erased, a hospital would not look for the plan that stands."""
        text = self.letter(remedy)
        assert f"is being {done}" in text
        assert ("erased" in text) == (remedy is Remedy.ERASE)

    @pytest.mark.parametrize("remedy", [Remedy.ERASE, Remedy.UNLINK, Remedy.RECTIFY])
    def test_it_says_to_delete_and_to_ask_again(self, remedy: Remedy) -> None:
        text = self.letter(remedy)
        assert "delete the answers" in text
        assert "ask again" in text
        assert "neither that there is a concern nor that there is none" in text

    def test_a_number_that_is_no_more_is_a_correction_like_any(self) -> None:
        """Whoever asked by it would learn that the child has another one: that it was adopted."""
        assert self.letter(Remedy.UNLINK) == self.letter(Remedy.RECTIFY)


class TestCopy:
    """The family's copy says all, and what is true."""

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"\\ud800": "first", "\\ud801": "second"}', ["first", "second"]),
            (
                '{"\ufffd": "first", "\\ud801": "second", "\ufffd (2)": "3"}',
                ["3", "first", "second"],
            ),
        ],
    )
    def test_a_payload_is_whole_also_where_names_are_no_characters(
        self, text: str, said: list[str]
    ) -> None:
        """Several names are shown as one U+FFFD; what they name is all there."""
        assert sorted(parse_payload(text).values()) == said

    def test_a_name_given_ever_so_often_costs_no_hours(self) -> None:
        """Who could make a copy take hours would keep the family from it."""
        members = ",".join(['"a":1'] * (MAX_PAYLOAD // 6))
        began = time.process_time()
        assert len(parse_payload(f"{{{members}}}")) == MAX_PAYLOAD // 6
        assert time.process_time() - began < 10

    @pytest.mark.parametrize("levels", [64, 65, 498, 990])
    def test_a_payload_is_whole_however_deep_it_is(self, levels: int) -> None:
        """What a site took once, and no JSON library reads, is told as the text that it is."""
        mark = "M. Okoro]"
        said = lines()
        said[0]["record"]["payload"] = f'{"[" * levels}1.50,"{mark}"{"]" * levels}'
        copy = redact(make_export(said), [])
        assert mark in copy.json().decode()
        assert "1.50" in copy.json().decode()
        assert mark in render_html(copy)

    def test_a_record_that_was_stored_so_deep_can_be_told_and_corrected(
        self, custodian: Custodian, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By the version before, which took what no program could export."""
        deep: object = "the end"
        for _ in range(600):
            deep = [deep]
        with monkeypatch.context() as before:
            before.setattr(draft, "MAX_NESTING", 1_000)
            record_id = custodian.add("one", OLD, payload=deep)
        assert "the end" in made(custodian, record_id).json().decode()
        carry_out(custodian, record_id, correcting(category="looked-after"))
        assert read(custodian, record_id)["category"] == "looked-after"
        assert "the end" in made(custodian, record_id).json().decode()

    def test_what_is_nested_too_deep_is_not_taken(self, custodian: Custodian) -> None:
        """A8: a feed learns which rule it breaks; and a copy is as deep as what is taken."""
        deep: object = "the end"
        for _ in range(65):
            deep = [deep]
        (line,) = send(custodian, record("one", OLD, payload=deep))
        assert line == "invalid"
        assert custodian.outcome(OLD) == "no-record"
        assert send(custodian, record("one", OLD, payload=deep[0])) == ["added"]  # type: ignore[index]  # a list
        assert draft.MAX_NESTING == exporting.MAX_NESTING


class TestPage:
    """What a family reads: no value changes what stands around it, and no request is made up."""

    def test_no_value_that_is_nested_deep_turns_a_line_around(self) -> None:
        """Each string stands alone also in JSON, where quotes and commas are between them."""
        nested: object = {"author": "\u202eevil", "\u05d0": "\u2069\u202eNo", "text": 'a "b'}
        for _ in range(8):
            nested = [nested]
        page = render_html(redact(export(payload=nested), []))
        (deep,) = re.findall(r"<pre>.*?</pre>", page, re.DOTALL)
        assert not re.search("[\u2028-\u202e\u2066-\u2069]", page)
        assert "<bdi>&quot;\u05d0&quot;</bdi>:<bdi>&quot;\ufffd\ufffdNo&quot;</bdi>" in deep
        assert "<bdi>&quot;a \\&quot;b&quot;</bdi>" in deep

    def test_what_waits_of_a_detached_record_waits_for_no_request(
        self, custodian: Custodian
    ) -> None:
        """The request that has changed it is gone; officers look at what came since."""
        record_id = custodian.add("one", OLD, NEW)
        carry_out(custodian, record_id, unlinking(OLD))
        assert send(custodian, record("one", NEW, payload={"note": "new"})) == ["parked"]
        document = made(custodian, record_id)
        assert document.document["cases"] == []
        page = " ".join(render_html(redact(document, [])).split())
        assert "1 update from the authority itself will be looked at by officers." in page

    @pytest.mark.parametrize(
        ("state", "waits"),
        [("requested", True), ("recalling", True), (None, True), ("refused", False)],
    )
    def test_what_waits_for_a_request_waits_for_one_that_is_there(
        self, state: str | None, *, waits: bool
    ) -> None:
        said = lines()
        said[2] = {"case": said[2]["case"] | {"state": state, "steps": [step("open")]}}
        page = " ".join(render_html(make_export(said)).split())
        assert ("or when the request above is decided" in page) == waits

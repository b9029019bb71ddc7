"""Tables in the making while records change, and tables that grow: never a link too few or many."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookup.custodian.custody import Custody, Edit
from lookup.custodian.enrolling import rotate_lookup_key
from lookup.custodian.records.adding import add_or_change, change
from lookup.custodian.table.publishing import NotInCatalogue, Publication
from lookup.errors import IndexNotReady, IndexSuperseded
from lookup.index import layout
from lookup.index.errors import IndexSpace
from lookup.index.reader import TableReader
from lookup.index.writer import Table
from tests.lookup.custodian.unattended import (
    commit,
    new_record,
    published,
    unattended,
    verify_published,
)
from tests.simulator import Custodian, Site, import_lines, nhs, record

CHILDREN = [nhs(number) for number in range(4)]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("build"), st.integers(1, 120)),
        st.tuples(st.sampled_from(["add", "change", "change", "shred"]), st.integers(0, 30)),
        st.tuples(st.just("crowd"), st.integers(0, 3)),
        st.tuples(st.just("begin"), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=30)
@given(STEPS, st.booleans())
def test_what_changes_during_a_build_is_in_the_new_table(
    steps: list[tuple[str, int]],
    rotates: bool,  # noqa: FBT001  # hypothesis gives it by place
) -> None:
    """Whatever changes, wherever the build is: each table holds the links of the map, no others."""
    with Site() as site, unattended(site) as custody:
        if rotates:
            rotate_lookup_key(0)(custody)
        custody.begin_build()
        for number, (verb, argument) in enumerate(steps):
            _perform(custody, site, number, verb, argument)
        verify_published(custody)
        while custody.step_build(50) < 1:
            pass
        verify_published(custody)


def _perform(custody: Custody, site: Site, number: int, verb: str, argument: int) -> None:
    """Do one step; a record is chosen by a number."""
    ids = sorted(custody.sources.values())
    child = CHILDREN[(argument + number) % len(CHILDREN)]
    if verb == "build":
        custody.step_build(argument)
    elif verb == "begin":
        custody.begin_build()
    elif verb == "crowd":
        drafts = [site.draft(f"crowd-{number}-{n}", CHILDREN[argument]) for n in range(7)]
        commit(custody, add_or_change(drafts))
    elif verb == "add" or not ids:
        commit(custody, add_or_change([site.draft(f"add-{number}", child, nhs(100 + number))]))
    elif verb == "shred":
        site.officers.expunge(custody, ids[argument % len(ids)])
    else:
        _change(custody, site, ids[argument % len(ids)], child, argument)


def _change(custody: Custody, site: Site, record_id: bytes, child: str, argument: int) -> None:
    old = custody.record(record_id)  # type: ignore[arg-type]  # it is an EntryId
    assert old is not None
    category = ("looked-after", "allegation", "child-protection-plan")[argument % 3]
    draft = site.draft(old.body.source_ref, child, category=category)
    commit(custody, change(old.id, draft, old.version))


def test_a_table_grows_while_records_are_imported(custodian: Custodian) -> None:
    """And nothing that was acknowledged before is lost on the way; the old table is gone."""
    first = custodian.call(lambda custody: custody.publication)
    custodian.add("early", nhs(1))
    lines = [record(f"bulk-{n}", nhs(10 + n)) for n in range(layout.MIN_CAPACITY + 500)]
    answer = import_lines(custodian.feed, lines)
    assert answer[-1]["summary"]["added"] == len(lines)
    assert custodian.call(lambda custody: custody.publication) is not first
    custodian.call(verify_published)
    assert custodian.outcome(nhs(1)) == custodian.outcome(nhs(10)) == "known"
    assert len(list((custodian.site.folder / "index").iterdir())) == 1


def test_a_table_that_was_replaced_answers_nothing_any_more(site: Site) -> None:
    """Whoever still maps it, and for whatever reason: it says so itself."""
    with unattended(site) as custody:
        assert custody.publication is not None
        reader = TableReader(custody.publication.table.path)
        reader.require_ready()
        custody.begin_build()
        while custody.step_build() < 1:
            pass
        with pytest.raises(IndexSuperseded):
            reader.require_ready()
        reader.close()


def make_full(custody: Custody) -> Publication:
    """Put a complete table in force that has no room for another link."""
    before = custody.publication
    assert before is not None
    table = Table.create(custody.index, 9, 0)
    table.complete()
    table.capacity = 0
    before.table.close()
    custody.publication = Publication(before.rules, before.key, table)
    return custody.publication


def test_a_change_that_ran_out_of_room_is_made_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its first link waits: a link that waited twice would stay when it is removed."""
    with unattended(site) as custody:
        full = make_full(custody)
        monkeypatch.setattr(full.table, "capacity", 17)
        others = [new_record(site, f"other-{n}", nhs(1)) for n in range(16)]
        custody._publish([Edit(each.id, None, each) for each in others])
        last = new_record(site, "last", nhs(1), nhs(2), nhs(3))
        custody._publish([Edit(last.id, None, last)])
        assert custody.publication is not full
        custody._publish([Edit(each.id, each, None) for each in others])
        custody._publish([Edit(last.id, last, None)])
        assert custody.publication is not None
        assert published(custody.publication) == {}


def test_a_table_that_grows_stays_incomplete(site: Site) -> None:
    """G4: growing loads nothing of what a damaged page has lost."""
    with unattended(site) as custody:
        make_full(custody).table.declare_incomplete()
        custody.damaged = [7]
        first = new_record(site, "first", nhs(1))
        custody._publish([Edit(first.id, None, first)])
        assert custody.publication is not None
        reader = TableReader(custody.publication.table.path)
        with pytest.raises(IndexNotReady):
            reader.require_ready()
        reader.close()


def test_a_new_table_for_which_there_is_no_room(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one in force stays in force; at a start there is none, and it ends."""
    with unattended(site) as custody:
        commit(custody, add_or_change([site.draft("first", nhs(1))]))
        before = custody.publication
        monkeypatch.setattr(Table, "create", _no_room)
        custody.begin_build()
        while custody.step_build() < 1:
            pass
        assert (custody.publication, custody.build) == (before, None)
        verify_published(custody)
    with pytest.raises(IndexSpace), unattended(site):
        pass


def _no_room(_folder: Path, _generation: int, _capacity: int) -> Table:
    raise IndexSpace("there is no room")


def test_records_that_the_configuration_does_not_know_are_not_left_out(site: Site) -> None:
    """G4: an authority that was taken out of the file must not make its children unknown."""
    with unattended(site) as custody:
        commit(custody, add_or_change([site.draft("first", nhs(1), authority="BSC")]))
    site.tables["authority"] = [each for each in site.tables["authority"] if each["code"] != "BSC"]
    site.configure()
    with pytest.raises(NotInCatalogue, match="configuration lacks"), unattended(site):
        pass

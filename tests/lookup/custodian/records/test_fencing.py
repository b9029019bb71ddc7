"""Fences in memory say what the map says, whatever order it is told in."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keys.entry import Entry, EntryId, Kind, Put, new_entry_id
from lookup.cases.standing import DAY, Moment
from lookup.catalogue import MAX_REPLAY_MONTHS, REPLAY_MONTHS, Replay
from lookup.custodian.records.fencing import (
    MOST_FENCED,
    MOST_FORMER,
    Fence,
    Fences,
    fence_key_entries,
    load_fences,
)
from lookup.custodian.records.record import Body, Record
from tests.simulator import Site

REFS = ("a", "b", "c")
KEY = b"k" * 32
EPOCH = 719_163  # the ordinal of 1970-01-01
IDS = [new_entry_id(Kind.FENCE) for _ in range(4)]
DAYS = st.integers(0, 5)
MARKS = {ref: Fences(KEY).mark("AXT", ref) for ref in REFS}
FENCES = st.builds(
    lambda entry_id, until, refs, run: Fence(
        entry_id,
        EPOCH + until,
        tuple(sorted(MARKS[ref] for ref in refs)),
        None if run is None else run * DAY,
    ),
    st.sampled_from(IDS),
    DAYS,
    st.sets(st.sampled_from(REFS)),
    DAYS | st.none(),
)
NOW = st.builds(lambda elapsed, time: Moment(elapsed * DAY, time * DAY), DAYS, DAYS)
STEPS = st.lists(FENCES | NOW | st.sampled_from(REFS), max_size=12)


@given(STEPS, NOW)
def test_a_source_is_refused_while_any_of_its_fences_stands(
    steps: list[Fence | Moment | str], now: Moment
) -> None:
    """Fences come, change, go when they are over, and are lifted: by a list that is read whole."""
    fences, model = Fences(KEY), dict[EntryId, Fence]()
    for step in steps:
        if isinstance(step, Fence):
            put(fences, model, [step])
        elif isinstance(step, Moment):
            gone = fences.expired(step)
            assert {each.id for each in gone} == {e.id for e in model.values() if over(e, step)}
            put(fences, model, [Fence(each.id, each.until, (), 0) for each in gone])
        else:
            put(fences, model, fences.without("AXT", step))
    for ref in REFS:
        standing = [each for each in model.values() if not over(each, now)]
        assert fences.holds("AXT", ref, now) == any(MARKS[ref] in each.marks for each in standing)


def put(fences: Fences, model: dict[EntryId, Fence], changed: list[Fence]) -> None:
    for each in changed:
        fences.put(each)
        model.pop(each.id, None)
        if each.marks:
            model[each.id] = each


def over(fence: Fence, now: Moment) -> bool:
    """Say whether a fence is over by both clocks, in days."""
    by_wall = now.time // DAY + EPOCH > fence.until
    return by_wall and fence.elapsed is not None and now.elapsed > fence.elapsed


def test_a_fence_of_the_first_versions_stands_until_both_clocks_have_seen_its_end() -> None:
    """It has the wall's day alone, and the wall is years ahead when the chores count it first."""
    with Site() as site:
        with site.open() as custodian:
            mark = custodian.custody.fences.mark("AXT", "old")
            day = EPOCH + custodian.custody.clock() // DAY + 1
            body = msgspec.msgpack.encode([day, mark])
            entry = Entry(Kind.FENCE, new_entry_id(Kind.FENCE), body)
            custodian.call(lambda custody: custody.vault.commit((Put(entry),)))
        with site.open() as custodian:
            later = custodian.custody.clock() + 4_000 * DAY
            custodian.call(lambda custody: custody.purge(later))
            run = custodian.custody.vault.elapsed
        with site.open() as custodian:
            (fence,) = custodian.call(lambda custody: load_fences(custody.vault)).fences.values()
            assert fence.marks == (mark,)
            assert fence.stands(Moment(run + REPLAY_MONTHS * 31 * DAY - 60, later))
            assert not fence.stands(Moment(run + REPLAY_MONTHS * 31 * DAY + 60, later))


@given(st.integers(-10, 9_999), DAYS)
def test_of_such_a_fence_nothing_is_cut_short(left: int, elapsed: int) -> None:
    """Nor does a wall that is far behind make it stand for longer than any authority may ask."""
    fences = Fences(KEY)
    fences.put(Fence(IDS[0], EPOCH + 20_000 + left, (MARKS["a"],), None))
    (counted,) = fences.counted(Moment(elapsed * DAY, 20_000 * DAY))
    days = (counted.elapsed or 0) // DAY - elapsed
    assert min(max(left, REPLAY_MONTHS * 31), MAX_REPLAY_MONTHS * 31) == days
    fences.put(counted)
    assert fences.counted(Moment(0, 0)) == []


@given(st.integers(1, 300), st.integers(0, MOST_FORMER))
def test_fences_hold_every_reference_of_whatever_leaves_together(records: int, former: int) -> None:
    """However many records, renamed however often: each fence fits into an entry of the map."""
    fences, now = Fences(KEY), Moment(0, 0)
    leaving = [
        Record(EntryId(bytes(16)), 1, 0, body(f"{n}", *(f"{n}-{k}" for k in range(former))))
        for n in range(records)
    ]
    for each in fences.around(leaving, Replay(), now):
        assert 0 < len(each.marks) <= MOST_FENCED
        assert each.entry().kind is Kind.FENCE
        fences.put(each)
    refs = [f"{n}{k}" for n in range(records) for k in ("", *(f"-{k}" for k in range(former)))]
    assert all(fences.holds("AXT", each, now) for each in refs)


def body(source_ref: str, *former: str) -> Body:
    marks = b"".join(sorted(Fences(KEY).mark("AXT", each) for each in former))
    return Body(b"", "AXT", source_ref, "allegation", 1, None, None, (), b"", former=marks)


def test_every_vault_has_a_key_of_its_own() -> None:
    """A mark of one site says nothing at another."""
    (one,), (other,) = fence_key_entries(), fence_key_entries()
    assert isinstance(one, Put)
    assert isinstance(other, Put)
    assert one.entry.body != other.entry.body

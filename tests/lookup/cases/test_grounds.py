from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from datetime import date, timedelta
from itertools import product
from typing import NamedTuple

import pytest

from lookup.cases import law
from lookup.cases.evidence import (
    FORMAT,
    Allegation,
    Conviction,
    InvalidEvidence,
    Investigation,
    Known,
    MaliciousAllegation,
    Outcome,
    ProtectionOrder,
    Role,
    Subject,
)
from lookup.cases.grounds import (
    CONDITIONS,
    WIDTH,
    Ground,
    Holding,
    SubjectAssessment,
    assess,
    describe,
    require_evidence,
    require_remedy,
)
from lookup.cases.law import OffenceId
from lookup.cases.standing import Remedy
from lookup.cli.case_opening import GROUNDS as OFFERED
from lookup.transparency.statement import GROUNDS as CERTIFIED
from lookup.transparency.statement import RETENTION

TODAY = date(2026, 11, 27)
DAY = timedelta(days=1)
MADE = date(2024, 5, 1)
OPENED = date(2024, 5, 2)
CLOSED = date(2024, 6, 3)
BEFORE, AFTER = date(2023, 2, 10), date(2025, 2, 10)

HOLDS, FAILS, UNKNOWN = Holding.HOLDS, Holding.FAILS, Holding.UNKNOWN
YES, NO, OPEN = Known.YES, Known.NO, Known.UNKNOWN


class Basis(NamedTuple):
    """A basis, and what Art 17(4) says of it, read from the statute and written here by hand.

    `entry` is whether it is in the table or an order of Art 17(4)(b) at all, so has a column 2.
    """

    basis: Conviction | ProtectionOrder
    holding: Holding
    entry: bool


def convicted(offence: str, corresponding: str | None = None, on: date = AFTER) -> Conviction:
    other = None if corresponding is None else OffenceId(corresponding)
    return Conviction(OffenceId(offence), on, "certificate 1", other)


def ordered(order: str, until: date | None = None, on: date = AFTER) -> ProtectionOrder:
    return ProtectionOrder(order, on, until, "order 1")


def bases(on: date) -> Iterator[Basis]:
    """Yield every basis there can be, dated so; all ids of offences.toml occur."""
    # Entries 1 to 3 and 7 to 10: a conviction of the offence suffices.
    for n in (1, 2, 3, 7, 8, 9, 10):
        yield Basis(convicted(f"art-17-5-{n}", on=on), HOLDS, entry=True)
    # Entry 4 takes a corresponding offence of entries 1, 2, 3; entries 5 and 6 of entries 1, 2.
    for n, within in ((4, {1, 2, 3}), (5, {1, 2}), (6, {1, 2})):
        yield Basis(convicted(f"art-17-5-{n}", on=on), UNKNOWN, entry=True)
        for m in range(1, 11):
            holding = HOLDS if m in within else FAILS
            basis = convicted(f"art-17-5-{n}", f"art-17-5-{m}", on=on)
            yield Basis(basis, holding, entry=True)
        yield Basis(convicted(f"art-17-5-{n}", "coercive-control", on=on), FAILS, entry=True)
    # Section 2 of the 2019 Act, section 8 of the 2022 Act; "is subject to" is the present tense.
    for order in ("spa-2019-s2", "psa-ni-2022-s8"):
        yield Basis(ordered(order, None, on), HOLDS, entry=True)
        yield Basis(ordered(order, TODAY + DAY, on), HOLDS, entry=True)
        yield Basis(ordered(order, TODAY, on), HOLDS, entry=True)
        yield Basis(ordered(order, TODAY - DAY, on), FAILS, entry=True)
        yield Basis(ordered(order, None, TODAY + DAY), FAILS, entry=True)
    yield Basis(convicted("art-17-5-2", on=TODAY + DAY), FAILS, entry=True)
    yield Basis(convicted("art-17-5-2", on=TODAY), HOLDS, entry=True)
    # Everything else makes nobody malicious in law.
    for each in law.offences().not_in_table:
        yield Basis(convicted(each.id, on=on), FAILS, entry=False)
        yield Basis(ordered(each.id, None, on), FAILS, entry=False)


INVESTIGATIONS = (
    (None, FAILS),
    (Investigation(OPENED, None), FAILS),
    (Investigation(OPENED, TODAY + DAY), FAILS),
    (Investigation(OPENED, TODAY), HOLDS),
    (Investigation(OPENED, CLOSED), HOLDS),
)
OUTCOMES = ((Outcome.NO_FURTHER_ACTION, HOLDS), (Outcome.OTHER, FAILS))
FORCE = ((None, FAILS), (TODAY + DAY, FAILS), (TODAY, HOLDS), (date(2026, 1, 1), HOLDS))
SAID = {YES: HOLDS, NO: FAILS, OPEN: UNKNOWN}


def evidence(
    basis: Conviction | ProtectionOrder,
    *subjects: Subject,
    investigation: Investigation | None = INVESTIGATIONS[-1][0],
    outcome: Outcome = Outcome.NO_FURTHER_ACTION,
) -> MaliciousAllegation:
    return MaliciousAllegation(
        FORMAT, Allegation(MADE, "allegation 1"), investigation, outcome, basis, subjects
    )


def mother(about: Known = YES, column_2: Known = YES) -> Subject:
    return Subject("mother", Role.ADULT_SUBJECT, about, column_2)


def child(about: Known = YES, column_2: Known = NO) -> Subject:
    return Subject("child", Role.CHILD, about, column_2)


def holdings(found: SubjectAssessment) -> list[Holding]:
    return [each.holding for each in found.conditions]


def weakest(expected: list[Holding]) -> Holding:
    """Return what all conditions together say: each of them is required."""
    if FAILS in expected:
        return FAILS
    return UNKNOWN if UNKNOWN in expected else HOLDS


@pytest.mark.parametrize("on", [BEFORE, MADE, AFTER], ids=["before", "same day", "after"])
def test_ground_g_is_what_the_statute_says(on: date) -> None:
    """All combinations: each basis, investigation, outcome, commencement and answer.

    Mother and child have each answer to "about whom?" and "column 2?" in one file, apart.
    """
    answers = list(product(Known, Known))
    for basis, (found, looked), (outcome, none), (since, force) in product(
        bases(on), INVESTIGATIONS, OUTCOMES, FORCE
    ):
        for (about, column_2), (about_child, column_2_child) in zip(
            answers, reversed(answers), strict=True
        ):
            file = evidence(
                basis.basis,
                mother(about, column_2),
                child(about_child, column_2_child),
                investigation=found,
                outcome=outcome,
            )
            for subject, result in zip(
                file.subjects, assess(file, since, TODAY).subjects, strict=True
            ):
                column = SAID[subject.column_2] if basis.entry else FAILS
                expected = [force, SAID[subject.about], basis.holding, column, looked, none]
                assert holdings(result) == expected
                assert result.verdict == weakest(expected)
                assert (result.label, result.role) == (subject.label, subject.role)


def test_the_table_above_has_every_id_of_the_data() -> None:
    table = law.offences()
    tried = [basis.basis for basis in bases(AFTER)]

    assert {each.offence for each in tried if isinstance(each, Conviction)} == {
        *(each.id for each in table.offence),
        *(each.id for each in table.not_in_table),
    }
    assert {each.order for each in tried if isinstance(each, ProtectionOrder)} == {
        *(each.id for each in table.order),
        *(each.id for each in table.not_in_table),
    }


def test_conditions_stand_in_the_statutes_order() -> None:
    assert CONDITIONS == (
        "in-force",
        "about-subject",
        "basis",
        "column-2",
        "investigated",
        "no-further-action",
    )


def test_who_is_malicious_towards_the_mother_is_not_so_towards_the_child() -> None:
    """The origin case: (g) is open to her, and the child's data need another ground."""
    file = evidence(convicted("art-17-5-2"), mother(), child())

    for_mother, for_child = assess(file, date(2026, 1, 1), TODAY).subjects

    assert (for_mother.verdict, for_mother.alternatives) == (HOLDS, ())
    assert for_child.verdict is FAILS
    assert [each.code for each in for_child.conditions if each.holding is FAILS] == ["column-2"]
    assert [each.ground for each in for_child.alternatives] == [
        Ground.NO_LONGER_NECESSARY,
        Ground.OBJECTION,
        Ground.UNLAWFUL,
    ]
    assert "parental responsibility" in for_child.alternatives[1].why


def test_a_child_can_be_the_column_2_person() -> None:
    """An order can protect a child; nothing here looks at age."""
    file = evidence(ordered("spa-2019-s2"), child(column_2=YES))

    assert assess(file, TODAY, TODAY).subjects[0].verdict is HOLDS


def test_others_in_the_file_do_not_change_what_holds_for_one() -> None:
    alone = evidence(convicted("art-17-5-1"), mother())
    together = evidence(convicted("art-17-5-1"), child(), mother(), child(NO, OPEN))

    assert assess(alone, TODAY, TODAY).subjects[0] == assess(together, TODAY, TODAY).subjects[1]


@pytest.mark.parametrize("offered", [each.id for each in law.offences().not_in_table])
def test_what_the_table_does_not_have_is_told_so_with_other_grounds(offered: str) -> None:
    (found,) = assess(evidence(convicted(offered), mother()), TODAY, TODAY).subjects

    words = {each.code: each.words for each in found.conditions}
    assert "not in the table" in words["basis"]
    assert found.alternatives


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (None, Outcome.NO_FURTHER_ACTION),
        (INVESTIGATIONS[-1][0], Outcome.OTHER),
    ],
)
def test_no_longer_necessary_is_not_suggested_while_the_matter_goes_on(
    found: Investigation | None, outcome: Outcome
) -> None:
    file = evidence(convicted("art-17-5-2"), mother(), investigation=found, outcome=outcome)

    (result,) = assess(file, TODAY, TODAY).subjects

    assert [each.ground for each in result.alternatives] == [Ground.OBJECTION, Ground.UNLAWFUL]


def test_objection_speaks_of_parents_only_for_a_child() -> None:
    file = evidence(convicted("other"), mother())

    (found,) = assess(file, TODAY, TODAY).subjects

    assert "parental" not in "".join(each.why for each in found.alternatives)


def test_an_assessment_names_its_table_and_cannot_be_changed() -> None:
    found = assess(evidence(convicted("art-17-5-2"), mother()), TODAY, TODAY)

    assert found.table_version == law.offences().version
    with pytest.raises(FrozenInstanceError):
        found.subjects[0].verdict = FAILS  # type: ignore[misc]  # that is the test


def test_every_ground_is_offered_and_certified() -> None:
    """The command line and the certificates list them for themselves, to start quickly.

    Certificates have one more, which nobody asks for: a sweep's.
    """
    destroyed = {each.code for each in law.grounds().ground if set(each.remedies) - {"restrict"}}
    assert list(OFFERED) == list(Ground)
    asked = [ground for ground in Ground if ground in destroyed]
    assert list(CERTIFIED) == [*asked, RETENTION]


@pytest.mark.parametrize("remedy", Remedy)
def test_every_remedy_has_grounds_and_takes_no_other(remedy: Remedy) -> None:
    """Nothing is corrected because it is erased elsewhere, and nothing erased as contested."""
    fitting = {each.code for each in law.grounds().ground if remedy in each.remedies}
    assert fitting
    for ground in Ground:
        if ground in fitting:
            require_remedy(ground, remedy)
        else:
            with pytest.raises(InvalidEvidence, match="those are"):
                require_remedy(ground, remedy)


class TestDescribe:
    """What an officer reads at a terminal."""

    LINES = describe(assess(evidence(convicted("art-17-5-4"), mother(), child(OPEN)), None, TODAY))

    def test_every_mark_stands_beside_its_word(self) -> None:
        """Never a mark or a colour alone."""
        words = {"✓": "holds", "✗": "fails", "?": "unknown"}
        marked = [line.split()[:2] for line in self.LINES if line.strip()[0] in words]

        assert len(marked) == 2 * len(CONDITIONS)
        assert {mark for mark, _ in marked} == set(words)
        assert all(words[mark] == word for mark, word in marked)

    def test_lines_fit_a_terminal_and_can_be_printed(self) -> None:
        assert all(line.isprintable() and 0 < len(line) <= WIDTH for line in self.LINES)

    def test_uncertain_commencement_is_said(self) -> None:
        text = " ".join(" ".join(self.LINES).split())

        assert "not in force for this site" in text
        assert "ask counsel" in text

    def test_it_ends_with_who_decides(self) -> None:
        assert self.LINES[-1].startswith("officers decide")
        assert "Art 17(3)" in self.LINES[-1]

    @pytest.mark.parametrize("verdict", Holding)
    def test_every_verdict_has_its_words(self, verdict: Holding) -> None:
        known = {HOLDS: YES, FAILS: NO, UNKNOWN: OPEN}[verdict]
        file = evidence(convicted("art-17-5-2"), mother(column_2=known))
        said = {HOLDS: "every condition", FAILS: "fails", UNKNOWN: "is open"}[verdict]

        assert said in describe(assess(file, TODAY, TODAY))[0]


class TestRequireEvidence:
    """Each ground comes with what it must be shown with."""

    @pytest.mark.parametrize("ground", Ground)
    def test_all_kinds_of_a_ground_are_needed_and_suffice(self, ground: Ground) -> None:
        (needed,) = (each.evidence for each in law.grounds().ground if each.code == ground)
        references = {each.code: "ref 1" for each in needed}

        require_evidence(ground, references)
        for code in references:
            fewer = {other: "ref 1" for other in references if other != code}
            with pytest.raises(InvalidEvidence, match=code) as caught:
                require_evidence(ground, fewer)
            assert caught.value.rule == "evidence-missing"

    def test_what_a_ground_does_not_ask_for_is_refused_unnamed(self) -> None:
        with pytest.raises(InvalidEvidence) as caught:
            require_evidence(Ground.UNLAWFUL, {"unlawful": "ref 1", "jane": "ref 2"})

        assert caught.value.rule == "evidence-kind"
        assert "jane" not in str(caught.value)

    @pytest.mark.parametrize("reference", ["", " ", "x" * 121, "a\nb", " a", "\x00"])
    def test_a_reference_is_bounded_and_printable(self, reference: str) -> None:
        with pytest.raises(InvalidEvidence) as caught:
            require_evidence(Ground.LEGAL_OBLIGATION, {"obligation": reference})

        assert caught.value.rule == "reference"

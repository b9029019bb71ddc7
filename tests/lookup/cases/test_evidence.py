import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookup.cases.evidence import (
    FORMAT,
    MAX_EVIDENCE,
    MAX_SUBJECTS,
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
    encode_evidence,
    parse_evidence,
)
from lookup.cases.law import OffenceId

SECRET = "Jane Example"  # stands for what must not be repeated
EVIDENCE: dict[str, Any] = {
    "format": FORMAT,
    "allegation": {"made": "2022-03-01", "reference": "MASH-2022-118"},
    "investigation": {"opened": "2022-03-02", "closed": "2022-04-11"},
    "outcome": "no-further-action",
    "basis": {
        "kind": "conviction",
        "offence": "art-17-5-2",
        "convicted": "2023-02-10",
        "reference": "certificate 23/0417",
    },
    "subjects": [
        {"label": "mother", "role": "adult-subject", "about": "yes", "column_2": "yes"},
        {"label": "child", "role": "child", "about": "unknown", "column_2": "no"},
    ],
}
ORDER = {
    "kind": "protection-order",
    "order": "spa-2019-s2",
    "made": "2023-02-10",
    "until": None,
    "reference": "order 23/11",
}


def with_(path: str, value: object) -> bytes:
    """Return the evidence with another value at a place."""
    changed = json.loads(json.dumps(EVIDENCE))
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = changed
    for part in parents:
        place = place[part]
    place[last] = value
    return json.dumps(changed).encode()


def without(path: str) -> bytes:
    """Return the evidence without a member."""
    changed = json.loads(json.dumps(EVIDENCE))
    *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
    place = changed
    for part in parents:
        place = place[part]
    del place[last]
    return json.dumps(changed).encode()


WHOLE = json.dumps(EVIDENCE).encode()
SUBJECT = EVIDENCE["subjects"][0]

REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "evidence-json"),
    "not JSON": (SECRET.encode(), "evidence-json"),
    "not UTF-8": (b'{"format": "\xff"}', "evidence-json"),
    "half a character, spelled as one": (
        WHOLE.replace(b"MASH", b"\xed\xa0\x80"),
        "evidence-json",
    ),
    "not an object": (b"[]", "evidence-members"),
    "something behind it": (WHOLE + b"{}", "evidence-json"),
    "nested without end": (b"[" * 5_000, "evidence-members"),
    "too large": (WHOLE + b" " * MAX_EVIDENCE, "evidence-size"),
    "a member twice": (b'{"outcome": "other", ' + WHOLE[1:], "evidence-members"),
    "a member of a part twice": (
        WHOLE.replace(b'"offence"', b'"offence": "other", "offence"'),
        "evidence-members",
    ),
    "an unknown member": (with_("name", SECRET), "evidence-members"),
    "an unknown member named after a person": (with_(SECRET, 1), "evidence-members"),
    "no format": (without("format"), "evidence-members"),
    "another format": (with_("format", SECRET), "evidence-format"),
    "no allegation": (without("allegation"), "evidence-members"),
    "an allegation that is a text": (with_("allegation", SECRET), "allegation"),
    "an allegation with more": (with_("allegation.by", SECRET), "allegation"),
    "an allegation without a date": (without("allegation.made"), "allegation"),
    "no such day": (with_("allegation.made", "2022-02-30"), "allegation-made"),
    "a day with a time": (with_("allegation.made", "2022-02-28T10:00:00"), "allegation-made"),
    "a day as a number": (with_("allegation.made", 1_646_092_800), "allegation-made"),
    "an empty reference": (with_("allegation.reference", ""), "reference"),
    "a reference of spaces": (with_("allegation.reference", "  "), "reference"),
    "a long reference": (with_("allegation.reference", "x" * 121), "reference"),
    "a reference of two lines": (with_("basis.reference", f"{SECRET}\n2"), "reference"),
    "a reference that moves the cursor": (with_("basis.reference", "\x1b[2J"), "reference"),
    "no investigation is said with null": (without("investigation"), "evidence-members"),
    "an investigation before the allegation": (
        with_("investigation.opened", "2022-02-28"),
        "investigation-opened",
    ),
    "an investigation that closes before it opens": (
        with_("investigation.closed", "2022-03-01"),
        "investigation-closed",
    ),
    "an investigation that does not say whether it closed": (
        without("investigation.closed"),
        "investigation",
    ),
    "another outcome": (with_("outcome", SECRET), "outcome"),
    "no basis": (with_("basis", None), "basis"),
    "a basis without a kind": (without("basis.kind"), "basis"),
    "another kind of basis": (with_("basis.kind", SECRET), "basis-kind"),
    "a basis of both kinds": (with_("basis.order", "spa-2019-s2"), "basis"),
    "an offence that no id is for": (with_("basis.offence", SECRET), "basis-offence"),
    "an order is no offence": (with_("basis.offence", "spa-2019-s2"), "basis-offence"),
    "an offence as a number": (with_("basis.offence", 2), "basis-offence"),
    "a corresponding offence for no service offence": (
        with_("basis.corresponding", "art-17-5-1"),
        "basis-corresponding",
    ),
    "a corresponding offence that no id is for": (
        with_("basis", EVIDENCE["basis"] | {"offence": "art-17-5-4", "corresponding": SECRET}),
        "basis-corresponding",
    ),
    "a corresponding offence outside the table": (
        with_("basis", EVIDENCE["basis"] | {"offence": "other", "corresponding": "art-17-5-1"}),
        "basis-corresponding",
    ),
    "an order that no id is for": (with_("basis", ORDER | {"order": SECRET}), "basis-order"),
    "an offence is no order": (with_("basis", ORDER | {"order": "art-17-5-3"}), "basis-order"),
    "an order that does not say until when": (
        with_("basis", {k: v for k, v in ORDER.items() if k != "until"}),
        "basis",
    ),
    "an order that ends before it is made": (
        with_("basis", ORDER | {"until": "2023-02-09"}),
        "basis-until",
    ),
    "no data subjects": (with_("subjects", []), "subjects"),
    "too many data subjects": (
        with_("subjects", [SUBJECT | {"label": f"c{n}"} for n in range(MAX_SUBJECTS + 1)]),
        "subjects",
    ),
    "two data subjects of one label": (with_("subjects.1.label", "mother"), "subject-label"),
    "a name for a label": (with_("subjects.0.label", SECRET), "subject-label"),
    "a label with a line behind it": (with_("subjects.0.label", "mother\n"), "subject-label"),
    "a label of digits": (with_("subjects.0.label", "9434765919"), "subject-label"),
    "a long label": (with_("subjects.0.label", "m" * 33), "subject-label"),
    "another role": (with_("subjects.0.role", "father"), "subject-role"),
    "about is yes, no or unknown": (with_("subjects.0.about", 1), "subject-about"),
    "column 2 is yes, no or unknown": (with_("subjects.1.column_2", SECRET), "subject-column-2"),
    "a data subject with more": (with_("subjects.0.nhs", "9434765919"), "subject"),
    "a data subject with less": (without("subjects.1.column_2"), "subject"),
}


@pytest.mark.parametrize(("raw", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_the_rule_and_never_a_value(raw: bytes, rule: str) -> None:
    with pytest.raises(InvalidEvidence) as caught:
        parse_evidence(raw)

    assert caught.value.rule == rule
    assert str(caught.value) == caught.value.message
    assert not any(
        value in caught.value.message for value in (SECRET, "9434765919", "MASH", "father", "\x1b")
    )
    assert caught.value.__cause__ is None


def test_the_example_of_the_module_is_accepted() -> None:
    evidence = parse_evidence(WHOLE)

    assert evidence.basis == Conviction(
        offence=OffenceId("art-17-5-2"),
        convicted=date(2023, 2, 10),
        reference="certificate 23/0417",
    )
    assert evidence.basis.since == date(2023, 2, 10)
    assert evidence.subjects[1] == Subject("child", Role.CHILD, Known.UNKNOWN, Known.NO)


@pytest.mark.parametrize(
    "accepted",
    [
        with_("investigation", None),
        with_("investigation.closed", None),
        with_("basis", ORDER),
        with_("basis", ORDER | {"until": "2023-02-10"}),
        with_("basis", ORDER | {"order": "interim-stalking-protection-order"}),
        with_("basis.offence", "coercive-control"),
        with_(
            "basis", EVIDENCE["basis"] | {"offence": "art-17-5-4", "corresponding": "art-17-5-3"}
        ),
        with_("basis.convicted", "2019-01-01"),
    ],
)
def test_what_may_be_missing_or_not_do_can_be_told(accepted: bytes) -> None:
    """Evidence that shows that (g) fails is evidence too."""
    assert parse_evidence(accepted).format == FORMAT


def test_evidence_does_not_show_itself() -> None:
    """Not in a traceback, not in a log."""
    evidence = parse_evidence(WHOLE)

    for part in (evidence, evidence.allegation, evidence.basis, *evidence.subjects):
        assert repr(part) == f"<{type(part).__name__}>"


DAYS = st.dates(date(2015, 1, 1), date(2035, 1, 1))
REFERENCES = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_categories=["C", "Z"]),
    min_size=1,
    max_size=120,
)


@st.composite
def evidences(draw: Callable[[st.SearchStrategy[Any]], Any]) -> MaliciousAllegation:
    """Draw valid evidence."""
    made, opened, closed = sorted(draw(st.lists(DAYS, min_size=3, max_size=3)))
    order_made = draw(DAYS)
    labels = st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True)
    kinds = st.sampled_from
    return MaliciousAllegation(
        format=FORMAT,
        allegation=Allegation(made, draw(REFERENCES)),
        investigation=draw(
            st.sampled_from([None, Investigation(opened, None), Investigation(opened, closed)])
        ),
        outcome=draw(kinds(list(Outcome))),
        basis=draw(
            st.sampled_from(
                [
                    Conviction(OffenceId("art-17-5-7"), order_made, draw(REFERENCES)),
                    Conviction(
                        OffenceId("art-17-5-5"),
                        order_made,
                        draw(REFERENCES),
                        OffenceId("art-17-5-9"),
                    ),
                    ProtectionOrder(
                        "spa-2019-s2",
                        order_made,
                        order_made + timedelta(days=draw(st.integers(0, 900))),
                        draw(REFERENCES),
                    ),
                ]
            )
        ),
        subjects=tuple(
            Subject(label, draw(kinds(list(Role))), draw(kinds(list(Known))), Known.NO)
            for label in draw(st.lists(labels, min_size=1, max_size=3, unique=True))
        ),
    )


@given(evidences())
def test_evidence_is_read_back_as_it_was_written(evidence: MaliciousAllegation) -> None:
    assert parse_evidence(encode_evidence(evidence)) == evidence


@given(st.binary(max_size=300))
def test_any_bytes_are_evidence_or_refused(raw: bytes) -> None:
    with pytest.raises(InvalidEvidence):
        parse_evidence(raw)

import pytest

from lookup.cases.law import refusals
from lookup.cases.refusal import MAX_TEXT, InvalidRefusal, Refusal, describe_refusal, reasons

TEXT = "The record is needed for the claim that was issued in March; see the solicitor's letter."

REFUSED = {
    "no code": ("", TEXT),
    "a code that is not there": ("art-17-3-f", TEXT),
    "a ground is no reason to refuse": ("art-17-1-g", TEXT),
    "a code in capitals": ("ART-17-3-A", TEXT),
    "no text": ("art-17-3-e", ""),
    "a text that says nothing": ("art-17-3-e", "because"),
    "spaces are no text": ("art-17-3-e", " " * 100),
    "a text too long to read": ("art-17-3-e", "x" * (MAX_TEXT + 1)),
    "a control character": ("art-17-3-e", TEXT + "\x1b[2J"),
    "a carriage return": ("art-17-3-e", TEXT + "\r\n"),
    "a text that turns its direction": ("art-17-3-e", TEXT + "\u202e"),
}


@pytest.mark.parametrize(("reason", "text"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_without_a_coded_reason_in_words_is_none(reason: str, text: str) -> None:
    with pytest.raises(InvalidRefusal) as caught:
        Refusal(reason, text)

    assert text == "" or text not in str(caught.value)


@pytest.mark.parametrize("reason", reasons())
def test_every_reason_is_told_in_words_with_the_ways_on(reason: str) -> None:
    told = describe_refusal(Refusal(reason, f"{TEXT}\nSecond line."))

    assert told == [
        f"{reasons()[reason].text} ({reason})",
        TEXT,
        "Second line.",
        refusals().appeal,
    ]


def test_a_refusal_does_not_show_its_text() -> None:
    """It is about a person."""
    assert TEXT not in repr(Refusal("no-ground", TEXT))

"""The letter to a hospital that has not acknowledged a recall."""

import pytest

from lookup.cases.standing import Remedy
from lookup.transparency.recall_letter import WIDTH, Addressee, make_recall_letter

REQUESTS = [f"00000000-0000-4000-8000-{n:012d}" for n in range(3)]


def letter(name: str = "Ward 1", requests: list[str] = REQUESTS, remedy: str = Remedy.ERASE) -> str:
    to = Addressee("ab" * 14, name, requests)
    return make_recall_letter(to, "Axton Council", "020 7946 0000", "2026-11-27", remedy)


def test_it_names_every_request_and_what_to_do() -> None:
    """Whom it is for, from whom, and under which articles, too."""
    text = letter()
    for part in ("To Ward 1", "From Axton Council", "2026-11-27", "020 7946 0000", *REQUESTS):
        assert part in text
    assert "Article 17" in text
    assert "Article 19" in text
    assert "delete it, and ask again (3 requests)" in text


@pytest.mark.parametrize("name", ["Ward 1", ""])
def test_a_name_that_has_gone_is_not_made_up(name: str) -> None:
    """The enrolment's id stands for a client that is enrolled no more."""
    assert ("ab" * 14 in letter(name)) == (not name)


def test_one_request_is_one() -> None:
    assert "delete it, and ask again (1 request)" in letter(requests=REQUESTS[:1])


@pytest.mark.parametrize("remedy", [Remedy.ERASE, Remedy.UNLINK, Remedy.RECTIFY])
def test_it_fits_on_paper(remedy: Remedy) -> None:
    assert max(map(len, letter(remedy=remedy).splitlines())) <= WIDTH

"""Strategies: steps, and the details that each act has."""

from hypothesis import strategies as st

from lookup.cases.step import DETAILS, STEPS, Step
from lookup.officers.roles import Act, OfficerId

CODES = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
WORDS = st.text(min_size=1, max_size=60).filter(str.isprintable)
REFERENCES = st.from_regex(r"(?:[!-~](?:[ -~]{0,30}[!-~])?)?", fullmatch=True)
VALUES = {
    "reason": CODES,
    "words": WORDS,
    "days": st.integers(0, 365),
    "recipients": st.integers(1, 10_000),
    "court_order": REFERENCES,
}
ID, HASH = st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)


def steps_of(act: Act) -> st.SearchStrategy[Step]:
    """Return what makes steps of an act."""
    return st.builds(
        Step,
        vault=ID,
        case=ID,
        number=st.integers(1, 99_999),
        after=HASH,
        digest=HASH,
        officer=st.none() | ID.map(OfficerId),
        act=st.just(act),
        details=st.fixed_dictionaries({name: VALUES[name] for name in DETAILS.get(act, ())}),
    )


STEPS_OF_ALL = st.sampled_from(STEPS).flatmap(steps_of)

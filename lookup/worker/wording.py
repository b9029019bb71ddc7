"""How a record reads in an answer: everything that does not depend on the record, said in advance.

    who (a slot's sixteen bits: authority, category, flags) → Wording

A canary's link says *test*, and whom nobody rings. A link that may not be answered has its wording
too, so that it costs what an answered one costs; so has a honey link, which is answered never and
witnessed always. There are at most 1,024 * 16 * 2 wordings, and as many short ones for batches.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from lookup import wire
from lookup.index.layout import who_of

_TEST_CATEGORY: Final = b'"test"'
# Nobody is rung because of a test.
TEST_AUTHORITY: Final = wire.make_authority("TEST", "Test entry, no child", "none", "none")
SHORT_TEST_AUTHORITY: Final = wire.make_short_authority("TEST")


class Wording(NamedTuple):
    """What stands around a record's days, and whether it is said at all."""

    answerable: bool
    honey: bool
    begin: bytes
    end: bytes


Wordings = dict[int, Wording]


def make_wordings(
    categories: Sequence[bytes | None], authorities: Sequence[bytes], test_authority: bytes
) -> Wordings:
    """Return the wording of everything that a slot can name; None: not answerable.

    Names are JSON already.
    """
    wordings: Wordings = {}
    test = Wording(
        answerable=True,
        honey=False,
        begin=wire.begin_record(_TEST_CATEGORY),
        end=wire.end_record(test_authority),
    )
    for number, category in enumerate(categories):
        begin = wire.begin_record(category or _TEST_CATEGORY)
        for authority, whom in enumerate(authorities):
            end = wire.end_record(whom)
            for honey in (False, True):
                who = who_of(authority, number, test=False, honey=honey)
                wordings[who] = Wording(category is not None, honey, begin, end)
            wordings[who_of(authority, number, test=True, honey=False)] = test
    return wordings

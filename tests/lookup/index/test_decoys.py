"""Decoys: what a miss reads in the place of links."""

from lookup.index import layout
from lookup.index.reader import make_decoys


def test_decoys_say_all_that_links_may_say_and_are_never_told() -> None:
    """G2: a miss meets as many wordings and days as hits do."""
    whos = list(range(100))
    links = [layout.read_slot(decoy) for decoy in make_decoys(whos)]

    assert {link[4] for link in links} == set(whos)
    assert len({link[1] for link in links}) == 256
    assert {link[3] for link in links} == {0}  # days of 2000-01-01
    assert len({layout.read_slot(decoy)[4] for decoy in make_decoys(range(1_000))}) == 256

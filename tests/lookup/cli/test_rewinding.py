"""`lacuna officer set-cursor`: what is signed is said, then the feed goes on from there."""

from keys.entry import Kind, Put, new_entry_id
from lookup import exits
from lookup.custodian.records.fencing import Feed
from tests.lookup.cli.commanding import Folders, opened, serving

LIST = ("officer", "list")


def test_a_feed_is_set_back_by_several(site: Folders) -> None:
    """Both cursors stand in the words, and what may come again; a second time is refused."""
    assert site.init("--demo").status == 0
    with opened(site) as vault:
        vault.commit((Put(Feed(new_entry_id(Kind.FEED), "AXT", 10**18).entry()),))
    with serving(site):
        wanted = ("officer", "set-cursor", "AXT", "42", "--yes", "--json")
        assert "cursor of AXT  1000000000000000000" in site.act("auditor", *LIST).stdout
        proposed = site.act("requester", *wanted)
        assert proposed.status == 0, proposed.stderr
        listed = site.act("auditor", *LIST).stdout
        assert "the feed of AXT is set back from 1000000000000000000 to 42" in listed
        assert "and what was destroyed before" in listed
        for role in ("approver", "legal"):
            approve = ("officer", "approve", proposed.json["proposal"], "--yes")
            assert site.act(role, *approve).status == 0
        assert "cursor of AXT  42\n" in site.act("auditor", *LIST).stdout
        again = site.act("requester", *wanted)
        assert (again.status, again.ends_in_a_hint) == (exits.REFUSED, True)

"""A site's own retention classes: read at the start, or there is none."""

import pytest

from lookup.config import InvalidConfig
from lookup.retention.classes import shipped_classes
from tests.simulator import Site, nhs, record

OWN = """version = 7
source = "the schedule of Axtonbury"
read = 2026-11-27
[[class]]
code = "own"
text = "a class of this site alone"
origin = "the schedule of Axtonbury"
review_months = 6
keep = [{ clock = "closure", years = 6 }]
"""


def with_classes(site: Site, text: str | None) -> Site:
    """Return a site whose configuration names this file; without text it is not there."""
    if text is not None:
        (site.folder / "classes.toml").write_text(text)
    site.tables["retention"] = {"classes": "classes.toml"}
    site.configure()
    return site


def test_a_site_without_a_file_has_those_of_this_version(site: Site) -> None:
    with site.open() as custodian:
        assert custodian.custody.classes == shipped_classes()


def test_a_sites_own_classes_are_the_only_ones(site: Site) -> None:
    """What it sends is measured by them; others are refused by name."""
    with with_classes(site, OWN).open() as custodian:
        assert custodian.custody.classes.version == 7
        custodian.add("own", nhs(1), retention={"class": "own", "closed": "2020-01-01"})
        wrong = record("other", nhs(2), retention={"class": "looked-after"})
        said = custodian.feed.post("/v1/records", json=wrong)
        assert (said.status_code, said.json()["rule"]) == (400, "retention-class")


def test_a_record_of_a_class_that_is_no_more_is_read_as_before(site: Site) -> None:
    """Other classes make no record unreadable; it is kept, for nobody can say until when."""
    with with_classes(site, OWN).open() as custodian:
        record_id = custodian.add("own", nhs(1), retention={"class": "own"})
    del site.tables["retention"]
    site.configure()
    with site.open() as custodian:
        told = custodian.feed.get(f"/v1/records/{record_id.hex()}").json()
        assert told["retention"]["class"] == "own"


@pytest.mark.parametrize("text", [None, "", "version = 1", OWN.replace("6 }", "0 }")])
def test_a_file_that_is_none_starts_no_site(site: Site, text: str | None) -> None:
    """Rather than one that keeps by other rules than its officers have signed."""
    with_classes(site, text)
    with pytest.raises(InvalidConfig, match=r"retention\.classes: "):
        site.open()

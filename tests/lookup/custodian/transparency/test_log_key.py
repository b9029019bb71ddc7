"""The log's origins."""

from lookup.custodian.transparency.log_key import next_origin


def test_origins_are_numbered() -> None:
    assert next_origin("lacuna/00ff") == "lacuna/00ff.2"
    assert next_origin("lacuna/00ff.2") == "lacuna/00ff.3"
    assert next_origin("log.example.org/site.9") == "log.example.org/site.10"

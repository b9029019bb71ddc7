"""`lacuna log`: key and checkpoint, cosignatures, and whether a log is whole."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crypto.cosignature import CosigningKey, cosign
from crypto.note import VerifierKey, add_signature, open_note, parse_note
from lookup import exits
from tests.lookup.cli.commanding import Folders, opened, serving
from tests.lookup.raw_http import wait_until

WITNESS = CosigningKey.generate()


@pytest.fixture(scope="module")
def site() -> Iterator[Folders]:
    """A site that runs; its log has three entries, is published, and has a witness."""
    made = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    try:
        assert made.init("--demo").status == 0
        text = made.config.read_text()
        key = WITNESS.verifier("witness.test").text()
        log = f'[log]\npublished = "{made.folder}/published"\n'
        witness = f'[[witness]]\nname = "W"\nkey = "{key}"\n'
        made.config.write_text(f"{text}\n{log}{witness}")
        with opened(made) as vault:
            vault.commit((), log=(b"\1one", b"\1two", b"\1three"))
        with serving(made):
            yield made
    finally:
        made.remove()


def test_the_key_verifies_the_checkpoint(site: Folders) -> None:
    key = site.run("log", "key").stdout.strip()
    assert site.run("log", "key", "--json").json == {"key": key}
    note = site.run("log", "checkpoint").stdout
    assert site.run("log", "checkpoint", "--json").json == {"checkpoint": note}
    text = open_note(note.encode(), [VerifierKey.parse(key)]).text
    assert re.fullmatch(r"lacuna/[0-9a-f]{32}\n3\n\S+\n", text)


def test_a_cosigned_checkpoint_is_handed_in(site: Folders) -> None:
    note = site.run("log", "checkpoint").stdout.encode()
    line = cosign(parse_note(note).text, "witness.test", WITNESS, 1_700_000_000)
    file = site.folder / "cosigned"
    file.write_bytes(add_signature(note, line))

    told = site.run("log", "cosign", file)

    assert told.status == 0
    assert told.stdout == "W  saw 3 entries, 2023-11-14T22:13:20Z\n"
    answered = site.run("log", "cosign", "-", "--json", typed=file.read_bytes()).json
    assert answered == {"size": 3, "witnesses": [{"name": "W", "time": 1_700_000_000}]}
    assert site.run("log", "checkpoint").stdout.encode() == file.read_bytes()


def test_what_is_not_cosigned_is_refused(site: Folders) -> None:
    file = site.folder / "nonsense"
    file.write_bytes(b"nonsense")
    for result in (site.run("log", "cosign", file), site.run("log", "cosign", "/nowhere/at all")):
        assert result.status in {exits.USAGE, exits.NO_INPUT}
        assert result.ends_in_a_hint
    file.write_bytes(bytes(1 << 17))
    assert site.run("log", "cosign", file).status == exits.USAGE


def test_a_running_site_is_verified(site: Folders) -> None:
    told = site.run("log", "verify")
    assert told.status == 0
    assert re.search(r"^log +whole$", told.stdout, re.MULTILINE)
    document = site.run("log", "verify", "--json").json
    assert (document["whole"], document["size"]) == (True, 3)


def await_published(site: Folders) -> Path:
    folder = site.folder / "published"
    note = site.run("log", "checkpoint").stdout.encode()

    def there() -> bool:
        file = folder / "checkpoint"
        return file.exists() and file.read_bytes() == note

    wait_until(there, 10)
    return folder


def test_a_published_folder_is_verified_without_a_site(site: Folders) -> None:
    folder = await_published(site)
    key = site.run("log", "key").stdout.strip()
    assert site.run("log", "verify", folder, "--log-key", key).status == 0
    bundle = folder / "tile" / "entries" / "000.p" / "3"
    raw = bundle.read_bytes()
    bundle.write_bytes(raw.replace(b"two", b"TWO"))
    told = site.run("log", "verify", folder, "--log-key", key)
    assert told.status == exits.FINDING
    assert "NOT WHOLE" in told.stdout
    document = site.run("log", "verify", folder, "--log-key", key, "--json").json
    assert document["wrong"] == "tile/0/000.p/3 does not follow from the entries"
    bundle.write_bytes(raw)


def test_a_folder_does_not_say_whose_log_it_is(site: Folders) -> None:
    for result, status in (
        (site.run("log", "verify", site.folder), exits.USAGE),
        (site.run("log", "verify", site.folder, "--log-key", "nonsense"), exits.USAGE),
        (
            site.run(
                "log", "verify", site.slot, "--log-key", site.run("log", "key").stdout.strip()
            ),
            exits.NO_INPUT,
        ),
    ):
        assert result.status == status
        assert result.ends_in_a_hint

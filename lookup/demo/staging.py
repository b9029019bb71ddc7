"""Before the story: a site is made, served, given a client and a thousand records.

All of it through the real command line. If any of it fails there is no story.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

from lookup.client.enrolment import load_enrolment
from lookup.config import Address, load_config
from lookup.demo.asking import Heard, Hospital
from lookup.demo.council import Council
from lookup.demo.folders import SLOT, Folders
from lookup.demo.narrator import Narrator, Promise, StepFailed
from lookup.demo.processes import LACUNA, Ran, Site, run, serving
from lookup.demo.sample import SAMPLE_SIZE, Scene
from lookup.officers.keyfile import load_key_file

CLIENT: Final = "A&E of the demonstration"
_DATA: Final = Path(str(files("lookup.demo") / "data"))
_SAMPLE: Final = _DATA / "sample.ndjson"
_READY_WITHIN: Final = 60.0

CONFIG: Final = """\
demo = true

[vault]
store = "store"
mirror = "mirror"
slots = ["../{slot}"]
passphrase_file = "passphrase"

[serve]
lookup = "{lookup}"
custodian = "{custodian}"
workers = 2
run = "{folders.run}"
index = "{folders.index}"

"""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the site listens."""

    lookup: Address
    custodian: Address


@dataclass(frozen=True, slots=True)
class Stage:
    """A site with everything that the story needs."""

    folders: Folders
    narrator: Narrator
    site: Site
    hospital: Hospital
    council: Council
    noted: dict[str, str] = field(default_factory=dict)  # what later acts need of earlier ones
    _record_ids: dict[str, str] = field(default_factory=dict)

    def lacuna(self, *arguments: str, refused: int = 0) -> Ran:
        """Show a command about this site, and run it."""
        about = ("--config", str(self.folders.config))
        return lacuna(self.narrator, *about, *arguments, refused=refused)

    def officer(self, role: str, *arguments: str, typed: str = "", refused: int = 0) -> Ran:
        """Show a command without what each officer's has alike, and run it as that officer."""
        folders = self.folders
        self.narrator.command(["lacuna", *arguments], by=role)
        alike = ("--key", folders.officer_key(role), "--key-passphrase-file", folders.passphrase)
        return run(
            [*LACUNA, "--config", str(folders.config), *arguments, *map(str, alike)],
            typed=typed,
            refused=refused,
        )

    def ask(self, child: Scene) -> Heard:
        """Let the hospital ask about a child."""
        return self.hospital.ask(child.identifier)

    def ask_anew(self, child: Scene) -> Heard:
        """Let it ask over a new connection, which either worker may take."""
        self.hospital.hang_up()
        return self.ask(child)

    def record_id(self, child: Scene) -> str:
        """Return the id of a child's record: what the council sends again is there already."""
        known = self._record_ids.get(child.source_ref)
        if known is None:
            reply = self.council.send(child.records[0])
            if reply.status != HTTPStatus.OK:
                raise StepFailed(f"a stored record, sent again, gets status {reply.status}")
            known = self._record_ids[child.source_ref] = str(reply.content["record_id"])
        return known


def lacuna(
    narrator: Narrator,
    *arguments: str,
    typed: str = "",
    folder: Path | None = None,
    refused: int = 0,
) -> Ran:
    """Show a command, and run it; in a folder, or here."""
    narrator.command(["lacuna", *arguments])
    return run([*LACUNA, *arguments], typed=typed, folder=folder, refused=refused)


@contextmanager
def staged(folders: Folders, addresses: Addresses, narrator: Narrator) -> Iterator[Stage]:
    """Make and serve a site until the block is left. Raises StepFailed."""
    narrator.act("A site is made")
    _make(folders, addresses, narrator)
    begun = time.perf_counter()
    narrator.command(["lacuna", "--config", str(folders.config), "serve"])
    with serving(folders.config, folders.log) as site:
        _await_ready(folders, site)
        narrator.timed(
            "Ready: one custodian, who keeps the records, and two workers, who answer hospitals and"
            " hold no key to any record.",
            time.perf_counter() - begun,
        )
        stage = _furnished(folders, narrator, site)
        try:
            yield stage
        finally:
            stage.hospital.hang_up()


def _make(folders: Folders, addresses: Addresses, narrator: Narrator) -> None:
    """Make the site that a configuration describes: its sockets and its index lie in memory."""
    config = CONFIG.format(
        folders=folders, lookup=addresses.lookup, custodian=addresses.custodian, slot=SLOT
    )
    folders.config.write_text(config + (_DATA / "authorities.toml").read_text())
    made = lacuna(
        narrator,
        *("--config", str(folders.config), "init", "--generate-passphrase", "--leaves", "256"),
    )
    narrator.timed(
        "Store, mirror and root slot should lie on three media, and officers make their keys on"
        " their own machines. Here all share one, so everything says demo.",
        made.seconds,
    )
    if made.warnings:
        narrator.tell("About this machine it says:")
        narrator.quote(made.warnings)


def _await_ready(folders: Folders, site: Site) -> None:
    """Wait until `lacuna status` finds nothing that needs a person."""
    deadline = time.monotonic() + _READY_WITHIN
    last = "the custodian does not answer"
    while time.monotonic() < deadline:
        site.require()
        time.sleep(0.02)
        # Asking is a process each time: not before somebody can answer.
        if (folders.run / "officer.sock").exists():
            try:
                run([*LACUNA, "--config", str(folders.config), "status", "--json"])
            except StepFailed as failure:
                last = str(failure)
            else:
                return
    raise StepFailed(f"the site is not ready: {last}; its log is {folders.log}")


def _furnished(folders: Folders, narrator: Narrator, site: Site) -> Stage:
    """Enrol the hospital, import the sample."""
    about = ("--config", str(folders.config))
    enrolled = lacuna(
        narrator,
        *(*about, "client", "add", CLIENT, "--enrolment", str(folders.enrolment)),
        *("--per-second", "1000"),
    )
    narrator.timed("A hospital is enrolled: it gets a secret and a lookup key.", enrolled.seconds)
    imported = lacuna(narrator, *about, "import", shown(_SAMPLE), "--json")
    added = json.loads(imported.output)["added"]
    narrator.timed(
        "Three councils that do not exist send 1,000 records.",
        imported.seconds,
    )
    narrator.judge(Promise.STORED, kept=added == SAMPLE_SIZE, seen=f"{added} were added")
    passphrase = folders.passphrase.read_bytes().strip()
    key = load_key_file(folders.officer_key("registrar"), lambda: passphrase)
    council = Council(load_config(folders.config).custodian, key)
    return Stage(folders, narrator, site, Hospital(load_enrolment(folders.enrolment)), council)


def shown(path: Path) -> str:
    """Return a path as a person who stands here would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

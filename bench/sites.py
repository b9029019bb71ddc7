"""Sites to measure, in a temporary folder: as `lacuna init` makes them, filled by importing.

Invariants:

* One of each size, made when first asked for, and used by every benchmark that needs it.
* Configuration, folders and costs are those of `lacuna init`; only the officers' keys, which it
  would seal, stay in this process.
* Store, mirror and slot lie on one medium, that of TMPDIR. The map has 65,536 leaves from 10,000
  records on, as `lacuna init` advises.
* The lines of an import are on disk before its clock starts. Those of a smaller size are the first
  ones of a larger size.
"""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from bench.filling import Imported, fill
from bench.officers import Enlisted, enlist
from crypto.derive import RFC_9106_SECOND
from keys.page import VaultId
from keys.slot.lock import Passphrase
from lookup.cli.files import new_private_file
from lookup.cli.making import described
from lookup.config import Config
from lookup.custodian.policy import first_entries
from lookup.custodian.starting import now
from lookup.custodian.unlocking import create_site
from lookup.demo.sample import generate, load_authorities, to_line
from lookup.officers.signing import Signer

SEED: Final = 2026
# Of each record: its line, store and mirror; besides, the WALs of all that is open at once.
_ROOM: Final = 3_000
_SPARE: Final = 800_000_000
_MANY_LEAVES_FROM: Final = 10_000

Tell = Callable[[str], None]


class NoRoom(Exception):
    """The temporary folder is too small; the message says what would do."""


@dataclass(frozen=True, slots=True)
class Site:
    """One site's configuration, and its officers by their role."""

    config: Config
    vault: VaultId
    officers: dict[str, Enlisted]

    def signer(self, role: str) -> Signer:
        """Return the officer of a role, ready to sign."""
        enlisted = self.officers[role]
        return Signer(self.vault, enlisted.officer.id, enlisted.key)

    def token(self, role: str) -> str:
        """Return a token of the officer of a role, for ten minutes."""
        return self.signer(role).headers(now())["authorization"].removeprefix("Bearer ")


@dataclass(slots=True)
class Sites:
    """All sites of one run."""

    folder: Path
    tell: Tell
    _filled: dict[int, tuple[Site, Imported]] = field(default_factory=dict)
    _made: list[Site] = field(default_factory=list)

    def filled(self, records: int) -> tuple[Site, Imported]:
        """Return the site of this size, and how its import went."""
        if records not in self._filled:
            site, lines = self.fresh(str(records), records), self.lines(records)
            self._filled[records] = site, fill(site.config, lines, records, self.tell)
        return self._filled[records]

    def fresh(self, name: str, records: int) -> Site:
        """Return a new site without records, made for that many."""
        folder = self.folder / name
        with as_file(files("lookup.demo") / "data" / "authorities.toml") as authorities:
            config, text = described(
                folder,
                {
                    "slots": (folder / "slot",),
                    "mirror": None,
                    "authorities": authorities,
                    "passphrase_file": folder / "passphrase",
                    "lookup": "127.0.0.1:8440",  # never bound: served.py passes its sockets on
                    "custodian": "127.0.0.1:8441",
                    "workers": 1,
                    "demo": True,
                },
            )
        folder.mkdir(mode=0o700, parents=True)
        config.path.write_text(text)
        passphrase = secrets.token_urlsafe(24)
        with new_private_file(folder / "passphrase") as file:
            file.write(passphrase.encode())
        config.run.mkdir(mode=0o700)
        self._made.append(_make(config, passphrase, 2 if records >= _MANY_LEAVES_FROM else 1))
        return self._made[-1]

    def lines(self, records: int) -> Path:
        """Return an import file of that many records."""
        path = self.folder / f"{records}.ndjson"
        if not path.exists():
            codes = [authority["code"] for authority in load_authorities()["authority"]]
            with path.open("w") as file:
                for n, record in enumerate(generate(records, SEED, codes), start=1):
                    file.write(to_line(record))
                    if n % 10_000 == 0:
                        self.tell(f"writing import lines: {n:,} of {records:,}")
        return path

    def close(self) -> None:
        """Remove everything, the tables in memory too."""
        for site in self._made:
            shutil.rmtree(site.config.index, ignore_errors=True)
        shutil.rmtree(self.folder)


def _make(config: Config, passphrase: str, depth: int) -> Site:
    officers, begun = enlist(), now()
    found = [each.officer for each in officers.values()]
    made = create_site(
        config,
        Passphrase(passphrase.encode()),
        now,
        lambda vault: first_entries(vault, found, demo=config.demo, now=begun),
        cost=RFC_9106_SECOND,
        depth=depth,
    )
    made.close()
    return Site(config, made.vault.id, officers)


def require_room(folder: Path, sizes: tuple[int, ...]) -> None:
    """Raise NoRoom unless sites of these sizes fit."""
    needed = _ROOM * sum(sizes) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"sites of these sizes need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB:"
            " set TMPDIR to a larger disk, or --sizes to less"
        )

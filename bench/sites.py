"""Sites to measure, in a temporary folder: made as `lacuna init` makes them, filled by importing.

Invariants:

* One of each size, made when first asked for, and used by every benchmark that needs it.
* Store, mirror and slot lie on one medium, that of TMPDIR. The map has 65,536 leaves from 10,000
  records on, as `lacuna init` advises.
* The lines of an import are on disk before its clock starts. Those of a smaller size are the first
  ones of a larger size.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from bench.filling import Imported, fill
from lookup.cli.init import make_site
from lookup.config import Config, load_config
from lookup.demo.sample import generate, load_authorities, to_line

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
    """One site's configuration and its officer's token."""

    config: Config
    token: str = field(repr=False)


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
            made = make_site(
                folder,
                slots=(folder / "slot",),
                mirror=None,
                authorities=authorities,
                passphrase_file=folder / "passphrase",
                generate_passphrase=True,
                leaves="65536" if records >= _MANY_LEAVES_FROM else "256",
                lookup="127.0.0.1:8440",  # never bound: the sockets of served.py are passed on
                custodian="127.0.0.1:8441",
                workers=1,
                demo=True,
            )
        config = load_config(Path(made["config"]))
        config.run.mkdir(mode=0o700)
        token = Path(made["officer_token_file"]).read_text().strip()
        self._made.append(Site(config, token))
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


def require_room(folder: Path, sizes: tuple[int, ...]) -> None:
    """Raise NoRoom unless sites of these sizes fit."""
    needed = _ROOM * sum(sizes) + _SPARE
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"sites of these sizes need {needed / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB:"
            " set TMPDIR to a larger disk, or --sizes to less"
        )

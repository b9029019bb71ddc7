"""A PostgreSQL server of its own: new cluster, UNIX socket only, stopped and removed afterwards.

Tuned as one would for this job: shared buffers that hold the table and its index, checkpoints far
apart. What durability costs is paid: fsync, full pages and synchronous_commit are on, as they are
by default. Run as `postgres` where we are root, which PostgreSQL refuses to be.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.peers.process import PeerMissing, require_program, running

_USER: Final = "postgres"
_PORT: Final = 5432  # names the socket, no more
_SETTINGS: Final = {
    "listen_addresses": "",
    "max_connections": "40",
    "shared_buffers": "512MB",
    "checkpoint_timeout": "30min",
    "max_wal_size": "4GB",
    "jit": "off",
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server that accepts connections."""

    conninfo: str
    pid: int


@contextmanager
def cluster(cpu: int) -> Iterator[Cluster]:
    """Run a new, empty server. Raises PeerMissing."""
    programs = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    initdb = require_program("initdb", "postgresql", *programs)
    server = require_program("postgres", "postgresql", *programs)
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="lacuna-bench-pg-"))
    try:
        if user is not None:
            _require_way(folder.parent)
            shutil.chown(folder, user, user)
        data = folder / "data"
        made = subprocess.run(
            (initdb, "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale", "C"),
            capture_output=True,
            text=True,
            check=False,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd=folder,
        )
        if made.returncode != 0:
            raise PeerMissing(f"initdb failed: {made.stderr.strip()[-300:]}")
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command: tuple[str | Path, ...] = (server, "-D", data, "-k", folder, *settings)
        socket, log = folder / f".s.PGSQL.{_PORT}", folder / "log"
        with running(command, log, cpu=cpu, ready=socket, user=user, folder=folder) as process:
            yield Cluster(f"host={folder} port={_PORT} user=bench dbname=postgres", process.pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Return whom to run it as; None: as whoever runs this."""
    return _USER if os.geteuid() == 0 else None


def _require_way(folder: Path) -> None:
    """Another user must be able to walk to a folder. Raises PeerMissing."""
    for each in (folder, *folder.parents):
        if not each.stat().st_mode & 0o001:
            raise PeerMissing(f"the user {_USER} cannot reach {folder}: set TMPDIR")

"""The real command line, run in this process; and a site of its own to run it against."""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner

from crypto.derive import TESTING_ONLY_COST
from crypto.sshsig import OfficerKey, format_public_key
from keys.slot.lock import Passphrase
from keys.vault import Vault
from lookup.cli.main import main
from lookup.config import InvalidConfig, load_config
from lookup.custodian.unlocking import open_site

ROOT = Path(__file__).parents[3]
AUTHORITIES = ROOT / "lookup" / "demo" / "data" / "authorities.toml"
SAMPLE = ROOT / "lookup" / "demo" / "data" / "sample.ndjson"
PASSPHRASE = "correct horse battery"
WAIT = 30.0


@dataclass(frozen=True)
class Result:
    """What a run of the real `lacuna` came to."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:  # noqa: ANN401  # whatever the document is
        assert self.stdout, self.stderr
        return json.loads(self.stdout)

    @property
    def ends_in_a_hint(self) -> bool:
        """Each error is two lines: the fact, and something to do."""
        error, hint = self.stderr.splitlines()[-2:]
        return error.startswith("lacuna: error: ") and hint.startswith("lacuna: hint: ")


def lacuna(*arguments: str | Path, typed: str | bytes = b"") -> Result:
    """Run `lacuna` with these arguments, and `typed` as its standard input."""
    argv = ["lacuna", *map(str, arguments)]
    with CliRunner().isolation(input=typed) as (stdout, stderr, _), patch.object(sys, "argv", argv):
        status: object = None
        try:
            main()
        except SystemExit as stop:
            status = stop.code
        sys.stdout.flush()
    assert isinstance(status, int)
    return Result(status, stdout.getvalue().decode(), stderr.getvalue().decode())


def free_port() -> int:
    """Return a port that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Folders:
    """A site's folders and configuration; it may be running or not."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "site" / "lacuna.toml"

    @property
    def slot(self) -> Path:
        return self.folder / "slot"

    @property
    def passphrase(self) -> Path:
        return self.folder / "passphrase"

    def remove(self) -> None:
        """Take everything away, also the folder of its index."""
        with contextlib.suppress(InvalidConfig):  # it was never made
            shutil.rmtree(load_config(self.config).index, ignore_errors=True)
        shutil.rmtree(self.folder)

    def run(self, *arguments: str | Path, typed: str | bytes = b"") -> Result:
        """Run a command of this site's."""
        return lacuna("--config", self.config, *arguments, typed=typed)

    def key(self, role: str) -> Path:
        """Return the key that a demonstration has for an officer of a role."""
        return self.config.parent / "officers" / role

    @property
    def key_passphrase(self) -> Path:
        """What officers' keys open with: not what a test has changed the site's passphrase to."""
        file = self.folder / "key-passphrase"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(PASSPHRASE)
        return file

    def act(self, role: str, *arguments: str | Path, typed: str | bytes = b"") -> Result:
        """Run a command as an officer of a demonstration."""
        alike = ("--key", self.key(role), "--key-passphrase-file", self.key_passphrase)
        return self.run(*arguments, *alike, typed=typed)

    def init(self, *more: str | Path) -> Result:
        """Run `lacuna init` for it."""
        if not self.passphrase.exists():
            self.passphrase.touch(mode=0o600)
            self.passphrase.write_text(f"{PASSPHRASE}\n")
        options = (
            *("--slot", self.slot),
            *("--authorities", AUTHORITIES),
            *("--passphrase-file", self.passphrase),
            *("--leaves", "256"),
            *("--lookup", f"127.0.0.1:{free_port()}"),
            *("--custodian", f"127.0.0.1:{free_port()}"),
        )
        with patch("crypto.derive.RFC_9106_SECOND", TESTING_ONLY_COST):
            return lacuna("init", self.config.parent, *options, *more)


@contextlib.contextmanager
def opened(site: Folders) -> Iterator[Vault]:
    """Open the vault of a site that does not run, in this process."""
    passphrase = Passphrase(site.passphrase.read_bytes().strip())
    there = open_site(load_config(site.config), passphrase, lambda: int(time.time()))
    try:
        yield there.vault
    finally:
        there.close()


@dataclass
class Served:
    """A site with its supervisor."""

    site: Folders
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """What the processes have said."""
        return (self.site.folder / "log").read_text()

    def status(self) -> Any:  # noqa: ANN401  # the document of `lacuna status --json`
        return self.site.run("status", "--json").json

    def children(self) -> dict[str, int]:
        """Return the pids of the supervisor's processes, by what they run."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError):  # it ended, or has yet to begin
                if f"\nPPid:\t{self.process.pid}\n" in (folder / "status").read_text():
                    command = (folder / "cmdline").read_bytes().decode().split("\0")
                    module = command[command.index("-m") + 1].split(".")[1]
                    slot = command[command.index("--slot") + 1] if "--slot" in command else ""
                    found[f"{module} {slot}".strip()] = int(folder.name)
        return found

    def healthy(self) -> bool:
        """Say whether nothing needs a person."""
        return self.site.run("status", "--json").status == 0

    def stop(self) -> int:
        """Ask it to stop; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def start(site: Folders) -> Served:
    """Start `lacuna serve`, and do not wait for it."""
    with (site.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lookup.cli.commanding", "--config", site.config, "serve"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
    return Served(site, process)


@contextlib.contextmanager
def serving(site: Folders) -> Iterator[Served]:
    """Serve a site until the end of the block."""
    served = start(site)
    try:
        until(served.healthy, served)
        yield served
    finally:
        served.stop()


def record_line(number: int, **more: object) -> str:
    """Return a line that `lacuna import` takes."""
    record = {
        "authority": "AXT",
        "source_ref": f"CLI-{number}",
        "identifiers": ["nhs:9990001014"],
        "category": "looked-after",
        "since": "2026-01-02",
    }
    return json.dumps(record | more) + "\n"


def public_key(file: Path) -> Path:
    """Make a public key file; nobody keeps the key."""
    file.write_text(format_public_key(OfficerKey.generate().public()))
    return file


def first_officers(folder: Path) -> list[str]:
    """Return the options by which a site that is no demonstration begins."""
    options = []
    for name, role in (("rita", "requester"), ("ana", "approver"), ("leo", "legal")):
        options += ["--officer", f"{name}:{role}:{public_key(folder / f'{name}.pub')}"]
    return options


def import_records(site: Folders, results: Path, *numbers: int) -> list[str]:
    """Import some records; return their ids."""
    lines = "".join(record_line(number) for number in numbers)
    assert site.run("import", "-", "--results", results, typed=lines).status == 0
    return [json.loads(line)["record_id"] for line in results.read_text().splitlines()]


def own_records(
    site: Folders, folder: Path, *names: str, category: str = "allegation"
) -> list[str]:
    """Import records of children whom no other test knows; return their ids."""
    lines = "".join(
        record_line(0, source_ref=name, identifiers=[f"local:AXT:{name}"], category=category)
        for name in names
    )
    results = folder / f"results-{'-'.join(names)}"
    assert site.run("import", "-", "--results", results, typed=lines).status == 0
    return [json.loads(line)["record_id"] for line in results.read_text().splitlines()]


def open_case(site: Folders, folder: Path, *record_ids: str) -> Any:  # noqa: ANN401  # the document
    """Open a case about records; return what is said of it."""
    evidence = folder / "evidence.json"
    evidence.write_text('{"purpose": "file 1 of the tests", "retention": "schedule 2, row 3"}')
    about = ("--ground", "art-17-1-a", "--evidence", evidence, "--json")
    opened = site.act("requester", "case", "open", *record_ids, *about)
    assert opened.status == 0, opened.stderr
    return opened.json


def approve_case(site: Folders, case: str) -> None:
    """Have a case approved by two, and due at once."""
    order = ("--days", "0", "--court-order", "order 1 of the tests")
    for role, *words in (
        ("legal", "shorten", case, *order),
        ("legal", "approve", case),
        ("approver", "approve", case),
    ):
        done = site.act(role, "case", *words)
        assert done.status == 0, done.stderr


def until(so: Callable[[], object], served: Served) -> None:
    """Wait until something is so of a site."""
    deadline = time.monotonic() + WAIT
    while not so():
        assert time.monotonic() < deadline, served.log
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


if __name__ == "__main__":
    main()

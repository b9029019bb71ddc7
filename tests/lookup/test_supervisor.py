"""`lacuna serve`: what starts, what is started again, what stops it all."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookup import exits
from lookup.config import Address, load_config
from lookup.supervisor import CannotServe, Child, hold, listen, listen_shared
from tests.lookup.cli.commanding import (
    ROOT,
    SAMPLE,
    Folders,
    Served,
    import_records,
    is_running,
    opened,
    record_line,
    serving,
    start,
    until,
)

LOOPBACK = Address("127.0.0.1", 0)
KNOWN = "nhs:9990001014\n"


@pytest.fixture
def site() -> Iterator[Folders]:
    """A demonstration site that is made and does not run."""
    site = Folders(Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp")))
    assert site.init("--demo").status == 0
    yield site
    site.remove()


@pytest.fixture(scope="module")
def running() -> Iterator[Served]:
    """A site that runs for all tests of this module; they may kill parts of it."""
    folder = Path(tempfile.mkdtemp(prefix="lacuna-", dir="/tmp"))
    site = Folders(folder)
    assert site.init("--demo").status == 0
    with serving(site) as served:
        assert site.run("import", SAMPLE).status == 0
        assert site.run("client", "add", "A", "--enrolment", folder / "e.json").status == 0
        yield served
    site.remove()


def serve(site: Folders) -> subprocess.CompletedProcess[str]:
    """Run `lacuna serve` to its end, which is to come by itself."""
    return subprocess.run(
        [sys.executable, "-m", "tests.lookup.cli.commanding", "--config", site.config, "serve"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
        cwd=ROOT,
    )


def reconfigure(site: Folders, key: str, value: str) -> None:
    """Change one key of a site's configuration."""
    lines = site.config.read_text().splitlines()
    changed = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in lines]
    site.config.write_text("\n".join(changed) + "\n")


class TestInTheWay:
    """A site that cannot start says what is in the way, and leaves no process."""

    @pytest.mark.parametrize("plane", ["lookup", "custodian"])
    def test_a_port_in_use_is_named(self, site: Folders, plane: str) -> None:
        address: Address = getattr(load_config(site.config), plane)
        with socket.create_server((address.host, address.port)):
            done = serve(site)

        assert done.returncode == exits.TEMPORARY
        assert f"cannot listen on {address}: Address already in use" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("lacuna: hint: ")
        assert len(done.stderr.splitlines()) == 2

    def test_two_sites_never_share_a_port(self, running: Served, site: Folders) -> None:
        """With SO_REUSEPORT alone they would, and answer each other's hospitals."""
        reconfigure(site, "lookup", f'"{load_config(running.site.config).lookup}"')

        done = serve(site)

        assert done.returncode == exits.TEMPORARY
        assert "cannot listen on" in done.stderr

    def test_two_sites_never_share_an_index(self, running: Served, site: Folders) -> None:
        """The later one would supersede the other's table."""
        own = load_config(site.config).index
        reconfigure(site, "index", f'"{load_config(running.site.config).index}"')

        done = serve(site)
        reconfigure(site, "index", f'"{own}"')

        assert done.returncode == exits.TEMPORARY
        assert "another one uses" in done.stderr

    def test_a_site_runs_once(self, running: Served) -> None:
        done = serve(running.site)

        assert done.returncode == exits.TEMPORARY
        assert "this site is already running" in done.stderr
        assert running.healthy()

    def test_a_run_folder_that_others_may_enter(self, site: Folders) -> None:
        run = site.config.parent / "run"
        run.mkdir(mode=0o755)

        done = serve(site)

        assert done.returncode == exits.TEMPORARY
        assert f"chmod 700 {run}" in done.stderr

    def test_a_store_in_use_is_waited_for(self, site: Folders) -> None:
        """By a restore, say: the site goes on trying."""
        lock = os.open(site.config.parent / "store" / "lock", os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        served = start(site)
        try:
            until(lambda: "is open in another process" in served.log, served)
            os.close(lock)
            until(served.healthy, served)
        finally:
            assert served.stop() == 0


class TestHopeless:
    """Where another start would end the same way, the site stops with that status."""

    def test_a_wrong_passphrase(self, site: Folders) -> None:
        site.passphrase.write_text("nothing that opens anything\n")

        done = serve(site)

        assert done.returncode == exits.NO_PERMISSION
        assert "this passphrase does not open the slot" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_passphrase_file_for_all_to_read(self, site: Folders) -> None:
        site.passphrase.chmod(0o644)

        assert serve(site).returncode == exits.NO_PERMISSION

    def test_nobody_to_ask(self, site: Folders) -> None:
        reconfigure(site, "passphrase_file", f'"{site.folder / "none"}"')

        assert serve(site).returncode == exits.NO_PERMISSION

    def test_a_store_that_was_rolled_back(self, site: Folders) -> None:
        """A person decides; nothing is tried again and again meanwhile."""
        store = site.config.parent / "store" / "vault.db"
        old = store.read_bytes()
        with opened(site) as vault:
            vault.purge()
        store.write_bytes(old)

        done = serve(site)

        assert done.returncode == exits.REFUSED
        assert "the site stops" in done.stderr


class TestStartedAgain:
    """Processes that end are started again; lookups do not wait for the custodian."""

    def test_a_worker(self, running: Served) -> None:
        """On the same socket: no connection that waited in it is lost."""
        before = running.children()
        os.kill(before["worker 1"], signal.SIGKILL)

        until(lambda: running.children().get("worker 1") not in {None, before["worker 1"]}, running)
        until(running.healthy, running)

        assert running.children()["custodian"] == before["custodian"]
        assert running.children()["worker 0"] == before["worker 0"]

    def test_what_a_client_has_asked_is_not_forgotten_with_a_worker(self, running: Served) -> None:
        """Its quota of the day is counted in cells that all workers share (lookup/cells.py)."""
        site, enrolment = running.site, running.site.folder / "f.json"
        options = ("--enrolment", enrolment, "--per-day", "3")
        assert site.run("client", "add", "Thrifty", *options).status == 0

        def reason() -> str:
            asked = site.run("lookup", "--enrolment", enrolment, "--json", typed=KNOWN).json
            return str(asked.get("reason"))

        assert [reason(), reason()] == ["None", "too-many-requests"]
        before = running.children()
        for slot in (0, 1):
            os.kill(before[f"worker {slot}"], signal.SIGKILL)
        until(lambda: before.keys() <= running.children().keys(), running)
        until(running.healthy, running)

        assert reason() == "too-many-requests"

    def test_lookups_go_on_without_a_custodian(self, running: Served) -> None:
        """Every answer says *known*: before, without, and with the next custodian."""
        enrolment = running.site.folder / "e.json"
        before = running.children()["custodian"]
        outcomes = []

        def looked_up() -> bool:
            arguments = ("lookup", "--enrolment", enrolment, "--json")
            outcomes.append(running.site.run(*arguments, typed=KNOWN).json["outcome"])
            return len(outcomes) > 3 and running.children().get("custodian") not in {None, before}

        os.kill(before, signal.SIGKILL)
        until(looked_up, running)
        while not running.healthy():
            looked_up()
        looked_up()

        assert set(outcomes) == {"known"}

    def test_an_import_that_loses_its_custodian_says_how_far_it_came(self, running: Served) -> None:
        """Run again, it finds the durable lines unchanged and stores the rest."""
        site = running.site
        lines = "".join(record_line(number, payload="x" * 1_000) for number in range(6_000))
        custodian = running.children()["custodian"]
        records = running.status()["records"]

        def strike() -> None:
            until(lambda: running.status()["records"] > records, running)
            os.kill(custodian, signal.SIGKILL)

        source = site.folder / "records.ndjson"
        source.write_text(lines)
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.lookup.cli.commanding"),
                *("--config", str(site.config), "import", str(source), "--json"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        strike()
        stdout, stderr = process.communicate(timeout=60)
        until(running.healthy, running)
        again = site.run("import", source, "--json")

        assert process.returncode == exits.UNAVAILABLE
        assert not json.loads(stdout)["complete"]
        durable = json.loads(stdout)["added"]
        assert f"at least {durable} lines are durable" in stderr
        assert "run the same command again" in stderr
        assert again.status == 0
        assert again.json["unchanged"] >= durable
        assert again.json["unchanged"] + again.json["added"] == 6_000


class TestStopping:
    """It stops when told, with status 0, and nothing of it runs on."""

    def test_by_a_signal(self, site: Folders) -> None:
        """Nothing is lost, nothing is left to finish; with another passphrase too."""
        new = site.folder / "new"
        new.touch(mode=0o600)
        new.write_text("another one of words\n")
        change = ("passphrase", "change", "--new-passphrase-file", new, "--write")
        for number in (signal.SIGTERM, signal.SIGINT):
            served = start(site)
            until(served.healthy, served)
            children = served.children()
            assert set(children) == {"custodian", "worker 0", "worker 1"}
            if number == signal.SIGTERM:
                import_records(site, site.folder / "results", 1)
                assert site.run(*change).status == 0
            report = served.status()
            assert (report["records"], report["finished_at_start"]) == (1, 0)

            served.process.send_signal(number)

            assert served.process.wait(30) == 0
            assert not any(map(is_running, children.values()))
            assert "ended with status" not in served.log

    def test_its_children_end_with_it(self, site: Folders) -> None:
        """Also when it was killed: nothing serves that nobody looks after."""
        served = start(site)
        until(served.healthy, served)
        children = served.children()

        served.process.kill()
        served.process.wait()

        until(lambda: not any(map(is_running, children.values())), served)


class TestParts:
    """The pieces, without processes."""

    def test_worker_sockets_share_a_port_that_was_free(self) -> None:
        sockets = listen_shared(LOOPBACK, 3)
        ports = {each.getsockname()[1] for each in sockets}
        assert len(ports) == 1
        with pytest.raises(CannotServe, match="Address already in use"):
            listen(Address("127.0.0.1", ports.pop()))
        for each in sockets:
            each.close()

    def test_version_6(self) -> None:
        try:
            listening = listen(Address("::1", 0))
        except CannotServe:
            pytest.skip("this machine has no loopback of version 6")
        assert listening.getsockname()[0] == "::1"
        listening.close()

    def test_an_address_that_is_not_ours(self) -> None:
        with pytest.raises(CannotServe, match=r"cannot listen on 192\.0\.2\.1:0") as refused:
            listen(Address("192.0.2.1", 0))
        assert refused.value.hint

    def test_a_folder_is_held_by_one(self, tmp_path: Path) -> None:
        again = hold(tmp_path / "run")
        with hold(tmp_path / "run"), pytest.raises(CannotServe, match="already running"):
            again.__enter__()
        with hold(tmp_path / "run"):
            assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(CannotServe, match="File exists"), hold(tmp_path / "file"):
            pytest.fail("a file is no folder")

    def test_restarts_come_slower_and_slower(self) -> None:
        """A process that cannot run does not keep the machine from doing anything else."""
        child = Child("worker 0", ["/bin/false"], ())
        pauses = []
        for _ in range(8):
            child.start()
            assert child.process is not None
            child.process.wait()
            assert child.ended() == 1
            assert child.ended() is None
            pauses.append(child.pause)

        assert pauses == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]

    def test_a_start_that_the_system_refuses_is_tried_again(self) -> None:
        child = Child("worker 0", ["/nonexistent/python"], ())

        child.start()

        assert child.process is None
        assert child.due > child.started

    def test_a_child_ends_with_its_parent(self) -> None:
        """prctl(PR_SET_PDEATHSIG) comes before exec, so there is no gap."""
        code = (
            "import subprocess, sys\n"
            "from lookup.supervisor import Child\n"
            "child = Child('worker 0', ['/bin/sleep', '60'], ())\n"
            "child.start()\n"
            "print(child.process.pid, flush=True)\n"
            "import os; os._exit(0)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT
        )
        gone = threading.Event()
        for _ in range(100):
            if not is_running(int(done.stdout)):
                return
            gone.wait(0.05)
        pytest.fail("it runs on")

"""`lacuna demo`: every promise is kept and seen to be kept, a broken one is told, nothing stays."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lookup import exits
from lookup.cli import demo as demo_command
from lookup.cli.main import main
from lookup.client.enrolment import load_enrolment
from lookup.demo import casework
from lookup.demo.casework import CERTIFICATE, LETTER, LOG_KEY, OPENING
from lookup.demo.folders import MARKER, MEMORY, made_anew
from lookup.demo.narrator import Narrator, Promise
from lookup.demo.processes import LACUNA, Ran
from lookup.demo.rights import ACCESS, JSON_FILE, PAGE
from lookup.demo.sample import scenes
from lookup.demo.staging import Stage
from lookup.demo.story import STORIES

ANY_PORTS = ("--lookup", "127.0.0.1:0", "--custodian", "127.0.0.1:0")
_TEN_DIGITS = re.compile(r"(?<![0-9a-f])[0-9]{10}(?![0-9a-f])")


@contextmanager
def demonstration(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the real command in a folder, as a person standing there would."""
    process = subprocess.Popen(
        [*LACUNA, "demo", *ANY_PORTS, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Return what a process printed, up to the line with this text."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            break
    return "".join(lines)


def demo(*arguments: str) -> int:
    """Run the command in this process; return its exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lacuna", "demo", "--once", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


def running(folder: Path) -> list[str]:
    """Return the commands of processes that belong to a demonstration in this folder."""
    named = [str(folder)]
    with suppress(OSError):
        named.append((folder / "demo-site" / MARKER).read_text().splitlines()[1])
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if any(name in command for name in named) or _stands_in(process, folder):
                found.append(command)
    return found


def _stands_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except PermissionError:  # a process that hides its memory; it is found by its command
        return False


def await_end(folder: Path) -> None:
    """Wait for all processes of a demonstration to end, or fail."""
    deadline = time.monotonic() + 30
    while left := running(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def left_in_memory(folder: Path) -> list[Path]:
    """Return what of a demonstration is still in /dev/shm."""
    named = Path((folder / "demo-site" / MARKER).read_text().splitlines()[1])
    return list(named.rglob("*")) if named.exists() else []


@pytest.fixture
def on_tmpfs() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="test-") as folder:
        yield Path(folder)


def flat(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


def told(promise: Promise, output: str) -> str:
    """Return the verdict on a promise."""
    found = re.search(rf"(\w+) {re.escape(flat(promise))}", flat(output))
    return found[1] if found else "missing"


class TestTheWholeStory:
    """Played by the real command in a process of its own."""

    def test_every_promise_is_kept_and_nothing_is_left_running(self, tmp_path: Path) -> None:
        with demonstration(tmp_path, "--once") as process:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == exits.OK, output
        assert [told(promise, output) for promise in Promise] == ["kept"] * len(Promise)
        assert running(tmp_path) == []
        assert left_in_memory(tmp_path) == []
        self._check_form(output)
        self._check_secrets(output + (tmp_path / "demo-site" / "log").read_text(), tmp_path)
        self._check_family(output, tmp_path / "demo-site" / "family")

    @staticmethod
    def _check_form(output: str) -> None:
        """Plain text when it is no terminal, not wider than 100, and it says that it is a demo."""
        assert max(map(len, output.splitlines())) <= 100
        assert "\x1b" not in output
        assert "demo: one medium" in output
        assert "yes: a demonstration: no real record is meant" in flat(output)  # the certificate

    @staticmethod
    def _check_family(said: str, folder: Path) -> None:
        """What the family got is where the story says, for them alone, and still verifies."""
        assert "lie in demo-site/family" in flat(said)
        files = {CERTIFICATE, OPENING, LETTER, LOG_KEY}
        assert {file.name for file in folder.iterdir()} == {*files, ACCESS}
        copy = folder / ACCESS
        assert {file.name for file in copy.iterdir()} == {JSON_FILE, PAGE}
        assert folder.stat().st_mode & 0o777 == 0o700
        subprocess.run(
            [*LACUNA, "certificate", "verify", CERTIFICATE, "--log-key", LOG_KEY],
            cwd=folder,
            capture_output=True,
            check=True,
        )

    @staticmethod
    def _check_secrets(said: str, folder: Path) -> None:
        """No secret is shown, and no number but those of the scenes."""
        site = folder / "demo-site"
        secrets = [(site / "passphrase").read_text().strip()]
        secrets.append(load_enrolment(site / "enrolment.json").secret.text())
        assert not [secret for secret in secrets if secret in said]
        everybody = {number for scene in vars(scenes()).values() for number in scene.identifiers}
        assert {f"nhs:{number}" for number in _TEN_DIGITS.findall(said)} <= everybody

    def test_made_anew_it_serves_commands_that_work_until_ctrl_c(self, on_tmpfs: Path) -> None:
        """Also where a slot can promise nothing: then it is warned of, as in a container."""
        for name in ("demo-site", "demo-slot"):
            (on_tmpfs / name / "store").mkdir(parents=True)
            (on_tmpfs / name / MARKER).write_text("an earlier one\n")
            (on_tmpfs / name / "store" / "left-over").touch()
        with demonstration(on_tmpfs) as process:
            output = read_until(process, "Ctrl-C")
            assert "warning: the slot is on tmpfs" in output
            assert not list(on_tmpfs.glob("*/store/left-over"))
            self._try_lookup(output, on_tmpfs)
            self._try_a_case(output, on_tmpfs)
            self._try_http(output, on_tmpfs)
            self._try_a_second_one(on_tmpfs)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == exits.OK
        assert running(on_tmpfs) == []
        assert left_in_memory(on_tmpfs) == []

    @staticmethod
    def _try_lookup(output: str, folder: Path) -> None:
        command = next(line for line in output.splitlines() if " lookup --enrolment " in line)
        arguments = command.split()[command.split().index("lookup") :]
        done = subprocess.run(
            [*LACUNA, *arguments],
            cwd=folder,
            input=scenes().two_records.identifier,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.count("ring ") == 2

    @staticmethod
    def _try_a_case(output: str, folder: Path) -> None:
        """The commands as they are printed, but for the two ids that are to be filled in."""
        lines = output[output.index("Carry a case through") :].replace(" \\\n", "").splitlines()
        commands = [line for line in lines if " case " in line and " --key " in line]
        assert len(commands) == 5
        ids = {"CASE": "", "CERTIFICATE": ""}
        for command in commands:
            words = shlex.split(command)
            arguments = [ids.get(word, word) for word in words[words.index("--config") :]]
            deadline = time.monotonic() + 30  # the site carries the case out by itself
            while True:
                done = subprocess.run(
                    [*LACUNA, *arguments], cwd=folder, capture_output=True, text=True, check=False
                )
                if done.returncode == 0:
                    break
                assert arguments[3] == "certificate", done.stderr
                assert time.monotonic() < deadline, done.stderr
            if arguments[3] == "open":
                ids["CASE"] = casework.fact(done.stdout, "case")
                ids["CERTIFICATE"] = casework.fact(done.stdout, "certificate").partition(",")[0]
        assert ids["CERTIFICATE"] in (folder / "demo-site" / "family" / "second.txt").read_text()

    @staticmethod
    def _try_http(output: str, folder: Path) -> None:
        """What a shell would hand to curl is a question about the child of two councils."""
        script = output[output.index("curl --silent") : output.index("\nEND\n") + len("\nEND\n")]
        stand_in = 'curl() { printf "%s\\n" "$@"; cat; }\n'
        shell = subprocess.run(
            ["sh", "-c", stand_in + script], cwd=folder, capture_output=True, text=True, check=True
        )
        silent, url, header, file, data, stdin, body = shell.stdout.split("\n", 6)
        assert [silent, header, data, stdin] == ["--silent", "--header", "--data", "@-"]
        fields = (folder / file.removeprefix("@")).read_text().splitlines()
        connection = HTTPConnection(urlsplit(url).netloc, timeout=10)
        headers = dict(field.split(": ", 1) for field in fields)
        connection.request("POST", urlsplit(url).path, body.replace("\n", ""), headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert {record["authority"]["code"] for record in answer["records"]} == {"BSC", "MVB"}

    @staticmethod
    def _try_a_second_one(folder: Path) -> None:
        """While one runs its folders are not taken from under it."""
        with demonstration(folder, "--once") as second:
            output, _ = second.communicate(timeout=60)
            assert second.returncode == exits.CANNOT_CREATE
        assert "is running in demo-site" in output

    @pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
    def test_cut_short_it_leaves_nothing_running(self, tmp_path: Path, how: signal.Signals) -> None:
        with demonstration(tmp_path) as process:
            read_until(process, "Ready:")
            process.send_signal(how)
            assert process.wait(60) == (-how if how == signal.SIGKILL else exits.INTERRUPTED)
        await_end(tmp_path)
        if how == signal.SIGKILL:
            with made_anew(tmp_path):
                pass  # the next one cleans up
        assert left_in_memory(tmp_path) == []


def test_a_case_that_does_nothing_is_seen_by_everyone_who_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The checks are no decoration: each one that the case should satisfy fails, none other."""
    real = Stage.officer
    nothing = {"restrict", "approve", "certificate", "certificates"}

    def officer(stage: Stage, role: str, *words: str, refused: int = 0) -> Ran:
        if words[0] == "case" and words[1] in nothing:
            return Ran("", "", 0.0)
        return real(stage, role, *words, refused=refused)

    monkeypatch.setattr(Stage, "officer", officer)
    monkeypatch.setattr(casework, "CARRIED_OUT_WITHIN", 0.5)
    monkeypatch.chdir(tmp_path)
    assert demo("case", *ANY_PORTS) == exits.FINDING
    output = capsys.readouterr().out
    broken = {
        Promise.NOT_ALONE,
        Promise.HIDDEN,
        Promise.ALARMED,
        Promise.RECALLED,
        Promise.WAITED,
        Promise.CARRIED_OUT,
        Promise.GONE,
        Promise.VERIFIED,
        Promise.OPENED,
        Promise.LETTER,
        Promise.FORGOTTEN,
        Promise.SAME_BYTES,
        Promise.OTHERS_OPEN,
        Promise.NOT_FOUND,
        Promise.FENCED,
    }
    assert {promise for promise in Promise if told(promise, output) == "BROKEN"} == broken
    expected = STORIES["case"].promises
    assert f"{len(expected - broken)} of {len(expected)} promises were kept" in output
    assert running(tmp_path) == []


def test_the_case_alone(tmp_path: Path) -> None:
    """`lacuna demo case`: what belongs to the case, and nothing beside it."""
    with demonstration(tmp_path, "case", "--once") as process:
        output, _ = process.communicate(timeout=240)
        assert process.returncode == exits.OK, output
    promises = STORIES["case"].promises
    assert {promise for promise in Promise if told(promise, output) == "kept"} == promises
    assert set(Promise) - promises == {
        *(Promise.UNKNOWN, Promise.KEPT_BACK, Promise.NOT_TOLD),
        *(Promise.EXPORTED, Promise.MARKED_OUT, Promise.UNLINKED, Promise.NOT_LINKED),
    }
    assert f"All {len(promises)} promises were kept" in output


def test_the_stories_are_those_of_the_help() -> None:
    """The names that --help lists without importing them."""
    assert list(STORIES) == list(demo_command.STORIES)


def test_an_unknown_story_is_not_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo("fairy-tale", *ANY_PORTS) == exits.USAGE
    assert "lacuna: hint: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_site_that_cannot_be_made_breaks_every_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lookup.demo.staging.CONFIG", 'demo = "perhaps"\n')
    monkeypatch.chdir(tmp_path)
    assert demo(*ANY_PORTS) == exits.FINDING
    output = capsys.readouterr().out
    assert "FAILED    the command ended with status 78: lacuna: error:" in output
    assert [told(promise, output) for promise in Promise] == ["BROKEN"] * len(Promise)
    assert running(tmp_path) == []
    assert left_in_memory(tmp_path) == []


class TestNothingIsTouched:
    """What is in the way is said before anything is made."""

    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("name", ["demo-site", "demo-slot"])
    def test_a_folder_without_our_marker(
        self, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / name).mkdir()
        (tmp_path / name / "dear").write_text("to somebody")
        assert demo(*ANY_PORTS) == exits.CANNOT_CREATE
        assert f"{name} is there, and no demonstration made it" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name / "dear").read_text() == "to somebody"

    def test_an_earlier_site_stays_if_the_slot_is_foreign(self, tmp_path: Path) -> None:
        (tmp_path / "demo-site").mkdir()
        (tmp_path / "demo-site" / MARKER).touch()
        (tmp_path / "demo-slot").touch()
        assert demo(*ANY_PORTS) == exits.CANNOT_CREATE
        assert (tmp_path / "demo-site" / MARKER).exists()

    def test_a_link_to_a_demonstration(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / MARKER).touch()
        (tmp_path / "demo-site").symlink_to("elsewhere")
        assert demo(*ANY_PORTS) == exits.CANNOT_CREATE
        assert (tmp_path / "elsewhere" / MARKER).exists()

    @pytest.mark.parametrize("option", ["--lookup", "--custodian"])
    def test_a_port_in_use(
        self, tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            assert demo(*ANY_PORTS, option, address) == exits.TEMPORARY
        said = capsys.readouterr().err
        assert f"cannot listen on {address}: Address already in use" in said
        assert "--lookup HOST:PORT" in said
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("address", ["0.0.0.0:8440", "192.0.2.1:8440", "there:8440", "8440"])
    def test_an_address_that_others_could_reach(self, tmp_path: Path, address: str) -> None:
        assert demo(*ANY_PORTS, "--lookup", address) == exits.USAGE
        assert list(tmp_path.iterdir()) == []


def test_a_promise_that_nobody_came_to_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator()
    for promise in Promise:
        if promise is not Promise.NOT_FOUND:
            narrator.judge(promise, kept=True, seen="")
    narrator.end()
    assert narrator.broken == 1
    assert told(Promise.NOT_FOUND, capsys.readouterr().out) == "BROKEN"

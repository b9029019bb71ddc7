"""The command line as a whole: what every command owes its user."""

import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import click
import pytest

from crypto.sshsig import OfficerKey, format_public_key
from lookup import exits
from lookup.cli.main import COMMANDS, group
from tests.lookup.cli.commanding import ROOT, lacuna

IDENTIFIER = "9434765919"


def _all_commands() -> dict[str, click.Command]:
    """Return every command and sub-command, by its words."""
    context = click.Context(group)
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        try:
            command = group.get_command(context, name)
        except ModuleNotFoundError:  # another part of the program brings it
            continue
        assert command is not None
        found[name] = command
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": each for sub, each in command.commands.items()}
    return found


ALL = _all_commands()
NO_DOCUMENT = {"serve", "client", "lookup-key", "slot", "passphrase", "audit", "certificate", "log"}
NO_DOCUMENT |= {"case", "officer", "record", "retention"}
# They need no configuration and no site; test_certificate.py and test_officer_key.py have theirs.
WITHOUT_A_SITE = {"certificate verify", "certificate letter", "officer key"}


def test_help_names_every_command() -> None:
    result = lacuna("--help")

    assert result.status == 0
    for name, (_, line) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", result.stdout, re.MULTILINE), name


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text()

    for name in COMMANDS:
        assert re.search(rf"lacuna (--config \S+ )?{name}\b", readme), name


def test_help_names_every_exit_status() -> None:
    """The list in `lacuna --help` and lookup/exits.py cannot part."""
    statuses = {value for name, value in vars(exits).items() if name.isupper() and name != "OK"}
    named = re.findall(r"^    ([0-9]+) +\S", lacuna("--help").stdout, re.MULTILINE)

    assert set(map(int, named)) == {0, *(s for s in statuses if isinstance(s, int))}


def test_help_is_quick() -> None:
    """Nothing is imported for it that takes long; it measured 0.06 s."""
    code = "import sys, lookup.cli.main; print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    heavy = {"httpx2", "asyncio", "msgspec", "rich", "numpy", "fastapi", "cryptography", "keys"}
    assert not heavy & set(loaded)


@pytest.mark.parametrize("words", ALL)
class TestEveryCommand:
    """Each one tells how it is used, and how it ended."""

    def test_its_help_is_worth_reading(self, words: str) -> None:
        result = lacuna(*words.split(), "--help")

        assert result.status == 0
        assert len(result.stdout) > 150

    def test_its_help_names_exit_statuses(self, words: str) -> None:
        if isinstance(ALL[words], click.Group) or words == "demo":
            return
        assert "Exit status" in lacuna(*words.split(), "--help").stdout

    def test_it_can_answer_a_program(self, words: str) -> None:
        """But for those that serve, and the names that only lead to others."""
        has = any("--json" in option.opts for option in ALL[words].params)

        assert has == (words not in NO_DOCUMENT) or words == "demo"

    def test_what_it_does_not_know_is_a_usage_error(self, words: str) -> None:
        if words == "lookup-key retire":
            return  # a kid may look like an option
        result = lacuna(*words.split(), "--nonsense")

        assert result.status == exits.USAGE
        assert result.stdout == ""
        assert words == "lookup" or f"see `lacuna {words} --help`" in result.stderr


# What each command is given, so that only the site is missing.
CALLS = {
    "serve": ["serve"],
    "status": ["status"],
    "status --json": ["status", "--json"],
    "doctor": ["doctor"],
    "init": ["init"],
    "import": ["import", "-"],
    "purge": ["purge"],
    "backup": ["backup", "{tmp}/backup"],
    "restore": ["restore", "--check"],
    "client add": ["client", "add", "A", "--enrolment", "{tmp}/e.json"],
    "client list": ["client", "list"],
    "client rotate": ["client", "rotate", "A", "--enrolment", "{tmp}/e.json"],
    "client revoke": ["client", "revoke", "A", "--yes"],
    "lookup-key rotate": ["lookup-key", "rotate"],
    "lookup-key retire": ["lookup-key", "retire", "-abc"],
    "lookup-key list": ["lookup-key", "list"],
    "slot add": ["slot", "add", "{tmp}/slot2"],
    "slot remove": ["slot", "remove", "0" * 32],
    "slot list": ["slot", "list"],
    "audit verify": ["audit", "verify"],
    "audit accesses": ["audit", "accesses", "0" * 32],
    "audit export": ["audit", "export", "--json"],
    "log key": ["log", "key"],
    "log checkpoint": ["log", "checkpoint"],
    "log cosign": ["log", "cosign", "-"],
    "log verify": ["log", "verify"],
    "passphrase change": ["passphrase", "change", "--new-passphrase-file", "{tmp}/new", "--write"],
    "record show": ["record", "show", "0" * 32],
    "record statement": ["record", "statement", "0" * 32],
    "record export": ["record", "export", "0" * 32, "--output", "{tmp}/export"],
    "case open": ["case", "open", "0" * 32, "--ground", "art-17-1-a"],
    "case opening": ["case", "opening", "0" * 32, "--output", "{tmp}/opening"],
    "case certificate": ["case", "certificate", "0" * 32, "--output", "{tmp}/certificate"],
    "case list": ["case", "list"],
    "case certificates": ["case", "certificates"],
    "case write-letters": ["case", "write-letters", "0" * 32, "--output", "{tmp}/letters"],
    "case refuse": ["case", "refuse", "0" * 32, "--reason", "art-17-3-b", "--words", "so"],
    "case hold": ["case", "hold", "0" * 32, "--reason", "inquiry"],
    "case extend": ["case", "extend", "0" * 32, "--reason", "complexity"],
    "case shorten": ["case", "shorten", "0" * 32, "--days", "1"],
    **{
        f"case {act}": ["case", act, "0" * 32]
        for act in (
            *("amend", "show", "approve", "review", "restrict", "confirm", "lift", "release"),
            *("ask-identity", "confirm-identity", "withdraw", "carry-out", "letters"),
        )
    },
    "officer list": ["officer", "list"],
    "officer add": ["officer", "add", "ana", "{tmp}/key.pub", "--role", "approver"],
    "officer change": ["officer", "change", "ana", "--role", "approver"],
    "officer remove": ["officer", "remove", "ana"],
    "officer rules": ["officer", "rules", "--approvals", "3"],
    "officer attach": ["officer", "attach", "0" * 32, "--authority", "AXT"],
    "officer withdraw-statement": [
        *("officer", "withdraw-statement", "0" * 32, "1" * 32, "--authority", "AXT")
    ],
    "officer lift-fence": ["officer", "lift-fence", "AXT"],
    "officer set-cursor": ["officer", "set-cursor", "AXT", "7"],
    "officer place-hold": ["officer", "place-hold", "--reason", "inquiry"],
    "officer lift-hold": ["officer", "lift-hold", "0" * 32],
    "officer holds": ["officer", "holds"],
    "officer approve": ["officer", "approve", "0" * 32],
    "officer set-retention": ["officer", "set-retention", "--cap", "10"],
    "retention list": ["retention", "list"],
    "retention dry-run": ["retention", "dry-run"],
    "retention classes": ["retention", "classes"],
    "retention sweep": ["retention", "sweep"],
    "retention reviews": ["retention", "reviews"],
    "retention reviewed": ["retention", "reviewed", "0" * 32],
}
WITHOUT_A_CUSTODIAN = {"serve", "doctor", "init", "restore"}
PUBLIC_KEY = format_public_key(OfficerKey.generate().public())
CONFIG = """
demo = true
[vault]
store = "store"
mirror = "mirror"
slots = ["slot"]
passphrase_file = "passphrase"
[serve]
lookup = "127.0.0.1:1"
custodian = "127.0.0.1:2"
[[authority]]
code = "AXT"
name = "Axtonbury"
office_hours = "01632 960110"
out_of_hours = "01632 960119"
"""


def test_the_table_holds_every_command() -> None:
    leaves = {words for words, each in ALL.items() if not isinstance(each, click.Group)}

    assert leaves - CALLS.keys() <= {"lookup", "recalls", "demo"} | WITHOUT_A_SITE


@pytest.mark.parametrize("words", CALLS)
def test_without_a_configuration(words: str, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(PUBLIC_KEY)
    call = [word.format(tmp=tmp_path) for word in CALLS[words]]

    result = lacuna("--config", tmp_path / "none.toml", *call, typed="{}\n")

    assert result.status == exits.CONFIG
    assert result.ends_in_a_hint
    assert result.stdout == ""


@pytest.mark.parametrize("words", sorted(CALLS.keys() - WITHOUT_A_CUSTODIAN))
def test_without_a_custodian(words: str, tmp_path: Path) -> None:
    """Nothing is left behind: no enrolment file, no passphrase that might be mistaken for new."""
    (tmp_path / "lacuna.toml").write_text(CONFIG)
    for name in ("new", "passphrase"):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text("a passphrase of words\n")
    (tmp_path / "key.pub").write_text(PUBLIC_KEY)
    before = set(tmp_path.iterdir())

    call = [word.format(tmp=tmp_path) for word in CALLS[words]]
    result = lacuna("--config", tmp_path / "lacuna.toml", *call, typed="{}\n")

    assert result.status == exits.UNAVAILABLE
    assert result.ends_in_a_hint
    assert set(tmp_path.iterdir()) == before
    if words == "status --json":
        assert not result.json["lookups"]["ready"]


def test_restore_without_anything_to_restore(tmp_path: Path) -> None:
    (tmp_path / "lacuna.toml").write_text(CONFIG)

    result = lacuna("--config", tmp_path / "lacuna.toml", "restore")

    assert result.status == exits.NO_INPUT
    assert result.ends_in_a_hint


def test_a_defect_is_one_line_without_what_it_was_about(tmp_path: Path) -> None:
    """An exception that nobody foresaw may hold anything: only its type and place are shown."""
    (tmp_path / "lacuna.toml").write_text(CONFIG)
    defect = RuntimeError(f"cannot handle nhs:{IDENTIFIER}")

    with patch("lookup.cli.custodian._knock", side_effect=defect):
        result = lacuna("--config", tmp_path / "lacuna.toml", "purge")

    assert result.status == exits.FAIL_STOP
    assert "a defect: RuntimeError at " in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert result.ends_in_a_hint
    assert IDENTIFIER not in result.stderr
    assert "Traceback" not in result.stderr


def test_what_the_system_refuses_is_no_defect(tmp_path: Path) -> None:
    (tmp_path / "lacuna.toml").write_text(CONFIG)

    with patch("lookup.cli.custodian._knock", side_effect=OSError(28, "x")):
        result = lacuna("--config", tmp_path / "lacuna.toml", "purge")

    assert result.status == exits.FAIL_STOP
    assert "the system refused: No space left on device" in result.stderr


def test_what_is_not_allowed_has_a_status_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lacuna.toml").write_text(CONFIG)
    refused = PermissionError(13, "Permission denied", "/a/folder")

    with patch("lookup.cli.custodian._knock", side_effect=refused):
        result = lacuna("--config", tmp_path / "lacuna.toml", "purge")

    assert result.status == exits.NO_PERMISSION
    assert "not allowed: /a/folder" in result.stderr
    assert result.ends_in_a_hint


@pytest.mark.parametrize(
    "arguments", [(), ("client",), ("slot",), ("case",), ("officer",), ("record",)]
)
def test_without_a_command_it_shows_its_help(arguments: tuple[str, ...]) -> None:
    result = lacuna(*arguments)

    assert result.status == exits.USAGE
    assert "Commands:" in result.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    result = lacuna("destroy")

    assert result.status == exits.USAGE
    assert result.ends_in_a_hint


def test_a_socket_of_another_account(tmp_path: Path) -> None:
    """Not *no custodian*: there may be one, and it is not for this account."""
    (tmp_path / "lacuna.toml").write_text(CONFIG)

    with patch("socket.socket.connect", side_effect=PermissionError):
        result = lacuna("--config", tmp_path / "lacuna.toml", "slot", "list")

    assert result.status == exits.NO_PERMISSION
    assert "another account's" in result.stderr

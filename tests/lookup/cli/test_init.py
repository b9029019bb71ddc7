"""`lacuna init`: a whole site, or nothing."""

import tomllib
from pathlib import Path
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.claims import Finding, Severity
from lookup import exits
from lookup.cli.officer import ROLES
from lookup.config import load_config
from lookup.custodian.officers import Office
from lookup.officers.errors import WrongPassphrase
from lookup.officers.keyfile import load_key_file
from lookup.officers.roles import Role
from tests.lookup.cli.commanding import (
    AUTHORITIES,
    PASSPHRASE,
    Folders,
    first_officers,
    lacuna,
    opened,
    public_key,
)


def _modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in folder.rglob("*")
    }


def _content(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def fit() -> object:
    """On a machine that nothing can be said against."""
    with patch("lookup.cli.fitness.judge", return_value=()) as judged:
        yield judged


def test_a_site_is_private_and_whole(site: Folders) -> None:
    result = site.init("--demo", "--json")

    assert result.status == 0
    made = result.json
    assert made["demo"] is True
    assert made["config"] == str(site.config)
    modes = _modes(site.folder)
    assert {mode for path, mode in modes.items() if (site.folder / path).is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if (site.folder / path).is_file()} == {0o600}
    assert load_config(site.config).store_file.exists()
    officers = {f"site/officers/{role}{ending}" for role in ROLES for ending in ("", ".pub")}
    assert {"slot/slot", "slot/anchor"} | officers <= modes.keys()
    assert made["officers"] == list(ROLES)
    assert made["officer_keys"] == str(site.config.parent / "officers")


def test_the_passphrase_is_said_nowhere(site: Folders) -> None:
    result = site.init("--demo")

    public = [file.read_text() for file in (site.config.parent / "officers").glob("*.pub")]
    for text in (result.stdout, result.stderr, site.config.read_text(), *public):
        assert PASSPHRASE not in text


def test_a_demonstration_s_keys_are_sealed_with_its_passphrase(site: Folders) -> None:
    """And with it each opens: a private key for every public one that the site knows."""
    assert site.init("--demo").status == 0

    with opened(site) as vault:
        known = {officer.name: officer.key for officer in Office.load(vault).officers.values()}
    for role in ROLES:
        key = load_key_file(site.key(role), PASSPHRASE.encode)
        assert key.public() == known[role]
        with pytest.raises(WrongPassphrase):
            load_key_file(site.key(role), lambda: b"another passphrase")


def test_officers_who_are_named_are_the_first(site: Folders, tmp_path: Path) -> None:
    """Also in a demonstration: then no key is made."""
    result = site.init("--demo", *first_officers(tmp_path), "--json")

    assert result.json["officers"] == ["rita", "ana", "leo"]
    assert result.json["officer_keys"] is None
    assert not (site.config.parent / "officers").exists()
    with opened(site) as vault:
        officers = Office.load(vault).officers.values()
        assert {officer.name: set(officer.roles) for officer in officers} == {
            "rita": {Role.REQUESTER},
            "ana": {Role.APPROVER},
            "leo": {Role.LEGAL},
        }


def test_an_officer_may_have_several_roles(site: Folders, tmp_path: Path) -> None:
    both = f"sue:safeguarding,auditor:{public_key(tmp_path / 'sue.pub')}"

    assert site.init("--demo", *first_officers(tmp_path), "--officer", both).status == 0

    with opened(site) as vault:
        sue = Office.load(vault).named("sue")
    assert sue is not None
    assert sue.roles == {Role.SAFEGUARDING, Role.AUDITOR}


def test_a_passphrase_is_generated_into_a_private_file(site: Folders) -> None:
    """The file is made, never overwritten."""
    site.passphrase.touch(mode=0o600)
    taken = site.init("--demo", "--generate-passphrase")
    assert taken.status == exits.CANNOT_CREATE
    assert _content(site.folder) == {"passphrase"}

    file = site.folder / "new" / "passphrase"
    made = site.init("--demo", "--generate-passphrase", "--passphrase-file", file)

    assert made.status == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(file.read_text().strip()) >= 32


TAKEN = ["site/lacuna.toml", "site/store/vault.db", "site/mirror/mirror.db", "slot/slot"]
TAKEN += ["slot/anchor", "site/officers/legal", "site/officers/legal.pub"]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_there_is_never_touched(site: Folders, name: str) -> None:
    """The slot of another vault, say: its bytes are all that opens that one."""
    there = site.folder / name
    there.parent.mkdir(parents=True)
    there.write_bytes(b"precious")
    site.passphrase.touch(mode=0o600)
    site.passphrase.write_text(PASSPHRASE)
    before = _content(site.folder)

    result = site.init("--demo")

    assert result.status == exits.CANNOT_CREATE
    assert result.ends_in_a_hint
    assert str(there) in result.stderr
    assert there.read_bytes() == b"precious"
    assert _content(site.folder) == before


@pytest.mark.usefixtures("fit")
def test_without_demo_it_is_no_demonstration(site: Folders, tmp_path: Path) -> None:
    """And no officer's key is made for anybody."""
    made = site.init(*first_officers(tmp_path), "--json").json

    assert made["demo"] is False
    assert made["officer_keys"] is None


@pytest.mark.parametrize(
    ("rule", "severity", "status"),
    [
        ("file-system", Severity.REFUSE, exits.REFUSED),
        ("slot-medium", Severity.WARN, exits.REFUSED),
        ("mirror-medium", Severity.WARN, 0),
        ("swap", Severity.WARN, 0),
    ],
)
def test_a_machine_that_cannot_keep_the_promise_is_refused_before_anything_is_written(
    site: Folders, tmp_path: Path, rule: str, severity: Severity, status: int
) -> None:
    finding = Finding(severity, rule, "something is so", "change it")

    with patch("lookup.cli.fitness.judge", return_value=(finding,)):
        result = site.init(*first_officers(tmp_path))

    assert result.status == status
    assert "something is so" in result.stderr
    if status:
        assert "change it" in result.stderr
        assert _content(site.folder) == {"passphrase"}
    else:
        assert "lacuna: warning: something is so" in result.stderr


@pytest.mark.parametrize(
    ("rule", "severity", "status", "warned"),
    [
        ("slot-medium", Severity.WARN, 0, False),
        ("file-system", Severity.REFUSE, 0, True),  # a container's overlay
        ("permissions", Severity.REFUSE, exits.REFUSED, False),
    ],
)
def test_a_demonstration_may_lie_on_one_medium_in_a_container(
    site: Folders, rule: str, severity: Severity, status: int, *, warned: bool
) -> None:
    finding = Finding(severity, rule, "something is so", "")

    with patch("lookup.cli.fitness.judge", return_value=(finding,)):
        result = site.init("--demo")

    assert result.status == status
    assert ("lacuna: warning: something is so" in result.stderr) == warned


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    "where", ["keys.anchor.AnchorFile.create", "keys.vault.Vault.close", "lookup.cli.making._write"]
)
def test_what_fails_half_way_leaves_nothing(
    site: Folders, where: str, error: BaseException
) -> None:
    """Neither a slot without a vault nor a configuration without a store; also after Ctrl-C."""
    with patch(where, side_effect=error):
        result = site.init("--demo")

    assert result.status in {exits.CANNOT_CREATE, exits.INTERRUPTED}
    assert _content(site.folder) == {"passphrase"}
    assert site.init("--demo").status == 0


def test_a_file_that_cannot_be_made(site: Folders) -> None:
    site.folder.joinpath("site").touch()

    result = site.init("--demo")

    assert result.status == exits.USAGE  # FOLDER is a file
    assert result.ends_in_a_hint
    assert site.init("--demo", "--mirror", "/proc/no").status == exits.USAGE


class TestConfigured:
    """Without FOLDER the site of an existing configuration is made."""

    @pytest.fixture
    def config(self, site: Folders) -> Path:
        path = site.folder / "etc" / "lacuna.toml"
        path.parent.mkdir()
        store, mirror = site.folder / "var" / "store", site.folder / "mirror"
        path.write_text(
            f'demo = true\n[vault]\nstore = "{store}"\nmirror = "{mirror}"\n'
            f'slots = ["{site.slot}"]\npassphrase_file = "{site.passphrase}"\n'
            + AUTHORITIES.read_text()
        )
        site.passphrase.touch(mode=0o600)
        site.passphrase.write_text(PASSPHRASE)
        return path

    def test_it_is_made_as_described(self, site: Folders, config: Path) -> None:
        before = config.read_bytes()

        result = lacuna("--config", config, "init", "--leaves", "256", "--json")

        assert result.status == 0, result.stderr
        assert result.json["officer_keys"] == str(site.folder / "var" / "officers")
        assert (site.folder / "var" / "store" / "vault.db").exists()
        assert config.read_bytes() == before

    def test_what_the_configuration_says_is_not_said_again(self, config: Path) -> None:
        result = lacuna("--config", config, "init", "--slot", "elsewhere")

        assert result.status == exits.USAGE
        assert "--slot belongs into the configuration" in result.stderr

    def test_a_passphrase_that_only_the_service_sees_is_asked_for(
        self, site: Folders, config: Path
    ) -> None:
        """And nobody is there to be asked."""
        site.passphrase.unlink()

        result = lacuna("--config", config, "init")

        assert result.status == exits.USAGE
        assert "nobody is there" in result.stderr


REFUSED = {
    "no slot": (["--authorities", "{a}"], exits.USAGE),
    "no authorities": (["--slot", "{t}/s"], exits.USAGE),
    "no such file": (["--slot", "{t}/s", "--authorities", "{t}/none"], exits.NO_INPUT),
    "not TOML": (["--slot", "{t}/s", "--authorities", "{t}/noise"], exits.NO_INPUT),
    "no tables": (["--slot", "{t}/s", "--authorities", "{t}/empty"], exits.NO_INPUT),
    "a table lacks a key": (["--slot", "{t}/s", "--authorities", "{t}/lacks"], exits.NO_INPUT),
    "slot in the store": (["--slot", "{t}/site/store/s", "--authorities", "{a}"], exits.CONFIG),
    "slot in the mirror": (["--slot", "{t}/site/mirror", "--authorities", "{a}"], exits.CONFIG),
    "an address without a port": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--lookup", "localhost"],
        exits.CONFIG,
    ),
    "plain http for all the world": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--lookup", "0.0.0.0:8440"],
        exits.CONFIG,
    ),
    "one address for both": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--lookup", "127.0.0.1:8441"],
        exits.CONFIG,
    ),
    "no leaves": (["--slot", "{t}/s", "--authorities", "{a}", "--leaves", "3"], exits.USAGE),
    "no passphrase": (["--slot", "{t}/s", "--authorities", "{a}", "--demo"], exits.USAGE),
    "nowhere to write one": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--generate-passphrase"],
        exits.USAGE,
    ),
    "a passphrase too short": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--demo", "--passphrase-file", "{t}/short"],
        exits.USAGE,
    ),
    "a passphrase for all to read": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--demo", "--passphrase-file", "{t}/open"],
        exits.NO_PERMISSION,
    ),
    "no passphrase file": (
        ["--slot", "{t}/s", "--authorities", "{a}", "--demo", "--passphrase-file", "{t}/none"],
        exits.NO_PERMISSION,
    ),
}


@pytest.mark.parametrize(("options", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_said_before_anything_is_written(
    site: Folders, options: list[str], status: int
) -> None:
    files = {"noise": "=", "empty": "", "lacks": '[[authority]]\ncode = "A"\n', "short": "short"}
    for name, content in files.items():
        (site.folder / name).touch(mode=0o600)
        (site.folder / name).write_text(content)
    (site.folder / "open").write_text(PASSPHRASE)
    before = _content(site.folder)

    words = [option.format(t=site.folder, a=AUTHORITIES) for option in options]
    result = lacuna("init", site.folder / "site", *words)

    assert result.status == status, result.stderr
    assert result.ends_in_a_hint
    assert _content(site.folder) == before


ANA, LEO = "ana:approver:{t}/a.pub", "leo:legal:{t}/b.pub"
OFFICERS = {
    "nobody": ([], exits.USAGE),
    "fewer than three": ([ANA, LEO], exits.USAGE),
    "nobody who may request": ([ANA, LEO, "tom:approver:{t}/c.pub"], exits.USAGE),
    "nobody of law": ([ANA, "tom:approver:{t}/b.pub", "rita:requester:{t}/c.pub"], exits.USAGE),
    "one who may approve": (
        [LEO, "rita:requester:{t}/c.pub", "sam:auditor:{t}/a.pub"],
        exits.USAGE,
    ),
    "two of one name": ([ANA, LEO, "ana:requester:{t}/c.pub"], exits.USAGE),
    "two with one key": ([ANA, LEO, "rita:requester:{t}/a.pub"], exits.USAGE),
    "a role that nobody knows": ([ANA, LEO, "rita:queen:{t}/c.pub"], exits.USAGE),
    "no such file": ([ANA, LEO, "rita:requester:{t}/none.pub"], exits.NO_INPUT),
    "a folder": ([ANA, LEO, "rita:requester:{t}"], exits.NO_INPUT),
    "an RSA key": ([ANA, LEO, "rita:requester:{t}/rsa.pub"], exits.USAGE),
    "no key": ([ANA, LEO, "rita:requester:{t}/noise.pub"], exits.USAGE),
    "a key's beginning": ([ANA, LEO, "rita:requester:{t}/cut.pub"], exits.USAGE),
    "an empty file": ([ANA, LEO, "rita:requester:{t}/empty.pub"], exits.USAGE),
    "two keys in a file": ([ANA, LEO, "rita:requester:{t}/two.pub"], exits.USAGE),
    "a name alone": ([ANA, LEO, "rita"], exits.USAGE),
    "no file": ([ANA, LEO, "rita:requester"], exits.USAGE),
    "no role": ([ANA, LEO, "rita::{t}/c.pub"], exits.USAGE),
    "no name": ([ANA, LEO, ":requester:{t}/c.pub"], exits.USAGE),
    "nothing": ([ANA, LEO, ""], exits.USAGE),
    "a name of two lines": ([ANA, LEO, "ri\nta:requester:{t}/c.pub"], exits.USAGE),
    "a name with a space": ([ANA, LEO, "rita b:requester:{t}/c.pub"], exits.USAGE),
    "a name too long": ([ANA, LEO, "r" * 41 + ":requester:{t}/c.pub"], exits.USAGE),
    "a name that is no text": ([ANA, LEO, "r\udcff:requester:{t}/c.pub"], exits.USAGE),
}


@pytest.mark.parametrize(("officers", "status"), OFFICERS.values(), ids=OFFICERS.keys())
@pytest.mark.usefixtures("fit")
def test_officers_who_could_decide_nothing_are_refused(
    site: Folders, tmp_path: Path, officers: list[str], status: int
) -> None:
    """Before anything is made, and before anybody is asked for a passphrase."""
    keys = [public_key(tmp_path / f"{name}.pub").read_text() for name in "abc"]
    rsa = generate_private_key(65_537, 2_048).public_key()
    files = {
        "rsa": rsa.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode(),
        "noise": "ssh-ed25519 noise",
        "cut": keys[0][:40],
        "empty": "",
        "two": "\n".join(keys),
    }
    for name, content in files.items():
        (tmp_path / f"{name}.pub").write_text(content)
    options = [part for text in officers for part in ("--officer", text.format(t=tmp_path))]

    result = site.init(*options)

    assert result.status == status, result.stderr
    assert result.ends_in_a_hint
    assert "Traceback" not in result.stderr
    assert _content(site.folder) == {"passphrase"}


def test_names_with_quotes_survive(site: Folders) -> None:
    """The configuration that is written says what the options said."""
    authorities = site.folder / "authorities.toml"
    name = 'St "Mary\\\'s" Council, Łódź'
    authorities.write_text(
        f"[[authority]]\ncode = 'A'\nname = '''{name}'''\noffice_hours = '1'\nout_of_hours = '2'\n",
        encoding="utf-8",
    )
    assert site.init("--demo", "--authorities", authorities).status == 0

    (authority,) = tomllib.loads(site.config.read_text(encoding="utf-8"))["authority"]
    assert authority["name"] == name
    assert load_config(site.config).catalogue.authorities[0].name == name

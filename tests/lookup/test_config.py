"""A site's configuration: what is taken, and that everything else is named and refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from lookup.catalogue import InvalidCatalogue
from lookup.config import (
    MAX_CONFIG_SIZE,
    Address,
    InvalidConfig,
    load_config,
    parse_address,
    parse_config,
)
from lookup.tls import TlsFiles

WHERE = Path("/etc/lacuna/lacuna.toml")
AUTHORITY = {"code": "AXT", "name": "Axtonbury", "office_hours": "1", "out_of_hours": "2"}
VAULT = {"store": "/s/store", "mirror": "/m/mirror", "slots": ["/k/slot"]}

TLS = {"tls_certificate": "site.pem", "tls_key": "/k/site.key"}


def _tables(**changes: dict[str, Any]) -> dict[str, Any]:
    """Return a valid configuration with some keys of some tables changed; None removes one."""
    tables: dict[str, Any] = {"vault": VAULT, "serve": {}, "authority": [AUTHORITY]}
    for name, keys in changes.items():
        table = {**tables.get(name, {}), **keys}
        tables[name] = {key: value for key, value in table.items() if value is not None}
    return tables


def test_what_is_not_said_has_a_default() -> None:
    config = parse_config(_tables(), WHERE)

    assert config.demo is False
    assert (config.lookup, config.custodian) == (
        Address("127.0.0.1", 8440),
        Address("127.0.0.1", 8441),
    )
    assert config.operator is None
    assert config.log_format == "text"
    assert config.workers == 2
    assert config.run == Path("/etc/lacuna/run")
    assert config.belt_seconds == 900
    assert config.audit == Path("/s/audit"), "beside the store"
    assert config.base_urls == ("http://127.0.0.1:8440",)
    assert config.passphrase_file is None
    assert config.retention_classes is None, "those of this version"
    assert config.store_file == Path("/s/store/vault.db")
    assert config.mirror_file == Path("/m/mirror/mirror.db")
    assert {config.worker_socket.parent, config.officer_socket.parent} == {config.run}


def test_relative_paths_start_at_the_file() -> None:
    """Not at where the command happens to be called."""
    keys = {"store": "a", "mirror": "../b", "slots": ["./c/../d"], "passphrase_file": "p"}
    serve = {"run": "r", "index": "i", "audit": "s/../t"}
    own = {"classes": "../classes.toml"}
    config = parse_config(_tables(vault=keys, serve=serve, retention=own), WHERE)

    assert config.retention_classes == Path("/etc/classes.toml")
    assert config.store == Path("/etc/lacuna/a")
    assert config.mirror == Path("/etc/b")
    assert config.slots == (Path("/etc/lacuna/d"),)
    assert config.passphrase_file == Path("/etc/lacuna/p")
    assert (config.run, config.index) == (Path("/etc/lacuna/r"), Path("/etc/lacuna/i"))
    assert config.audit == Path("/etc/lacuna/t")


def test_with_tls_any_address_may_be_listened_on() -> None:
    """And clients are told https."""
    config = parse_config(_tables(serve={"lookup": "192.0.2.1:443", **TLS}), WHERE)

    assert config.tls == TlsFiles(Path("/etc/lacuna/site.pem"), Path("/k/site.key"))
    assert config.base_urls == ("https://192.0.2.1:443",)


def test_a_proxy_elsewhere_must_be_declared() -> None:
    addresses = {"lookup": "192.0.2.1:1", "custodian": "[fd00::1]:1"}
    declared = {"behind_proxy": True, "base_urls": ["https://lookup.example.org"]}
    config = parse_config(_tables(serve={**addresses, **declared}), WHERE)

    assert (config.tls, config.behind_proxy) == (None, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_loopback_needs_neither(host: str) -> None:
    assert parse_config(_tables(serve={"lookup": f"{host}:1"}), WHERE).lookup.loopback


REFUSED = {
    "an unknown table": ({"vaults": {}}, "vaults: unknown key"),
    "an unknown key": (_tables(vault={"stroe": "/s"}), "vault.stroe: unknown key; known are"),
    "a key of another table": (_tables(serve={"store": "/s"}), "serve.store: unknown key"),
    "an unknown key of retention": (_tables(retention={"years": 7}), "retention.years: unknown"),
    "no vault": ({"authority": [AUTHORITY]}, "vault.store: missing"),
    "a table that is none": ({"vault": 3}, "vault: write it as a table"),
    "a list of tables": ({"serve": [{}], "vault": VAULT}, "serve: write it as a table"),
    "no mirror": (_tables(vault={"mirror": None}), "vault.mirror: missing"),
    "no slots": (_tables(vault={"slots": None}), "vault.slots: name at least one"),
    "an empty list of slots": (_tables(vault={"slots": []}), "vault.slots: name at least one"),
    "nine slots": (_tables(vault={"slots": list("abcdefghi")}), "a list of at most 8 texts"),
    "one slot, not in a list": (_tables(vault={"slots": "/k"}), "vault.slots: write a list"),
    "a slot that is no text": (_tables(vault={"slots": [1]}), "vault.slots: write 1 to 4,096"),
    "a number for a path": (_tables(vault={"store": 1}), "vault.store: write 1 to 4,096"),
    "an empty path": (_tables(vault={"store": ""}), "vault.store: write 1 to 4,096"),
    "an empty passphrase file": (_tables(vault={"passphrase_file": ""}), "passphrase_file: write"),
    "a path of two lines": (_tables(vault={"store": "/s\n/t"}), "printable"),
    "a path with a zero byte": (_tables(vault={"store": "/s\0"}), "printable"),
    "a path of 5,000 characters": (_tables(vault={"store": "/" * 5000}), "4,096"),
    "the mirror in the store": (_tables(vault={"mirror": "/s/store/m"}), "folders apart"),
    "the store in the mirror": (_tables(vault={"store": "/m/mirror/x/y"}), "folders apart"),
    "the slot is the store": (_tables(vault={"slots": ["/s/store"]}), "folders apart"),
    "the same by another name": (_tables(vault={"slots": ["/s/x/../store/k"]}), "folders apart"),
    "a slot twice": (_tables(vault={"slots": ["/k", "/k"]}), "folders apart"),
    "the index in the store": (_tables(serve={"index": "/s/store/index"}), "folders apart"),
    "a path too long for a socket": (_tables(serve={"run": "/" + "r" * 100}), "too long for a"),
    "bytes count, not characters": (_tables(serve={"run": "/" + "ä" * 50}), "too long for a"),
    "workers as a text": (_tables(serve={"workers": "2"}), "a whole number from 1 to 64"),
    "no workers": (_tables(serve={"workers": 0}), "a whole number from 1 to 64"),
    "too many workers": (_tables(serve={"workers": 65}), "a whole number from 1 to 64"),
    "half a worker": (_tables(serve={"workers": 1.5}), "a whole number from 1 to 64"),
    "true workers": (_tables(serve={"workers": True}), "a whole number from 1 to 64"),
    "a belt of no time": (_tables(serve={"belt_minutes": 0}), "from 1 to 1440"),
    "demo as a text": ({**_tables(), "demo": "false"}, "demo: write true or false"),
    "demo as a number": ({**_tables(), "demo": 0}, "demo: write true or false"),
    "an address without a port": (_tables(serve={"lookup": "127.0.0.1"}), "write host:port"),
    "a port without a host": (_tables(serve={"lookup": ":8440"}), "serve.lookup: write host"),
    "a port too high": (_tables(serve={"custodian": "a:65536"}), "serve.custodian: write host"),
    "one address for both": (_tables(serve={"lookup": "127.0.0.1:8441"}), "two different"),
    "an operator's name": (_tables(serve={"operator": "localhost:1"}), "as a number, not a name"),
    "an operator for all": (_tables(serve={"operator": "0.0.0.0:1"}), "or of a private network"),
    "an operator for all of 6": (_tables(serve={"operator": "[::]:1"}), "of a private network"),
    "a public operator": (_tables(serve={"operator": "8.8.8.8:1"}), "of a private network"),
    "a public operator, wrapped": (
        _tables(serve={"operator": "[::ffff:8.8.8.8]:1"}),
        "of a private network",
    ),
    "an operator on a link": (_tables(serve={"operator": "169.254.1.1:1"}), "private network"),
    "an operator at a plane's port": (
        _tables(serve={"operator": "127.0.0.2:8441"}),
        "a port that neither plane has",
    ),
    "an operator without a port": (_tables(serve={"operator": "127.0.0.1"}), "write host:port"),
    "an unknown log format": (_tables(serve={"log_format": "xml"}), "one of text, json"),
    "no base URL": (_tables(serve={"base_urls": []}), "serve.base_urls: write one URL"),
    "a base URL twice": (_tables(serve={"base_urls": ["https://a", "https://a"]}), "each once"),
    "no URL": (_tables(serve={"base_urls": ["example.org"]}), "not http(s)://"),
    "secrets in the clear": (_tables(serve={"base_urls": ["http://a.example"]}), "use https"),
    "a default that is in the clear": (
        _tables(serve={"lookup": "0.0.0.0:80", "behind_proxy": True}),
        "use https",
    ),
    "a plane in the clear": (_tables(serve={"lookup": "0.0.0.0:80"}), "serve.lookup: without TLS"),
    "officers in the clear": (_tables(serve={"custodian": "[::]:80"}), "serve.custodian: without"),
    "a name that may lead anywhere": (_tables(serve={"lookup": "a.example:80"}), "without TLS"),
    "a certificate without a key": (_tables(serve={"tls_certificate": "/c"}), "write both"),
    "a key without a certificate": (_tables(serve={"tls_key": "/k"}), "write both"),
    "a client CA without TLS": (_tables(serve={"client_ca": "/c"}), "write both"),
    "TLS here and elsewhere": (_tables(serve={**TLS, "behind_proxy": True}), "leave it out"),
    "an authority without a telephone": (
        {**_tables(), "authority": [{"code": "A", "name": "A"}]},
        "authority",
    ),
}


@pytest.mark.parametrize(("tables", "rule"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_wrong_is_refused_by_its_place(tables: dict[str, Any], rule: str) -> None:
    with pytest.raises((InvalidConfig, InvalidCatalogue), match=re.escape(rule)):
        parse_config(tables, WHERE)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1:8442", "127.9.9.9:1", "10.1.2.3:8442", "172.31.0.1:1", "192.168.0.1:1"),
        *("[::1]:8442", "[fd00::1]:8442", "127.0.0.1:0"),
    ],
)
def test_where_the_operator_may_listen(address: str) -> None:
    """This machine and private networks, and nowhere else: the port asks for no credential."""
    assert str(parse_config(_tables(serve={"operator": address}), WHERE).operator) == address


def test_a_log_is_published_and_witnessed_where_that_is_said() -> None:
    assert parse_config(_tables(), WHERE).published is None
    assert parse_config(_tables(), WHERE).witnesses == ()
    rows = [{"name": "a university", "key": "a.test+00000000+AA=="}, {"name": "b", "key": "b"}]
    config = parse_config({**_tables(log={"published": "out"}), "witness": rows}, WHERE)
    assert config.published == Path("/etc/lacuna/out")
    assert config.witnesses == (("a university", "a.test+00000000+AA=="), ("b", "b"))


WITNESS = {"name": "a", "key": "b"}
WRONG_LOGS = {
    "no table": ({"witness": WITNESS}, "witness: write at most 16 tables [[witness]]"),
    "texts": ({"witness": ["a"]}, "witness: write at most 16 tables [[witness]]"),
    "too many": ({"witness": [WITNESS] * 17}, "witness: write at most 16 tables [[witness]]"),
    "no key": ({"witness": [{"name": "a"}]}, "witness 1.key: missing"),
    "a word too many": ({"witness": [{**WITNESS, "x": "y"}]}, "witness 1.x: unknown key"),
    "one name twice": ({"witness": [WITNESS, {**WITNESS, "key": "c"}]}, "write each name once"),
    "one key twice": ({"witness": [WITNESS, {**WITNESS, "name": "c"}]}, "write each key once"),
    "in the store": ({"log": {"published": "/s/store/log"}}, "log.published must be folders apart"),
    "unknown": ({"log": {"publish": "/log"}}, "log.publish: unknown key"),
}


@pytest.mark.parametrize(("tables", "rule"), WRONG_LOGS.values(), ids=WRONG_LOGS)
def test_what_is_wrong_with_a_log_is_said(tables: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidConfig, match=re.escape(rule)):
        parse_config(_tables() | tables, WHERE)


def test_two_links_to_one_folder_are_one_folder(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "store")
    keys = {"store": str(tmp_path / "store"), "slots": [str(tmp_path / "link" / "slot")]}

    with pytest.raises(InvalidConfig, match="folders apart"):
        parse_config(_tables(vault=keys), WHERE)


def test_a_link_to_itself_is_no_defect(tmp_path: Path) -> None:
    """It is refused where the folder is used; here it must not raise something of its own."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    config = parse_config(_tables(vault={"store": str(tmp_path / "loop")}), WHERE)

    assert config.store == tmp_path / "loop"


ADDRESSES = {
    "127.0.0.1:8440": Address("127.0.0.1", 8440),
    "localhost:1": Address("localhost", 1),
    "lookup.example.org:65535": Address("lookup.example.org", 65535),
    "[::1]:80": Address("::1", 80),
}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.items())
def test_an_address_is_written_as_it_is_read(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "a:", "a:b", "a:-1", "a:1:2", "::1:80", "[::1]", "[::1:80", "::1]:80"),
        *("a b:1", "a..b:1", ".a:1", "a_b:1", "ä:1", "a:\u0661", "a:000001", "a" * 64 + ":1"),
        *("[]:1", "[g::1]:1", "a/b:1", "user@a:1", f"{'a.' * 130}a:1"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    """What a socket would refuse with an exception of its own is refused before."""
    with pytest.raises(ValueError, match="write host:port"):
        parse_address(text)


FILES = {
    "not UTF-8": (b"\xff\xfe", "is not UTF-8"),
    "not TOML": (b"[vault", "is not TOML"),
    "a key twice": (b"demo = true\ndemo = true", "is not TOML"),
    "JSON": (b'{"vault": {}}', "is not TOML"),
    "deeply nested": (b"a = " + b"[" * 100_000, "is not TOML"),
    "a number of 5,000 digits": (b"a = " + b"1" * 5_000, "is not TOML"),
    "too large": (b"#" * (MAX_CONFIG_SIZE + 1), "is larger than"),
    "empty": (b"", "vault.store: missing"),
    "a rule broken": (b"[vault]\nx = 1", "vault.x: unknown key"),
    "a catalogue's rule broken": (
        b'[vault]\nstore="s"\nmirror="m"\nslots=["k"]\n[[authority]]\ncode="a"',
        "authority",
    ),
}


@pytest.mark.parametrize(("content", "rule"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, rule: str) -> None:
    """Always InvalidConfig, with the path, whatever is in it."""
    path = tmp_path / "lacuna.toml"
    path.write_bytes(content)

    with pytest.raises(InvalidConfig) as refused:
        load_config(path)

    assert str(refused.value).startswith(str(path))
    assert rule in str(refused.value)


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidConfig, match="cannot be read: "):
        load_config(tmp_path / name)


def test_a_relative_path_to_the_file_is_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is started elsewhere finds the same folders."""
    (tmp_path / "lacuna.toml").write_text(
        '[vault]\nstore = "store"\nmirror = "mirror"\nslots = ["slot"]\n'
        '[[authority]]\ncode = "A"\nname = "A"\noffice_hours = "1"\nout_of_hours = "2"\n'
    )
    monkeypatch.chdir(tmp_path)

    config = load_config(Path("lacuna.toml"))

    assert config.path == tmp_path / "lacuna.toml"
    assert config.store == tmp_path / "store"

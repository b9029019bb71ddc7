"""A site's configuration: one TOML file, read once, strictly.

    demo = false                              # true: one medium is tolerated, and said everywhere

    [vault]
    store = "/var/lib/lacuna/store"           # folders; relative ones start at this file
    mirror = "/mnt/mirror/lacuna"             # on another medium
    slots = ["/mnt/slot/lacuna"]              # on another medium, in no backup
    passphrase_file = "/run/credentials/lacuna.service/passphrase"

    [serve]
    lookup = "127.0.0.1:8440"
    custodian = "127.0.0.1:8441"
    operator = "127.0.0.1:8442"               # metrics; on loopback or a private network; or absent
    workers = 2
    run = "/run/lacuna"                       # UNIX sockets; their paths must stay below 108 bytes
    index = "/dev/shm/lacuna"                 # tmpfs only
    audit = "/var/lib/lacuna/audit"           # workers write here; a disk that keeps what is synced
    belt_minutes = 15                         # lookups without a custodian end after this
    base_urls = ["http://127.0.0.1:8440"]     # what enrolment files tell clients
    tls_certificate = "/etc/lacuna/site.pem"  # TLS 1.3 on both ports, and how to read these files:
    tls_key = "/etc/lacuna/site.key"          # see lookup/tls.py
    client_ca = "/etc/lacuna/clients.pem"     # callers must show a certificate of these CAs
    behind_proxy = true                       # without TLS: listen on more than loopback
    log_format = "text"                       # or "json": an object per line

    [log]
    published = "/srv/www/log"                # the log, for a web server; or absent

    [retention]
    classes = "/etc/lacuna/classes.toml"      # the site's own; without it, those of this version

    [[witness]]                               # who cosigns the log's checkpoints; or absent
    name = "a university"                     # for people
    key = "witness.example+3c1f…+BA…"         # its verifier key (C2SP)

    [[authority]]                             # see lookup/catalogue.py
    [[category]]

Invariants:

* An unknown key, a wrong type or a value out of bounds is refused with its place and the rule.
* Without TLS both ports are loopback's. Bearer secrets and tokens would cross a network in the
  clear otherwise, and nothing here can tell a proxy's network from any other: so whoever has
  ended TLS elsewhere says so (`behind_proxy`), and nobody gets there by an address alone.
* No secret stands in it: the passphrase is a path, everything else secret lives in the vault.
* The operator's port asks for no credential, so it cannot be opened to just anybody: its address is
  loopback's or a private network's, and a number, for what a name means is not ours to say.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from lookup.catalogue import Catalogue, InvalidCatalogue, parse_catalogue
from lookup.client.enrolment import MAX_BASE_URLS, InvalidEnrolment, check_base_url
from lookup.logs import LOG_FORMATS
from lookup.tls import TlsFiles

MAX_CONFIG_SIZE: Final = 1 << 20
MAX_SOCKET_PATH: Final = 107
MAX_SLOTS: Final = 8
MAX_WITNESSES: Final = 16
DEFAULT_PATH: Final = Path("/etc/lacuna/lacuna.toml")
# A name, or an address of version 4; one of version 6 stands in brackets.
_HOST: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*|\[[0-9A-Fa-f:.]{2,45}\]"
)

# Loopback, RFC 1918, RFC 4193. Not `is_private`: that holds 0.0.0.0, which is every address.
_OPERATOR_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7"),
    )
)


class InvalidConfig(ValueError):
    """The configuration breaks a rule; the message names the place and what to write."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a plane listens."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect; of a name other than localhost nobody knows."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class WitnessLine(NamedTuple):
    """Who cosigns, and the text of its key: the custodian parses it, workers carry no such code."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class Config:
    """A site, as its file describes it. All paths are absolute."""

    path: Path
    demo: bool
    store: Path
    mirror: Path
    slots: tuple[Path, ...]
    passphrase_file: Path | None
    lookup: Address
    custodian: Address
    operator: Address | None
    workers: int
    run: Path
    index: Path
    audit: Path
    belt_seconds: int
    base_urls: tuple[str, ...]
    tls: TlsFiles | None
    behind_proxy: bool
    log_format: str
    catalogue: Catalogue
    published: Path | None
    witnesses: tuple[WitnessLine, ...]
    retention_classes: Path | None

    @property
    def worker_socket(self) -> Path:
        """Where workers fetch what they need."""
        return self.run / "worker.sock"

    @property
    def officer_socket(self) -> Path:
        """Where the commands of this machine's officers arrive; no TCP port leads there."""
        return self.run / "officer.sock"

    @property
    def store_file(self) -> Path:
        """The store's SQLCipher file."""
        return self.store / "vault.db"

    @property
    def mirror_file(self) -> Path:
        """The mirror's SQLCipher file."""
        return self.mirror / "mirror.db"


def load_config(path: Path) -> Config:
    """Read a configuration. Raises InvalidConfig, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_CONFIG_SIZE + 1)
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_CONFIG_SIZE:
        raise InvalidConfig(f"{path} is larger than {MAX_CONFIG_SIZE} bytes")
    try:
        tables = tomllib.loads(raw.decode())
    except UnicodeDecodeError:
        raise InvalidConfig(f"{path} is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        # Not only TOMLDecodeError: a number of 5,000 digits is a plain ValueError.
        raise InvalidConfig(f"{path} is not TOML: {error}") from None
    try:
        return parse_config(tables, path.absolute())
    except (InvalidConfig, InvalidCatalogue) as error:
        raise InvalidConfig(f"{path}: {error}") from None


def parse_config(tables: Mapping[str, Any], path: Path) -> Config:
    """Return the configuration that these tables describe, paths taken from `path`'s folder."""
    known = {"demo", "vault", "serve", "log", "retention", "witness", "authority", "category"}
    top = Table("", tables, known)
    catalogue = {key: tables[key] for key in ("authority", "category") if key in tables}
    vault = Table("vault", top.table("vault"), {"store", "mirror", "slots", "passphrase_file"})
    serve = Table(
        "serve",
        top.table("serve"),
        {
            *("lookup", "custodian", "operator", "workers", "run", "index", "audit"),
            *("belt_minutes", "base_urls", "log_format"),
            *("tls_certificate", "tls_key", "client_ca", "behind_proxy"),
        },
    )
    log = Table("log", top.table("log"), {"published"})
    retention = Table("retention", top.table("retention"), {"classes"})
    lookup = _address(serve, "lookup", "127.0.0.1:8440")
    tls = _tls_files(serve, path)
    base_url = f"{'http' if tls is None else 'https'}://{lookup}"
    store = vault.path("store", path)
    config = Config(
        path=path,
        demo=top.flag("demo", default=False),
        store=store,
        mirror=vault.path("mirror", path),
        slots=tuple(_absolute(slot, path) for slot in vault.texts("slots", (), MAX_SLOTS)),
        passphrase_file=vault.path("passphrase_file", path) if "passphrase_file" in vault else None,
        lookup=lookup,
        custodian=_address(serve, "custodian", "127.0.0.1:8441"),
        operator=_operator(serve),
        workers=serve.number("workers", 2, least=1, most=64),
        run=serve.path("run", path, "run"),
        index=serve.path("index", path, "/dev/shm/lacuna"),  # noqa: S108  # tmpfs on purpose
        audit=serve.path("audit", path, str(store.parent / "audit")),
        belt_seconds=60 * serve.number("belt_minutes", 15, least=1, most=24 * 60),
        base_urls=serve.texts("base_urls", (base_url,), MAX_BASE_URLS),
        tls=tls,
        behind_proxy=serve.flag("behind_proxy", default=False),
        log_format=serve.text("log_format", LOG_FORMATS[0]),
        catalogue=parse_catalogue(catalogue),
        published=log.path("published", path) if "published" in log else None,
        witnesses=_witnesses(top),
        retention_classes=retention.path("classes", path) if "classes" in retention else None,
    )
    check_config(config)
    return config


def check_config(config: Config) -> None:
    """Check what no single key can say. Raises InvalidConfig."""
    if not config.slots:
        raise InvalidConfig("vault.slots: name at least one slot folder")
    # Resolved: two names of one folder are one folder.
    named = [config.store, config.mirror, *config.slots, config.index, config.audit]
    named += [config.published] if config.published else []
    folders = [Path(os.path.realpath(folder)) for folder in named]
    for at, folder in enumerate(folders):
        for other in folders[at + 1 :]:
            if folder == other or folder in other.parents or other in folder.parents:
                raise InvalidConfig(
                    "vault: store, mirror, slots, serve.index, serve.audit and log.published must"
                    " be folders apart, none inside another"
                )
    if len(os.fsencode(config.officer_socket)) > MAX_SOCKET_PATH:
        raise InvalidConfig(f"serve.run: the path is too long for a socket: {config.run}")
    if config.lookup == config.custodian:
        raise InvalidConfig("serve.lookup and serve.custodian: write two different addresses")
    _check_exposure(config)
    _check_operator(config)
    if config.log_format not in LOG_FORMATS:
        raise InvalidConfig(f"serve.log_format: write one of {', '.join(LOG_FORMATS)}")
    _check_base_urls(config.base_urls)


def _check_exposure(config: Config) -> None:
    if config.tls is not None:
        if config.behind_proxy:
            raise InvalidConfig("serve.behind_proxy: leave it out, for TLS is spoken here")
        return
    for key, address in (("lookup", config.lookup), ("custodian", config.custodian)):
        if not (address.loopback or config.behind_proxy):
            raise InvalidConfig(
                f"serve.{key}: without TLS only this machine may connect: write a loopback address,"
                " or tls_certificate and tls_key, or behind_proxy = true where a proxy has TLS"
            )


def _check_operator(config: Config) -> None:
    """The port that asks for nothing is a port of its own, where the public does not come."""
    operator = config.operator
    if operator is None:
        return
    if operator.port and operator.port in {config.lookup.port, config.custodian.port}:
        raise InvalidConfig("serve.operator: write a port that neither plane has")
    try:
        host = ipaddress.ip_address(operator.host)
    except ValueError:
        raise InvalidConfig("serve.operator: write the address as a number, not a name") from None
    if not any(host in network for network in _OPERATOR_NETWORKS):
        raise InvalidConfig(
            "serve.operator: write an address of loopback or of a private network:"
            " whoever reaches this port may read it"
        )


def _check_base_urls(base_urls: tuple[str, ...]) -> None:
    if not base_urls or len(set(base_urls)) < len(base_urls):
        raise InvalidConfig("serve.base_urls: write one URL or more, each once")
    for base_url in base_urls:
        try:
            check_base_url(base_url)
        except InvalidEnrolment as error:
            raise InvalidConfig(f"serve.base_urls: {error}") from None


def _absolute(text: str, config: Path) -> Path:
    """Return the path that a text names, taken from the configuration's folder."""
    return Path(os.path.normpath(config.parent / text))


class Table:
    """One TOML table, read strictly: each getter names the place of what it refuses."""

    def __init__(self, name: str, content: Mapping[str, Any], known: set[str]) -> None:
        self._name = name
        self._content = content
        unknown = sorted(content.keys() - known)
        if unknown:
            raise InvalidConfig(
                f"{self._place(unknown[0])}: unknown key; known are {', '.join(sorted(known))}"
            )

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def table(self, key: str) -> Mapping[str, Any]:
        """Return a table inside; an empty one where there is none."""
        found = self._content.get(key, {})
        if not isinstance(found, dict):
            raise InvalidConfig(f"{self._place(key)}: write it as a table [{key}]")
        return found

    def tables(self, key: str, at_most: int) -> list[Mapping[str, Any]]:
        """Return an array of tables; an empty one where there is none."""
        found = self._content.get(key, [])
        fit = isinstance(found, list) and len(found) <= at_most
        if not fit or not all(isinstance(row, dict) for row in found):
            raise InvalidConfig(f"{self._place(key)}: write at most {at_most} tables [[{key}]]")
        return list(found)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text of 1 to 4,096 printable characters."""
        found = self._content.get(key, default)
        if found is None:
            raise InvalidConfig(f"{self._place(key)}: missing")
        return self._checked(key, found)

    def texts(self, key: str, default: tuple[str, ...], at_most: int) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self._content.get(key, list(default))
        if not isinstance(found, list) or len(found) > at_most:
            raise InvalidConfig(f"{self._place(key)}: write a list of at most {at_most} texts")
        return tuple(self._checked(key, each) for each in found)

    def path(self, key: str, config: Path, default: str | None = None) -> Path:
        """Return an absolute path; a relative one starts at the configuration's folder."""
        return _absolute(self.text(key, default), config)

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        found = self._content.get(key, default)
        if not isinstance(found, bool):
            raise InvalidConfig(f"{self._place(key)}: write true or false, unquoted")
        return found

    def number(self, key: str, default: int, *, least: int, most: int) -> int:
        """Return a whole number within bounds."""
        found = self._content.get(key, default)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise InvalidConfig(f"{self._place(key)}: write a whole number from {least} to {most}")
        return found

    def _checked(self, key: str, found: object) -> str:
        if not isinstance(found, str) or not 1 <= len(found) <= 4096 or not found.isprintable():
            rule = "write 1 to 4,096 printable characters in quotation marks"
            raise InvalidConfig(f"{self._place(key)}: {rule}")
        return found

    def _place(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def _tls_files(serve: Table, path: Path) -> TlsFiles | None:
    pair = [key for key in ("tls_certificate", "tls_key") if key in serve]
    if len(pair) == 1 or ("client_ca" in serve and not pair):
        raise InvalidConfig("serve: tls_certificate, tls_key: write both, or no part of TLS")
    if not pair:
        return None
    return TlsFiles(
        serve.path("tls_certificate", path),
        serve.path("tls_key", path),
        serve.path("client_ca", path) if "client_ca" in serve else None,
    )


def _witnesses(top: Table) -> tuple[WitnessLine, ...]:
    lines = []
    for place, content in enumerate(top.tables("witness", MAX_WITNESSES), start=1):
        row = Table(f"witness {place}", content, {"name", "key"})
        lines.append(WitnessLine(row.text("name"), row.text("key")))
    for part in ("name", "key"):
        if len({getattr(line, part) for line in lines}) < len(lines):
            raise InvalidConfig(f"witness: write each {part} once")
    return tuple(lines)


def _operator(serve: Table) -> Address | None:
    return _address(serve, "operator", "") if "operator" in serve else None


def _address(table: Table, key: str, default: str) -> Address:
    text = table.text(key, default)
    try:
        return parse_address(text)
    except ValueError as error:
        raise InvalidConfig(f"serve.{key}: {error}") from None


def parse_address(text: str) -> Address:
    """Return the address that `host:port` spells; an IPv6 host stands in brackets."""
    host, _, port = text.rpartition(":")
    right = _HOST.fullmatch(host) and port.isascii() and port.isdigit() and len(port) <= 5
    if not right or int(port) >= 1 << 16:
        raise ValueError("write host:port, the port from 0 to 65535; IPv6 in brackets")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))

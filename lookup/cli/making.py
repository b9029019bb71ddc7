"""Making a site: everything is checked first, and what fails is undone.

Invariants:

* Nothing is written before the folders are known to be empty, the machine fit for the slots, the
  configuration valid, and the passphrase there.
* The configuration is written last: where it is, the site is whole.
* An error, also Ctrl-C, takes away what was made. After a SIGKILL, the next try says what is left.
"""

import json
import os
import secrets
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lookup import exits
from lookup.catalogue import Authority, InvalidCatalogue, parse_catalogue
from lookup.cli.asking import new_passphrase
from lookup.cli.console import fail
from lookup.cli.enlisting import FOLDER, Enlisted, enlist, key_files, write_keys
from lookup.cli.files import new_private_file
from lookup.config import MAX_CONFIG_SIZE, Config, InvalidConfig, parse_config

_TEMPLATE: Final = """\
# A Lacuna site; every key is described in lookup/config.py and deploy/README.md.
demo = {demo}

[vault]
store = {store}
mirror = {mirror}
slots = {slots}
{passphrase}
[serve]
lookup = {lookup}
custodian = {custodian}
{operator}workers = {workers}
run = {run}
index = {index}
base_urls = {base_urls}
"""
_AUTHORITY: Final = """
[[authority]]
code = {code}
name = {name}
office_hours = {office_hours}
out_of_hours = {out_of_hours}
"""
_DATABASE: Final = ("", "-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new site is to be like, besides its configuration; None: that one is there."""

    leaves: str
    passphrase_file: Path | None
    generate: bool
    officers: tuple[str, ...] = ()
    config_text: str | None = field(default=None, repr=False)


def described(folder: Path, options: dict[str, Any]) -> tuple[Config, str]:
    """Return the configuration that options of `lacuna init` describe, also as text."""
    text = _text(folder, options)
    try:
        text.encode()
        return parse_config(tomllib.loads(text), folder / "lacuna.toml"), text
    except UnicodeEncodeError:
        fail(exits.USAGE, "a path is not UTF-8", "choose a path that can be written down")
    except (InvalidConfig, InvalidCatalogue, tomllib.TOMLDecodeError) as error:
        fail(exits.CONFIG, str(error), "an option of `lacuna init` says so; see its --help")


def make(config: Config, wish: Wish) -> dict[str, Any]:
    """Make a site; return what was made."""
    folder = config.store.parent
    files = [
        *_vault_files(config),
        *key_files(folder, demo=config.demo, given=wish.officers),
    ]
    if wish.config_text is not None:
        files.append(config.path)
    if wish.generate:
        if wish.passphrase_file is None:
            fail(exits.USAGE, "--generate-passphrase needs --passphrase-file")
        files.append(wish.passphrase_file)
    _refuse_existing(files)
    enlisted = enlist(wish.officers, demo=config.demo)
    warnings = _refuse_unfit(config)
    passphrase = (
        secrets.token_urlsafe(24) if wish.generate else new_passphrase(wish.passphrase_file)
    )
    with _undone_on_failure([*files, *_lock_to_be(config), config.audit / "segment"]):
        vault = _make_vault(config, passphrase, wish, enlisted)
    return {
        "vault": vault,
        "config": str(config.path),
        "officers": [officer.name for officer in enlisted.officers],
        "officer_keys": str(folder / FOLDER) if enlisted.keys else None,
        "slots": [str(slot) for slot in config.slots],
        "demo": config.demo,
        "warnings": warnings,
    }


def _vault_files(config: Config) -> list[Path]:
    databases = (config.store_file, config.mirror_file)
    return [
        *(path.with_name(path.name + ending) for path in databases for ending in _DATABASE),
        *(slot / name for slot in config.slots for name in ("slot", "anchor")),
    ]


def _lock_to_be(config: Config) -> list[Path]:
    """Return the lock that will be made; one that is there is somebody else's."""
    lock = config.store / "lock"
    return [] if lock.exists() else [lock]


def _refuse_existing(files: Iterable[Path]) -> None:
    for file in files:
        if os.path.lexists(file):
            fail(
                exits.CANNOT_CREATE,
                f"{file} is there already",
                "choose other folders; a site without its configuration is what an init that was"
                " killed has left, and may be removed",
            )


def _refuse_unfit(config: Config) -> list[str]:
    """Return the warnings; end the command where a slot could not keep its promise."""
    from lookup.cli.fitness import foreseen, is_forbidding  # noqa: PLC0415  # as for all of keys

    found = foreseen(config, config.slots)
    for finding in found:
        if is_forbidding(finding, demo=config.demo):
            hint = f"{finding.hint}; --demo tolerates one medium, for trying out"
            fail(exits.REFUSED, finding.text, hint)
    return [finding.text for finding in found]


def _make_vault(config: Config, passphrase: str, wish: Wish, enlisted: Enlisted) -> str:
    from crypto.derive import RFC_9106_SECOND  # noqa: PLC0415  # `--help` must not wait for this
    from keys.slot.lock import Passphrase  # noqa: PLC0415  # as above
    from lookup.custodian.policy import first_entries  # noqa: PLC0415  # as above
    from lookup.custodian.unlocking import create_site  # noqa: PLC0415  # as above

    config.store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if wish.generate and wish.passphrase_file is not None:
        _write(wish.passphrase_file, passphrase)
    now = int(time.time())
    site = create_site(
        config,
        Passphrase(passphrase.encode()),
        lambda: now,
        lambda vault: first_entries(vault, enlisted.officers, demo=config.demo, now=now),
        cost=RFC_9106_SECOND,
        depth=1 if wish.leaves == "256" else 2,
    )
    vault = site.vault.id.hex()
    site.close()
    write_keys(enlisted, config.store.parent, passphrase)
    if wish.config_text is not None:
        _write(config.path, wish.config_text)
    return vault


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with new_private_file(path) as file:
        file.write(text.encode() + b"\n")


@contextmanager
def _undone_on_failure(files: list[Path]) -> Iterator[None]:
    """Take away what was made, whatever goes wrong; none of it was there before."""
    missing = {parent for file in files for parent in file.parents if not parent.exists()}
    try:
        yield
    except BaseException as error:
        for file in files:
            with suppress(OSError):
                file.unlink()
        for folder in sorted(missing, reverse=True):
            with suppress(OSError):
                folder.rmdir()
        _tell(error)
        raise


def _tell(error: BaseException) -> None:
    from keys.errors import KeysError  # noqa: PLC0415  # as in _make_vault
    from lookup.custodian.store.database import StoreError  # noqa: PLC0415  # as above
    from lookup.custodian.unlocking import InUse  # noqa: PLC0415  # as above

    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        fail(exits.CANNOT_CREATE, f"{where}{error.strerror}; what was made is removed again")
    if isinstance(error, (StoreError, InUse)):
        fail(exits.CANNOT_CREATE, f"{error}; what was made is removed again")
    if isinstance(error, KeysError):
        fail(exits.FAIL_STOP, f"{error}; what was made is removed again", "look at the media")


def _text(folder: Path, options: dict[str, Any]) -> str:
    mirror = options["mirror"] or folder / "mirror"
    passphrase, operator = options["passphrase_file"], options.get("operator")
    text = _TEMPLATE.format(
        demo="true" if options["demo"] else "false",
        store=_quote(folder / "store"),
        mirror=_quote(mirror.absolute()),
        slots="[" + ", ".join(_quote(slot.absolute()) for slot in options["slots"]) + "]",
        passphrase=f"passphrase_file = {_quote(passphrase.absolute())}\n" if passphrase else "",
        lookup=_quote(options["lookup"]),
        custodian=_quote(options["custodian"]),
        operator=f"operator = {_quote(operator)}\n" if operator else "",
        workers=options["workers"],
        run=_quote(folder / "run"),
        index=_quote(f"/dev/shm/lacuna-{os.getuid()}-{secrets.token_hex(4)}"),  # noqa: S108  # tmpfs on purpose
        base_urls=f"[{_quote('http://' + options['lookup'])}]",
    )
    return text + "".join(
        _AUTHORITY.format(
            code=_quote(authority.code),
            name=_quote(authority.name),
            office_hours=_quote(authority.office_hours),
            out_of_hours=_quote(authority.out_of_hours),
        )
        for authority in _authorities(options["authorities"])
    )


def _authorities(file: Path) -> tuple[Authority, ...]:
    try:
        with file.open("rb") as opened:
            tables = tomllib.loads(opened.read(MAX_CONFIG_SIZE).decode())
        return parse_catalogue({"authority": tables["authority"]}).authorities
    except OSError as error:
        fail(exits.NO_INPUT, f"{file} cannot be read: {error.strerror}")
    except InvalidCatalogue as error:
        fail(exits.NO_INPUT, f"{file}: {error}", "compare it with deploy/lacuna.toml")
    except (ValueError, KeyError, RecursionError):
        hint = "each needs code, name, office_hours and out_of_hours"
        fail(exits.NO_INPUT, f"{file} does not hold [[authority]] tables", hint)


def _quote(value: object) -> str:
    """Return a TOML basic string: JSON's escapes are among TOML's."""
    return json.dumps(str(value), ensure_ascii=False)

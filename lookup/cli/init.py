"""`lacuna init`: make a new site."""

import os
import secrets
import time
import tomllib
from pathlib import Path
from typing import Any

import click

from lookup import exits
from lookup.cli.console import fail, json_option, print_json, say
from lookup.config import Config, InvalidConfig, load_config

TEMPLATE = """\
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
workers = {workers}
run = {run}
index = {index}
base_urls = {base_urls}
"""
_AUTHORITY = """
[[authority]]
code = {code}
name = {name}
office_hours = {office_hours}
out_of_hours = {out_of_hours}
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--slot",
    "slots",
    multiple=True,
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for a root slot, on a medium of its own; may be repeated.",
)
@click.option(
    "--mirror",
    type=click.Path(path_type=Path),
    help="Folder for the mirror, on another medium than the store; default FOLDER/mirror.",
)
@click.option(
    "--authorities",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="TOML file of [[authority]] tables: code, name, office_hours, out_of_hours.",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="Private file with the passphrase; without it you are asked.",
)
@click.option("--generate-passphrase", is_flag=True, help="Write a new one to --passphrase-file.")
@click.option(
    "--leaves",
    type=click.Choice(["256", "65536"]),
    default="65536",
    help="Leaves of the map: 65536 from about 10,000 records on.  [65536]",
)
@click.option("--lookup", default="127.0.0.1:8440", help="Where workers listen.")
@click.option("--custodian", default="127.0.0.1:8441", help="Where the custodian listens.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, help="How many workers.")
@click.option("--demo", is_flag=True, help="Tolerate one medium, and say *demo* on everything.")
@json_option
def command(folder: Path, **options: Any) -> None:  # noqa: ANN401  # one option each, as above
    """Make a new site in FOLDER: configuration, store, mirror, slots and the officer's token.

    The token is written once, to FOLDER/officer.token; its SHA-256 stays in the vault.
    """
    as_json = options.pop("as_json")
    made = make_site(folder.absolute(), **options)
    if as_json:
        print_json(made)
        return
    say(f"vault        {made['vault']}")
    say(f"config       {made['config']}")
    say(f"token        {made['officer_token_file']}")
    for slot in made["slots"]:
        say(f"slot         {slot}, class D: keep it in no backup, on no snapshot")
    say(f"next         lacuna --config {made['config']} serve")


def make_site(folder: Path, **options: Any) -> dict[str, Any]:  # noqa: ANN401  # as `command`
    """Make a site; return what was made."""
    config_file = folder / "lacuna.toml"
    if config_file.exists():
        fail(exits.CANNOT_CREATE, f"{config_file} is there already", "choose another folder")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    passphrase_file = options["passphrase_file"]
    if options["generate_passphrase"]:
        _generate_passphrase(passphrase_file)
    text = _configuration(folder, options)
    write_private(config_file, text.encode())
    try:
        config = load_config(config_file)
        return _make_vault(config, options, folder / "officer.token")
    except InvalidConfig as error:
        config_file.unlink()
        fail(exits.CONFIG, str(error))


def _make_vault(config: Config, options: dict[str, Any], token_file: Path) -> dict[str, Any]:
    from crypto.derive import RFC_9106_SECOND  # noqa: PLC0415  # `--help` must not wait for this
    from keys.slot.lock import Passphrase  # noqa: PLC0415
    from lookup.custodian.passphrases import read_passphrase  # noqa: PLC0415
    from lookup.custodian.policy import first_entries, new_token  # noqa: PLC0415
    from lookup.custodian.slotting import check_passphrase  # noqa: PLC0415
    from lookup.custodian.unlocking import create_site  # noqa: PLC0415

    raw = read_passphrase(config.passphrase_file)
    check_passphrase(raw.decode())
    token = new_token()
    now = int(time.time())
    site = create_site(
        config,
        Passphrase(raw),
        lambda: now,
        lambda: first_entries(token, demo=config.demo, now=now),
        cost=RFC_9106_SECOND,
        depth=1 if options["leaves"] == "256" else 2,
    )
    vault = site.vault.id.hex()
    site.close()
    write_private(token_file, token.encode() + b"\n")
    return {
        "vault": vault,
        "config": str(config.path),
        "officer_token_file": str(token_file),
        "slots": [str(slot) for slot in config.slots],
        "demo": config.demo,
    }


def _generate_passphrase(file: Path | None) -> None:
    if file is None:
        fail(exits.USAGE, "--generate-passphrase needs --passphrase-file")
    write_private(file.absolute(), secrets.token_urlsafe(24).encode() + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that only this user can read, or end the command."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        fail(exits.CANNOT_CREATE, f"{path} cannot be made: {error.strerror}")


def _configuration(folder: Path, options: dict[str, Any]) -> str:
    mirror = options["mirror"] or folder / "mirror"
    passphrase = options["passphrase_file"]
    text = TEMPLATE.format(
        demo="true" if options["demo"] else "false",
        store=_quote(folder / "store"),
        mirror=_quote(Path(mirror).absolute()),
        slots="[" + ", ".join(_quote(slot.absolute()) for slot in options["slots"]) + "]",
        passphrase=f"passphrase_file = {_quote(passphrase.absolute())}\n" if passphrase else "",
        lookup=_quote(options["lookup"]),
        custodian=_quote(options["custodian"]),
        workers=options["workers"],
        run=_quote(folder / "run"),
        index=_quote(f"/dev/shm/lacuna-{os.getuid()}-{secrets.token_hex(4)}"),  # noqa: S108
        base_urls=f"[{_quote('http://' + options['lookup'])}]",
    )
    return text + "".join(
        _AUTHORITY.format(**{key: _quote(value) for key, value in table.items()})
        for table in _authorities(options["authorities"])
    )


def _authorities(file: Path) -> list[dict[str, Any]]:
    try:
        tables = tomllib.loads(file.read_text())["authority"]
        return [
            {key: table[key] for key in ("code", "name", "office_hours", "out_of_hours")}
            for table in tables
        ]
    except (OSError, ValueError, KeyError, TypeError):
        fail(
            exits.NO_INPUT,
            f"{file} does not hold [[authority]] tables",
            "each needs code, name, office_hours and out_of_hours",
        )


def _quote(value: object) -> str:
    """Return a TOML basic string."""
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

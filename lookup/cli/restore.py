"""`lacuna restore`: a new store from what is left, with the site stopped; or a rehearsal of it."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from lookup import exits
from lookup.cli.asking import passphrase_of
from lookup.cli.configured import load
from lookup.cli.console import Failure, fail, json_option, print_json, say_facts
from lookup.cli.progress import Bar
from lookup.config import Config

if TYPE_CHECKING:
    # At run time these are imported where they are used: `--help` must not wait for them.
    from keys.log import LogLoss
    from lookup.custodian.store.restore import Held, RestoreReport

# A backup, a store that was moved away, a mirror.
_NAMES: Final = ("backup.db", "vault.db", "mirror.db")
_NEXT_CHECK: Final = "nothing was changed; without --check this would be done"
_NEXT: Final = [
    "`lacuna serve`, then `lacuna backup`: the sources do not open any more",
    "a damaged store that you moved away is of no more use: destroy it",
]

HELP: Final = """Bring a site back from what is left. The site must be stopped.

FOLDER holds a backup, or a store that was moved away; the configured mirror is a source without
being named. The newest source that the slots open, and that opens to its last page, gives the
pages; contents come from all of them, of any age. The restore ends with an epoch change: none of
the sources opens any more, so make a new backup afterwards.

The log comes from whichever of them, or of the folder log.published, has all of it that was ever
signed. Where none has, --accept-loss begins another under a new origin, and its first entry tells
everybody what is missing.

--check rehearses it in a scratch folder, also while the site runs, and changes nothing.

A store that is there already is never overwritten; you are told how to move it away. A restore
that was cut off is simply run again.

\b
Exit status
  0   restored, and nothing is missing
  1   restored, and some records' contents, some commits or some of the log are lost
  65  no source can be used, a store is there already, or commits would be lost
      and --accept-loss does not say that a person has decided so
  66  a FOLDER holds nothing to restore from
  70  a medium failed, or is full; run it again once that is mended
  75  the store is in use: stop the site
  77  the slots do not open with this passphrase
"""


@click.command(help=HELP, short_help="Bring a site back from what is left.")
@click.option(
    "--from",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder with a backup, or with a store that was moved away; may be repeated.",
)
@click.option("--check", is_flag=True, help="Rehearse it; change nothing.")
@click.option("--accept-loss", is_flag=True, help="Go on when acknowledged commits are lost.")
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where to rehearse; as much room as the store takes.  [the store's folder]",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="Private file with the passphrase, instead of the configured one; without any you are"
    " asked.",
)
@json_option
@click.pass_context
def command(  # noqa: PLR0913  # one parameter for each option
    ctx: click.Context,
    folders: tuple[Path, ...],
    *,
    check: bool,
    accept_loss: bool,
    scratch: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Find the sources, restore or rehearse, report."""
    config = load(ctx)
    sources = [_source(folder) for folder in folders]
    if not check and config.store_file.exists():
        _refuse_store(config, folders)
    if config.mirror_file.exists():
        sources.insert(0, config.mirror_file)
    if not sources:
        fail(exits.NO_INPUT, "there is neither a backup nor a mirror", "name one: --from FOLDER")
    raw = passphrase_of(config, passphrase_file)
    with _told(config):
        report = (
            _rehearse(config, sources, raw, scratch)
            if check
            else _restore(config, sources, raw, accept_loss=accept_loss)
        )
    if as_json:
        print_json(_members(report) | {"rehearsal": check})
    else:
        say_facts(_facts(report) | {"next": _NEXT_CHECK if check else _NEXT})
    # None: no anchor was left that could count them, so a person has to look.
    uncounted = report.lost_commits != 0 or report.lost_audit != range(0)
    lost = report.key_without_blob or uncounted or report.lost_log
    return exits.FINDING if lost else exits.OK


def _source(folder: Path) -> Path:
    for name in _NAMES:
        if (folder / name).is_file():
            return folder / name
    raise Failure(exits.NO_INPUT, f"{folder} holds none of {', '.join(_NAMES)}")


def _refuse_store(config: Config, folders: tuple[Path, ...]) -> None:
    aside = f"{config.store}.damaged"
    others = "".join(f" --from {folder}" for folder in folders)
    fail(
        exits.REFUSED,
        f"there is a store at {config.store_file}, and a restore makes a new one",
        "if it is damaged, move it away whole, and give it as a source too:"
        f" mkdir -m 700 {aside} && mv {config.store_file}* {aside}/"
        f" && lacuna --config {config.path} restore --from {aside}{others}",
    )


def _restore(
    config: Config, sources: list[Path], raw: bytes, *, accept_loss: bool
) -> "RestoreReport":
    from lookup.custodian.records.contents import wanted_blobs  # noqa: PLC0415  # as above
    from lookup.custodian.store.restore import restore  # noqa: PLC0415  # as above
    from lookup.custodian.unlocking import lock_store  # noqa: PLC0415  # as above

    lock = lock_store(config.store)
    try:
        held = _held(config, raw)
        with Bar("restoring") as bar:
            return restore(
                sources,
                held,
                wanted_blobs,
                store=config.store_file,
                mirror=config.mirror_file,
                accept_loss=accept_loss,
                progress=bar.move,
            )
    finally:
        os.close(lock)


def _rehearse(
    config: Config, sources: list[Path], raw: bytes, scratch: Path | None
) -> "RestoreReport":
    from lookup.custodian.records.contents import wanted_blobs  # noqa: PLC0415  # as above
    from lookup.custodian.store.restore import rehearse  # noqa: PLC0415  # as above

    own = config.store if config.store.is_dir() else Path(tempfile.gettempdir())
    held = _held(config, raw)
    with Bar("rehearsing") as bar:
        return rehearse(sources, held, wanted_blobs, scratch=scratch or own, progress=bar.move)


def _held(config: Config, raw: bytes) -> "Held":
    from keys.anchor import AnchorFile  # noqa: PLC0415  # as above
    from keys.disk import Disk  # noqa: PLC0415  # as above
    from keys.slot.lock import Passphrase  # noqa: PLC0415  # as above
    from lookup.custodian.store.restore import Held  # noqa: PLC0415  # as above
    from lookup.custodian.unlocking import open_slots  # noqa: PLC0415  # as above

    disk = Disk()
    slots, _ = open_slots(config, Passphrase(raw), disk)
    return Held(
        [(slot, AnchorFile(disk, slot.path.parent)) for slot in slots],
        slots[0].lock.database_key,
        lambda: int(time.time()),
        config.published,
    )


@contextmanager
def _told(config: Config) -> Iterator[None]:
    """End the command with what is so, whatever stands against a restore."""
    from keys.errors import (  # noqa: PLC0415  # as above
        KeysError,
        LogLost,
        RolledBack,
        WrongPassphrase,
    )
    from lookup.custodian.store.database import MediumFailed, StoreError  # noqa: PLC0415  # as above
    from lookup.custodian.unlocking import InUse  # noqa: PLC0415  # as above

    try:
        yield
    except InUse as error:
        fail(exits.TEMPORARY, str(error), "stop the site first; --check works while it runs")
    except WrongPassphrase as error:
        fail(exits.NO_PERMISSION, str(error), f"vault.passphrase_file is named in {config.path}")
    except MediumFailed as error:
        fail(exits.FAIL_STOP, str(error), "look at the medium, then run the same command again")
    except RolledBack as error:
        hint = "look for a newer source; --accept-loss goes on without those commits"
        fail(exits.REFUSED, str(error), hint)
    except LogLost as error:
        hint = (
            "look for a backup, or the published log, that has them; --accept-loss begins another"
            " log, under another origin, that says what is missing"
        )
        fail(exits.REFUSED, str(error), hint)
    except (KeysError, StoreError) as error:
        hint = "give every backup, mirror and moved-away store there is, each with --from"
        fail(exits.REFUSED, str(error), hint)


def _members(report: "RestoreReport") -> dict[str, Any]:
    return {
        "restored": report.restored,
        "key_without_blob": report.key_without_blob,
        "blob_without_key": report.blob_without_key,
        "source": str(report.source),
        "passed_over": [{"source": str(path), "reason": why} for path, why in report.passed_over],
        "lost_commits": report.lost_commits,
        "lost_audit": None if report.lost_audit is None else list(_ends(report.lost_audit)),
        "log": report.log.size,
        "lost_log": None if report.lost_log is None else _lost_log_members(report.lost_log),
        "epoch": report.epoch,
    }


def _lost_log_members(loss: "LogLoss") -> dict[str, Any]:
    return {
        "size": loss.seen.size if loss.seen else None,
        "kept": loss.left.size if loss.left else 0,
    }


def _lost_log(loss: "LogLoss | None") -> str:
    if loss is None:
        return "nothing"
    seen = "an unknown number" if loss.seen is None else str(loss.seen.size)
    kept = loss.left.size if loss.left else 0
    return (
        f"{kept} of {seen} entries were found: another log has begun, and its first entry says so"
    )


def _ends(rows: range) -> range:
    """Return the first and the last of some rows."""
    return rows[:: len(rows) - 1] if len(rows) > 1 else rows


def _lost_audit(rows: range | None) -> str:
    if rows is None:
        return "unknown: there was no anchor to count by; the chain says so"
    if not rows:
        return "nothing"
    return f"rows {rows[0]} to {rows[-1]}, taken in after the newest source; the chain says so"


def _facts(report: "RestoreReport") -> dict[str, object]:
    return {
        "restored": f"{report.restored} contents: of records, statements and cases",
        "not found": f"{report.key_without_blob} contents, which no source has",
        "left behind": f"{report.blob_without_key} contents whose records are forgotten",
        "lost commits": report.lost_commits,
        "lost audits": _lost_audit(report.lost_audit),
        "log": f"{report.log.size} entries",
        "lost log": _lost_log(report.lost_log),
        "pages from": report.source,
        "passed over": [f"{path}: {why}" for path, why in report.passed_over] or ["none"],
        "epoch": report.epoch,
    }

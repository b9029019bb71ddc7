"""What a custodian does between an opened vault and the first request.

Invariant: `publish` returns when a whole table is in force, and no process can answer any more
from a table of an earlier custodian. Only then may a change be acknowledged.
"""

import gc
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from crypto.derive import RFC_9106_SECOND
from keys.disk import Disk
from lookup.catalogue import HONEY
from lookup.config import Config, InvalidConfig
from lookup.custodian.audit.auditing import Auditing, Known
from lookup.custodian.cases.casework import resume_all
from lookup.custodian.cases.certifying import issue_waiting
from lookup.custodian.custody import Custody
from lookup.custodian.door import Door
from lookup.custodian.policy import Policy
from lookup.custodian.running import Running
from lookup.custodian.transparency.log import load_log
from lookup.custodian.unlocking import OpenSite
from lookup.index.folder import supersede_others
from lookup.officers.roles import OfficerId
from lookup.retention.classes import (
    MAX_CLASSES_SIZE,
    Classes,
    InvalidClasses,
    parse_classes,
    shipped_classes,
)

_LEAVES_PER_STEP: Final = 1024
# A worker that served the custodian before this one comes back within a second.
_WORKERS_RETURN: Final = 1.5

logger = logging.getLogger("lookup.custodian")


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def publish(custody: Custody) -> None:
    """Put a table in force, and see to it that nobody answers from an earlier custodian's."""
    _build(custody)
    custody.vault.announce = custody.renew
    if custody.publication is not None:
        kept = custody.publication.table.path
        supersede_others(custody.index, kept, change_over=_WORKERS_RETURN)
    issue_waiting(custody)
    custody.audit.begin()
    resume_all(custody)


def take_custody(
    config: Config, opened: OpenSite, door: Door, clock: Callable[[], int] = now
) -> Custody:
    """Return custody of an opened site; no table is in force yet.

    Raises InvalidConfig for a witness's key that is none, or retention classes that are; LogLost or
    LogForked.
    """
    Disk().make_folder(config.audit)
    policy, catalogue = Policy.load(opened.vault), config.catalogue
    audit = Auditing(
        opened.vault,
        opened.store.audit,
        config.audit,
        Known(
            is_client=lambda entry_id: entry_id in policy.clients,
            is_officer=lambda entry_id: OfficerId(entry_id) in policy.office.officers,
            is_honey=lambda body: body.category == HONEY,
        ),
    )
    custody = Custody(
        vault=opened.vault,
        lock=opened.slots[0].lock,
        store=opened.store,
        policy=policy,
        catalogue=catalogue,
        classes=load_classes(config),
        audit=audit,
        log=load_log(config, opened),
        index=config.index,
        belt_seconds=config.belt_seconds,
        door=door,
        today=lambda: datetime.fromtimestamp(clock(), UTC).date(),
        clock=clock,
    )
    custody.load_cases()
    return custody


def load_classes(config: Config) -> Classes:
    """Return the retention classes in force: the site's own, or those of this version.

    Raises InvalidConfig.
    """
    file = config.retention_classes
    if file is None:
        return shipped_classes()
    try:
        with file.open("rb") as opened:
            return parse_classes(opened.read(MAX_CLASSES_SIZE + 1))
    except OSError as error:
        raise InvalidConfig(f"retention.classes: {file}: {error.strerror}") from None
    except InvalidClasses as error:
        raise InvalidConfig(f"retention.classes: {file}: {error}") from None


def describe_running(config: Config, opened: OpenSite) -> Running:
    """Return what the process knows of itself."""
    return Running(
        config=config,
        database_key=opened.database_key,
        mirror=opened.mirror,
        cost=RFC_9106_SECOND,
        disk=Disk(),
        clock=now,
        started=now(),
        absent_slots=opened.absent,
        finished_at_start=opened.vault.started_with,
    )


def _build(custody: Custody) -> None:
    """Build the first table; say every few seconds how far it is."""
    begun = told = time.monotonic()
    custody.begin_build()
    # A million records in pieces, none of them in a cycle: to look for some takes a tenth of it.
    gc.disable()
    while (progress := custody.step_build(_LEAVES_PER_STEP)) < 1:
        if time.monotonic() - told > 1:
            told = time.monotonic()
            logger.info("building the index: %d %%", int(100 * progress))
    gc.enable()
    logger.info("%d records indexed in %.1f s", len(custody.sources), time.monotonic() - begun)
    if custody.docket.damaged:
        logger.error("pages with cases are damaged: none is carried out until they are restored")
    if custody.damaged:
        logger.error(
            "%d pages open neither in the store nor in the mirror: every miss is"
            " could-not-check until they are restored",
            len(custody.damaged),
        )

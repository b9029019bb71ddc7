"""What a running custodian knows of itself, besides custody."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from crypto.derive import Argon2Cost
from keys.disk import Disk
from keys.epoch import Destruction
from keys.slot.lock import DatabaseKey
from lookup.config import Config
from lookup.custodian.counting import Counts
from lookup.custodian.store.pages import Mirror


@dataclass(frozen=True, slots=True)
class Running:
    """Facts of one process; `clock` gives seconds since 1970."""

    config: Config
    database_key: DatabaseKey
    mirror: Mirror
    cost: Argon2Cost
    disk: Disk
    clock: Callable[[], int]
    started: int
    absent_slots: tuple[Path, ...]
    finished_at_start: tuple[Destruction, ...]
    counts: Counts = field(default_factory=Counts)

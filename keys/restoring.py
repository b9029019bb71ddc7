"""Bringing a vault back from what is left: the mirror, a backup, a damaged store.

Invariants:

* Only pages of the slots' own epoch open; nothing here can bring back what an earlier epoch held.
* Of several sources the newest counts. What the anchors have seen beyond it is counted as lost,
  and a loss is accepted by a person, never by default.
* It ends with an epoch change above every sequence ever seen, so that the sources, which now hold
  a past, open no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keys.epoch import finish
from keys.errors import NoSlotOpens, RolledBack
from keys.intent import Intent
from keys.opening import Keeping, anchor_key_of, intents_of, make_state, unwrap
from keys.page import RootKey
from keys.pages import Pages, StoredRoot
from keys.tree import Tree
from keys.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """A vault brought back; `lost_commits` were acknowledged once and are in no source."""

    vault: Vault
    source: int
    lost_commits: int


def restore_vault(
    keeping: Keeping, sources: Sequence[Pages], *, accept_loss: bool, rehearse: bool = False
) -> Restored:
    """Fill store and mirror from the newest source that the slots at hand open.

    `source` in the answer is its place in `sources`. Ends with an epoch change, so that what the
    sources also hold does not open again. Raises NoSlotOpens when no source is of the slots'
    epoch (it was made before the last epoch change), RolledBack when commits would be lost and
    `accept_loss` does not say that this was decided.
    """
    place, stored, root_key = _newest(keeping, sources)
    tree = Tree.open(sources[place], stored, root_key)
    anchors = [anchor.load(anchor_key_of(tree, sources[place])) for _, anchor in keeping.slots]
    seen = max((a.version.sequence for a in anchors if a), default=0)
    lost = max(0, seen - stored.version.sequence)
    if lost and not accept_loss:
        raise RolledBack(f"{lost} acknowledged commits are in no source; accept their loss, or not")
    keeping.store.replace(stored, sources[place].pages())
    keeping.mirror.replace(stored, sources[place].pages())
    state = make_state(keeping, Tree.open(keeping.store, stored, root_key))
    state.serial = max((a.serial for a in anchors if a), default=0)
    if rehearse:
        return Restored(Vault(state, ()), place, lost)
    intents = intents_of(state, keeping.database_key) or [Intent.make(())]
    done = tuple(finish(state, intent, floor=seen) for intent in intents)
    return Restored(Vault(state, done), place, lost)


def _newest(keeping: Keeping, sources: Sequence[Pages]) -> tuple[int, StoredRoot, RootKey]:
    found = []
    for place, source in enumerate(sources):
        stored = source.root()
        if stored is None:
            continue
        try:
            found.append((stored.version, -place, stored, unwrap(keeping, stored)))
        except (NoSlotOpens, RolledBack):
            continue
    if not found:
        raise NoSlotOpens("no source is of the slots' epoch: each was made before the last change")
    _, place, stored, root_key = max(found, key=lambda candidate: candidate[:2])
    return -place, stored, root_key

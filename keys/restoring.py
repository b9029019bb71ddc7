"""Bringing a vault back from what is left: the mirror, a backup, a damaged store.

Invariants:

* Only pages of the slots' own epoch open; nothing here can bring back what an earlier epoch held.
* Of several sources the newest counts. What the anchors have seen beyond it is counted as lost,
  and a loss is accepted by a person, never by default; nor is it when no anchor can count it.
* It ends with an epoch change above every sequence ever seen, so that the sources, which now hold
  a past, open no more. A rehearsal ends before that: it writes to no slot and no anchor.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from keys.epoch import finish, renewing
from keys.errors import AnchorLost, NoSlotOpens, RolledBack, WrongPassphrase
from keys.intent import Intent, parse_intents
from keys.opening import Keeping, look, newest_anchor, unwrap
from keys.page import RootKey
from keys.pages import Pages, StoredRoot
from keys.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """A vault brought back; `lost_commits` were acknowledged once and are in no source.

    Without an anchor that verifies nothing could be counted, and `counted` says so; with one, the
    vault's `audit` still says what it had seen of the audit chain. The vault of a rehearsal can be
    read and closed, nothing else.
    """

    vault: Vault
    source: int
    lost_commits: int
    counted: bool


def restore_vault(
    keeping: Keeping, sources: Sequence[Pages], *, accept_loss: bool, rehearse: bool = False
) -> Restored:
    """Fill store and mirror from the newest source that the slots at hand open.

    `source` in the answer is its place in `sources`; the store or the mirror that is to be filled
    may be one of them. Raises NoSlotOpens when no source is of the slots' epoch (it was made
    before the last epoch change), WrongPassphrase when that is only for the passphrase,
    RolledBack or AnchorLost when commits would be lost, or might be, and `accept_loss` does not
    say that this was decided. Nothing is touched by then.
    """
    place, stored, root_key = _newest(keeping, sources)
    source = sources[place]
    found = look(source, stored, root_key)
    intents = parse_intents(found.intent_parts, keeping.database_key)
    keeping = keeping.of(found.registered(intents))
    anchor = newest_anchor(keeping, found.anchor_key)
    seen = anchor.version.sequence if anchor else 0
    lost = max(0, seen - stored.version.sequence)
    if not accept_loss:
        _refuse_loss(lost, counted=anchor is not None)
    if source is not keeping.store:
        keeping.store.replace(stored, source.pages())
    keeping.mirror.replace(stored, keeping.store.pages())
    state = keeping.state(found.tree, found.anchor_key, anchor)
    if rehearse:
        return Restored(Vault(state, (), rehearsal=True), place, lost, anchor is not None)
    for _, file in keeping.slots:
        file.ensure()
    nothing_else = renewing(Intent.make(()), tuple(e.renewed() for e in state.renewable()))
    done = tuple(finish(state, intent, floor=seen) for intent in intents or [nothing_else])
    return Restored(Vault(state, done), place, lost, anchor is not None)


def _refuse_loss(lost: int, *, counted: bool) -> None:
    if lost:
        raise RolledBack(f"{lost} acknowledged commits are in no source; accept their loss, or not")
    if not counted:
        raise AnchorLost("no anchor verifies, so nothing can say what is lost; accept that, or not")


def _newest(keeping: Keeping, sources: Sequence[Pages]) -> tuple[int, StoredRoot, RootKey]:
    found = []
    wrong: WrongPassphrase | None = None
    for place, source in enumerate(sources):
        stored = source.root()
        if stored is None:
            continue
        try:
            found.append((stored.version, -place, stored, unwrap(keeping, stored)))
        except (NoSlotOpens, RolledBack):
            continue
        except WrongPassphrase as error:
            wrong = error
    if not found:
        raise wrong or NoSlotOpens(
            "no source is of the slots' epoch: each was made before the last change"
        )
    _, place, stored, root_key = max(found, key=lambda candidate: candidate[:2])
    return -place, stored, root_key

"""Bringing a vault back from what is left: the mirror, a backup, a damaged store.

Invariants:

* Only pages of the slots' own epoch open; nothing here can bring back what an earlier epoch held.
* Of several sources the newest counts. What the anchors have seen beyond it is counted as lost,
  and a loss is accepted by a person, never by default; nor is it when no anchor can count it.
* The log comes from whichever copy has all of it that was seen. Where none has, a person decides,
  and another log begins: no size of one log is ever signed twice (`keys.log`).
* It ends with an epoch change above every sequence ever seen, so that the sources, which now hold
  a past, open no more. A rehearsal ends before that: it writes to no slot and no anchor.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from keys.anchor import Anchor
from keys.entry import Batch, Entry, Kind
from keys.epoch import finish, renewing
from keys.errors import AnchorLost, LogForked, LogLost, NoSlotOpens, RolledBack, WrongPassphrase
from keys.intent import Intent, parse_intents
from keys.log import LogLoss, LogMark, LogRescue, LogSource, is_readable, longest_whole
from keys.opening import Keeping, look, newest_anchor, unwrap
from keys.page import RootKey
from keys.pages import Pages, StoredRoot
from keys.vault import Vault


@dataclass(frozen=True, slots=True)
class Restored:
    """A vault brought back; `lost_commits` were acknowledged once and are in no source.

    Without an anchor that verifies nothing could be counted, and `counted` says so; with one, the
    vault's `audit` still says what it had seen of the audit chain. `lost_log` says what a log was
    that no source has whole, so that another has begun. The vault of a rehearsal can be read and
    closed, nothing else.
    """

    vault: Vault
    source: int
    lost_commits: int
    counted: bool
    lost_log: LogLoss | None = None


class _StoragesAlone:
    """A restore that knows no log but the sources', and cannot begin another."""

    def __init__(self, sources: Sequence[Pages]) -> None:
        self._sources = sources

    def logs(self, _: Entry | None) -> Sequence[LogSource]:
        """Return the sources' logs."""
        return [source.log for source in self._sources]

    def marks(self, _: Entry) -> Sequence[LogMark]:
        """Nobody else has seen the log."""
        return ()

    def anew(self, _: Entry, loss: LogLoss) -> tuple[Batch, tuple[bytes, ...]]:
        """Raise LogLost."""
        raise LogLost(_say(loss))


def restore_vault(
    keeping: Keeping,
    sources: Sequence[Pages],
    *,
    accept_loss: bool,
    rehearse: bool = False,
    rescue: LogRescue | None = None,
) -> Restored:
    """Fill store and mirror from the newest source that the slots at hand open.

    `source` in the answer is its place in `sources`; the store or the mirror that is to be filled
    may be one of them. `rescue` knows of more logs than the sources', and how to begin another.
    Raises NoSlotOpens when no source is of the slots' epoch (it was made
    before the last epoch change), WrongPassphrase when that is only for the passphrase,
    RolledBack, AnchorLost or LogLost when commits, or entries of the log, would be lost, or might
    be, and `accept_loss` does not say that this was decided. Nothing is touched by then.
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
    rescue = rescue or _StoragesAlone(sources)
    keys = tuple(found.tree.scan_leaf(source, Kind.LOG_KEY, 0))
    log, loss = _find_log(rescue, stored, anchor, keys)
    if loss and not accept_loss:
        raise LogLost(f"{_say(loss)}; accept that another begins, or not")
    batch, leaves = rescue.anew(keys[0], loss) if loss else ((), ())
    if source is not keeping.store:
        keeping.store.replace(stored, source.pages())
    keeping.mirror.replace(stored, keeping.store.pages())
    for pages in (keeping.store, keeping.mirror):
        if log is not None and log is not pages.log:
            pages.take_log(log, anew=True)
    state = keeping.state(found.tree, found.anchor_key, anchor)
    if rehearse:
        return Restored(Vault(state, (), rehearsal=True), place, lost, anchor is not None, loss)
    for _, file in keeping.slots:
        file.ensure()
    nothing_else = renewing(Intent.make(()), tuple(e.renewed() for e in state.renewable()))
    first, *others = intents or [nothing_else]
    first = replace(first, batch=first.batch + batch, log=leaves + first.log)
    done = finish(state, first, floor=seen, log_anew=loss is not None)
    rest = tuple(finish(state, intent, floor=seen) for intent in others)
    return Restored(Vault(state, (done, *rest)), place, lost, anchor is not None, loss)


def _find_log(
    rescue: LogRescue, stored: StoredRoot, anchor: Anchor | None, keys: Sequence[Entry]
) -> tuple[LogSource | None, LogLoss | None]:
    """Return the log to go on with, or what is known of one that is lost; or neither."""
    at_hand = rescue.logs(keys[0] if keys else None)
    logs = [log for log in at_hand if is_readable(log)]
    left = max(logs, key=lambda log: log.size, default=None)
    if not keys:
        return left, None  # a vault from before there were logs
    seen = None
    if anchor is not None:
        marks = [anchor.log, *rescue.marks(keys[0])]
        seen = max(marks)
        # Whoever has seen more than the anchors shows that they were put back too.
        exact = anchor.version == stored.version and seen == anchor.log
        with suppress(LogForked):
            found = longest_whole(logs, marks, exact=exact)
            if found is not None:
                return found, None
    return None, LogLoss(seen, left)


def _say(loss: LogLoss) -> str:
    """Return what a person is to be told of a lost log."""
    if loss.seen is None:
        return "no anchor verifies, so nothing can say how far the log had come"
    return f"{loss.seen.size} entries of the log were seen, and no copy at hand has them all"


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

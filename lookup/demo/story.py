"""The story: a record goes in, is found, is shredded, and stays shredded.

Told over HTTP and the real command line, about a site made for it. Whatever is claimed is checked
when it is claimed; a promise that is broken is printed, and the story goes on where it can.

Everybody in it is synthetic: no number is printed but those of lookup/demo/data/scenes.toml, which
are from the 999 range and never issued.
"""

import json
from collections.abc import Callable
from typing import Final

from keys.slot import DESTRUCTION
from lookup.catalogue import Authority
from lookup.client.outcome import Known
from lookup.demo import thieving
from lookup.demo.asking import Heard
from lookup.demo.narrator import Narrator, Promise
from lookup.demo.sample import SAMPLE_SIZE, load_authorities, scenes
from lookup.demo.staging import Stage, lacuna

TITLE: Final = "Lacuna, the demonstration"
ASIDE: Final = "demo: one medium"
INTRODUCTION: Final = """\
A hospital asks for every child: is this child known to social services? Lacuna answers, and it can
forget, down to the backups. Everybody in this story is made up; the NHS numbers are from the 999
range, which is never issued."""

_TIMED: Final = 200
_CONNECTIONS: Final = 16
_SCENES: Final = scenes()
_AUTHORITIES: Final = {each["code"]: Authority(**each) for each in load_authorities()["authority"]}


def introduce(narrator: Narrator) -> None:
    """Say what this is."""
    narrator.title(TITLE, ASIDE)
    narrator.tell(INTRODUCTION)


def play(stage: Stage) -> None:
    """Play every act; a step that fails ends its act alone."""
    for act in ACTS:
        with stage.narrator.step():
            act(stage)


def _a_known_child(stage: Stage) -> None:
    tell, child = stage.narrator, _SCENES.known
    tell.act("A child comes to A&E, and is known")
    tell.tell(
        f"The hospital asks about {child.identifier}. What it sends is a token, a keyed hash:"
        " the number itself never leaves the hospital."
    )
    heard = stage.ask(child)
    told = heard.answer.records[0] if isinstance(heard.answer, Known) else None
    if told is not None:
        ring = told.authority
        tell.tell(f"{heard.said}: {told.category} since {told.since}", "bold")
        tell.tell(f"ring {ring.name}, {ring.office_hours}; by night {ring.out_of_hours}", "bold")
    whom = _AUTHORITIES[child.records[0]["authority"]]
    tell.judge(Promise.KNOWN, told is not None and told.authority == whom, heard.said)
    tell.timed("That was the first answer, with connecting.", heard.seconds)
    often = stage.hospital.median_of(_TIMED, child.identifier)
    tell.timed(f"The median of {_TIMED} more over the same connection.", often)


def _an_unknown_child(stage: Stage) -> None:
    tell, child = stage.narrator, _SCENES.unknown
    tell.act("A child whom nobody has recorded")
    heard = stage.ask(child)
    tell.timed(f"The hospital asks about {child.identifier}: {heard.said}.", heard.seconds)
    tell.judge(Promise.UNKNOWN, heard.said == "no record", heard.said)


def _nothing_in_it(stage: Stage) -> None:
    tell, child = stage.narrator, _SCENES.no_further_action
    tell.act("An allegation that was looked into, and came to nothing")
    read = stage.council.read(stage.record_id(child))
    note = str(read.content.get("payload", {}).get("note", ""))
    tell.tell(f"The council must keep what it found about {child.identifier}:")
    tell.quote(note)
    kept = read.status == 200 and note == child.records[0]["payload"]["note"]
    tell.judge(Promise.KEPT_BACK, kept, f"status {read.status}")
    heard, unknown = stage.ask(child), stage.ask(_SCENES.unknown)
    tell.timed(f"It is no business of A&E's. The hospital asks: {heard.said}.", heard.seconds)
    same = heard.comparable == unknown.comparable
    tell.judge(Promise.NOT_TOLD, heard.said == "no record" and same, heard.said)


def _a_backup(stage: Stage) -> None:
    tell, folders = stage.narrator, stage.folders
    tell.act("A backup is made, as every night")
    made = stage.lacuna("backup", str(folders.backup))
    tell.timed("Taken while the site goes on: the records and the map of their keys.", made.seconds)
    names = sorted(file.name for file in folders.backup.iterdir())
    tell.judge(Promise.BACKED_UP, names == ["backup.db", "backup.json"], ", ".join(names))
    thieving.copy_slot(folders)
    tell.tell("For the last act, a copy of the slot is put aside too. Nobody should ever do that.")


def _a_shred(stage: Stage) -> None:
    tell, child = stage.narrator, _SCENES.known
    tell.act("The record of the first child is shredded")
    record_id = stage.record_id(child)
    tell.tell(
        "The calls that it rests on were lies, and the one who made them has said so. The council"
        " sends the record once more: it is stored already, and the answer names its record id."
    )
    done = stage.lacuna("shred", record_id, "--reason", "art-17-1-g", "--yes")
    tell.quote(done.output)
    tell.timed("That is the whole command, with starting and ending it.", done.seconds)
    confirmed = record_id in done.output and DESTRUCTION["D"] in done.output
    tell.judge(Promise.SHREDDED, confirmed, "no confirmation of the slot in the report")
    status = stage.council.read(record_id).status
    tell.judge(Promise.GONE, status == 404, f"status {status}")


def _asked_again(stage: Stage) -> None:
    tell, child, unknown = stage.narrator, _SCENES.known, _SCENES.unknown
    tell.act("The same question again")
    tell.tell("At the command line first. The number is typed in, for others see arguments.")
    enrolment = str(stage.folders.enrolment)
    ran = lacuna(tell, "lookup", "--enrolment", enrolment, typed=child.identifier)
    tell.quote(ran.output)
    answers = [stage.ask_anew(child) for _ in range(_CONNECTIONS)]
    forgotten = ran.output.startswith("no record") and all(a.said == "no record" for a in answers)
    tell.judge(Promise.FORGOTTEN, forgotten, _outcomes(answers))
    heard, other = stage.ask(child), stage.ask(unknown)
    same = heard.comparable == other.comparable
    size = f"{len(heard.raw)} and {len(other.raw)} bytes"
    tell.tell(f"Beside the answer about {unknown.identifier}: {size}, headers included.")
    tell.judge(Promise.SAME_BYTES, same, f"{size}, and not the same")
    others = stage.ask(_SCENES.two_records)
    known = isinstance(others.answer, Known) and len(others.answer.records) == 2
    tell.judge(Promise.OTHERS_KNOWN, known, others.said)


def _a_thief(stage: Stage) -> None:
    tell = stage.narrator
    tell.act("A thief takes everything that there is")
    tell.tell(
        "That backup, which still has the shredded record's ciphertext, and all that exists now:"
        " store, mirror, slot and passphrase. A recovery program that shares no code with Lacuna's"
        " key handling opens whatever these open together, and looks for four texts in it: 1 a mark"
        " in the shredded record, 2 its number, 3 its reference; and, to see that looking works,"
        " 4 a mark in another child's record."
    )
    thieving.steal(stage.folders)
    loot = _recover(stage, ["slot"])
    rest = SAMPLE_SIZE - 1
    opens = loot.records == rest and loot.opened.get("backup/backup.db") == (rest, SAMPLE_SIZE)
    tell.judge(Promise.OTHERS_OPEN, opens and loot.found[-1], f"{loot.records} records opened")
    tell.judge(Promise.NOT_FOUND, not any(loot.found[:-1]), "some of it was found")


def _a_thief_with_the_old_slot(stage: Stage) -> None:
    tell = stage.narrator
    tell.act("The same thief, had there been a copy of the old slot")
    tell.tell(
        "Now the limit of the promise. Everything is as before, but the thief also has the copy of"
        " the slot from before the shred."
    )
    loot = _recover(stage, ["slot", thieving.OLD_SLOT])
    wins = loot.records == SAMPLE_SIZE and all(loot.found)
    tell.judge(Promise.OLD_SLOT_WINS, wins, f"{loot.records} records opened")
    tell.tell(
        "This is why no backup ever contains a slot, and why a slot lies on a medium of its own"
        f" that nobody snapshots. Class D is {DESTRUCTION['D']}. `lacuna doctor` says what this"
        " machine can promise; a slot in an HSM will not have this weakness."
    )
    tell.judge(Promise.CLEARED, thieving.discard(stage.folders), "they are still there")


ACTS: Final[tuple[Callable[[Stage], None], ...]] = (
    _a_known_child,
    _an_unknown_child,
    _nothing_in_it,
    _a_backup,
    _a_shred,
    _asked_again,
    _a_thief,
    _a_thief_with_the_old_slot,
)


def _recover(stage: Stage, slots: list[str]) -> thieving.Loot:
    """Let the thief look for what was shredded and, to see that looking works, for another."""
    tell, gone, other = stage.narrator, _SCENES.known, _SCENES.two_identifiers
    number = gone.identifier.partition(":")[2]
    texts = [gone.marker, number, gone.source_ref, other.marker]
    tell.command(thieving.command(slots))
    loot = thieving.recover(stage.folders, slots, texts)
    tell.quote(loot.output)
    tell.timed("That is the whole attempt.", loot.seconds)
    return loot


def _outcomes(answers: list[Heard]) -> str:
    return ", ".join(sorted({answer.said for answer in answers}))


def invite(stage: Stage, program: str) -> None:
    """Print what a person may try now, to be copied; `program` is how they call lacuna."""
    tell, folders, child = stage.narrator, stage.folders, _SCENES.two_records
    question = stage.hospital.question(child.identifier)
    headers = folders.site / "curl-headers"
    headers.touch(mode=0o600)
    headers.write_text("".join(f"{name}: {each}\n" for name, each in question.headers.items()))
    members = json.loads(question.body).items()
    body = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members)
    tell.act("Now you")
    tell.tell(f"Ask about {child.identifier}, whom two councils know; type it when you are asked:")
    tell.plain(f"\n{program} lookup --enrolment {folders.enrolment}\n\n")
    tell.tell("The same over HTTP. The token stands for the number; most of the answer is padding:")
    tell.plain(
        f"\ncurl --silent {stage.hospital.base_url}{question.path} \\\n"
        f"  --header @{headers} --data @- <<'END'\n{{{body}}}\nEND\n\n"
    )
    tell.tell("See where the site stands:")
    tell.plain(f"\n{program} --config {folders.config} status\n\n")
    tell.tell("The site serves until you press Ctrl-C.", "bold")

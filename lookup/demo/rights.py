"""The other rights of the story: what a mother may see, and a number that has to go.

Told like the case (casework.py), one command after the other.
"""

import json
from typing import Final

from lookup.demo.casework import COURT_ORDER, await_so, fact, named
from lookup.demo.narrator import Promise
from lookup.demo.sample import SampleRecord, scenes
from lookup.demo.staging import CLIENT, Stage, shown

ACCESS, JSON_FILE, PAGE = "access", "export.json", "export.html"
_ASKED_AT_LEAST: Final = 200
_SCENES: Final = scenes()
_ORDER: Final = {"accuracy": "adoption order 3 of the story"}


def the_mother_asks(stage: Stage) -> None:
    """A copy of all that is held, and of who was told; a third party's part is left out."""
    narrator, folders, child = stage.narrator, stage.folders, _SCENES.known
    narrator.act("The mother asks what is held, and who was told")
    narrator.tell(
        "That is her right (UK GDPR Art 15). The officer marks what is about somebody else: who"
        " wrote it. The whole audit is searched for lookups that were answered with the record, and"
        " the files are made where the officer is; the site keeps none."
    )
    folders.family.mkdir(mode=0o700, exist_ok=True)
    marks = folders.site / "left-out.json"
    marks.write_text(json.dumps([{"path": "/payload/written_by", "reason": "third-party"}]))
    record_id, folder = stage.record_id(child), folders.family / ACCESS
    about = ("--output", shown(folder), "--redactions", shown(marks))
    made = stage.officer("requester", "record", "export", record_id, *about)
    narrator.quote(made.output)
    files = [(folder / name).read_text() for name in (JSON_FILE, PAGE)]
    export = json.loads(files[0])
    asked = [each for each in export["accesses"] if each["client_name"] == CLIENT]
    whole = export["payload"]["note"] == child.records[0]["payload"]["note"]
    kept = whole and len(asked) > _ASKED_AT_LEAST
    narrator.judge(Promise.EXPORTED, kept=kept, seen=f"{len(asked)} lookups")
    writer = child.records[0]["payload"]["written_by"]
    marked = export["payload"]["written_by"] == {"redacted": "third-party"}
    kept = marked and not any(writer in text for text in files)
    narrator.judge(Promise.MARKED_OUT, kept=kept, seen="it is there")


def an_adoption(stage: Stage) -> None:
    """A number is taken off a record; the rest stays, and tonight's feed does not undo it."""
    narrator, child = stage.narrator, _SCENES.adopted
    old, new = child.identifiers
    narrator.act("An adoption")
    narrator.tell(
        f"A girl was adopted. The order gives her a new number, {new}; whoever knew her under the"
        f" old one, {old}, is not to find her any more. The record stays: what is taken off it is"
        " the number, by a case like the other, with the same end."
    )
    evidence = stage.folders.site / "adoption.json"
    evidence.write_text(json.dumps(_ORDER))
    record_id = stage.record_id(child)
    about = ("--remedy", "unlink", "--ground", "art-16", "--evidence", shown(evidence))
    opened = stage.officer("requester", "case", "open", record_id, *about, typed=f"{old}\n")
    case = fact(opened.output, "case")
    narrator.quote("\n".join(named(opened.output, "case", "remedy", "unlink")))
    stage.officer("legal", "case", "shorten", case, "--days", "0", "--court-order", COURT_ORDER)
    for role in ("legal", "approver"):
        stage.officer(role, "case", "approve", case)
    seconds = await_so(lambda: len(_identifiers(stage, record_id)) == 1, "the number is there")
    narrator.timed("It is done, and certified.", seconds)
    heard = [stage.hospital.ask(each).said for each in (old, new)]
    narrator.tell(f"The hospital asks about the old number: {heard[0]}; the new: {heard[1]}.")
    kept = heard == ["no record", "known"]
    narrator.judge(Promise.UNLINKED, kept=kept, seen=", ".join(heard))
    _send_again(stage, child.records[0], record_id)


def _send_again(stage: Stage, record: SampleRecord, record_id: str) -> None:
    """The council's system still has both numbers."""
    narrator = stage.narrator
    old, new = record["identifiers"]
    again = stage.council.import_again(record)
    narrator.tell(f"The council's system sends both numbers once more: {again}.")
    heard = [stage.hospital.ask(each).said for each in (old, new)]
    kept = heard == ["no record", "known"] and _identifiers(stage, record_id) == [new]
    narrator.judge(Promise.NOT_LINKED, kept=kept, seen=", ".join(heard))


def _identifiers(stage: Stage, record_id: str) -> list[str]:
    return list(stage.council.read(record_id).content.get("identifiers", []))

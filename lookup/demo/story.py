"""The story: a record goes in, is found, is expunged by a case, and stays expunged.

Told over HTTP and the real command line, about a site made for it. Whatever is claimed is checked
when it is claimed; a promise that is broken is printed, and the story goes on where it can.

Everybody in it is synthetic: no number is printed but those of lookup/demo/data/scenes.toml, which
are from the 999 range and never issued.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, NamedTuple

from keys.slot import DESTRUCTION
from lookup.catalogue import Authority
from lookup.client.outcome import Known
from lookup.demo import casework, rights, thieving
from lookup.demo.asking import Heard
from lookup.demo.narrator import Narrator, Promise
from lookup.demo.sample import SAMPLE_SIZE, SampleRecord, load_authorities, scenes
from lookup.demo.staging import Stage, lacuna, shown

TITLE: Final = "Lacuna, the demonstration"
ASIDE: Final = "demo: one medium"
INTRODUCTION: Final = """\
A hospital asks for every child: is this child known to social services? Lacuna answers, and it can
forget, down to the backups. Everybody in this story is made up; the NHS numbers are from the 999
range, which is never issued."""

_TIMED: Final = 200
_CONNECTIONS: Final = 16
_NEW_REFERENCE: Final = "AXT-CPP-2026-0101"
_SCENES: Final = scenes()
_AUTHORITIES: Final = {each["code"]: Authority(**each) for each in load_authorities()["authority"]}

Act = Callable[[Stage], None]


class Story(NamedTuple):
    """What is played, and what it has to show."""

    acts: tuple[Act, ...]
    promises: frozenset[Promise]


def introduce(narrator: Narrator) -> None:
    """Say what this is."""
    narrator.title(TITLE, ASIDE)
    narrator.tell(INTRODUCTION)


def play(stage: Stage, story: Story) -> None:
    """Play every act; a step that fails ends its act alone."""
    for act in story.acts:
        with stage.narrator.step():
            act(stage)


def close(stage: Stage) -> None:
    """Sum up, and say where what the family got is."""
    stage.narrator.end()
    if stage.folders.family.exists():
        stage.narrator.tell(
            "What the family got, copy, certificate, opening and letter, and the log's key, lie in"
            f" {shown(stage.folders.family)} until another demonstration is made here."
        )


def _a_known_child(stage: Stage) -> None:
    narrator, child = stage.narrator, _SCENES.known
    narrator.act("A child comes to A&E, and is known")
    narrator.tell(
        f"The hospital asks about {child.identifier}. What it sends is a token, a keyed hash:"
        " the number itself never leaves the hospital."
    )
    heard = stage.ask(child)
    stage.noted[casework.ANSWERED] = heard.request_id
    told = heard.answer.records[0] if isinstance(heard.answer, Known) else None
    if told is not None:
        ring = told.authority
        narrator.tell(f"{heard.said}: {told.category} since {told.since}", "bold")
        narrator.tell(
            f"ring {ring.name}, {ring.office_hours}; by night {ring.out_of_hours}", "bold"
        )
    whom = _AUTHORITIES[child.records[0]["authority"]]
    narrator.judge(Promise.KNOWN, kept=told is not None and told.authority == whom, seen=heard.said)
    narrator.timed("That was the first answer, with connecting.", heard.seconds)
    often = stage.hospital.median_of(_TIMED, child.identifier)
    narrator.timed(f"The median of {_TIMED} more over the same connection.", often)


def _an_unknown_child(stage: Stage) -> None:
    narrator, child = stage.narrator, _SCENES.unknown
    narrator.act("A child whom nobody has recorded")
    heard = stage.ask(child)
    narrator.timed(f"The hospital asks about {child.identifier}: {heard.said}.", heard.seconds)
    narrator.judge(Promise.UNKNOWN, kept=heard.said == "no record", seen=heard.said)


def _nothing_in_it(stage: Stage) -> None:
    narrator, child = stage.narrator, _SCENES.no_further_action
    narrator.act("An allegation that was looked into, and came to nothing")
    read = stage.council.read(stage.record_id(child))
    note = str(read.content.get("payload", {}).get("note", ""))
    narrator.tell(f"The council must keep what it found about {child.identifier}:")
    narrator.quote(note)
    kept = read.status == 200 and note == child.records[0]["payload"]["note"]
    narrator.judge(Promise.KEPT_BACK, kept=kept, seen=f"status {read.status}")
    heard, unknown = stage.ask(child), stage.ask(_SCENES.unknown)
    narrator.timed(f"It is no business of A&E's. The hospital asks: {heard.said}.", heard.seconds)
    same = heard.comparable == unknown.comparable
    narrator.judge(Promise.NOT_TOLD, kept=heard.said == "no record" and same, seen=heard.said)


def _a_backup(stage: Stage) -> None:
    narrator, folders = stage.narrator, stage.folders
    narrator.act("A backup is made, as every night")
    made = stage.lacuna("backup", str(folders.backup))
    narrator.timed(
        "Taken while the site goes on: the records and the map of their keys.", made.seconds
    )
    names = sorted(file.name for file in folders.backup.iterdir())
    narrator.judge(
        Promise.BACKED_UP, kept=names == ["backup.db", "backup.json"], seen=", ".join(names)
    )
    thieving.copy_slot(folders)
    narrator.tell(
        "For the last act, a copy of the slot is put aside too. Nobody should ever do that."
    )


def _asked_again(stage: Stage) -> None:
    narrator, child, unknown = stage.narrator, _SCENES.known, _SCENES.unknown
    narrator.act("The same question again")
    narrator.tell("At the command line first. The number is typed in, for others see arguments.")
    enrolment = str(stage.folders.enrolment)
    ran = lacuna(narrator, "lookup", "--enrolment", enrolment, typed=child.identifier)
    narrator.quote(ran.output)
    answers = [stage.ask_anew(child) for _ in range(_CONNECTIONS)]
    forgotten = ran.output.startswith("no record") and all(a.said == "no record" for a in answers)
    narrator.judge(Promise.FORGOTTEN, kept=forgotten, seen=_outcomes(answers))
    heard, other = stage.ask(child), stage.ask(unknown)
    same = heard.comparable == other.comparable
    size = f"{len(heard.raw)} and {len(other.raw)} bytes"
    narrator.tell(f"Beside the answer about {unknown.identifier}: {size}, headers included.")
    narrator.judge(Promise.SAME_BYTES, kept=same, seen=f"{size}, and not the same")
    brother = stage.ask(_SCENES.sibling)
    narrator.judge(Promise.SIBLING_KNOWN, kept=brother.said == "known", seen=brother.said)
    others = stage.ask(_SCENES.two_records)
    known = isinstance(others.answer, Known) and len(others.answer.records) == 2
    narrator.judge(Promise.OTHERS_KNOWN, kept=known, seen=others.said)


def _a_thief(stage: Stage) -> None:
    narrator = stage.narrator
    narrator.act("A thief takes everything that there is")
    narrator.tell(
        "That backup, which still has the expunged record's ciphertext, and all that exists now:"
        " store, mirror, slot and passphrase. A recovery program that shares no code with Lacuna's"
        " key handling opens whatever these open together, and looks for five texts in it: 1 a mark"
        " in the expunged record, 2 its number, 3 its reference, 4 the case's evidence; and, to see"
        " that looking works, 5 a mark in the sibling's record."
    )
    thieving.steal(stage.folders)
    loot = _recover(stage, ["slot"])
    rest = SAMPLE_SIZE - 1
    opens = loot.opened == {
        "backup/backup.db": (rest, SAMPLE_SIZE),
        "store/vault.db": (rest, rest),
        "mirror/mirror.db": (0, 0),  # pages alone
    }
    narrator.judge(
        Promise.OTHERS_OPEN, kept=opens and loot.found[-1], seen=f"{loot.records} records opened"
    )
    narrator.judge(Promise.NOT_FOUND, kept=not any(loot.found[:-1]), seen="some of it was found")


def _a_thief_with_the_old_slot(stage: Stage) -> None:
    narrator = stage.narrator
    narrator.act("The same thief, had there been a copy of the old slot")
    narrator.tell(
        "Now the limit of the promise. Everything is as before, but the thief also has the copy of"
        " the slot from before the case."
    )
    loot = _recover(stage, ["slot", thieving.OLD_SLOT])
    # The case came later than that slot: its evidence is not for this thief either.
    wins = loot.records >= SAMPLE_SIZE and all(loot.found[:3])
    narrator.judge(Promise.OLD_SLOT_WINS, kept=wins, seen=f"{loot.records} records opened")
    narrator.tell(
        "This is why no backup ever contains a slot, and why a slot lies on a medium of its own"
        f" that nobody snapshots. Class D is {DESTRUCTION['D']}. `lacuna doctor` says what this"
        " machine can promise; a slot in an HSM will not have this weakness."
    )
    narrator.judge(
        Promise.CLEARED, kept=thieving.discard(stage.folders), seen="they are still there"
    )


def _tonights_feed(stage: Stage) -> None:
    narrator, child = stage.narrator, _SCENES.known
    narrator.act("Tonight the council's system sends everything once more")
    narrator.tell(
        "It does not know what officers have decided, and sends the destroyed record again. A fence"
        " stands around its reference, for as long as such a system may repeat itself."
    )
    again = stage.council.send(child.records[0])
    narrator.quote(f"{again.status}: {again.content.get('detail', '')}")
    heard = stage.ask(child)
    kept = again.status == HTTPStatus.CONFLICT and heard.said == "no record"
    narrator.judge(Promise.FENCED, kept=kept, seen=f"status {again.status}, {heard.said}")
    narrator.tell("A genuine concern, years later, comes under a reference of its own:")
    today = datetime.now(UTC).date().isoformat()
    concern = SampleRecord(
        authority=child.records[0]["authority"],
        source_ref=_NEW_REFERENCE,
        identifiers=child.records[0]["identifiers"],
        category="child-protection-plan",
        since=today,
        until=None,
        payload={"note": "Of the story: another social worker, another concern."},
    )
    new, heard = stage.council.send(concern), stage.ask(child)
    narrator.timed(f"It is taken; the hospital asks: {heard.said}.", heard.seconds)
    kept = new.status == HTTPStatus.CREATED and isinstance(heard.answer, Known)
    narrator.judge(Promise.NEW_CONCERN, kept=kept, seen=f"status {new.status}, {heard.said}")


_BESIDE_THE_CASE: Final[dict[Act, set[Promise]]] = {
    _an_unknown_child: {Promise.UNKNOWN},
    _nothing_in_it: {Promise.KEPT_BACK, Promise.NOT_TOLD},
    rights.the_mother_asks: {Promise.EXPORTED, Promise.MARKED_OUT},
    rights.an_adoption: {Promise.UNLINKED, Promise.NOT_LINKED},
}
_ALL: Final = Story(
    (
        _a_known_child,
        _an_unknown_child,
        _nothing_in_it,
        rights.the_mother_asks,
        _a_backup,
        casework.what_came_out,
        casework.a_case_is_opened,
        casework.it_is_hidden,
        casework.it_is_approved,
        casework.it_is_recalled,
        casework.it_is_carried_out,
        casework.it_is_certified,
        _asked_again,
        _a_thief,
        _a_thief_with_the_old_slot,
        _tonights_feed,
        rights.an_adoption,
    ),
    frozenset(Promise),
)
STORIES: Final = {
    "all": _ALL,
    "case": Story(
        tuple(act for act in _ALL.acts if act not in _BESIDE_THE_CASE),
        _ALL.promises.difference(*_BESIDE_THE_CASE.values()),
    ),
}


def _recover(stage: Stage, slots: list[str]) -> thieving.Loot:
    """Let the thief look for what was expunged and, to see that looking works, for another."""
    narrator, gone, other = stage.narrator, _SCENES.known, _SCENES.sibling
    number = gone.identifier.partition(":")[2]
    texts = [gone.marker, number, gone.source_ref, casework.EVIDENCE_MARK, other.marker]
    narrator.command(thieving.command(slots))
    loot = thieving.recover(stage.folders, slots, texts)
    narrator.quote(loot.output)
    narrator.timed("That is the whole attempt.", loot.seconds)
    return loot


def _outcomes(answers: list[Heard]) -> str:
    return ", ".join(sorted({answer.said for answer in answers}))


def invite(stage: Stage, program: str) -> None:
    """Print what a person may try now, to be copied; `program` is how they call lacuna."""
    narrator, folders, child = stage.narrator, stage.folders, _SCENES.two_records
    question = stage.hospital.question(child.identifier)
    headers = folders.site / "curl-headers"
    headers.touch(mode=0o600)
    sent = stage.hospital.headers(question).items()
    headers.write_text("".join(f"{name}: {each}\n" for name, each in sent))
    members = json.loads(question.body).items()
    body = ",\n ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in members)
    narrator.act("Now you")
    narrator.tell(
        f"Ask about {child.identifier}, whom two councils know; type it when you are asked:"
    )
    narrator.plain(f"\n{program} lookup --enrolment {folders.enrolment}\n\n")
    narrator.tell(
        "The same over HTTP, for ten minutes: then the access token ends. The token stands for the"
        " number; most of the answer is padding:"
    )
    narrator.plain(
        f"\ncurl --silent {stage.hospital.base_url}{question.path} \\\n"
        f"  --header @{headers} --data @- <<'END'\n{{{body}}}\nEND\n\n"
    )
    narrator.tell("See where the site stands:")
    narrator.plain(f"\n{program} --config {folders.config} status\n\n")
    _invite_to_a_case(stage, program)
    narrator.tell("The site serves until you press Ctrl-C.", "bold")


def _invite_to_a_case(stage: Stage, program: str) -> None:
    narrator, folders, child = stage.narrator, stage.folders, _SCENES.two_identifiers
    evidence = folders.site / "evidence-of-yours.json"
    evidence.write_text('{"purpose": "file 7", "retention": "schedule 2, row 3"}\n')
    number = child.identifier
    narrator.tell(
        f"Carry a case through yourself, about {number}, known to {child.records[0]['authority']}."
        f" The officers' keys lie in {folders.site / 'officers'}, one for each role, all under one"
        " passphrase; on a real site nobody has two. CASE and CERTIFICATE are printed by the first"
        " command; the last destroys nothing more, it fetches what proves it:"
    )
    words = f"{program} --config {folders.config} case"
    steps = (
        ("requester", f"open {stage.record_id(child)} --ground art-17-1-a --evidence {evidence}"),
        ("legal", "shorten CASE --days 0 --court-order 'order 2 of the story'"),
        ("legal", "approve CASE"),
        ("approver", "approve CASE"),
        ("requester", f"certificate CERTIFICATE --output {folders.family / 'second.txt'}"),
    )
    lines = (
        f"{words} {step} \\\n  --key {folders.officer_key(role)} --key-passphrase-file"
        f" {folders.passphrase}\n"
        for role, step in steps
    )
    narrator.plain("\n" + "".join(lines) + "\n")

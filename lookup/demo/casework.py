"""The case of the story: a malicious allegation, from what the council found out to its letter.

Each act is told as its officer lives it: a command signed with a key of their own. What is added to
each of these commands alike, which site and whose key, is left out of what is shown.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from lookup import exits
from lookup.demo.narrator import Promise, StepFailed
from lookup.demo.processes import LACUNA, run
from lookup.demo.sample import scenes
from lookup.demo.staging import Stage, lacuna, shown

EVIDENCE: Final = (files("lookup.demo") / "data" / "evidence.json").read_text()
# What the case rests on, and nothing else in the site says.
EVIDENCE_MARK: Final = str(json.loads(EVIDENCE)["basis"]["reference"])
LAW_SINCE: Final = "2025-06-02"
COURT_ORDER: Final = "order 1 of the story"
CARRIED_OUT_WITHIN: Final = 30.0
CERTIFICATE, OPENING, LETTER, LOG_KEY = "certificate.txt", "opening.json", "letter.html", "log.key"

ANSWERED: Final = "answered"  # the request that was answered with the record first
_SHOWN: Final = 4
_SCENES: Final = scenes()
_CASE, _CERTIFICATE = "case", "certificate"


def what_came_out(stage: Stage) -> None:
    """The council's evidence; and three officers say from when it is a ground."""
    narrator, folders = stage.narrator, stage.folders
    narrator.act("What has come out about the first child's plan")
    narrator.tell(
        "It rested on calls without a name. The council investigated: no further action. The caller"
        " was then convicted of stalking the mother (Protection from Harassment Act 1997, section"
        " 2A). So says the council's evidence, in which nobody has a name:"
    )
    folders.evidence.write_text(EVIDENCE)
    narrator.quote(EVIDENCE)
    narrator.tell(
        "A malicious allegation is a ground of its own to erase what came of it: UK GDPR Art"
        " 17(1)(g). Sources disagree about the day from which that is law, so a site takes none for"
        " granted. One officer proposes a day (an invented one), and two approve. Each signs with a"
        " key of their own; --config, --key and --key-passphrase-file are left out here."
    )
    proposed = stage.officer("requester", "officer", "rules", "--malicious-from", LAW_SINCE)
    proposal = fact(proposed.output, "proposal")
    stands = []
    for role in ("approver", "legal"):
        approved = stage.officer(role, "officer", "approve", proposal)
        narrator.quote("\n".join(named(approved.output, "stands")))
        stands.append(fact(approved.output, "stands"))
    kept = stands == ["1 of 2 approvals", "made"]
    narrator.judge(Promise.RULED, kept=kept, seen=", ".join(stands))


def a_case_is_opened(stage: Stage) -> None:
    """One officer requests, and can neither hide nor destroy."""
    narrator, child = stage.narrator, _SCENES.known
    narrator.act("A case is opened")
    narrator.tell(
        "The council sends the record once more: it is stored already, and the answer names its"
        " record id. An officer requests that it is expunged, and hidden meanwhile."
    )
    stage.noted["record"] = record_id = stage.record_id(child)
    evidence = shown(stage.folders.evidence)
    about = (record_id, "--ground", "art-17-1-g", "--evidence", evidence, "--restrict")
    opened = stage.officer("requester", "case", "open", *about)
    narrator.quote("\n".join(named(opened.output, "case", "state", "answer by", "cooling off")))
    stage.noted[_CASE] = case = fact(opened.output, "case")
    stage.noted[_CERTIFICATE] = fact(opened.output, "certificate").partition(",")[0]
    narrator.tell("Whoever decides sees what holds of the ground, for each person alone:")
    seen = stage.officer("legal", "case", "show", case)
    telling = list(_telling(named(seen.output, "ground (g)")))
    narrator.quote("\n".join(telling))
    narrator.judge(Promise.APART, kept=_apart(telling), seen="; ".join(telling))
    narrator.tell(
        "For the child the program names other grounds to look at. Officers decide, not the"
        " program."
    )
    heard = stage.ask(child)
    narrator.timed(f"The hospital asks: {heard.said}.", heard.seconds)
    narrator.judge(Promise.TOLD_YET, kept=heard.said == "known", seen=heard.said)
    alone = stage.officer("requester", "case", "approve", case, refused=exits.REFUSED)
    narrator.quote("\n".join(alone.warnings.splitlines()[-2:]))  # above it, what is signed
    refused = alone.status == exits.REFUSED
    narrator.judge(Promise.NOT_ALONE, kept=refused, seen=f"status {alone.status}")


def it_is_hidden(stage: Stage) -> None:
    """A second signature, for safeguarding."""
    narrator, child = stage.narrator, _SCENES.known
    narrator.act("Safeguarding agrees that it is hidden")
    narrator.tell(
        "A plan protects a child, and an answer that is hidden by mistake can cost a life. So the"
        " request alone hides nothing; an officer for safeguarding signs too."
    )
    agreed = stage.officer("safeguarding", "case", "restrict", _noted(stage, _CASE))
    narrator.quote("\n".join(named(agreed.output, "restricted")))
    heard, unknown = stage.ask(child), stage.ask(_SCENES.unknown)
    narrator.timed(f"The hospital asks: {heard.said}.", heard.seconds)
    hidden = heard.said == "no record" and heard.comparable == unknown.comparable
    narrator.judge(Promise.HIDDEN, kept=hidden, seen=heard.said)
    status = stage.lacuna("status", refused=exits.FINDING)
    narrator.quote("\n".join(named(status.output, "alarms", "needs you")))
    alarms = fact(status.output, "alarms")
    alarmed = "1 hidden" in alarms and status.status == exits.FINDING
    narrator.judge(Promise.ALARMED, kept=alarmed, seen=alarms)


def it_is_approved(stage: Stage) -> None:
    """Two approve."""
    narrator, folders = stage.narrator, stage.folders
    case = _noted(stage, _CASE)
    narrator.act("It is decided by several")
    narrator.tell(
        "An approved case cools off for 14 days. Here a court (an invented one) orders that it"
        " waits for none. What opens the certificate is written for the family before: afterwards"
        " nobody has it, the site neither."
    )
    stage.officer("legal", "case", "shorten", case, "--days", "0", "--court-order", COURT_ORDER)
    folders.family.mkdir(mode=0o700, exist_ok=True)
    opening = shown(folders.family / OPENING)
    stage.officer("requester", "case", "opening", case, "--output", opening)
    for role in ("legal", "approver"):
        approved = stage.officer(role, "case", "approve", case)
        narrator.quote("\n".join(named(approved.output, "state")))


def it_is_recalled(stage: Stage) -> None:
    """Whoever was answered hears of it, while somebody still knows who that was."""
    narrator, folders = stage.narrator, stage.folders
    narrator.act("The hospital is told that its answers are withdrawn")
    narrator.tell(
        "The case is due. But the hospital was told of this record, and may have written it down."
        " The law wants it to be told (UK GDPR Art 19), and that has to be now: afterwards nobody"
        " can say who was answered. The site has looked through its whole audit."
    )
    seconds = await_so(lambda: _is_recalling(stage), "the hospital is not told")
    narrator.timed("Found, and handed to the workers, where the hospital's system asks.", seconds)
    seen = stage.officer("auditor", "case", "show", _noted(stage, _CASE))
    narrator.quote("\n".join(named(seen.output, "state", "recall")))
    enrolment = str(folders.enrolment)
    asked = lacuna(narrator, "recalls", "--enrolment", enrolment, refused=exits.FINDING)
    lines = asked.output.splitlines()
    narrator.quote("\n".join([*lines[:_SHOWN], f"  ... and {len(lines) - _SHOWN} more"]))
    number = _SCENES.known.identifier.partition(":")[2]
    kept = _noted(stage, ANSWERED) in asked.output and number not in asked.output
    narrator.judge(Promise.RECALLED, kept=kept, seen=asked.output)
    there = stage.council.read(_noted(stage, "record")).status
    narrator.judge(Promise.WAITED, kept=there == HTTPStatus.OK, seen=f"status {there}")
    narrator.tell("The hospital deletes what it wrote down because of these answers, and says so:")
    done = lacuna(narrator, "recalls", "--enrolment", enrolment, "--acknowledge", "--yes")
    narrator.quote(done.output.splitlines()[-1])


def _is_recalling(stage: Stage) -> bool:
    about = ("--config", str(stage.folders.config))
    status = run([*LACUNA, *about, "status", "--json"], refused=exits.FINDING)
    return bool(json.loads(status.output)["cases"]["recalling"])


def it_is_carried_out(stage: Stage) -> None:
    """The site does the rest."""
    narrator = stage.narrator
    case, record_id = _noted(stage, _CASE), _noted(stage, "record")
    narrator.act("It is carried out")
    seconds = await_so(lambda: stage.council.read(record_id).status == 404, "the record is there")
    narrator.timed(
        "Nobody has to do anything more. The site sees it, and destroys the key.", seconds
    )
    listed = stage.officer("auditor", "case", "certificates")
    narrator.quote(listed.output)
    carried_out = _noted(stage, _CERTIFICATE) in listed.output
    narrator.judge(Promise.CARRIED_OUT, kept=carried_out, seen="no certificate")
    status = stage.council.read(record_id).status
    asked = stage.officer("legal", "case", "show", case, refused=exits.REFUSED)
    gone = status == 404 and asked.status == exits.REFUSED
    narrator.judge(Promise.GONE, kept=gone, seen=f"status {status}, {asked.output}")


def it_is_certified(stage: Stage) -> None:
    """Verified where there is no site; and the letter."""
    narrator, folders = stage.narrator, stage.folders
    narrator.act("A certificate that anybody can verify")
    certificate, key = folders.family / CERTIFICATE, folders.family / LOG_KEY
    output = ("--output", shown(certificate))
    stage.officer("requester", "case", "certificate", _noted(stage, _CERTIFICATE), *output)
    if not certificate.exists():
        raise StepFailed("no certificate was written")
    key.write_text(stage.lacuna("log", "key").output)
    folders.anywhere.mkdir(mode=0o700)
    for file in (certificate, key, folders.family / OPENING):
        shutil.copy(file, folders.anywhere)
    narrator.tell("In another folder, where no site is, nor its configuration:")
    words = ("certificate", "verify", CERTIFICATE, "--log-key", LOG_KEY)
    verified = lacuna(narrator, *words, folder=folders.anywhere).output
    lines = ("verified", "demo", "destroyed", "approved by", "cooling-off", "opening")
    narrator.quote("\n".join(named(verified, *lines)))
    kept = fact(verified, "verified").startswith("entry ")
    narrator.judge(Promise.VERIFIED, kept=kept, seen=verified)
    narrator.tell("And with the opening, which the family alone has now:")
    opened = lacuna(narrator, *words, "--opening", OPENING, folder=folders.anywhere).output
    narrator.quote("\n".join(named(opened, "opening")))
    reference = _SCENES.known.source_ref
    kept = reference in opened and reference not in verified
    narrator.judge(Promise.OPENED, kept=kept, seen=opened)
    _write_letter(stage)


def _write_letter(stage: Stage) -> None:
    narrator, family = stage.narrator, stage.folders.family
    letter = family / LETTER
    files_named = [shown(family / name) for name in (CERTIFICATE, LOG_KEY, OPENING, LETTER)]
    certificate, key, opening, output = files_named
    about = ("--log-key", key, "--opening", opening, "--output", output)
    lacuna(narrator, "certificate", "letter", certificate, *about)
    number = _SCENES.known.identifier.partition(":")[2]
    written = letter.exists() and number not in letter.read_text()
    narrator.judge(Promise.LETTER, kept=written, seen="no letter, or the child's number in it")


def await_so(so: Callable[[], bool], what: str) -> float:
    """Wait until something is so; return the seconds. Raises StepFailed where it does not come."""
    begun = time.monotonic()
    while not so():
        if time.monotonic() - begun > CARRIED_OUT_WITHIN:
            raise StepFailed(f"{what} after {CARRIED_OUT_WITHIN:g} s")
        time.sleep(0.02)
    return time.monotonic() - begun


def _noted(stage: Stage, name: str) -> str:
    if name not in stage.noted:
        raise StepFailed(f"an earlier act was to say the {name}")
    return stage.noted[name]


def fact(output: str, name: str) -> str:
    """Return the first value that a command printed beside a name."""
    line = next(iter(named(output, name)), name)
    return line.removeprefix(name).strip()


def named(output: str, *names: str) -> list[str]:
    """Return the lines of what a command printed beside these names."""
    wanted = re.compile(f"({'|'.join(map(re.escape, names))})  ")
    lines, kept = [], False
    for line in output.splitlines():
        kept = bool(wanted.match(line)) or (kept and line.startswith("  "))
        if kept:
            lines.append(line)
    return lines


def _telling(lines: list[str]) -> Iterator[str]:
    """Yield, of an assessment, the verdicts and what does not hold."""
    margin = len("ground (g)")
    width = margin + len(lines[0][margin:]) - len(lines[0][margin:].lstrip()) if lines else 0
    kept = False
    for line in (each[width:] for each in lines):
        if line.startswith("  ") and line[2:3] != " ":
            kept = line[2] in "✗?"
        elif not line.startswith(" "):
            kept = "): " in line
        if kept:
            yield line


def _apart(telling: list[str]) -> bool:
    """Say whether it holds for the mother, and fails for the child by column 2 alone."""
    verdicts = [line for line in telling if not line.startswith(" ")]
    marked = [line.split()[:3] for line in telling if line[2:3] in {"✗", "?"}]
    return (
        len(verdicts) == 2
        and verdicts[0].startswith("mother (adult-subject): every condition")
        and verdicts[1].startswith("child (child): ground (g) fails")
        and marked == [["✗", "fails", "column-2"]]
    )

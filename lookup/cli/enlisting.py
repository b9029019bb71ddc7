"""The first officers of a site, as `lacuna init` enrols them: nobody can approve them yet.

Invariants:

* A site that is no demonstration begins with the public keys of at least three officers, who made
  their keys themselves. Later ones need approvals (lookup/officers/proposal.py).
* A demonstration may have its officers' keys made here, beside the store, all sealed with the
  site's own passphrase: whoever holds that is every officer, and its certificates say *demo*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lookup import exits
from lookup.cli.console import fail
from lookup.cli.files import new_private_file
from lookup.cli.officer import ROLES, read_public_key
from lookup.cli.proposing import parse_wanted

if TYPE_CHECKING:
    from crypto.sshsig import OfficerKey
    from lookup.officers.roles import Officer

LEAST: Final = 3
FOLDER: Final = "officers"
# name: role. One each, so that every part of a case can be played.
_DEMO: Final = {role: role for role in ROLES}
_FORM: Final = "write NAME:ROLE[,ROLE...]:PUBLIC_KEY_FILE"


@dataclass(frozen=True, slots=True)
class Enlisted:
    """Who a site begins with; `keys` are those that are made here, by name."""

    officers: "list[Officer]"
    keys: "dict[str, OfficerKey]"


def key_files(folder: Path, *, demo: bool, given: Sequence[str]) -> list[Path]:
    """Return the files that will be made."""
    if given or not demo:
        return []
    names = [folder / FOLDER / name for name in _DEMO]
    return [*names, *(path.with_name(f"{path.name}.pub") for path in names)]


def enlist(given: Sequence[str], *, demo: bool) -> Enlisted:
    """Return the first officers, or end the command."""
    from crypto.sshsig import OfficerKey  # noqa: PLC0415  # `--help` must not wait for this
    from lookup.custodian.officers import new_officer, require_able  # noqa: PLC0415  # as above
    from lookup.errors import Conflict  # noqa: PLC0415  # as above
    from lookup.officers.roles import Role  # noqa: PLC0415  # as above

    if not given and demo:
        keys = {name: OfficerKey.generate() for name in _DEMO}
        officers = [
            new_officer(name, [Role(role)], keys[name].public()) for name, role in _DEMO.items()
        ]
        return Enlisted(officers, keys)
    officers = [_parse(text) for text in given]
    hint = "give --officer for a requester, an approver and a legal officer at least; see --help"
    if len(officers) < LEAST:
        fail(exits.USAGE, f"a site begins with {LEAST} officers or more", hint)
    for what in ([each.name for each in officers], [each.key for each in officers]):
        if len(set(what)) < len(what):
            fail(
                exits.USAGE, "two officers have one name or one key", "everybody signs with theirs"
            )
    try:
        require_able({officer.id: officer for officer in officers}, 2)
    except Conflict as error:
        fail(exits.USAGE, str(error), hint)
    return Enlisted(officers, {})


def write_keys(enlisted: Enlisted, folder: Path, passphrase: str) -> None:
    """Write the keys that were made here."""
    from crypto.derive import RFC_9106_SECOND  # noqa: PLC0415  # as above
    from crypto.sshsig import format_public_key  # noqa: PLC0415  # as above
    from lookup.officers.keyfile import write_key_file  # noqa: PLC0415  # as above

    if enlisted.keys:
        (folder / FOLDER).mkdir(mode=0o700, exist_ok=True)
    for name, key in enlisted.keys.items():
        path = folder / FOLDER / name
        write_key_file(path, key, passphrase.encode(), RFC_9106_SECOND)
        with new_private_file(path.with_name(f"{name}.pub")) as public:
            public.write(format_public_key(key.public(), name).encode() + b"\n")


def _parse(text: str) -> "Officer":
    from crypto.sshsig import parse_public_key  # noqa: PLC0415  # as above
    from lookup.custodian.officers import new_officer  # noqa: PLC0415  # as above
    from lookup.officers.roles import Role  # noqa: PLC0415  # as above

    name, _, rest = text.partition(":")
    roles, _, file = rest.partition(":")
    given = [role for role in roles.split(",") if role]
    if not name or not given or not file:
        fail(exits.USAGE, "an --officer is not written as it should be", _FORM)
    if unknown := set(given) - set(ROLES):
        fail(exits.USAGE, f"{len(unknown)} roles are not known", f"roles are {', '.join(ROLES)}")
    key = read_public_key(Path(file))
    # By the rules for officers who come later.
    wanted = {"change": "add-officer", "name": name, "roles": sorted(set(given)), "key": key}
    parse_wanted(wanted | {"authority": None})
    return new_officer(name, [Role(role) for role in given], parse_public_key(key))

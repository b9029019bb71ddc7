"""`lacuna demo`: make a site, play the story on it, serve it."""

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from lookup import exits
from lookup.cli.console import fail
from lookup.config import Address, parse_address

if TYPE_CHECKING:
    # At run time the story is imported when it is played: `lacuna --help` must not wait for it.
    from lookup.demo.folders import Folders
    from lookup.demo.staging import Addresses, Stage

# As lookup/demo/story.py has them; a test holds the two together.
STORIES: Final = ("all", "case")

HELP: Final = """Play the story on a demonstration site, then serve it until Ctrl-C.

Makes demo-site and demo-slot anew, with 1,000 records of people who do not exist; shows that a
record is found, is expunged by a case, and stays expunged; then prints commands to try. What was
not made by a demonstration is never touched.

\b
STORY
  all   everything; the default
  case  the case alone: a malicious allegation, from the first answer to the family's letter

\b
Exit status
  0   every promise was kept
  1   a promise was broken; it is printed
  64  an address is not one of this machine's own
  73  demo-site or demo-slot is somebody else's, or in use
  75  an address is in use
"""


@click.command(help=HELP, short_help="Play the story on a demonstration site.")
@click.argument("name", metavar="[STORY]", type=click.Choice(STORIES), default="all")
@click.option("--once", is_flag=True, help="End after the story.")
@click.option(
    "--lookup",
    default="127.0.0.1:8440",
    show_default=True,
    help="Where workers listen; port 0: any.",
)
@click.option(
    "--custodian", default="127.0.0.1:8441", show_default=True, help="Where the custodian listens."
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Where demo-site and demo-slot are made; default: here.",
)
def command(name: str, *, once: bool, lookup: str, custodian: str, folder: Path) -> int:
    """Check what is in the way before anything is made, then play."""
    from lookup.demo.folders import FolderRefused, made_anew  # noqa: PLC0415  # see above

    addresses = _free_addresses(lookup, custodian)
    try:
        with _interruptible(), made_anew(folder) as folders:
            return _perform(folders, addresses, name, once=once)
    except FolderRefused as error:
        hint = "end what runs there, move it away, or choose another place with --folder"
        fail(exits.CANNOT_CREATE, str(error), hint)


def _perform(folders: "Folders", addresses: "Addresses", name: str, *, once: bool) -> int:
    from lookup.demo import staging, story  # noqa: PLC0415  # see above
    from lookup.demo.narrator import Narrator, Promise  # noqa: PLC0415  # see above

    chosen = story.STORIES[name]
    # In the order in which they are told.
    narrator = Narrator(expected=[each for each in Promise if each in chosen.promises])
    story.introduce(narrator)
    with narrator.step(), staging.staged(folders, addresses, narrator) as stage:
        story.play(stage, chosen)
        story.close(stage)
        if not narrator.broken and not once:
            story.invite(stage, _program())
            return _serve(stage)
        return exits.FINDING if narrator.broken else exits.OK
    narrator.end()
    return exits.FINDING


def _serve(stage: "Stage") -> int:
    """Wait for Ctrl-C, or for the site to fail."""
    try:
        status = stage.site.process.wait()
        fail(exits.FAIL_STOP, f"the site ended with status {status}", f"see {stage.folders.log}")
    except KeyboardInterrupt:
        stage.narrator.tell("Stopping.")
    return exits.OK


@contextmanager
def _interruptible() -> Iterator[None]:
    """Take SIGTERM, and a closed terminal, as Ctrl-C: what was started is ended, too."""
    taken = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in taken]
    try:
        yield
    finally:
        for each, handler in zip(taken, before, strict=True):
            signal.signal(each, handler)


def _free_addresses(lookup: str, custodian: str) -> "Addresses":
    """Return the addresses, each port a number; end the command if one is in use."""
    from lookup.demo.staging import Addresses  # noqa: PLC0415  # see above
    from lookup.supervisor import CannotServe, listen  # noqa: PLC0415  # see above

    try:
        with ExitStack() as held:
            free = []
            for option, text in (("--lookup", lookup), ("--custodian", custodian)):
                wanted = _loopback(option, text)
                port = held.enter_context(listen(wanted)).getsockname()[1]
                free.append(Address(wanted.host, port))
    except CannotServe as error:
        hint = "choose others with --lookup HOST:PORT and --custodian HOST:PORT"
        fail(exits.TEMPORARY, str(error), hint)
    return Addresses(*free)


def _loopback(option: str, text: str) -> Address:
    try:
        address = parse_address(text)
        own = address.host == "localhost" or ip_address(address.host).is_loopback
    except ValueError as error:
        fail(exits.USAGE, f"{option}: {error}")
    if not own:
        fail(exits.USAGE, f"{option}: the demonstration speaks plain http, to this machine alone")
    return address


def _program() -> str:
    """Return how a person who stands here calls this very lacuna."""
    from lookup.demo.staging import shown  # noqa: PLC0415  # see above

    ours, found = Path(sys.executable).with_name("lacuna"), shutil.which("lacuna")
    if not ours.exists() or (found is not None and Path(found).samefile(ours)):
        return "lacuna"
    return shown(ours)

"""Walks along the audit, as commands follow them: the custodian's lines, and a bar meanwhile."""

from collections.abc import Iterator
from typing import Any, Final

from lookup import exits
from lookup.cli.console import Failure, fail
from lookup.cli.custodian import Custodian
from lookup.cli.progress import Bar

_JSON: Final = "application/json"


def walk(
    custodian: Custodian, path: str, doing: str, *, hint: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what a walk says but for its progress, or end the command; `hint`: if it is refused."""
    ended = False
    with Bar(doing) as bar:
        for line in custodian.stream(path, b"", _JSON, hint=hint):
            if "problem" in line:
                detail = line["problem"].get("detail") or line["problem"]["title"]
                fail(exits.REFUSED, detail, "look at the custodian's log, then try again")
            if "done" in line:
                bar.move(line["done"], line["total"], f"{line['done']} rows")
            else:
                ended = "verdict" in line or "complete" in line
                yield line
    if not ended:
        message = "the custodian stopped in the middle; this is not all"
        raise Failure(exits.UNAVAILABLE, message, "run the same command again")

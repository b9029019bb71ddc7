"""The form of what officers sign: a head, then one `name: value` line for each name, in order.

Invariants:

* There is one text for the same values; every line ends in one LF, no value holds another.
* What is read has just these names, each once. What the values are is the caller's to check: it
  writes anew what it has read, and refuses a text that is not the same.

Pure.
"""

from collections.abc import Sequence


class InvalidText(ValueError):
    """The text has another form; the message names the rule."""


def write_text(head: str, names: Sequence[str], values: Sequence[str]) -> str:
    """Return the text."""
    lines = (f"{name}: {value}" for name, value in zip(names, values, strict=True))
    return "\n".join((head, *lines, ""))


def read_text(head: str, names: Sequence[str], text: str, most: int) -> list[str]:
    """Return the values of a text of at most so many bytes. Raises InvalidText."""
    if len(text.encode(errors="replace")) > most:
        raise InvalidText(f"there are more than {most} bytes")
    first, *lines = text.split("\n")
    if first != head or len(lines) != len(names) + 1 or lines[-1]:
        raise InvalidText(f"expected {head} and {len(names)} lines")
    values = []
    for name, line in zip(names, lines, strict=False):
        if not line.startswith(f"{name}: "):
            raise InvalidText(f"a line does not say {name}")
        values.append(line.removeprefix(f"{name}: "))
    return values

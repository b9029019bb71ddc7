"""A bar for what takes long, on standard error and only where a person watches."""

import sys
from types import TracebackType
from typing import Any, Self

from lookup.cli.console import note


class Bar:
    """Shows how far something is. Elsewhere than at a terminal it shows nothing."""

    def __init__(self, doing: str, total: float | None = None) -> None:
        self._progress: Any = None
        if sys.stderr.isatty():
            self._progress = _make_progress()
            self._task = self._progress.add_task(doing, total=total, said="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def move(self, done: float, total: float | None = None, said: str = "") -> None:
        """Show that so much is done, and say a word beside it."""
        if self._progress is not None:
            self._progress.update(self._task, completed=done, total=total, said=said)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress is None:
            note(text)
        else:
            self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _make_progress() -> Any:  # noqa: ANN401  # a rich Progress; rich is imported where a bar is
    from rich.console import Console  # noqa: PLC0415  # 0.13 s
    from rich.progress import (  # noqa: PLC0415  # as above
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )

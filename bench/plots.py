"""Plots of the results, as SVG and PNG, by matplotlib where it is installed."""

import importlib
from pathlib import Path
from typing import Any, Final

from bench.claim import Json

ABSENT: Final = (
    "no plots were drawn: matplotlib is not installed (.venv/bin/pip install matplotlib)"
)
_SUFFIXES: Final = (".svg", ".png")


def draw(name: str, plots: list[Json], folder: Path) -> list[str]:
    """Draw a benchmark's plots; return their file names without suffix. None without matplotlib."""
    pyplot = load_pyplot()
    if pyplot is None:
        return []
    return [
        _draw(pyplot, f"{name}-{number}" if number > 1 else name, plot, folder)
        for number, plot in enumerate(plots, start=1)
    ]


def load_pyplot() -> Any:  # noqa: ANN401  # a module of a library that need not be there
    """Return matplotlib.pyplot, drawing into files alone, or None."""
    try:
        importlib.import_module("matplotlib").use("Agg")
        return importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return None


def _draw(pyplot: Any, stem: str, plot: Json, folder: Path) -> str:  # noqa: ANN401  # as above
    # The same results give the same file: no date, no random ids.
    pyplot.rcParams["svg.hashsalt"] = "lacuna"
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for label, points in plot["lines"].items():
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    if plot["limit"] is not None:
        axes.axhline(plot["limit"], color="black", linestyle="--", label="floor")
    axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"], xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    for suffix in _SUFFIXES:
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(folder / (stem + suffix), metadata=metadata)
    pyplot.close(figure)
    return stem

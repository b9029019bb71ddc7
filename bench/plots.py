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
    folder.mkdir(exist_ok=True)
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
    (_draw_bars if plot.get("scale") == "bars" else _draw_lines)(axes, plot)
    for suffix in _SUFFIXES:
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(folder / (stem + suffix), metadata=metadata)
    pyplot.close(figure)
    return stem


def _draw_lines(axes: Any, plot: Json) -> None:  # noqa: ANN401  # as above
    for label, points in plot["lines"].items():
        axes.plot(*zip(*points, strict=True), marker="o", label=label)
    if plot["limit"] is not None:
        axes.axhline(plot["limit"], color="black", linestyle="--", label="floor")
    scale = plot.get("scale", "log")  # results of before there was a choice have none
    axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"])
    axes.set(xscale="linear" if scale == "linear" else "log")
    if scale == "log-log":
        axes.set(yscale="log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()


def _draw_bars(axes: Any, plot: Json) -> None:  # noqa: ANN401  # as above
    names = list(reversed(plot["lines"]))
    lengths = [plot["lines"][name][0][1] for name in names]
    axes.bar_label(axes.barh(names, lengths), fmt="%.3g", padding=3)
    if plot["limit"] is not None:
        axes.axvline(plot["limit"], color="black", linestyle="--", label="floor")
        axes.legend()
    axes.set(title=plot["title"], xlabel=plot["y"])
    axes.margins(x=0.12)
    axes.grid(visible=True, axis="x", alpha=0.3)

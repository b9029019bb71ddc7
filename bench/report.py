"""What people read of the results: a table on the screen, BENCHMARKS.md, summary.json.

All of it is made from the files NAME.json of one folder, so that benchmarks that were not run again
keep the figures, the machine and the date of when they were.
"""

import importlib
import json
import os
from pathlib import Path
from typing import Any, Final

from bench import machine
from bench.claim import Json
from bench.plots import ABSENT, draw, load_pyplot

SUMMARY: Final = "summary.json"
PLOTS: Final = "plots"

_HEAD: Final = """\
# Benchmarks

Written by `make bench`; what is edited here is lost. `bench/` has one file for each claim; its
first lines, repeated below, say what is claimed and how it is measured. `make bench ARGS=--help`
says how to try a smaller one in two minutes.

Sites are made as `lacuna init` makes them, store, mirror and slot on one disk, with 65,536 leaves,
and filled with generated records (`lookup/demo/sample.py`: one identifier each, a payload of some
200 bytes; nine in sixteen are of a kind that may be answered, and in the index unless long over).
Times by the clock stand beside CPU times, which other processes disturb less. What is compared is
measured in turn, in one run. A floor is about one size; at another one nothing is said to be met.

Lookups are asked for over loopback: workers (and what they are compared with) run on one CPU, the
load and the custodian on another one. CPU is counted in all threads of all processes concerned.
"""


def load_results(folder: Path) -> dict[str, Json]:
    """Return what was measured, by the benchmark's name, in the order of the runs' list."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name != SUMMARY:
            found[path.stem] = json.loads(path.read_text())
    return dict(sorted(found.items(), key=lambda item: (item[1]["order"], item[0])))


def summarise(results: dict[str, Json]) -> dict[str, Json]:
    """Return every claim by its name."""
    return {
        name: {
            **{key: claim[key] for key in ("value", "unit", "relation", "floor", "met", "records")},
            "machine": machine.in_short(result["machine"]),
            "date": result["date"],
        }
        for result in results.values()
        for name, claim in result["claims"].items()
    }


def write(folder: Path, page: Path) -> None:
    """Write the summary, the plots and the page."""
    results = load_results(folder)
    (folder / SUMMARY).write_text(json.dumps(summarise(results), indent=2) + "\n")
    plots = folder / PLOTS
    drawn = {name: draw(name, result["plots"], plots) for name, result in results.items()}
    page.write_text(_page(results, drawn, Path(os.path.relpath(plots, page.parent))))


def screen(results: dict[str, Json]) -> str:
    """Return the table of claims as plain text."""
    rows = [("claim", "floor", "measured", "records", "")]
    rows += [
        (claim["says"], _floor(claim), _figure(claim), f"{claim['records']:,}", _verdict(claim))
        for result in results.values()
        for claim in result["claims"].values()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _page(results: dict[str, Json], drawn: dict[str, list[str]], folder: Path) -> str:
    parts = [_HEAD, _machines(results), "## Claims\n", _claims(results), _missed(results)]
    for name, result in results.items():
        parts.append(f"## {name}\n")
        parts.append(_method(name))
        parts.append(_table(result["rows"]))
        parts += [f"Not measured: {text}.\n" for text in result["missing"]]
        parts += [
            f"![{plot['title']}]({folder / stem}.svg)\n"
            for stem, plot in zip(drawn[name], result["plots"], strict=False)
        ]
        parts += [f"![{picture}]({folder / picture})\n" for picture in result.get("pictures", ())]
    if load_pyplot() is None:
        parts.append(f"{ABSENT[0].upper()}{ABSENT[1:]}.\n")
    return "\n".join(parts)


def _machines(results: dict[str, Json]) -> str:
    """Say what was measured on: once, unless it differs."""
    lines: dict[str, list[str]] = {}
    for name, result in results.items():
        facts = result["machine"]
        libraries = ", ".join(f"{name} {number}" for name, number in facts["libraries"].items())
        line = (
            f"{machine.in_short(facts)}; {libraries}; {facts['memory_mb']:,} MB of memory;"
            f" a loop of plain Python in {facts.get('python_loop_ms', 'unknown')} ms;"
            f" {facts['filesystem']}, 4 KiB overwritten and synced in {facts['fdatasync_ms']} ms;"
            f" {result['date'][:10]}"
        )
        lines.setdefault(line, []).append(name)
    said = [f"{line}: {', '.join(names)}." for line, names in lines.items()]
    if len(said) == 1:
        said = [f"{next(iter(lines))}."]
    doubts = {text for result in results.values() for text in result["doubts"]}
    said += [f"Take with care: {text}." for text in sorted(doubts)]
    loads = [result["load"][at][0] for result in results.values() for at in ("start", "end")]
    others = [result["others_cores"] for result in results.values()]
    said.append(
        f"Load average (1 min), the benchmarks included, between {min(loads)} and {max(loads)};"
        f" other processes used between {min(others)} and {max(others)} cores meanwhile."
    )
    return "## Machine\n\n" + "\n\n".join(said) + "\n"


def _claims(results: dict[str, Json]) -> str:
    return _table(
        [
            {
                "claim": f"{claim['says']} (`{name}`)",
                "floor": _floor(claim),
                "measured": _figure(claim),
                "records": claim["records"],
                "": _verdict(claim),
            }
            for result in results.values()
            for name, claim in result["claims"].items()
        ]
    )


def _missed(results: dict[str, Json]) -> str:
    missed = [
        f"* `{name}`: {_figure(claim)}, {_by_how_much(claim):.0f} % {_direction(claim)} the floor"
        f" ({_floor(claim)}). What it is made of: {claim['bound_by']}.\n"
        for result in results.values()
        for name, claim in result["claims"].items()
        if claim["met"] is False
    ]
    judged = [c for r in results.values() for c in r["claims"].values() if c["met"] is not None]
    if missed:
        return "### Missed\n\n" + "".join(missed)
    return "Every floor is kept.\n" if judged else "No floor is about a size that was measured.\n"


def _by_how_much(claim: Json) -> float:
    return float(abs(claim["value"] / claim["floor"] - 1) * 100)


def _direction(claim: Json) -> str:
    return "above" if claim["relation"] == "<=" else "below"


def _method(name: str) -> str:
    return (importlib.import_module(f"bench.{name}").__doc__ or "").strip() + "\n"


def _table(rows: list[Json]) -> str:
    if not rows:
        return ""
    names = list(rows[0])
    lines = [names, ["---" if i == 0 else "---:" for i in range(len(names))]]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(value: Any) -> str:  # noqa: ANN401  # whatever JSON has
    if isinstance(value, float):
        return f"{value:,.10g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _floor(claim: Json) -> str:
    if claim["floor"] is None:
        return ""
    sign = {"<=": "≤", ">=": "≥"}[claim["relation"]]
    return f"{sign} {claim['floor']:,g} {claim['unit']}"


def _figure(claim: Json) -> str:
    return (
        f"{claim['value']:,.4g} {claim['unit']}"
        if claim["value"] < 1e4
        else (f"{claim['value']:,.0f} {claim['unit']}")
    )


def _verdict(claim: Json) -> str:
    return {True: "met", False: "missed", None: ""}[claim["met"]]

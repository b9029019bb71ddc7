"""Test vectors: data files, each with its origin in SOURCES.md."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


def load(name: str) -> dict[str, Any]:
    """Return one data file."""
    content: dict[str, Any] = json.loads((FOLDER / name).read_text("utf-8"))
    return content

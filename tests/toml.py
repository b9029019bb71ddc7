"""A configuration, written as TOML; Python reads it only."""

import json
from typing import Any

Json = dict[str, Any]


def to_toml(tables: Json) -> str:
    """Return tables as TOML: JSON's texts, numbers and lists are TOML's, too."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in tables.items() if _is_plain(value)]
    for key, value in tables.items():
        for table in value if isinstance(value, list) and not _is_plain(value) else [value]:
            if isinstance(table, dict):
                name = f"[[{key}]]" if isinstance(value, list) else f"[{key}]"
                lines += [name, *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(lines) + "\n"


def _is_plain(value: object) -> bool:
    return not isinstance(value, dict) and not (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )

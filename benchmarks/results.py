"""Where measurements are kept: benchmarks/out/SCRIPT.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def save(script: str, results: Any) -> None:
    """`script` is the `__file__` of what measured."""
    file = Path(script)
    out = file.parent / "out" / f"{file.stem}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")

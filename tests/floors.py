"""The floors of the house, lowest first: a file imports from its own folder and from floors below.

`python -m tests.floors` draws them: docs/floors.svg, which docs/architecture.md shows.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "r1zero"
PICTURE = ROOT / "docs" / "floors.svg"
LAYERS = [
    {"types", "base"},
    {"config"},
    {"data", "rewards", "algorithms", "models"},
    {"run"},
    {"engine", "trainer", "sync", "cluster"},
    {"grading", "report"},
    {"evaluation"},
    {"rl"},
    {"tuning"},
    {"curate"},
    {"api"},
    {"cli", "__init__"},
]
_WIDTH, _HEIGHT, _GAP = 1000, 54, 8
_COLOURS = ("#e8eef7", "#e5f2ea", "#fdf3dc", "#f7e6e6")  # the ground, what organs share, organs, programs


def picture() -> str:
    """The floors as SVG, highest on top, each box with the first words of its folder."""
    floors = [[name for name in sorted(names) if _home(name)] for names in reversed(LAYERS)]
    parts = [
        box
        for row, names in enumerate(floors)
        for place, name in enumerate(names)
        for box in _box(row, place, len(names), name, _COLOURS[_part(len(floors) - 1 - row)])
    ]
    height = len(floors) * (_HEIGHT + _GAP) + _GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>', *parts, "</svg>"]) + "\n"


def _home(name: str) -> Path | None:
    """The file that says what a module or folder is; the package's own `__init__` is no room."""
    found = (SRC / name / "__init__.py", SRC / f"{name}.py")
    return next((file for file in found if file.exists() and name != "__init__"), None)


def _part(floor: int) -> int:
    return 0 if floor < 2 else 1 if floor < 4 else 2 if floor < 6 else 3


def _box(row: int, place: int, count: int, name: str, colour: str) -> list[str]:
    width = (_WIDTH - _GAP) / count - _GAP
    x, y = _GAP + place * (width + _GAP), _GAP + row * (_HEIGHT + _GAP)
    home = _home(name)
    assert home is not None
    lines = _wrapped((ast.get_docstring(ast.parse(home.read_text())) or "").split("\n\n")[0], int(width / 6))
    texts = [
        f'<text x="{x + 10:.0f}" y="{y + 32 + 12 * number:.0f}" font-size="10.5" fill="#444">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    title = f'<text x="{x + 10:.0f}" y="{y + 18:.0f}" font-size="14" font-weight="bold">{name}</text>'
    rect = f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{_HEIGHT}" rx="6" fill="{colour}"/>'
    return [rect, title, *texts]


def _wrapped(text: str, width: int, lines: int = 2) -> list[str]:
    """At most so many lines; what is left out is shown as dots."""
    done, line = [], ""
    for word in text.replace("`", "").split():
        if len(line) + len(word) + 1 > width:
            done.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    done.append(line)
    return done if len(done) <= lines else [*done[: lines - 1], f"{done[lines - 1]} ..."]


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")

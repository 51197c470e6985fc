"""An algorithm is one small file, and nothing else knows its name."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from r1zero.algorithms import ALGORITHMS

SRC = Path(__file__).parent.parent.parent / "src" / "r1zero"
SHARED = {"__init__", "base", "advantages", "losses", "kl"}
FILES = sorted(file for file in (SRC / "algorithms").glob("*.py") if file.stem not in SHARED)
FOREIGN = {"config/prepare.py", "data/handlers.py"}  # MindSpeed's handlers, some of which begin with PPO
OUTSIDE = sorted(
    file for file in SRC.rglob("*.py") if file.parent.name != "algorithms" and str(file.relative_to(SRC)) not in FOREIGN
)
DRIVERS = (
    *(f"rl/{name}.py" for name in ("loop", "draw", "measure", "samples", "update", "parts", "state")),
    "run/session.py",
    "trainer/local.py",
)
SPELLINGS = {name.replace("_plus_plus", "++").replace("_", " ") for name in ALGORITHMS} | set(ALGORITHMS)
NAMES = re.compile("|".join(rf"\b{re.escape(name)}(?!\w)" for name in sorted(SPELLINGS)), re.IGNORECASE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_algorithm_is_at_most_80_lines(file: Path) -> None:
    assert file.read_text().count("\n") <= 80


def test_the_files_hold_all_algorithms() -> None:
    found = {}
    for file in FILES:
        found |= importlib.import_module(f"r1zero.algorithms.{file.stem}").ALGORITHMS
    assert found == ALGORITHMS and len(found) >= 9


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: str(file.relative_to(SRC)))
def test_no_code_outside_mentions_an_algorithm(file: Path) -> None:
    """Identifiers and values; the documentation of a key may say which algorithm it comes from."""
    tree = ast.parse(file.read_text())
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    words = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    words += [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    words += [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation
    ]
    assert not [word for word in words if NAMES.search(word)]


@pytest.mark.parametrize("name", DRIVERS)
def test_the_loop_and_the_trainer_do_not_even_speak_of_one(name: str) -> None:
    found = NAMES.search((SRC / name).read_text())
    assert found is None, found


def test_the_pattern_finds_names() -> None:
    for text in ("GRPO's", "a Dr. GRPO run", "reinforce++", "ppo", "DAPO:"):
        assert NAMES.search(text), text
    assert not NAMES.search("support, opportunity")

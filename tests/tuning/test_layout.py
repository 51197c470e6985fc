"""An objective is one small file, and what runs it does not know its name."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from r1zero.tuning.objectives import OBJECTIVES

SRC = Path(__file__).parent.parent.parent / "src" / "r1zero"
FILES = sorted(file for file in (SRC / "tuning" / "objectives").glob("*.py") if file.stem not in ("__init__", "base"))
DRIVERS = (
    "tuning/loop.py",
    "tuning/parts.py",
    "tuning/on_policy.py",
    "run/session.py",
    "trainer/local.py",
    "config/tuning.py",
)
NAMES = re.compile(r"\b(" + "|".join(OBJECTIVES) + r"|distil\w*|fine-tuning|preference)\b", re.IGNORECASE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_objective_is_at_most_80_lines_and_one_of_the_table(file: Path) -> None:
    assert file.read_text().count("\n") <= 80
    found = importlib.import_module(f"r1zero.tuning.objectives.{file.stem}").OBJECTIVES
    assert list(found) == [file.stem] and OBJECTIVES[file.stem] is found[file.stem]


@pytest.mark.parametrize("name", DRIVERS)
def test_what_runs_them_knows_none(name: str) -> None:
    assert NAMES.search((SRC / name).read_text()) is None

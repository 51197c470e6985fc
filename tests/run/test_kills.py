"""A few random kills of each kind of run; `benchmarks/kill_test.py` does as many as one likes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kill_test.py"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grpo", "dapo", "ppo", "lora", "moe"])
def test_killed_and_resumed_runs_end_with_the_same_bits(kind: str) -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--kinds", kind, "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

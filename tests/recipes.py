"""Small recipes for whole runs on the miniature."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from r1zero.cli.main import app

SUMS = "{terms: 3, low: 10, high: 99, count: 64, text: '{sum}=?', plus: '+'}"
TINY = f"""\
run: {{dir: RUN, steps: 4, seed: 0, save_every: 1, device: cpu, threads: 1, deterministic: true}}
model: {{path: tiny, dtype: fp32}}
data:
  path: r1zero:sums
  options: {SUMS}
  template: plain
  max_prompt_tokens: 16
rewards: {{verifier_function: [base_acc, strict_format], verifier_weight: [1.0, 0.2], workers: 1}}
algorithm: {{name: grpo, group_size: 4, kl: 0.01}}
rollout: {{max_new_tokens: 40}}
trainer: {{prompts_per_step: 4, tokens_per_pack: 400, lr: 3e-4}}
logging: {{tensorboard: false}}
"""


def write_recipe(folder: Path, text: str = TINY, run: str = "run") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text.replace("RUN", str(folder / run)))
    return path


def r1zero(*arguments: object) -> None:
    """The command line in this process: raises what `cli.main` turns into messages and exit codes."""
    app([str(argument) for argument in arguments], standalone_mode=False)


def start(*arguments: object) -> subprocess.Popen[str]:
    """The command line in a process of its own, to be killed."""
    command = [sys.executable, "-m", "r1zero.cli.main", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def signal_when(process: subprocess.Popen[str], file: Path, number: signal.Signals) -> str:
    """Send a signal as soon as a file exists; returns what the process said."""
    deadline = time.monotonic() + 120
    while not file.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.002)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    return said


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def events(run: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (run / "events.jsonl").read_text().splitlines()]

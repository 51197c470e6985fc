"""GRPO steps by r1zero, one for each line on standard input: the worker of step_vs_trl.py and scaling.py.

    python benchmarks/own_steps.py r1_zero_smollm2_gsm8k data.path=gsm8k_train.jsonl [a.b=c ...] [--forced]

Prints a line of JSON when it is ready and after each step: seconds, response tokens, peak memory, the step's record.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from r1zero.base import device
from r1zero.config import Recipe, load
from r1zero.grading.pool import ScorerPool
from r1zero.rl import loop
from r1zero.rl.parts import rl_parts
from r1zero.run.folder import RunFolder
from r1zero.run.interrupt import Stop
from r1zero.run.metrics import read_metrics
from r1zero.run.session import Session


class Paced(Session):
    """Waits for a line before each step, and reports the step."""

    def steps(self) -> Iterator[int]:
        print(json.dumps({"ready": True}), flush=True)
        while sys.stdin.readline():
            start = time.perf_counter()
            yield self.done + 1
            seconds = time.perf_counter() - start
            record = read_metrics(self.folder.path / "metrics.jsonl")[-1]
            tokens = record["tokens_per_second/rollout"] * record["seconds/rollout"]
            peak = record["peak_memory_gib"]
            print(json.dumps({"seconds": seconds, "tokens": tokens, "peak_gib": peak, "record": record}), flush=True)


def main() -> None:
    forced = "--forced" in sys.argv
    name, *overrides = [argument for argument in sys.argv[1:] if argument != "--forced"]
    with tempfile.TemporaryDirectory() as scratch:
        recipe = load(Recipe, name, [*overrides, f"run.dir={scratch}/run", "run.steps=1000", "run.save_every=0"])
        folder = RunFolder.create(Path(recipe.run.dir), resume=False)
        chosen = device.select(recipe.run.device, recipe.model.dtype, recipe.run.threads)
        with Stop() as stop, ScorerPool.of(recipe.rewards) as pool:
            parts = rl_parts(recipe, chosen, pool, folder.quarantine_rows)
            if forced:
                endless = replace(parts.rollouts.sampling, stop_token_ids=frozenset(), stop_strings=())
                parts = replace(parts, rollouts=replace(parts.rollouts, sampling=endless))
            with Paced(recipe, folder, chosen, parts, stop, parts.stream.fingerprints) as session:
                loop.train(parts, session)


if __name__ == "__main__":
    main()

"""Does the demo keep its promise, for every seed? Runs both demos and prints the table of the README.

    python benchmarks/demo_seeds.py                # seeds 0..4 of the miniature, 0..2 of SmolLM2-135M: half an hour
python benchmarks/demo_seeds.py --tiny 0 1 --smollm2
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "out" / "demo_seeds.json"
# what each demo must show: name of a number in summary.json -> (comparison, bound)
PROMISES = {
    "tiny": {
        "base_accuracy": ("at most", 0.40),
        "final_accuracy": ("at least", 0.90),
        "base_greedy_accuracy": ("at most", 0.50),
        "final_greedy_accuracy": ("at least", 0.95),
        "length_ratio": ("at least", 1.5),
        "wall_seconds": ("at most", 360),
    },
    "smollm2-135m": {
        "base_accuracy": ("at most", 0.30),
        "final_accuracy": ("at least", 0.65),
        "wall_seconds": ("at most", 900),
    },
}


def run(model: str, seed: int, folder: Path) -> dict[str, Any]:
    target = folder / f"{model}-{seed}"
    command = [sys.executable, "-m", "r1zero.cli.main", "demo", f"run.dir={target}", f"run.seed={seed}"]
    command += ["--tiny"] if model == "tiny" else []
    start = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    summary = json.loads((target / "summary.json").read_text())
    summary["wall_seconds"] = time.monotonic() - start
    summary["length_ratio"] = summary["final_response_length"] / summary["base_response_length"]
    summary["kept"] = all(
        summary[name] <= bound if comparison == "at most" else summary[name] >= bound
        for name, (comparison, bound) in PROMISES[model].items()
    )
    return summary


def table(summaries: list[dict[str, Any]]) -> str:
    lines = [
        "| model | seed | accuracy, sampled | greedy | response length | reflection rate | RL | all | as promised |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for one in summaries:
        change = [
            f"{one[f'base_{name}']:{form}} → {one[f'final_{name}']:{form}}"
            for name, form in (
                ("accuracy", ".3f"),
                ("greedy_accuracy", ".3f"),
                ("response_length", ".1f"),
                ("reflection_rate", ".2f"),
            )
        ]
        seconds = [f"{one[name]:.0f} s" for name in ("rl_seconds", "wall_seconds")]
        cells = [one["model"], str(one["seed"]), *change, *seconds, "yes" if one["kept"] else "NO"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", type=int, nargs="*", default=[0, 1, 2, 3, 4], help="seeds of the miniature")
    parser.add_argument("--smollm2", type=int, nargs="*", default=[0, 1, 2], help="seeds of SmolLM2-135M")
    parser.add_argument("--keep", type=Path, help="keep the run folders here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        summaries = [run("tiny", seed, folder) for seed in arguments.tiny]
        summaries += [run("smollm2-135m", seed, folder) for seed in arguments.smollm2]
    print(table(summaries))
    OUT.parent.mkdir(exist_ok=True)
    flat = {f"{one['model']}/{one['seed']}/{name}": value for one in summaries for name, value in one.items()}
    OUT.write_text(json.dumps(flat, indent=1) + "\n")
    sys.exit(not all(one["kept"] for one in summaries))


if __name__ == "__main__":
    main()
